"""The long matrix: each case of `cases.py` in a process of its own against the simulator, which verifies signatures.

Not collected by the default run, whose packages do not suffice: `tests/matrix.sh` installs what is needed and says in
TOLLGATE_MATRIX where. What was counted is written there for `table.py`.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import credentials
import usage
from conftest import HOST, REGION, assert_gate_kept_no_secret, curl_can
from gate import DEADLINE, Gate, clean_environment
from matrix import cases, table

INSTALLED = Path(os.environ["TOLLGATE_MATRIX"])


@pytest.fixture(scope="module")
def gate():
    # Whatever is not for the simulator goes to a port of this machine where nobody listens, and not out.
    with Gate("--connect-to", "::127.0.0.1:1") as gate:
        yield gate
        assert_gate_kept_no_secret(gate)


@pytest.fixture(scope="module")
def results():
    """Rows by name; written down when all cases have run."""
    for program in cases.PROGRAMS.glob("*.mjs"):
        # Beside the packages it imports.
        shutil.copy(program, INSTALLED / "node")
    found = {}
    yield found
    (INSTALLED / table.RESULTS).write_text(json.dumps(found, indent=1), encoding="utf-8")


def question_of(case):
    return f"What does a toll gate do for {case.client}?"


def run(case, gate, directory):
    """Runs the program as its user would; gives the usage it was told, call by call."""
    words = {
        "http": gate.http,
        "https": gate.https,
        "address": gate.address,
        "ca": gate.ca,
        "bundle": gate.bundle,
        "programs": cases.PROGRAMS,
        "node": INSTALLED / "node",
        "rust": INSTALLED / "rust" / "debug" / "rust-sdk",
        "question": question_of(case),
    }
    interpreters = {"python": sys.executable, "matrix-python": INSTALLED / "python" / "bin" / "python"}

    def fill(text):
        for word, value in words.items():
            text = text.replace(f"{{{word}}}", str(value))
        return text

    home = directory / "home"
    home.mkdir()
    result = subprocess.run(
        [str(interpreters.get(part, fill(part))) for part in case.line],
        env=clean_environment(
            HOME=str(home),
            PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            TOLLGATE=gate.address,
            AWS_REGION=REGION,
            AWS_DEFAULT_REGION=REGION,
            MODEL=case.model,
            QUESTION=question_of(case),
            **cases.KEYS[case.keys],
            **{name: fill(value) for name, value in case.environment.items()},
        ),
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=DEADLINE,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    credentials.assert_no_secret_in(result.stdout)
    return [case.read(answer) for answer in objects(result.stdout)]


def objects(text):
    """The JSON objects in what a program printed, among lines that are none."""
    decoder, found = json.JSONDecoder(), []
    while (start := text.find("{")) >= 0:
        answer, end = decoder.raw_decode(text[start:])
        found.append(answer)
        text = text[start + end :]
    return found


def check(case, record, operation):
    """A record of a call that went well."""
    assert (record["entry"], record["host"], record["region"]) == (case.entry, HOST, REGION)
    assert (record["operation"], record["model"]) == (operation, case.model.removeprefix("invoke/"))
    assert (record["status"], record["outcome"], record["error_type"]) == (200, "complete", None)
    assert record["stream"] is (record["usage"]["source"] == "stream")
    identity = record["identity"]
    assert identity["verified"] is True
    assert identity["access_key_id"] == cases.KEYS[case.keys].get("AWS_ACCESS_KEY_ID")
    assert (identity["api_key"] is not None) == (case.keys == "bearer")


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.name)
def test_what_the_client_was_told_is_what_was_counted(case, gate, results, tmp_path):
    if case.client == "curl" and not curl_can("HTTPS-proxy"):
        pytest.skip("no curl 7.76 or later with https proxies")
    with gate.recording() as records:
        told = run(case, gate, tmp_path)
    # Nothing but Bedrock's runtime was asked for, and what is known of this client.
    tunnels = [record["host"] for record in records if record["entry"] == "tunnel"]
    assert set(tunnels) <= case.tunnels
    assert {record["host"] for record in records} <= {HOST, *case.tunnels}
    calls = [record for record in records if record["operation"] in case.operations]
    others = [record for record in records if record not in calls and record["entry"] != "tunnel"]
    assert {record["operation"] for record in others} <= case.besides
    assert [record["outcome"] for record in others] == ["complete"] * len(others)

    assert [record["stream"] for record in calls] == [False, True][-len(calls) :] or case.operations == ("Converse",)
    for record, operation, counts in zip(calls, case.operations, told, strict=True):
        check(case, record, operation)
        found = usage.counted(record)
        assert {name: found.get(name, 0) for name in counts} == counts
        assert counts["input_tokens"] > 0 and counts["output_tokens"] > 0
        gate.show(record)
    results[case.name] = [[counts["input_tokens"], counts["output_tokens"]] for counts in told]
