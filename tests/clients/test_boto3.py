"""What boto3 sends and sees: every kind of model id and credential, many calls at once, bodies of every size, errors."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

import credentials
import usage
from conftest import HOST, REGION, client_of
from gate import Gate

NOVA = "us.amazon.nova-lite-v1:0"
CLAUDE = "anthropic.claude-sonnet-4-5-20250929-v1:0"
TITAN = "amazon.titan-text-express-v1"
ANTHROPIC = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 64}


def question(text="What does a toll gate do?"):
    return [{"role": "user", "content": [{"text": text}]}]


def request_id(response):
    return response["ResponseMetadata"]["RequestId"]


# One body for each model family: what a client posts to InvokeModel.
FAMILIES = {
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0": {**ANTHROPIC, "messages": [{"role": "user", "content": "hello"}]},
    "us.amazon.nova-lite-v1:0": {"messages": question("hello")},
    "amazon.titan-text-express-v1": {"inputText": "hello"},
    "us.meta.llama3-3-70b-instruct-v1:0": {"prompt": "hello", "max_gen_len": 64},
    "mistral.mistral-7b-instruct-v0:2": {"prompt": "hello", "max_tokens": 64},
    "openai.gpt-oss-20b-1:0": {"messages": [{"role": "user", "content": "hello"}]},
}


@pytest.mark.parametrize("model", FAMILIES)
def test_streams_of_every_family_are_counted_as_bedrock_counts_them(gate, client, model):
    with gate.recording() as records:
        response = client.invoke_model_with_response_stream(
            modelId=model, body=json.dumps(FAMILIES[model]), contentType="application/json"
        )
        chunks = [json.loads(item["chunk"]["bytes"]) for item in response["body"]]
    [record] = records
    seen = usage.of_metrics(chunks[-1]["amazon-bedrock-invocationMetrics"])
    found = usage.counted(record)
    assert {name: found.get(name) for name in seen} == seen
    assert (record["operation"], record["model"]) == ("InvokeModelWithResponseStream", model)
    assert (record["outcome"], record["aws_request_id"]) == ("complete", request_id(response))
    gate.show(record)


@pytest.mark.parametrize("model", [*FAMILIES, "cohere.embed-english-v3", "amazon.titan-embed-text-v2:0"])
def test_answers_of_every_family_are_counted_as_their_headers_tell(gate, client, model):
    bodies = {
        **FAMILIES,
        "cohere.embed-english-v3": {"texts": ["a gate"], "input_type": "search_document"},
        "amazon.titan-embed-text-v2:0": {"inputText": "a gate"},
    }
    with gate.recording() as records:
        # Without a content type, as boto3 sends it when the caller gives none.
        response = client.invoke_model(modelId=model, body=json.dumps(bodies[model]))
        body = json.loads(response["body"].read())
    headers = response["ResponseMetadata"]["HTTPHeaders"]
    [record] = records
    found = usage.counted(record)
    assert found["input_tokens"] > 0 and record["model"] == model and record["outcome"] == "complete"
    for name, header in [("input_tokens", "input"), ("output_tokens", "output")]:
        told = headers.get(f"x-amzn-bedrock-{header}-token-count")
        assert told is None or found[name] == int(told)
    if "claude" in model:
        told = usage.of_messages(body["usage"])
        assert {name: found.get(name) for name in told} == told


@pytest.mark.parametrize(
    "model",
    [
        f"arn:aws:bedrock:{REGION}::foundation-model/amazon.nova-lite-v1:0",
        f"arn:aws:bedrock:{REGION}:123456789012:inference-profile/us.amazon.nova-lite-v1:0",
        f"arn:aws:bedrock:{REGION}:123456789012:application-inference-profile/abc123def456",
        "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
    ],
)
@pytest.mark.parametrize("form", ["connect", "forward"])
def test_model_ids_pass_unchanged(gate, model, form):
    options = {}
    if form == "forward":
        forwarding = {"proxy_use_forwarding_for_https": True, "proxy_ca_bundle": gate.bundle}
        options = {"proxies": {"https": gate.https}, "config": {"proxies_config": forwarding}}
    with gate.recording() as records:
        response = client_of(gate, **options).converse(modelId=model, messages=question())
    [record] = records
    assert (record["entry"], record["model"]) == (form, model)
    assert usage.counted(record) == usage.of_converse(response["usage"])


def test_a_bearer_key_is_counted_under_a_label(gate, monkeypatch):
    for name, value in credentials.BEARER.items():
        monkeypatch.setenv(name, value)
    with gate.recording() as records:
        session = boto3.Session(region_name=REGION)
        response = client_of(gate, session=session).converse(modelId=NOVA, messages=question())
    [record] = records
    identity = record["identity"]
    assert identity["access_key_id"] is None and identity["api_key"]
    assert usage.counted(record) == usage.of_converse(response["usage"])
    assert identity["api_key"] in gate.show(record)


def test_other_operations_are_named(gate, client):
    with gate.recording() as records:
        counted = client.count_tokens(modelId=CLAUDE, input={"converse": {"messages": question()}})
        client.apply_guardrail(
            guardrailIdentifier="gr123", guardrailVersion="1", source="INPUT", content=[{"text": {"text": "hello"}}]
        )
        client.list_async_invokes(maxResults=5, statusEquals="Completed")
    assert counted["inputTokens"] > 0
    assert [record["operation"] for record in records] == ["CountTokens", "ApplyGuardrail", "ListAsyncInvokes"]
    assert {(record["status"], record["outcome"]) for record in records} == {(200, "complete")}


def test_cache_tokens_are_what_the_client_was_told(gate, client):
    system = [{"text": "You keep a gate on an old mountain road. " * 60}, {"cachePoint": {"type": "default"}}]
    with gate.recording() as records:
        answers = [client.converse(modelId=NOVA, system=system, messages=question())["usage"] for _ in range(2)]
    assert answers[0]["cacheWriteInputTokens"] > 0 and answers[1]["cacheReadInputTokens"] > 0
    assert [usage.counted(record) for record in records] == [usage.of_converse(answer) for answer in answers]


def test_twenty_threads_share_a_client_and_every_call_is_counted_once(gate, client):
    def call(number):
        response = client.converse(modelId=NOVA, messages=question("x" * (4 * number)))
        return request_id(response), usage.of_converse(response["usage"])

    with gate.recording() as records:
        with ThreadPoolExecutor(20) as pool:
            seen = list(pool.map(call, range(1, 101)))
    assert len({tokens["input_tokens"] for _, tokens in seen}) == 100
    assert len(records) == 100
    assert {record["aws_request_id"]: usage.counted(record) for record in records} == dict(seen)


def test_twenty_streams_at_once(gate, client):
    def call(number):
        response = client.converse_stream(modelId=NOVA, messages=question("x" * (4 * number)))
        [metadata] = [item["metadata"] for item in response["stream"] if "metadata" in item]
        return request_id(response), usage.of_converse(metadata["usage"])

    with gate.recording() as records:
        with ThreadPoolExecutor(20) as pool:
            seen = list(pool.map(call, range(1, 21)))
    assert {record["aws_request_id"]: usage.counted(record) for record in records} == dict(seen)


@pytest.mark.parametrize("form", ["connect", "forward"])
def test_a_body_of_five_megabytes(gate, form):
    options = {}
    if form == "forward":
        forwarding = {"proxy_use_forwarding_for_https": True, "proxy_ca_bundle": gate.bundle}
        options = {"proxies": {"https": gate.https}, "config": {"proxies_config": forwarding}}
    body = json.dumps({"inputText": "a toll gate " * 440_000}).encode()
    assert len(body) > 5 * 1024 * 1024
    with gate.recording() as records:
        response = client_of(gate, **options).invoke_model(modelId=TITAN, body=body)
        answer = json.loads(response["body"].read())
    [record] = records
    assert record["request_bytes"] == len(body)
    assert usage.counted(record) == usage.of_titan(answer)
    gate.show(record)


def test_the_signature_itself_is_kept_nowhere(gate, client):
    signed = []
    client.meta.events.register("before-send.bedrock-runtime", lambda request, **_: signed.append(request.headers))
    with gate.recording() as records:
        client.converse(modelId=NOVA, messages=question())
    [headers], [record] = signed, records
    authorization = headers["Authorization"].decode()
    signature = authorization.rpartition("Signature=")[2]
    assert len(signature) == 64
    assert signature not in gate.show(record) + gate.tollgate("show", record["id"], "--json")
    assert signature not in gate.stdout.text() + gate.stderr.text()
    for path in gate.home.iterdir():
        assert signature.encode() not in path.read_bytes(), path


# Model of the simulator, the name of boto3's exception, status.
FAILURES = [
    ("simulate.throttling", "ThrottlingException", 429),
    ("simulate.validation", "ValidationException", 400),
    ("simulate.access-denied", "AccessDeniedException", 403),
    ("simulate.timeout", "ModelTimeoutException", 408),
    ("simulate.model-error", "ModelErrorException", 424),
    ("simulate.internal", "InternalServerException", 500),
    ("simulate.unavailable", "ServiceUnavailableException", 503),
]


@pytest.mark.parametrize("model, name, status", FAILURES)
def test_errors_of_bedrock_arrive_typed(gate, client, model, name, status):
    with gate.recording() as records:
        with pytest.raises(getattr(client.exceptions, name)) as raised:
            client.converse(modelId=model, messages=question())
    assert raised.value.response["Error"]["Message"]
    [record] = records
    assert record["error_type"].split(":")[0] == name
    assert (record["status"], record["outcome"]) == (status, "complete")
    assert record["aws_request_id"] == raised.value.response["ResponseMetadata"]["RequestId"]


def test_a_throttled_call_is_retried_by_the_client_and_each_attempt_is_recorded(gate):
    with gate.recording() as records:
        with pytest.raises(ClientError):
            client_of(gate, attempts=2).converse(modelId="simulate.throttling", messages=question())
    assert [record["status"] for record in records] == [429, 429]


def test_a_wrong_secret_is_refused_by_the_upstream_not_by_the_gate(gate):
    keys = {**credentials.ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": "wrong"}
    with gate.recording() as records:
        with pytest.raises(ClientError) as raised:
            client_of(gate, keys=keys).converse(modelId=NOVA, messages=question())
    assert raised.value.response["Error"]["Code"] == "InvalidSignatureException"
    [record] = records
    assert (record["status"], record["outcome"]) == (403, "complete")


def refusal(client):
    """The error of a client that was set up the wrong way."""
    with pytest.raises(ClientError) as raised:
        client.converse(modelId=NOVA, messages=question())
    return raised.value.response


@pytest.mark.parametrize("path", ["", "/service/standard"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_endpoint_url_that_names_the_gate_is_explained(gate, scheme, path):
    url = getattr(gate, scheme) + path
    with gate.recording() as records:
        response = refusal(client_of(gate, proxies={}, endpoint_url=url))
    assert response["Error"]["Code"] == "ValidationException"
    assert "HTTPS_PROXY" in response["Error"]["Message"] and "endpoint_url" in response["Error"]["Message"]
    [record] = records
    assert (record["status"], record["outcome"]) == (400, "refused")


def test_an_endpoint_url_that_names_the_gate_is_explained_with_an_upstream_for_the_route():
    with Gate(environment={"AISERVICE_API_BASE": f"https://{HOST}/"}) as gate:
        response = refusal(client_of(gate, proxies={}, endpoint_url=gate.http + "/service/standard"))
    assert response["Error"]["Code"] == "ValidationException"
    assert f"HTTPS_PROXY={gate.http}" in response["Error"]["Message"]


def test_a_denied_host_is_refused():
    with Gate("--deny", HOST) as gate:
        forwarding = {"proxy_use_forwarding_for_https": True, "proxy_ca_bundle": gate.bundle}
        options = {"proxies": {"https": gate.https}, "config": {"proxies_config": forwarding}}
        response = refusal(client_of(gate, **options))
        assert response["Error"]["Code"] == "AccessDeniedException"
        assert gate.records()[-1]["outcome"] == "refused"


@pytest.mark.parametrize("form", ["connect", "forward"])
def test_an_upstream_that_cannot_be_reached_is_a_typed_error(form):
    # Bound and never listening: whoever connects is refused.
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        connect_to = f"{HOST}:443:127.0.0.1:{closed.getsockname()[1]}"
        with Gate("--connect-to", connect_to, command="serve") as gate:
            options = {}
            if form == "forward":
                forwarding = {"proxy_use_forwarding_for_https": True, "proxy_ca_bundle": gate.bundle}
                options = {"proxies": {"https": gate.https}, "config": {"proxies_config": forwarding}}
            client = client_of(gate, **options)
            with pytest.raises(client.exceptions.ServiceUnavailableException) as raised:
                client.converse(modelId=NOVA, messages=question())
            assert raised.value.response["ResponseMetadata"]["HTTPHeaders"]["x-tollgate-error"] == "upstream-unreachable"
            [record] = gate.records()
    assert (record["status"], record["outcome"], record["model"]) == (503, "failed", NOVA)
    assert record["aws_request_id"] in (None, raised.value.response["ResponseMetadata"]["RequestId"])


def test_a_client_that_does_not_trust_the_gate_is_told_what_to_set(gate):
    start = gate.stderr.count()
    with pytest.raises(Exception, match="SSL|CERTIFICATE"):
        # `verify` True is the platform's roots alone.
        client_of(gate, verify=True).converse(modelId=NOVA, messages=question())
    gate.stderr.wait_for("AWS_CA_BUNDLE=.*bundle.pem", start)


def test_what_a_client_holds_was_counted_even_if_the_gate_is_killed():
    with Gate() as gate:
        before = len(gate.records())
        response = client_of(gate).converse(modelId=NOVA, messages=question())
        gate.kill()
        [record] = gate.records()[before:]
    assert usage.counted(record) == usage.of_converse(response["usage"])


def test_a_bearer_key_needs_no_host_of_aws_on_a_route_with_an_upstream():
    with Gate(environment={"AISERVICE_API_BASE": f"https://{HOST}/"}) as gate:
        with gate.recording() as records:
            answer = requests.post(
                f"{gate.http}/service/standard/model/{NOVA}/converse",
                headers={"Authorization": f"Bearer {credentials.BEARER['AWS_BEARER_TOKEN_BEDROCK']}"},
                json={"messages": question()},
            )
        assert answer.status_code == 200
        [record] = records
        assert (record["entry"], record["host"], record["model"]) == ("route", HOST, NOVA)
        assert usage.counted(record) == usage.of_converse(answer.json()["usage"])
        gate.show(record)
