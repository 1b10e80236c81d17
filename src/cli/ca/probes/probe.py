"""Asks each TLS library of this Python for a page of HOST, which is led to PORT on loopback, and tells how it went."""

import importlib.util
import json
import os
import socket
import sys

HOST, PORT = sys.argv[1], int(sys.argv[2])
URL = f"https://{HOST}/"
SECONDS = 10


def to_loopback(*_arguments, **_names):
    return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", PORT))]


# Whatever is asked for, nothing leaves this machine.
socket.getaddrinfo = to_loopback


def with_ssl():
    import urllib.request

    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(URL, timeout=SECONDS).close()


def with_botocore():
    import botocore.session
    from botocore.awsrequest import AWSRequest
    from botocore.httpsession import URLLib3Session

    try:
        bundle = botocore.session.get_session().get_config_variable("ca_bundle")
    except Exception:
        bundle = os.environ.get("AWS_CA_BUNDLE")
    verify = bundle or os.environ.get("REQUESTS_CA_BUNDLE") or True
    session = URLLib3Session(verify=verify, timeout=SECONDS, proxies={})
    session.send(AWSRequest(method="GET", url=URL).prepare())


def with_requests():
    import requests

    requests.get(URL, timeout=SECONDS)


def with_httpx():
    import httpx

    httpx.get(URL, timeout=SECONDS)


def tell(library, probe):
    try:
        probe()
    except Exception as error:
        # The chain down to the TLS library says more than the outermost error.
        while error.__cause__ or error.__context__:
            error = error.__cause__ or error.__context__
        found = {"library": library, "trusted": False, "detail": f"{type(error).__name__}: {error}"}
    else:
        found = {"library": library, "trusted": True, "detail": None}
    print(json.dumps(found), flush=True)


tell("ssl", with_ssl)
for name, probe in {"botocore": with_botocore, "requests": with_requests, "httpx": with_httpx}.items():
    if importlib.util.find_spec(name):
        tell(name, probe)
