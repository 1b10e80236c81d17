"""What the tests share: one gate with the simulator behind it, and environments for programs that use it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

import credentials
from gate import DEADLINE, Gate, clean_environment

ROOT = Path(__file__).resolve().parents[2]
REGION = "us-east-1"
HOST = f"bedrock-runtime.{REGION}.amazonaws.com"


@pytest.fixture(scope="session", autouse=True)
def nothing_from_outside():
    """What the machine has set for proxies, certificates and AWS must not decide what the tests see."""
    for name in list(os.environ):
        if re.search(r"^AWS_|_PROXY$|_CA_BUNDLE$|^SSL_CERT_|^NODE_|^OPENAI_|^ANTHROPIC_|^TOLLGATE_(?!BINARY|NODE|MATRIX)", name, re.I):
            del os.environ[name]
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"


@pytest.fixture(scope="session")
def gate():
    with Gate() as gate:
        yield gate
        assert_gate_kept_no_secret(gate)


def assert_gate_kept_no_secret(gate):
    """Everything every test sent went through this gate: nothing that was kept or printed may hold a secret."""
    # The greeting does print the demo's own key, to be pasted.
    credentials.assert_no_secret_in(gate.stdout.text(gate.greeting) + gate.stderr.text())
    for path in gate.home.iterdir():
        credentials.assert_no_secret_in(path.read_bytes().decode("latin-1"))


@pytest.fixture(scope="session")
def profile_home(tmp_path_factory):
    """A home directory with an AWS profile, as the guide takes for granted."""
    home = tmp_path_factory.mktemp("profile")
    (home / ".aws").mkdir()
    (home / ".aws" / "config").write_text(f"[profile tollgate-demo]\nregion = {REGION}\n")
    keys = "\n".join(f"{name.lower()} = {value}" for name, value in credentials.ACCESS_KEY.items())
    (home / ".aws" / "credentials").write_text(f"[tollgate-demo]\n{keys}\n")
    return home


@pytest.fixture
def run(profile_home):
    """Runs a program as a user would, from the root of the repository; gives its standard output."""

    def run(*line, gate, fails=False, **environment):
        result = subprocess.run(
            [str(part) for part in line],
            env=clean_environment(HOME=str(profile_home), TOLLGATE=gate.address, **environment),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=DEADLINE,
        )
        assert (result.returncode != 0) == fails, result.stdout + result.stderr
        return result.stdout + result.stderr if fails else result.stdout

    return run


def curl_can(feature):
    curl = shutil.which("curl")
    if not curl:
        return False
    version = subprocess.run([curl, "--version"], capture_output=True, text=True, check=True).stdout
    numbers = tuple(map(int, re.match(r"curl (\d+)\.(\d+)", version).groups()))
    return numbers >= (7, 76) and feature in version


def client_of(gate, keys=credentials.ACCESS_KEY, proxies=None, verify=None, session=None, **options):
    """A boto3 client whose calls pass through the gate. `proxies` None is CONNECT, {} none at all."""
    session = session or boto3.Session(
        aws_access_key_id=keys.get("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=keys.get("AWS_SECRET_ACCESS_KEY"),
        aws_session_token=keys.get("AWS_SESSION_TOKEN"),
        region_name=REGION,
    )
    config = Config(
        proxies={"https": gate.http} if proxies is None else proxies,
        retries={"total_max_attempts": options.pop("attempts", 1)},
        read_timeout=DEADLINE,
        max_pool_connections=32,
        **options.pop("config", {}),
    )
    service = options.pop("service", "bedrock-runtime")
    return session.client(service, config=config, verify=verify or gate.bundle, **options)


@pytest.fixture
def client(gate):
    return client_of(gate)
