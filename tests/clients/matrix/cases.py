"""Every client of the long matrix, and every way in which it is pointed at the gate: data, and the versions it names.

A case is one program, run as its user would run it: the environment below and nothing else. It makes one call with a
whole answer and one that streams, and prints the usage it was told for each as JSON. In arguments and variables the
words in braces are replaced: {http} and {https} are the gate's address as a proxy URL, {address} is host and port, {ca}
and {bundle} are its files, {programs} is where the programs are, {node} the installed JavaScript packages, {rust} the
built program.
"""

import json
import re
import shutil
import subprocess
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import credentials
import usage

HERE = Path(__file__).parent
PROGRAMS = HERE.parent / "programs"

NOVA = "us.amazon.nova-lite-v1:0"
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
TITAN = "amazon.titan-text-express-v1"
GPT = "openai.gpt-oss-20b-1:0"
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123def456"

CONVERSE = ("Converse", "ConverseStream")
INVOKE = ("InvokeModel", "InvokeModelWithResponseStream")
KEYS = {"key": credentials.ACCESS_KEY, "session": credentials.SESSION, "bearer": credentials.BEARER}


@dataclass(frozen=True)
class Case:
    client: str
    # What its user sets, as the table says it.
    setting: str
    # `python`, `matrix-python`, or a program by its path.
    line: tuple
    environment: dict
    keys: str = "key"
    entry: str = "connect"
    model: str = NOVA
    operations: tuple = CONVERSE
    # From a printed object to counts in the words of the record.
    read: object = usage.of_converse
    # What else the client asks of the gate: operations beside the two calls, hosts that are not Bedrock's runtime.
    besides: frozenset = field(default_factory=frozenset)
    tunnels: frozenset = field(default_factory=frozenset)
    # The client's own prompt depends on the machine, so its numbers do, too.
    prompt_of_its_own: bool = False

    @property
    def name(self):
        return f"{self.client}: {self.setting} ({self.keys})"


AWS_CA = {"AWS_CA_BUNDLE": "{bundle}"}
SSL = {"SSL_CERT_FILE": "{bundle}"}
NODE_CA = {"NODE_EXTRA_CA_CERTS": "{ca}"}
PROXY = {"HTTPS_PROXY": "{http}"}
TLS_PROXY = {"HTTPS_PROXY": "{https}"}


def boto3(setting, mode="environment", **more):
    environment = {"MODE": mode, "TOLLGATE_CA": "{bundle}", **more.pop("environment", AWS_CA)}
    return Case("boto3", setting, ("python", "{programs}/boto3_converse.py"), environment, **more)


def aws_cli(keys):
    messages = '[{"role": "user", "content": [{"text": "{question}"}]}]'
    return Case(
        "awscli",
        "`HTTPS_PROXY`, `AWS_CA_BUNDLE`",
        ("aws", "bedrock-runtime", "converse", "--model-id", NOVA, "--messages", messages),
        {**PROXY, **AWS_CA},
        keys=keys,
        # Its version 1 has no command that streams.
        operations=("Converse",),
        read=lambda answer: usage.of_converse(answer["usage"]),
    )


def curl(setting, *arguments, **more):
    line = ("python", "{programs}/curl_converse.py", *arguments)
    # Older versions do not sign an escaped path as AWS does.
    return Case("curl", setting, line, more.pop("environment", {}), model=TITAN, **more)


def python(client, setting, program, environment, *arguments, interpreter="python", **more):
    return Case(client, setting, (interpreter, f"{{programs}}/{program}", *arguments), environment, **more)


def anthropic(setting, environment, **more):
    more = {"model": CLAUDE, "operations": INVOKE, "read": usage.of_messages, **more}
    return python("anthropic[bedrock]", setting, "anthropic_bedrock.py", environment, **more)


def litellm(setting, environment, *arguments, **more):
    # Without this variable it fetches its price list from GitHub when it is imported.
    environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", **environment}
    more = {"interpreter": "matrix-python", "read": usage.of_completion, **more}
    return python("litellm", setting, "litellm_completion.py", environment, *arguments, **more)


def langchain(kind, setting, environment, **more):
    more = {"interpreter": "matrix-python", "model": CLAUDE, "read": usage.of_langchain, **more}
    return python("langchain-aws", f"`{kind}`, {setting}", "langchain_chat.py", environment, kind, **more)


def node(client, setting, program, environment, **more):
    return Case(client, setting, ("node", f"{{node}}/{program}"), {**NODE_CA, **environment}, **more)


def anthropic_js(setting, environment, **more):
    more = {"model": CLAUDE, "operations": INVOKE, "read": usage.of_messages, **more}
    return node("@anthropic-ai/bedrock-sdk", setting, "anthropic_bedrock.mjs", environment, **more)


def ai_sdk(setting, environment, **more):
    more = {"model": CLAUDE, "read": usage.of_ai_sdk, **more}
    return node("@ai-sdk/amazon-bedrock", setting, "ai_sdk.mjs", environment, **more)


