"""What real clients make of a budget that is spent and of a rate that is reached: their own typed errors, and retries only
where they help. The simulator behind the gate answers whatever is let through."""

import json
import os
import shutil
import sys
from pathlib import Path

import botocore.exceptions
import pytest

import credentials
from conftest import REGION, client_of
from gate import Gate

# Models that the demo's own calls leave alone.
DAILY, RATED, CLOSED, SHORT = (
    "us.amazon.nova-pro-v1:0",
    "us.amazon.nova-premier-v1:0",
    "us.amazon.nova-micro-v1:0",
    "us.amazon.nova-2-lite-v1:0",
)
CONFIGURATION = f"""
[[budget]]
name = "daily tokens"
model = "{DAILY}"
per = ["access_key"]
total_tokens = 1000
window = "24h"

[[budget]]
name = "calls a minute"
model = "{RATED}"
requests = 1
window = "1h"

[[budget]]
name = "closed"
model = "{CLOSED}"
requests = 0
window = "24h"

[[budget]]
name = "short answers"
model = "{SHORT}"
per = ["access_key", "operation"]
output_tokens = 5
assume_output_tokens = 1
window = "24h"
on_exceeded = "cut"
"""
QUESTION = [{"role": "user", "content": [{"text": "What does a toll gate do?"}]}]
OPERATIONS = ["Converse", "ConverseStream", "InvokeModel", "InvokeModelWithResponseStream"]


@pytest.fixture(scope="module")
def budgeted(tmp_path_factory):
    file = tmp_path_factory.mktemp("budgets") / "tollgate.toml"
    file.write_text(CONFIGURATION)
    with Gate("--config", file) as gate:
        yield gate


def converse(client, model, most=64):
    return client.converse(modelId=model, messages=QUESTION, inferenceConfig={"maxTokens": most})


def call(client, operation, model):
    """A call by one of the four operations, its stream read to the end."""
    body = json.dumps({"messages": QUESTION, "inferenceConfig": {"maxTokens": 16}})
    if operation == "Converse":
        return converse(client, model)
    if operation == "InvokeModel":
        return client.invoke_model(modelId=model, body=body)
    if operation == "ConverseStream":
        return list(client.converse_stream(modelId=model, messages=QUESTION)["stream"])
    return list(client.invoke_model_with_response_stream(modelId=model, body=body)["body"])


def test_a_daily_cap_lets_answers_pass_and_then_denies_access_at_once(budgeted):
    client = client_of(budgeted, attempts=4)
    answers, spent, refused = 0, 0, None
    while refused is None:
        with budgeted.recording() as records:
            try:
                response = converse(client, DAILY)
            except client.exceptions.AccessDeniedException as error:
                refused = error.response
        if refused:
            break
        answers += 1
        spent += response["usage"]["totalTokens"]
        assert spent <= 1000
    assert answers > 3
    # Exactly one attempt, whatever is allowed.
    [record] = records
    assert (record["outcome"], record["status"], record["error_type"]) == ("refused", 403, "AccessDeniedException")
    assert record["tags"]["tollgate-rule"] == "daily tokens"
    assert refused["ResponseMetadata"]["RetryAttempts"] == 0
    assert refused["ResponseMetadata"]["HTTPHeaders"]["x-tollgate-error"] == "budget-spent"
    message = refused["Error"]["Message"]
    for part in ("daily tokens", credentials.ACCESS_KEY["AWS_ACCESS_KEY_ID"], f"{spent} of 1000 total tokens", "again at"):
        assert part in message, message
    # Another key has a budget of its own.
    session = client_of(budgeted, keys=credentials.SESSION)
    assert converse(session, DAILY)["usage"]["totalTokens"] > 0


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_spent_budget_is_typed_whatever_the_operation(budgeted, operation):
    client = client_of(budgeted, attempts=4)
    with budgeted.recording() as records, pytest.raises(client.exceptions.AccessDeniedException) as raised:
        call(client, operation, CLOSED)
    assert "closed" in str(raised.value) and f"calling the {operation} operation" in str(raised.value)
    [record] = records
    assert (record["operation"], record["status"]) == (operation, 403)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_rate_is_tried_again_and_then_typed(budgeted, operation):
    client = client_of(budgeted, attempts=2)
    if operation == OPERATIONS[0]:
        call(client, operation, RATED)
    with budgeted.recording() as records, pytest.raises(client.exceptions.ThrottlingException) as raised:
        call(client, operation, RATED)
    assert "calls a minute" in str(raised.value)
    assert [(record["outcome"], record["status"]) for record in records] == [("refused", 429)] * 2
    headers = raised.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert int(headers["retry-after"]) * 1000 >= int(headers["x-amz-retry-after"]) > 0


