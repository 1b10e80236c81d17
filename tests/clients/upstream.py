"""An upstream that does what a test tells it to, at the moment the test chooses: real TLS, scripted answers.

The simulator behind `tollgate demo` answers at its own pace; where the order of events is the question, this one waits
for the test between two pieces of an answer.
"""

import json
import socket
import ssl
import struct
import threading
import zlib

import trustme

from conftest import HOST
from gate import DEADLINE

_AUTHORITY = trustme.CA()


def authority_file(directory):
    """The PEM file for `--upstream-ca`."""
    path = directory / "upstream-ca.pem"
    _AUTHORITY.cert_pem.write_to_path(str(path))
    return path


def event(kind, payload):
    """One message of application/vnd.amazon.eventstream."""
    names = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in names.items()
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + body
    return message + struct.pack(">I", zlib.crc32(message))


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\n"
    b"x-amzn-requestid: 0b9f3c52-scripted\r\ntransfer-encoding: chunked\r\n\r\n"
)


class Upstream:
    """Serves one connection with `script(connection)`, after the request has been read."""

    def __init__(self, script, host=HOST):
        self._host = host
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _AUTHORITY.issue_cert(host).configure_cert(self._context)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(DEADLINE)
        self._script = script
        self._error = None
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def connect_to(self):
        return f"{self._host}:443:127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        self._listener.close()
        self._thread.join(DEADLINE)
        if kind is None and self._error:
            raise self._error

    def _serve(self):
        try:
            raw, _ = self._listener.accept()
            raw.settimeout(DEADLINE)
            with self._context.wrap_socket(raw, server_side=True) as connection:
                _read_request(connection)
                self._script(connection)
        except Exception as error:  # noqa: BLE001 - the test that owns us raises it
            self._error = error


def _read_request(connection):
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, body = received.split(b"\r\n\r\n", 1)
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
    )
    while len(body) < length:
        body += connection.recv(65536)