def claude_code(setting, environment, **more):
    quiet = ("DISABLE_AUTOUPDATER", "DISABLE_ERROR_REPORTING", "DISABLE_TELEMETRY", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC")
    return Case(
        "@anthropic-ai/claude-code",
        setting,
        ("{node}/node_modules/.bin/claude", "-p", "{question}", "--output-format", "json"),
        {"CLAUDE_CODE_USE_BEDROCK": "1", "ANTHROPIC_MODEL": CLAUDE, **dict.fromkeys(quiet, "1"), **environment},
        model=CLAUDE,
        # Its report tells of the streamed call alone, not of the probes it sends before.
        operations=("InvokeModelWithResponseStream",),
        besides=frozenset({"InvokeModel"}),
        # Where it lists inference profiles.
        tunnels=frozenset({"bedrock.us-east-1.amazonaws.com"}),
        read=lambda answer: usage.of_messages(answer["usage"]),
        prompt_of_its_own=True,
        **more,
    )


def rust(setting, environment, **more):
    return Case("aws-sdk-bedrockruntime", setting, ("{rust}",), environment, model=CLAUDE, **more)


HOOK = {**PROXY, "NODE_OPTIONS": "--import={node}/use_env_proxy.mjs"}

CASES = [
    boto3("`HTTPS_PROXY`, `AWS_CA_BUNDLE`", environment={**PROXY, **AWS_CA}),
    boto3("`HTTPS_PROXY`, `AWS_CA_BUNDLE`", environment={**PROXY, **AWS_CA}, keys="session"),
    boto3("`HTTPS_PROXY`, `AWS_CA_BUNDLE`", environment={**PROXY, **AWS_CA}, keys="bearer"),
    boto3("`https_proxy`, `REQUESTS_CA_BUNDLE`", environment={"https_proxy": "{http}", "REQUESTS_CA_BUNDLE": "{bundle}"}),
    boto3("`HTTPS_PROXY` with `https://`, `AWS_CA_BUNDLE`", environment={**TLS_PROXY, **AWS_CA}),
    boto3("`Config(proxies=…)`", "connect"),
    boto3("`Config(proxies=…)`, model an ARN", "connect", model=PROFILE),
    boto3("`Config(proxies=…)`, `verify=False`", "unverified", environment={}),
    boto3("`Config(proxies=…)` with `https://`: TLS in TLS", "tls-in-tls"),
    boto3("`Config(proxies=…)` with `https://`: TLS in TLS", "tls-in-tls", keys="session"),
    boto3("`proxy_use_forwarding_for_https`", "forward", entry="forward"),
    boto3("`proxy_use_forwarding_for_https`", "forward", entry="forward", keys="session"),
    boto3("`proxy_use_forwarding_for_https`", "forward", entry="forward", keys="bearer"),
    boto3("`proxy_use_forwarding_for_https`, model an ARN", "forward", entry="forward", model=PROFILE),
    aws_cli("key"),
    aws_cli("session"),
    aws_cli("bearer"),
    curl("`-x`, `--cacert`", "-x", "{http}", "--cacert", "{ca}"),
    curl("`-x` with `https://`", "-x", "{https}", "--cacert", "{ca}", "--proxy-cacert", "{ca}"),
    curl("`HTTPS_PROXY`, `CURL_CA_BUNDLE`", environment={**PROXY, "CURL_CA_BUNDLE": "{bundle}"}, keys="session"),
    curl("`HTTPS_PROXY`, `CURL_CA_BUNDLE`", environment={**PROXY, "CURL_CA_BUNDLE": "{bundle}"}, keys="bearer"),
    curl("the AWS name leads to the gate", "--connect-to", "::{address}", "--cacert", "{ca}", entry="transparent"),
    python("aiobotocore", "`AioConfig(proxies=…)`", "aiobotocore_converse.py", {"MODE": "connect", **AWS_CA}),
    python("aiobotocore", "`HTTPS_PROXY`, `AWS_CA_BUNDLE`", "aiobotocore_converse.py", {"MODE": "environment", **PROXY, **AWS_CA}),
    anthropic("`HTTPS_PROXY`, `SSL_CERT_FILE`", {**PROXY, **SSL}),
    anthropic("`HTTPS_PROXY`, `SSL_CERT_FILE`", {**PROXY, **SSL}, keys="session"),
    anthropic("`HTTPS_PROXY` with `https://`, `SSL_CERT_FILE`", {**TLS_PROXY, **SSL}),
    python(
        *("openai", "`HTTPS_PROXY`, `SSL_CERT_FILE`", "openai_chat.py", {**PROXY, **SSL}),
        **{"keys": "bearer", "model": GPT, "operations": ("ChatCompletions",) * 2, "read": usage.of_completion},
    ),
    litellm("`HTTPS_PROXY`, `SSL_CERT_FILE`", {**PROXY, **SSL}),
    litellm("`HTTPS_PROXY`, `SSL_CERT_FILE`", {**PROXY, **SSL}, keys="session"),
    litellm("`HTTPS_PROXY`, `SSL_CERT_FILE`", {**PROXY, **SSL}, keys="bearer"),
    litellm("`HTTPS_PROXY`, `SSL_VERIFY` with a path", {**PROXY, "SSL_VERIFY": "{bundle}"}),
    litellm("`acompletion`, `HTTPS_PROXY`, `SSL_CERT_FILE`", {**PROXY, **SSL}, "async"),
    litellm("`bedrock/invoke/…`, `HTTPS_PROXY`, `SSL_CERT_FILE`", {**PROXY, **SSL}, model=f"invoke/{CLAUDE}", operations=INVOKE),
    langchain("ChatBedrockConverse", "`HTTPS_PROXY`, `AWS_CA_BUNDLE`", {**PROXY, **AWS_CA}),
    langchain("ChatBedrockConverse", "`HTTPS_PROXY`, `AWS_CA_BUNDLE`", {**PROXY, **AWS_CA}, keys="bearer"),
    langchain("ChatBedrock", "`HTTPS_PROXY`, `AWS_CA_BUNDLE`", {**PROXY, **AWS_CA}, keys="session", operations=INVOKE),
    node("@aws-sdk/client-bedrock-runtime", "`NodeHttpHandler` with an agent", "aws_sdk.mjs", {"PROXY": "{http}"}),
    node("@aws-sdk/client-bedrock-runtime", "`NodeHttpHandler` with an agent", "aws_sdk.mjs", {"PROXY": "{http}"}, keys="session"),
    node("@aws-sdk/client-bedrock-runtime", "`NodeHttpHandler` with an agent", "aws_sdk.mjs", {"PROXY": "{http}"}, keys="bearer"),
    node("@aws-sdk/client-bedrock-runtime", "an agent with `https://`", "aws_sdk.mjs", {"PROXY": "{https}"}),
    anthropic_js("`fetchOptions` with a `ProxyAgent`", {"PROXY": "{http}"}),
    anthropic_js("`--import` with `EnvHttpProxyAgent`, `HTTPS_PROXY`", HOOK),
    anthropic_js("`--import` with `EnvHttpProxyAgent`, `HTTPS_PROXY`", HOOK, keys="session"),
    anthropic_js("`--import` with `EnvHttpProxyAgent`, `HTTPS_PROXY`", HOOK, keys="bearer"),
    ai_sdk("`fetch` with a `ProxyAgent`", {"PROXY": "{http}"}),
    ai_sdk("`--import` with `EnvHttpProxyAgent`, `HTTPS_PROXY`", HOOK),
    ai_sdk("`--import` with `EnvHttpProxyAgent`, `HTTPS_PROXY`", HOOK, keys="session"),
    ai_sdk("`--import` with `EnvHttpProxyAgent`, `HTTPS_PROXY`", HOOK, keys="bearer"),
    claude_code("`HTTPS_PROXY`, `NODE_EXTRA_CA_CERTS`", {**PROXY, **NODE_CA}),
    claude_code("`HTTPS_PROXY`, `NODE_EXTRA_CA_CERTS`", {**PROXY, **NODE_CA}, keys="session"),
    claude_code("`HTTPS_PROXY`, `NODE_EXTRA_CA_CERTS`", {**PROXY, **NODE_CA}, keys="bearer"),
    claude_code("`HTTPS_PROXY` with `https://`, `SSL_CERT_FILE`", {**TLS_PROXY, **SSL}),
    rust("`HTTPS_PROXY`, `SSL_CERT_FILE`", {**PROXY, **SSL}),
    rust("`HTTPS_PROXY`, `SSL_CERT_FILE`", {**PROXY, **SSL}, keys="session"),
    rust("`HTTPS_PROXY`, `SSL_CERT_FILE`", {**PROXY, **SSL}, keys="bearer"),
    rust("`HTTPS_PROXY` with `https://`, `SSL_CERT_FILE`", {**TLS_PROXY, **SSL}),
]


def versions():
    """The version of each client: what is pinned, and for curl what the machine has."""
    found = {}
    for path in [HERE / "requirements.txt", HERE.parent / "requirements.txt"]:
        found |= dict(re.findall(r"^([\w.-]+)==(\S+)$", path.read_text(encoding="utf-8"), re.MULTILINE))
    found["anthropic[bedrock]"] = found["anthropic"]
    packages = json.loads((HERE / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    found |= {path.removeprefix("node_modules/"): package["version"] for path, package in packages.items()}
    locked = tomllib.loads((PROGRAMS / "rust-sdk" / "Cargo.lock").read_text(encoding="utf-8"))["package"]
    found |= {package["name"]: package["version"] for package in locked if package["name"].startswith("aws-sdk")}
    if shutil.which("curl"):
        said = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout
        found["curl"] = said.split()[1]
    return {case.client: found.get(case.client) for case in CASES}
