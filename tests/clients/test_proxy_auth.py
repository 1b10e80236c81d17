"""A gate that asks who its clients are, and real clients that say so: in the proxy's URL, or by a certificate."""

import json
import os
import pty
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
import trustme
from botocore.exceptions import BotoCoreError, ClientError

import credentials
from conftest import REGION, client_of, curl_can
from gate import BINARY, Gate, clean_environment

NOVA = "us.amazon.nova-lite-v1:0"
# Older versions of curl do not sign an escaped path as AWS does.
TITAN = "amazon.titan-text-express-v1"
USER, PASSWORD = "alice", "p@ss:word/ c4n4ry"
IN_URL = "alice:p%40ss%3Aword%2F%20c4n4ry"


def add_user(path):
    """The users file as an operator makes it."""
    line = [BINARY, "user", "add", USER, "--stdin", "--users", path]
    subprocess.run(line, input=f"{PASSWORD}\n", env=clean_environment(), encoding="utf-8", check=True)
    assert PASSWORD not in path.read_text()
    return path


@pytest.fixture(scope="module")
def asking(tmp_path_factory):
    """A gate with the simulator behind it that asks for user and password."""
    users = add_user(tmp_path_factory.mktemp("users") / "users")
    with Gate("--users", users) as gate:
        yield gate
        for text in (gate.stdout.text(gate.greeting), gate.stderr.text()):
            assert "c4n4ry" not in text
        for path in gate.home.iterdir():
            assert b"c4n4ry" not in path.read_bytes()


def test_a_password_is_typed_twice_and_not_shown(tmp_path):
    for typed, status in ((("c4n4ry", "c4n4ry"), 0), (("c4n4ry", "another"), 2)):
        path = tmp_path / f"users-{status}"
        child, terminal = pty.fork()
        if child == 0:
            os.execve(BINARY, [BINARY, "user", "add", USER, "--users", path], clean_environment())
        shown = b""
        for prompt, password in zip((b"Password: ", b"Once more: "), typed):
            while not shown.endswith(prompt):
                shown += os.read(terminal, 1024)
            while termios.tcgetattr(terminal)[3] & termios.ECHO:
                time.sleep(0.01)
            os.write(terminal, password.encode() + b"\n")
        while chunk := read_from(terminal):
            shown += chunk
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == status
        assert b"c4n4ry" not in shown and b"another" not in shown
        assert path.exists() == (status == 0)


def read_from(terminal):
    try:
        return os.read(terminal, 1024)
    except OSError:
        # Nobody is left on the other side.
        return b""


def converse(client):
    return client.converse(modelId=NOVA, messages=[{"role": "user", "content": [{"text": "Who may pass?"}]}])


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_boto3_says_who_it_is_in_the_url_of_the_proxy(asking, scheme):
    config = {"proxies_config": {"proxy_ca_bundle": asking.bundle}} if scheme == "https" else {}
    proxies = {"https": f"{scheme}://{IN_URL}@{asking.address}"}
    with asking.recording() as records:
        converse(client_of(asking, proxies=proxies, config=config))
    [record] = records
    assert (record["entry"], record["outcome"]) == ("connect", "complete")
    assert record["identity"]["proxy_user"] == USER


def test_boto3_is_refused_without_or_with_another_password(asking):
    for user in ("", "alice:another@", "nobody:c4n4ry@"):
        client = client_of(asking, proxies={"https": f"http://{user}{asking.address}"})
        with asking.recording() as records, pytest.raises((BotoCoreError, ClientError)):
            converse(client)
        [record] = records
        assert (record["status"], record["outcome"]) == (407, "refused")
        assert record["identity"]["proxy_user"] is None


@pytest.mark.skipif(not curl_can("HTTPS-proxy"), reason="no curl 7.76 or later with https proxies")
@pytest.mark.parametrize("how", ["--proxy-basic", "--proxy-anyauth"])
def test_curl_says_who_it_is_at_once_or_when_it_is_asked(asking, run, how):
    with asking.recording() as records:
        run(
            *("curl", "--silent", "--show-error", "--fail", "-x", asking.http, how, "--proxy-user", f"{USER}:{PASSWORD}"),
            *("--cacert", asking.ca, "--aws-sigv4", f"aws:amz:{REGION}:bedrock"),
            *("--user", ":".join(list(credentials.ACCESS_KEY.values())[:2])),
            *("--header", "content-type: application/json"),
            *("--data", json.dumps({"messages": [{"role": "user", "content": [{"text": "Who?"}]}]})),
            f"https://bedrock-runtime.{REGION}.amazonaws.com/model/{TITAN}/converse",
            gate=asking,
        )
    statuses = [record["status"] for record in records]
    assert statuses == ([407, 200] if how == "--proxy-anyauth" else [200])
    assert records[-1]["identity"]["proxy_user"] == USER


def test_the_aws_cli_says_who_it_is_in_the_url_of_the_proxy(asking, run):
    with asking.recording() as records:
        run(
            *("aws", "bedrock-runtime", "converse", "--region", REGION, "--model-id", NOVA),
            *("--messages", json.dumps([{"role": "user", "content": [{"text": "Who?"}]}])),
            gate=asking,
            HTTPS_PROXY=f"http://{IN_URL}@{asking.address}",
            AWS_CA_BUNDLE=asking.bundle,
            PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            **credentials.ACCESS_KEY,
        )
    [record] = records
    assert (record["status"], record["identity"]["proxy_user"]) == (200, USER)


def test_boto3_says_who_it_is_by_a_certificate(tmp_path):
    """The upstream cannot be reached, and what the gate says to that is said to somebody it knows."""
    authority = trustme.CA()
    roots, certificate, key = (tmp_path / name for name in ("clients.pem", "alice.pem", "alice-key.pem"))
    authority.cert_pem.write_to_path(str(roots))
    issued = authority.issue_cert("alice@example.com", common_name=USER)
    issued.private_key_pem.write_to_path(str(key))
    for pem in issued.cert_chain_pems:
        pem.write_to_path(str(certificate), append=True)
    nowhere = f"bedrock-runtime.{REGION}.amazonaws.com:443:127.0.0.1:9"
    with Gate("--client-ca", roots, "--connect-to", nowhere, command="serve") as gate:
        known = {"proxy_ca_bundle": gate.bundle, "proxy_client_cert": (str(certificate), str(key))}
        for shown, proxy in ((known, gate.https), ({"proxy_ca_bundle": gate.bundle}, gate.https), ({}, gate.http)):
            client = client_of(gate, proxies={"https": proxy}, config={"proxies_config": shown})
            with pytest.raises((BotoCoreError, ClientError)) as raised:
                converse(client)
            reached = isinstance(raised.value, ClientError)
            assert reached == (shown is known), raised.value
        served, refused = gate.records()
        assert (served["status"], served["identity"]["proxy_user"]) == (503, USER)
        assert (refused["status"], refused["identity"]["proxy_user"]) == (403, None)
