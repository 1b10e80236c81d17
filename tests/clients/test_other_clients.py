"""Clients other than boto3: curl with a large body, JavaScript without the right handler, and other Python libraries."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

import credentials
import usage
from conftest import HOST, REGION, client_of, curl_can
from gate import DEADLINE, Gate
from upstream import Upstream, authority_file

NOVA = "us.amazon.nova-lite-v1:0"
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
PROGRAMS = Path(__file__).parent / "programs"


@pytest.mark.skipif(not curl_can("HTTPS-proxy"), reason="no curl 7.76 or later with https proxies")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_curl_waits_for_100_continue_with_a_large_body(gate, run, tmp_path, scheme):
    body, answer = tmp_path / "body.json", tmp_path / "answer.json"
    body.write_text(json.dumps({"inputText": "a toll gate " * 150_000}))
    assert body.stat().st_size > 1024 * 1024
    key = credentials.ACCESS_KEY
    with gate.recording() as records:
        # Longer than the test may last: without a 100 the body would not be sent in time.
        head = run(
            *("curl", "--silent", "--fail", "--expect100-timeout", "3600", "--dump-header", "-", "--output", answer),
            *("--proxy", f"{scheme}://{gate.address}", "--proxy-cacert", gate.ca, "--cacert", gate.ca),
            *("--aws-sigv4", f"aws:amz:{REGION}:bedrock"),
            *("--user", f"{key['AWS_ACCESS_KEY_ID']}:{key['AWS_SECRET_ACCESS_KEY']}"),
            *("--header", "expect: 100-continue", "--header", "content-type: application/json"),
            *("--data-binary", f"@{body}", f"https://{HOST}/model/amazon.titan-text-express-v1/invoke"),
            gate=gate,
        )
    assert "HTTP/1.1 100 Continue" in head
    [record] = records
    assert record["request_bytes"] == body.stat().st_size and record["outcome"] == "complete"
    assert usage.counted(record) == usage.of_titan(json.loads(answer.read_text()))
    gate.show(record)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_javascript_with_its_default_handler_is_told_what_to_do(gate, run, scheme):
    start = gate.stderr.count()
    node = Path(os.environ["TOLLGATE_NODE"])
    # Beside the packages it imports.
    program = shutil.copy(PROGRAMS / "default_handler.mjs", node)
    environment = {"AWS_REGION": REGION, "NODE_EXTRA_CA_CERTS": gate.ca, **credentials.ACCESS_KEY}
    run("node", program, gate=gate, fails=True, ENDPOINT=getattr(gate, scheme), **environment)
    line = gate.stderr.wait_for("HTTP/2 only.*", start)[0]
    assert "NodeHttpHandler" in line and "HttpsProxyAgent" in line


def test_javascript_with_an_endpoint_that_names_the_gate_is_told_what_to_do(gate, run):
    node = Path(os.environ["TOLLGATE_NODE"])
    program = shutil.copy(PROGRAMS / "endpoint.mjs", node)
    environment = {"AWS_REGION": REGION, **credentials.ACCESS_KEY}
    output = run("node", program, gate=gate, ENDPOINT=gate.http, **environment)
    error = json.loads(output)
    assert error["name"] == "ValidationException" and "HTTPS_PROXY" in error["message"]


def python(gate, run, program, **environment):
    """Runs one of the programs beside this file in a process of its own: these libraries read the environment."""
    environment = {"HTTPS_PROXY": gate.http, "SSL_CERT_FILE": gate.bundle, "AWS_REGION": REGION, **environment}
    with gate.recording() as records:
        output = run(sys.executable, PROGRAMS / program, gate=gate, **environment)
    return [json.loads(line) for line in output.splitlines()], records


@pytest.mark.parametrize("keys", [credentials.ACCESS_KEY, credentials.SESSION], ids=["key", "session"])
def test_anthropic(gate, run, keys):
    seen, records = python(gate, run, "anthropic_bedrock.py", MODEL=CLAUDE, **keys)
    operations = ["InvokeModel", "InvokeModelWithResponseStream"]
    assert [record["operation"] for record in records] == operations
    for record, told in zip(records, seen, strict=True):
        assert (record["entry"], record["model"], record["outcome"]) == ("connect", CLAUDE, "complete")
        expected = usage.of_messages(told)
        found = usage.counted(record)
        assert {name: found.get(name) for name in expected} == expected
        gate.show(record)


def test_openai(gate, run):
    model = "openai.gpt-oss-20b-1:0"
    seen, records = python(gate, run, "openai_chat.py", MODEL=model, **credentials.BEARER)
    assert [record["stream"] for record in records] == [False, True]
    for record, told in zip(records, seen, strict=True):
        assert (record["entry"], record["operation"], record["model"]) == ("connect", "ChatCompletions", model)
        found = usage.counted(record)
        # Here the client's count includes what came from the cache; the record's does not.
        assert found["input_tokens"] + found.get("cache_read_tokens", 0) == told["prompt_tokens"]
        assert found["output_tokens"] == told["completion_tokens"]
        assert record["identity"]["api_key"]
        gate.show(record)


def test_aiobotocore(gate):
    from aiobotocore.config import AioConfig
    from aiobotocore.session import get_session

    async def call():
        options = {
            "region_name": REGION,
            "aws_access_key_id": credentials.ACCESS_KEY["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": credentials.ACCESS_KEY["AWS_SECRET_ACCESS_KEY"],
            "verify": gate.bundle,
            "config": AioConfig(proxies={"https": gate.http}),
        }
        messages = [{"role": "user", "content": [{"text": "What does a toll gate do?"}]}]
        async with get_session().create_client("bedrock-runtime", **options) as client:
            whole = await client.converse(modelId=NOVA, messages=messages)
            stream = await client.converse_stream(modelId=CLAUDE, messages=messages)
            metadata = [item["metadata"] async for item in stream["stream"] if "metadata" in item]
            return [whole["usage"], metadata[0]["usage"]]

    with gate.recording() as records:
        seen = asyncio.run(asyncio.wait_for(call(), DEADLINE))
    assert [usage.counted(record) for record in records] == [usage.of_converse(told) for told in seen]
    assert [record["operation"] for record in records] == ["Converse", "ConverseStream"]


STS_ANSWER = b"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"""


def test_a_host_that_is_not_bedrock_is_a_tunnel_that_nobody_opens(tmp_path):
    host = f"sts.{REGION}.amazonaws.com"

    def script(connection):
        head = f"HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\ncontent-length: {len(STS_ANSWER)}\r\n\r\n"
        connection.sendall(head.encode() + STS_ANSWER)

    with Upstream(script, host) as upstream, Gate("--connect-to", upstream.connect_to, command="serve") as gate:
        # Only the upstream's own authority is trusted: a certificate of the gate's would not do.
        trusted = str(authority_file(tmp_path))
        client = client_of(gate, service="sts", verify=trusted, endpoint_url=f"https://{host}")
        assert client.get_caller_identity()["Account"] == "123456789012"
        client.close()
        gate.stdout.wait_for("tunnel")
        [record] = gate.records()
    assert (record["entry"], record["host"], record["operation"]) == ("tunnel", host, None)
    assert record["response_bytes"] > len(STS_ANSWER) and record["usage"]["input_tokens"] is None