def test_a_stream_that_is_cut_raises_what_aws_raises(budgeted):
    client = client_of(budgeted, keys=credentials.SESSION, attempts=4)
    with budgeted.recording() as records, pytest.raises(botocore.exceptions.EventStreamError) as raised:
        call(client, "ConverseStream", SHORT)
    assert raised.value.response["Error"]["Code"] == "throttlingException"
    assert "short answers" in raised.value.response["Error"]["Message"]
    [record] = records
    assert (record["outcome"], record["error_type"]) == ("complete", "throttlingException")
    assert record["usage"]["source"] == "estimated" and record["usage"]["output_tokens"] > 5
    assert "budget-cut" in record["notes"]


def test_the_aws_cli_prints_why(budgeted, run):
    environment = {
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CA_BUNDLE": budgeted.bundle,
        "HTTPS_PROXY": budgeted.http,
        **credentials.ACCESS_KEY,
    }
    aws = Path(sys.executable).parent / "aws"
    line = [aws, "bedrock-runtime", "converse", "--model-id", CLOSED, "--messages", json.dumps(QUESTION)]
    with budgeted.recording() as records:
        output = run(*line, gate=budgeted, fails=True, **environment)
    assert "An error occurred (AccessDeniedException) when calling the Converse operation: budget `closed`" in output
    assert len(records) == 1


def node_program(gate):
    """The program, beside its packages, and what it needs to be told."""
    program = shutil.copy(Path(__file__).parent / "programs" / "budgets.mjs", os.environ["TOLLGATE_NODE"])
    return program, {"AWS_REGION": REGION, "NODE_EXTRA_CA_CERTS": gate.ca, **credentials.ACCESS_KEY}


@pytest.mark.parametrize(
    "model, attempts, expected, status",
    [(CLOSED, 3, "AccessDeniedException", 403), (RATED, 1, "ThrottlingException", 429)],
)
def test_the_sdk_for_javascript_throws_the_same(budgeted, run, model, attempts, expected, status):
    program, environment = node_program(budgeted)
    if model == RATED:
        # Whatever ran before: the one call there may be is used up.
        client = client_of(budgeted)
        try:
            converse(client, RATED)
        except client.exceptions.ThrottlingException:
            pass
    with budgeted.recording() as records:
        output = run("node", program, gate=budgeted, MODEL=model, ATTEMPTS=str(attempts), MOST="16", **environment)
    seen = json.loads(output)
    assert list(seen) == OPERATIONS
    for name, error in seen.items():
        assert (error["name"], error["status"], error["attempts"]) == (expected, status, 1), (name, error)
        assert "budget `" in error["message"]
    assert [record["status"] for record in records] == [status] * 4


def test_a_stream_that_is_cut_throws_in_javascript(budgeted, run):
    program, environment = node_program(budgeted)
    with budgeted.recording() as records:
        output = run("node", program, gate=budgeted, MODEL=SHORT, ATTEMPTS="3", **environment)
    seen = json.loads(output)
    for name, error in seen.items():
        expected = "ThrottlingException" if name.endswith("Stream") else "none"
        assert error["name"] == expected, (name, error)
    for record in records:
        assert ("budget-cut" in record["notes"]) == record["stream"]


def spent_by(gate, *arguments):
    """What `tollgate budgets` says is spent, by rule and key, and where it has that from."""
    lines = [json.loads(line) for line in gate.tollgate("budgets", "--json", *arguments).splitlines()]
    return {line["source"] for line in lines}, {(line["rule"], json.dumps(line["key"])): line["spent"] for line in lines}


def test_what_is_spent_is_the_ledgers_sum_also_after_a_kill(tmp_path):
    file = tmp_path / "tollgate.toml"
    file.write_text(CONFIGURATION)
    with Gate("--config", file, "--admin", "127.0.0.1:0") as gate:
        keys = [credentials.ACCESS_KEY, credentials.SESSION]
        for client in [client_of(gate, keys=key) for key in keys for _ in range(3)]:
            converse(client, DAILY)
            with pytest.raises(client.exceptions.AccessDeniedException):
                converse(client, CLOSED)
        sums = {}
        for record in gate.records():
            if record["model"] == DAILY:
                key = record["identity"]["access_key_id"]
                sums[key] = sums.get(key, 0) + record["usage"]["total_tokens"]
        assert len(sums) == 2
        sources, spent = spent_by(gate)
        assert sources == {"gate"}
        for key, total in sums.items():
            assert spent["daily tokens", json.dumps({"access_key": key})] == str(total)
        gate.kill()
        assert spent_by(gate, "--config", file) == ({"ledger"}, spent)
