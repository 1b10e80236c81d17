"""`tollgate run`: programs that were written without a proxy in mind, started as they are, and what the summary says.

Each run has a home of its own and starts its own gate. That gate's upstream is the shared one, entered by its
transparent door, with the simulator behind it: every signature is verified after two gates.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import credentials
import usage
from conftest import HOST, REGION, curl_can
from gate import BINARY, DEADLINE, clean_environment

PROGRAMS = Path(__file__).parent / "programs"
# For JavaScript and for Python.
REGIONS = {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}


class Place:
    """A directory with a tollgate.toml, where somebody works who has set nothing."""

    def __init__(self, directory, gate):
        self.directory = directory
        self.home = directory / "home"
        config = f'connect_to = [":443:127.0.0.1:{gate.port}"]\nupstream_ca = ["{gate.ca}"]\n'
        (directory / "tollgate.toml").write_text(config)

    def tollgate(self, *line, **environment):
        environment = {"HOME": str(self.directory), "TOLLGATE_HOME": str(self.home), **REGIONS, **environment}
        return subprocess.run(
            [str(part) for part in (BINARY, *line)],
            env=clean_environment(**environment),
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=DEADLINE,
        )

    def counted(self):
        records = [json.loads(line) for line in self.tollgate("log", "--json").stdout.splitlines()]
        return [usage.counted(record) for record in records]

    def run(self, *line, **environment):
        """Output lines as JSON, and the summary; the ledger must agree with both."""
        result = self.tollgate("run", *line, **environment)
        assert result.returncode == 0, result.stdout + result.stderr
        credentials.assert_no_secret_in(result.stderr)
        told = [json.loads(line) for line in result.stdout.splitlines()]
        return told, result.stderr


@pytest.fixture
def place(tmp_path, gate):
    return Place(tmp_path, gate)


def assert_summed_up(summary, told):
    """Calls and tokens in the first line, rows of the table that add up to them."""
    first = re.search(r"^tollgate: (\d+) calls?, (\d+) tokens", summary, re.MULTILINE)
    assert first, summary
    assert int(first[1]) == len(told)
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    assert int(first[2]) == sum(counts.get(name) or 0 for counts in told for name in names)
    assert "slowest" in summary and "tollgate log" in summary


def test_an_unchanged_boto3_program_is_counted(place):
    told, summary = place.run("--", sys.executable, PROGRAMS / "unchanged.py", **credentials.ACCESS_KEY)
    expected = [usage.of_converse(counts) for counts in told]
    assert len(expected) == 2 and place.counted() == expected
    assert_summed_up(summary, expected)
    assert re.search(r"USD, slowest", summary), summary


def test_a_setting_that_hides_aws_does_not_matter(place):
    keys = {**credentials.SESSION, "NO_PROXY": ".amazonaws.com"}
    told, summary = place.run("--", sys.executable, PROGRAMS / "unchanged.py", **keys)
    assert "`.amazonaws.com`" in summary
    assert_summed_up(summary, [usage.of_converse(counts) for counts in told])


@pytest.mark.skipif(not curl_can(""), reason="no curl 7.76 or later")
def test_curl_needs_no_options(place):
    key = credentials.ACCESS_KEY
    told, summary = place.run(
        *("--", "curl", "--silent", "--show-error", "--fail", "--aws-sigv4", f"aws:amz:{REGION}:bedrock"),
        *("--user", f"{key['AWS_ACCESS_KEY_ID']}:{key['AWS_SECRET_ACCESS_KEY']}"),
        *("--header", "content-type: application/json", "--data", '{"inputText": "hello"}'),
        f"https://{HOST}/model/amazon.titan-text-express-v1/invoke",
    )
    expected = [usage.of_titan(answer) for answer in told]
    assert place.counted() == expected
    assert_summed_up(summary, expected)


@pytest.mark.parametrize("program", ["unchanged.mjs", "unchanged.cjs"])
def test_javascript_with_its_default_handler_is_counted_with_the_hook(place, program):
    # Beside the packages it imports.
    program = shutil.copy(PROGRAMS / program, os.environ["TOLLGATE_NODE"])
    told, summary = place.run("--node-hook", "--", "node", program, **credentials.ACCESS_KEY)
    expected = [usage.of_converse(counts) for counts in told]
    assert expected and place.counted() == expected
    assert_summed_up(summary, expected)


def test_fetch_is_counted_with_the_hook(place):
    told, summary = place.run("--node-hook", "--", "node", PROGRAMS / "fetch.mjs", **credentials.BEARER)
    expected = [usage.of_converse(counts) for counts in told]
    assert place.counted() == expected
    assert_summed_up(summary, expected)


@pytest.mark.skipif(not shutil.which("javac"), reason="no JDK")
def test_java_is_counted(place):
    told, summary = place.run("--java", "--", "java", PROGRAMS / "Call.java", **credentials.BEARER)
    expected = [usage.of_converse(answer["usage"]) for answer in told]
    assert len(expected) == 2 and place.counted() == expected
    assert_summed_up(summary, expected)


def test_who_went_past_the_gate_is_told_so(place):
    keys = {**credentials.ACCESS_KEY, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "http://127.0.0.1:9"}
    result = place.tollgate("run", "--", sys.executable, PROGRAMS / "unchanged.py", **keys)
    assert result.returncode == 1
    assert "AWS_ENDPOINT_URL_BEDROCK_RUNTIME is http://127.0.0.1:9" in result.stderr
    assert "no Bedrock call was seen" in result.stderr


def test_the_variables_are_for_a_shell_to_read(gate, tmp_path):
    program = f'eval "$("{BINARY}" env --home "{gate.home}")" && exec "{sys.executable}" "{PROGRAMS / "unchanged.py"}"'
    with gate.recording() as records:
        result = subprocess.run(
            ["sh", "-c", program],
            env=clean_environment(HOME=str(tmp_path), **REGIONS, **credentials.ACCESS_KEY),
            cwd=tmp_path,
            capture_output=True,
            encoding="utf-8",
            timeout=DEADLINE,
        )
        assert result.returncode == 0, result.stderr
    told = [usage.of_converse(json.loads(line)) for line in result.stdout.splitlines()]
    assert [usage.counted(record) for record in records] == told
