"""Streams arrive as they are sent, and an ending is passed on as the ending it was."""

import threading

import botocore.exceptions
import pytest
import urllib3.exceptions

import credentials
import usage
from conftest import client_of
from gate import DEADLINE, Gate
from upstream import STREAM_HEAD, Upstream, authority_file, chunk, event

QUESTION = [{"role": "user", "content": [{"text": "Count to three."}]}]
MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
USAGE = {"inputTokens": 11, "outputTokens": 3, "totalTokens": 14}


def delta(text):
    return chunk(event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}}))


def last_events():
    stop = event("messageStop", {"stopReason": "end_turn"})
    return chunk(stop) + chunk(event("metadata", {"usage": USAGE, "metrics": {"latencyMs": 1}}))


@pytest.fixture
def served_by(tmp_path):
    """A gate in front of a scripted upstream."""

    def served_by(upstream):
        return Gate("--upstream-ca", authority_file(tmp_path), "--connect-to", upstream.connect_to, command="serve")

    return served_by


@pytest.mark.parametrize("proxy", ["http", "https"])
def test_each_event_reaches_the_client_before_the_next_is_sent(served_by, proxy):
    arrived = {number: threading.Event() for number in range(1, 4)}

    def script(connection):
        connection.sendall(STREAM_HEAD)
        for number, seen in arrived.items():
            connection.sendall(delta(str(number)))
            # Only a client that has this event can let the next one be sent.
            assert seen.wait(DEADLINE), f"event {number} did not arrive while the stream was open"
        connection.sendall(last_events() + b"0\r\n\r\n")

    with Upstream(script) as upstream, served_by(upstream) as gate:
        options = {"proxies": {"https": getattr(gate, proxy)}}
        if proxy == "https":
            options["config"] = {"proxies_config": {"proxy_ca_bundle": gate.bundle}}
        with gate.recording() as records:
            response = client_of(gate, **options).converse_stream(modelId=MODEL, messages=QUESTION)
            texts, seen = [], None
            for item in response["stream"]:
                if "contentBlockDelta" in item:
                    texts.append(item["contentBlockDelta"]["delta"]["text"])
                    arrived[len(texts)].set()
                elif "metadata" in item:
                    seen = item["metadata"]["usage"]
    assert texts == ["1", "2", "3"] and seen == USAGE
    [record] = records
    assert usage.counted(record) == usage.of_converse(USAGE)
    assert (record["outcome"], record["stream"], record["usage"]["source"]) == ("complete", True, "stream")


def test_a_client_that_goes_away_is_passed_on_and_recorded(served_by):
    hung_up = threading.Event()

    def script(connection):
        connection.sendall(STREAM_HEAD + delta("1"))
        while connection.recv(65536):
            pass
        hung_up.set()

    with Upstream(script) as upstream, served_by(upstream) as gate:
        response = client_of(gate).converse_stream(modelId=MODEL, messages=QUESTION)
        next(iter(response["stream"]))
        response["stream"].close()
        assert hung_up.wait(DEADLINE), "the upstream was not told"
        gate.stdout.wait_for("client_aborted")
        [record] = gate.records()
        assert (record["outcome"], record["status"]) == ("client_aborted", 200)
        assert (record["usage"]["source"], record["cost"]["status"]) == ("estimated", "partial")
        gate.show(record)


def test_a_cut_stream_never_looks_whole(gate, client):
    with gate.recording() as records:
        response = client.converse_stream(modelId="simulate.stream-cut", messages=QUESTION)
        with pytest.raises(urllib3.exceptions.ProtocolError):
            list(response["stream"])
    [record] = records
    assert (record["outcome"], record["status"]) == ("upstream_aborted", 200)
    # Its usage never came: what is recorded says that it is a guess.
    assert record["usage"]["source"] == "estimated"
    assert record["cost"]["status"] in ("partial", "unpriced")


def test_an_exception_inside_a_stream_is_typed_and_recorded(gate, client):
    with gate.recording() as records:
        response = client.converse_stream(modelId="simulate.stream-exception", messages=QUESTION)
        with pytest.raises(botocore.exceptions.EventStreamError) as raised:
            list(response["stream"])
    assert raised.value.response["Error"]["Code"] == "modelStreamErrorException"
    [record] = records
    assert (record["outcome"], record["error_type"]) == ("complete", "modelStreamErrorException")


def test_a_session_key_streams(gate):
    with gate.recording() as records:
        response = client_of(gate, keys=credentials.SESSION).converse_stream(modelId=MODEL, messages=QUESTION)
        [metadata] = [item["metadata"] for item in response["stream"] if "metadata" in item]
    [record] = records
    assert usage.counted(record) == usage.of_converse(metadata["usage"])
