"""A bill: what boto3 was told, call by call, against what the ledger sums up, to the token and to the picodollar."""

import csv
import io
import json
from collections import Counter
from decimal import Decimal

import pytest

import credentials
import usage
from conftest import client_of
from gate import Gate

NOVA = "us.amazon.nova-lite-v1:0"
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
TITAN = "amazon.titan-text-express-v1"
EMBED = "amazon.titan-embed-text-v2:0"
MILLION = 1_000_000


def messages(text, cached=None):
    content = [{"text": text}]
    if cached:
        content[:0] = [{"text": cached}, {"cachePoint": {"type": "default"}}]
    return [{"role": "user", "content": content}]


def converse(client, model, **request):
    return usage.of_converse(client.converse(modelId=model, **request)["usage"])


def converse_stream(client, model, **request):
    events = list(client.converse_stream(modelId=model, **request)["stream"])
    [told] = [event["metadata"]["usage"] for event in events if "metadata" in event]
    return usage.of_converse(told)


def invoke(client, model, body, read):
    answer = client.invoke_model(modelId=model, body=json.dumps(body), contentType="application/json")
    return read(json.loads(answer["body"].read()))


def of_embedding(body):
    count = body["inputTextTokenCount"]
    return {"input_tokens": count, "output_tokens": 0, "total_tokens": count}


def calls(client):
    """Each call: its model and what its answer told."""
    prefix = "A toll gate lets everybody pass and writes down who did. " * 40
    claude = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 64,
        "system": [{"type": "text", "text": prefix, "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": "And then?"}],
    }
    for number in range(4):
        text = f"Question {number}: " + "why " * (number + 1)
        yield NOVA, converse(client, NOVA, messages=messages(text))
        # The second one reads from the cache what the first one wrote.
        yield NOVA, converse(client, NOVA, messages=messages(text, cached=prefix))
        yield CLAUDE, converse_stream(client, CLAUDE, messages=messages(text, cached=prefix))
        yield CLAUDE, invoke(client, CLAUDE, claude, lambda body: usage.of_messages(body["usage"]))
        yield TITAN, invoke(client, TITAN, {"inputText": text}, usage.of_titan)
        yield EMBED, invoke(client, EMBED, {"inputText": text}, of_embedding)


@pytest.fixture(scope="module")
def bill():
    """A gate of its own, and what a run through it was told."""
    with Gate() as gate:
        client = client_of(gate, credentials.ACCESS_KEY)
        with gate.recording() as records:
            told = list(calls(client))
        yield gate, told, records


def test_every_record_has_the_numbers_of_its_answer(bill):
    _, told, records = bill
    assert len(records) == len(told)
    for record, (model, counts) in zip(records, told):
        found = usage.counted(record)
        assert record["model"] == model
        assert {name: found.get(name, 0) for name in counts} == counts
        assert record["usage"]["source"] in ("body", "stream")
        assert record["identity"]["verified"] is True
        assert record["identity"]["sdk"].startswith("Boto3/")
    # Something was written to the cache, and read again.
    for name in ("cache_read_tokens", "cache_write_tokens"):
        assert sum(counts.get(name, 0) for _, counts in told) > 0


def prices(gate):
    listed = [json.loads(line) for line in gate.tollgate("prices", "list", "--json").splitlines()]
    return {price["key"]: {kind: Decimal(rate) for kind, rate in price["rates"].items()} for price in listed}


def cost(rates, counts):
    """What a call cost, by an arithmetic that is not the gate's; without what has no rate."""
    kinds = {
        "input_tokens": "input",
        "output_tokens": "output",
        "cache_read_tokens": "cache_read",
        "cache_write_tokens": "cache_write_5m",
    }
    return sum(Decimal(counts.get(name, 0)) * rates.get(kind, 0) / MILLION for name, kind in kinds.items())


def test_every_cost_is_the_product_of_tokens_and_rates(bill):
    gate, told, records = bill
    book = prices(gate)
    for record, (model, counts) in zip(records, told):
        found = record["cost"]
        assert found["price_key"] == model
        assert Decimal(found["usd"]) == cost(book[model], counts), record
        # Nova's writes have no rate in the book.
        has_gap = model == NOVA and counts.get("cache_write_tokens", 0) > 0
        assert found["status"] == ("partial" if has_gap else "exact"), record


def test_stats_and_export_say_what_the_records_say(bill):
    gate, told, records = bill
    since = records[0]["time"]
    sums = {}
    for line in gate.tollgate("stats", "--by", "model", "--json", "--since", since).splitlines():
        group = json.loads(line)
        sums[group["model"]] = group
    assert set(sums) == {model for model, _ in told}
    for model, group in sums.items():
        mine = [counts for other, counts in told if other == model]
        totals = Counter()
        for counts in mine:
            totals.update(counts)
        assert group["calls"] == len(mine)
        for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"):
            assert (group[name] or 0) == totals[name], (model, name)
        spent = [Decimal(record["cost"]["usd"]) for record in records if record["model"] == model]
        assert Decimal(group["cost_usd"]) == sum(spent)
    rows = list(csv.DictReader(io.StringIO(gate.tollgate("export", "--format", "csv", "--since", since))))
    assert [row["id"] for row in rows] == [record["id"] for record in records]
    assert sum(Decimal(row["cost_usd"]) for row in rows) == sum(Decimal(record["cost"]["usd"]) for record in records)
    archive = json.loads(gate.tollgate("export", "--format", "har", "--since", since))
    assert [entry["_tollgate"]["id"] for entry in archive["log"]["entries"]] == [record["id"] for record in records]
