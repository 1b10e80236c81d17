"""Every program in examples/ does what it says, prints what it should, and is counted as its own answer tells."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import credentials
import usage
from conftest import HOST, REGION, ROOT, curl_can
from gate import DEADLINE, Gate

EXAMPLES = ROOT / "examples"
NOVA = "us.amazon.nova-lite-v1:0"
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
TITAN = "amazon.titan-text-express-v1"

# The output that the guide promises.
GUIDE_OUTPUT = {
    "inputTextTokenCount": 14,
    "results": [
        {
            "tokenCount": 15,
            "outputText": "Black holes are regions of spacetime with such strong gravity that nothing can escape",
            "completionReason": "LENGTH",
        }
    ],
}


def check(gate, record, entry, operation, model, tokens, keys=credentials.ACCESS_KEY, stream=False):
    """A record of a call that went well."""
    assert record["entry"] == entry
    assert (record["host"], record["region"]) == (HOST, REGION)
    assert (record["operation"], record["model"]) == (operation, model)
    assert (record["status"], record["outcome"], record["error_type"]) == (200, "complete", None)
    assert record["stream"] is stream
    assert record["identity"]["access_key_id"] == keys["AWS_ACCESS_KEY_ID"]
    assert record["aws_request_id"]
    found = usage.counted(record)
    assert {name: found.get(name) for name in tokens} == tokens
    assert operation in gate.show(record)


def text_and_usage(output):
    """What the Converse examples print: the text, and the usage as JSON on the last line."""
    text, last = output.rstrip("\n").rsplit("\n", 1)
    assert "That is all the simulator has to say." in text
    return usage.of_converse(json.loads(last))


@pytest.mark.parametrize("name", ["guide_invoke_model.py", "guide_presigned.py"])
def test_the_guide_prints_what_it_promises(gate, run, name):
    with gate.recording() as records:
        output = run(sys.executable, EXAMPLES / name, gate=gate, AWS_PROFILE="tollgate-demo")
    assert ast.literal_eval(output.strip()) == GUIDE_OUTPUT
    entry = "forward" if "invoke_model" in name else "route"
    [record] = records
    check(gate, record, entry, "InvokeModel", TITAN, usage.of_titan(GUIDE_OUTPUT))
    assert record["finish_reason"] == "LENGTH"


def test_the_guide_works_with_a_certificate_made_with_openssl(run, tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    # Return at every question, which is what most people answer.
    line = "openssl req -x509 -newkey rsa:4096 -keyout key.pem -out cert.pem -days 365 -nodes"
    subprocess.run(line.split(), cwd=tmp_path, input="\n" * 7, text=True, capture_output=True, check=True, timeout=DEADLINE)
    os.chmod(tmp_path / "key.pem", 0o600)
    pair = ("--tls-cert", tmp_path / "cert.pem", "--tls-key", tmp_path / "key.pem")
    base = {"AISERVICE_API_BASE": f"https://{HOST}/"}
    with Gate(*pair, environment=base) as gate:
        for name in ["guide_invoke_model.py", "guide_presigned.py"]:
            with gate.recording() as records:
                output = run(sys.executable, EXAMPLES / name, gate=gate, AWS_PROFILE="tollgate-demo", **base)
            assert ast.literal_eval(output.strip()) == GUIDE_OUTPUT
            assert [record["outcome"] for record in records] == ["complete"]


@pytest.mark.parametrize("name", ["boto3_connect.py", "boto3_env.py", "boto3_tls_in_tls.py"])
@pytest.mark.parametrize("keys", [credentials.ACCESS_KEY, credentials.SESSION], ids=["key", "session"])
def test_boto3_programs(gate, run, name, keys):
    environment = {"AWS_DEFAULT_REGION": REGION, "AWS_CA_BUNDLE": gate.bundle, **keys}
    if name == "boto3_env.py":
        environment["HTTPS_PROXY"] = gate.http
    with gate.recording() as records:
        output = run(sys.executable, EXAMPLES / name, gate=gate, **environment)
    [record] = records
    check(gate, record, "connect", "Converse", NOVA, text_and_usage(output), keys)
    assert record["identity"]["session"] is (keys is credentials.SESSION)
    if name == "boto3_env.py":
        assert record["tags"] == {"team": "roads", "project": "toll"}


def test_converse_stream(gate, run):
    environment = {"AWS_DEFAULT_REGION": REGION, "AWS_CA_BUNDLE": gate.bundle, **credentials.ACCESS_KEY}
    with gate.recording() as records:
        output = run(sys.executable, EXAMPLES / "converse_stream.py", gate=gate, **environment)
    [record] = records
    check(gate, record, "connect", "ConverseStream", CLAUDE, text_and_usage(output), stream=True)
    assert record["first_token_ms"] >= record["first_byte_ms"]


@pytest.mark.skipif(not curl_can("HTTPS-proxy"), reason="no curl 7.76 or later with https proxies")
@pytest.mark.parametrize("keys", [credentials.ACCESS_KEY, credentials.SESSION], ids=["key", "session"])
def test_curl(gate, run, keys):
    with gate.recording() as records:
        output = run(EXAMPLES / "curl_sigv4.sh", gate=gate, TOLLGATE_CA=gate.ca, **keys)
    bodies = [json.loads(line) for line in output.splitlines()]
    assert bodies == [GUIDE_OUTPUT, GUIDE_OUTPUT]
    for record, body in zip(records, bodies, strict=True):
        check(gate, record, "connect", "InvokeModel", TITAN, usage.of_titan(body), keys)


@pytest.mark.skipif(not curl_can("HTTPS-proxy"), reason="no curl 7.76 or later with https proxies")
def test_curl_that_finds_the_gate_under_the_name_of_aws(gate, run):
    with gate.recording() as records:
        output = run(EXAMPLES / "curl_transparent.sh", gate=gate, TOLLGATE_CA=gate.ca, **credentials.ACCESS_KEY)
    assert json.loads(output) == GUIDE_OUTPUT
    [record] = records
    check(gate, record, "transparent", "InvokeModel", TITAN, usage.of_titan(GUIDE_OUTPUT))


def test_aws_cli(gate, run):
    environment = {
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CA_BUNDLE": gate.bundle,
        "HTTPS_PROXY": gate.http,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        **credentials.ACCESS_KEY,
    }
    with gate.recording() as records:
        output = run(EXAMPLES / "aws_cli.sh", gate=gate, **environment)
    converse, end = json.JSONDecoder().raw_decode(output)
    titan = json.loads(output[end:])
    assert titan == GUIDE_OUTPUT
    first, second = records
    check(gate, first, "connect", "Converse", NOVA, usage.of_converse(converse["usage"]))
    check(gate, second, "connect", "InvokeModel", TITAN, usage.of_titan(titan))


NODE_PROGRAMS = [("converse.mjs", "Converse", NOVA), ("converse_stream.mjs", "ConverseStream", CLAUDE)]


@pytest.mark.parametrize("name, operation, model", NODE_PROGRAMS)
@pytest.mark.parametrize("keys", [credentials.ACCESS_KEY, credentials.SESSION], ids=["key", "session"])
def test_node_programs(gate, run, name, operation, model, keys):
    # A copy of examples/node with its packages installed.
    program = Path(os.environ["TOLLGATE_NODE"]) / name
    environment = {"AWS_REGION": REGION, "NODE_EXTRA_CA_CERTS": gate.ca, **keys}
    with gate.recording() as records:
        output = run("node", program, gate=gate, **environment)
    [record] = records
    tokens = text_and_usage(output)
    check(gate, record, "connect", operation, model, tokens, keys, stream=operation == "ConverseStream")


def test_every_example_has_a_test():
    tested = Path(__file__).read_text(encoding="utf-8")
    programs = [path for path in EXAMPLES.glob("*.*") if path.suffix in {".py", ".sh"}]
    programs += (EXAMPLES / "node").glob("*.mjs")
    assert programs
    for path in programs:
        assert f'"{path.name}"' in tested, path
