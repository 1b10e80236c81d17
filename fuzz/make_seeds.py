#!/usr/bin/env python3
"""Makes the seeds in fuzz/corpus/ that are not finds of a fuzzer: from tests/fixtures/ and from the examples below.

    fuzz/make_seeds.py           writes them
    fuzz/make_seeds.py --check   fails when one is not what this script makes

A seed whose name begins with `found-` is an input that broke something once. Those are kept and never made here.
Inputs have a form of their own, which the bodies in src/fuzzing/ explain: often a first byte that steers, and parts with
two 0xff bytes between them.
"""

import base64
import gzip
import json
import struct
import sys
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"
FIXTURES = HERE.parent / "tests/fixtures"
MARK = b"\xff\xff"
HOST = "bedrock-runtime.us-east-1.amazonaws.com"
SCOPE = "AKIAEXAMPLE000000001/20261122/us-east-1/bedrock/aws4_request"
SIGV4 = f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=content-type;host;x-amz-date, Signature=0a1b2c"
PRESIGNED = (
    f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={SCOPE.replace('/', '%2F')}&X-Amz-Date=20261122T015526Z"
    "&X-Amz-Expires=300&X-Amz-SignedHeaders=host&X-Amz-Signature=0a1b2c"
)
# What zlib makes of the same bytes is another thing with another zlib.
COMPRESSED = {
    "content_coding": {"gzip", "gzip-twice", "gzip-members", "gzip-cut", "zlib", "deflate", "bomb", "bomb-in-bomb"},
    "observer": {"gzip", "own-head"},
    "screen": {"sse"},
}


def fixture(name):
    return (FIXTURES / name).read_bytes()


def cases():
    for folder in sorted((FIXTURES / "bedrock").glob("[0-9]*-*")):
        yield folder.name, json.loads((folder / "case.json").read_text()), folder


def text(value):
    return value.encode() if isinstance(value, str) else value


def crlf(*lines):
    return "".join(f"{line}\r\n" for line in lines).encode()


def frame(headers, payload):
    """One message of application/vnd.amazon.eventstream with string headers."""
    block = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in headers
    )
    prelude = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    content = prelude + struct.pack(">I", zlib.crc32(prelude)) + block + payload
    return content + struct.pack(">I", zlib.crc32(content))


def event(kind, document):
    headers = [(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")]
    return frame(headers, json.dumps(document).encode())


def chunk(document):
    return event("chunk", {"bytes": base64.b64encode(json.dumps(document).encode()).decode(), "p": "ab"})


def request(method="POST", target="/model/x/converse", host=HOST, lines=(), body=b"", length=True):
    more = [f"Content-Length: {len(body)}"] if length and method == "POST" else []
    return crlf(f"{method} {target} HTTP/1.1", f"Host: {host}", *lines, *more, "") + body


def chunked(*chunks, trailers=()):
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return pieces + b"0\r\n" + crlf(*trailers, "")


def answer(*lines, body=b"", status="200 OK"):
    return crlf(f"HTTP/1.1 {status}", "Content-Type: application/json", *lines, f"Content-Length: {len(body)}", "") + body


def heads(seeds):
    seeds["request_head"] = {
        "signed": b"1" + request(lines=[f"Authorization: {SIGV4}", "X-Amz-Date: 20261122T015526Z"]),
        "empty-lines": b"2\r\n\r\nGET / HTTP/1.0\r\n\r\nrest",
        "absolute": b"3" + request("GET", f"https://{HOST}/a%2Fb//c?d=%20", lines=["X-Empty:", "x-dup: a ", "X-Dup:\tb"]),
        "obs-text": b"4GET / HTTP/1.1\r\nHost: h\r\nX: \xe4\xff\r\n\r\n",
        "bare-lf": b"5GET / HTTP/1.1\nHost: h\r\n\r\n",
        "obs-fold": b"6GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
        "many-lines": b"7GET / HTTP/1.1\r\n" + b"a: b\r\n" * 33 + b"\r\n",
        "tls": b"8\x16\x03\x01\x02\x00\x01",
    }
    raw = {name: fixture(f"bedrock/{name}/response.raw") for name, _, _ in cases()}
    seeds["response_head"] = {
        **{name: b"1" + whole[: whole.index(b"\r\n\r\n") + 4] for name, whole in raw.items() if name[:2] in ("01", "03", "11")},
        "no-phrase": b"2HTTP/1.1 204\r\n\r\n",
        "connection": b"3HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nVia: x\r\n\r\n",
        "interim": b"4HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "bad-status": b"5HTTP/1.1 099 x\r\n\r\n",
    }
    seeds["sniff"] = {"http": b"POST / HTTP/1.1", "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "tls": b"\x16\x03\x01", "prefix": b"PRI * H"}
    seeds["chunked"] = {
        "plain": b"1" + chunked(b"hello", b"world!") + b"NEXT",
        "trailers": b"2" + chunked(b"a", trailers=["X-Sum: 1", "X-More: 2"]),
        "extensions": b'3005 ;a="b;c"\r\nhello\r\n0;x\r\n\r\n',
        "huge": b"4ffffffffffffffff\r\n",
        "bad-end": b"53\r\nabcd\r\n0\r\n\r\n",
        "forbidden-trailer": b"60\r\nContent-Length: 3\r\n\r\n",
    }
    seeds["requests"] = {
        "pipelined": b"1" + request(body=b"{}") + request("GET", "/", length=False) + request(lines=["Transfer-Encoding: chunked"], length=False) + chunked(b"ab") + b"GE",
        "length-and-coding": b"2" + request(lines=["Transfer-Encoding: chunked"], body=b"0\r\n\r\n"),
        "two-lengths": b"3" + request(lines=["Content-Length: 2"], body=b"{}"),
        "odd-coding": b"4" + request(lines=["Transfer-Encoding: xchunked"], length=False) + b"0\r\n\r\n",
        "http10": b"5POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}GET / HTTP/1.0\r\n\r\n",
    }
    seeds["responses"] = {
        **{name: b"2" + whole for name, whole in raw.items() if name[:2] in ("01", "03", "11")},
        "pipelined": b"0" + answer(body=b"{}") + answer(status="304 Not") + answer(status="100 Continue") + answer(),
        "head": b"1" + answer(body=b"")[:-2] + b"X: y\r\n\r\n" + answer(),
        "until-close": b"0HTTP/1.1 200 OK\r\n\r\nall of it",
        "ambiguous": b"0" + answer("Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    }
    hop = ["Connection: close, X-Mine", "X-Mine: 1", "TE: trailers", "Proxy-Authorization: Basic dTpw", "Kept: yes"]
    seeds["forward"] = {
        "untouched": b"0host" + MARK + request(lines=["X-Dup: 1", "x-dup:  2 ", "Empty:"], body=b"{}"),
        "hop-by-hop": b"1host;x-amz-date" + MARK + request(lines=hop),
        "host": b"2" + MARK + request(lines=hop),
        "signed": b"3host;te;x-mine" + MARK + request(lines=hop),
        "names-the-message": b"0" + MARK + request(lines=["Connection: content-length"], body=b"{}"),
    }
    targets = ["/a%2Fb?c#d", "//x", "*", f"https://{HOST}:443/m%3A0?q", "HTTP://h:80?q", "h:443", "[::1]:443", "https://[fd00::1]/x", "https://u:p@h/", "h:0", "h:70000", "https:///x"]
    seeds["request_target"] = {
        f"{steer}-{number:02}": text(f"{steer}{target}") for number, target in enumerate(targets) for steer in ("0", "1")
    }
    seeds["request_target"]["asterisk"] = b"2*"
    doors = {
        "forward": request(target=f"https://{HOST}/model/x/invoke", lines=[f"Authorization: {SIGV4}"]),
        "transparent": request(target="/model/x/converse-stream"),
        "route": request(target=f"/service/standard/model/x/invoke?{PRESIGNED}"),
        "own-route": request(target="/service/mine/v1/chat/completions", host="127.0.0.1:5380"),
        "connect": request("CONNECT", f"{HOST}:443", host=f"{HOST}:443", length=False),
        "tunnel": request("CONNECT", "s3.amazonaws.com:443", host="x", length=False),
        "denied": request(target="http://x.denied.example/", host="x.denied.example"),
        "endpoint-url": request(host="localhost:5380"),
        "two-hosts": request(lines=["Host: evil.example"]),
        "wrong-signed-host": request(target="/service/mine/x", host="localhost", lines=[f"Authorization: {SIGV4}"]),
    }
    seeds["route"] = {name: b"0" + door for name, door in doors.items()}
    seeds["route"].update({"by-name": b"1" + doors["transparent"], "in-tunnel": b"2" + doors["transparent"], "absolute-in-tunnel": b"2" + doors["forward"]})
    return doors


def bodies(seeds):
    messages = json.loads(fixture("bedrock/eventstream-messages.json"))
    streams = {name: b"1" + bytes.fromhex(message["hex"]) for name, message in messages.items()}
    streams["converse"] = b"2" + fixture("bedrock/03-converse-stream/body.bin")
    streams["chunks"] = b"3" + fixture("bedrock/07-invoke-llama-stream/body.bin")
    kinds = b"\x01a\x00\x01b\x01\x01c\x02\x07\x01d\x03\x00\x07\x01e\x04\x00\x00\x00\x07\x01f\x05" + bytes(8)
    kinds += b"\x01g\x06\x00\x02xy\x01h\x08" + bytes(8) + b"\x01i\x09" + bytes(16)
    prelude = struct.pack(">II", 16 + len(kinds), len(kinds))
    content = prelude + struct.pack(">I", zlib.crc32(prelude)) + kinds
    streams["every-header"] = b"4" + content + struct.pack(">I", zlib.crc32(content))
    seeds["event_stream"] = {
        **streams,
        "bad-prelude": b"5" + bytes(16),
        "bad-message": streams["converse-metadata"][:-1] + b"\x00",
    }
    seeds["event_stream_repaired"] = {**streams, "empty": b"6" + bytes(64)}
    sse = fixture("bedrock/09-chat-completions-sse/body.bin")
    seeds["server_sent_events"] = {
        "chat": b"1" + sse,
        "line-ends": b"2data: a\r\n\r\ndata: b\r\rdata: c\n\n: x\nevent: n\ndata\ndata:  d\n\nid: 7\nretry: 1\n\n",
        "mark": b"3\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n",
        "long-name": b"4event: " + b"n" * 257 + b"\ndata: a\n\n",
    }
    document = {"a": [1, -2.5e3, True, None, {"b": "\u00e9\ud83d\ude00\"\\\n"}], "text": "streamed", "skip": {"x": ["]", "}"]}, "": {}}
    seeds["json"] = {
        "every-kind": b"1" + json.dumps(document).encode(),
        "not-escaped": b"3" + json.dumps(document, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16").encode(),
        "answer": b"5" + fixture("bedrock/02-converse-cache/body.bin"),
        "deep": b"7" + b"[" * 40 + b"]" * 40,
        "twice": b'9{"a":{"b":1},"a":{"c":2}}',
        "surrogates": b'2"\\ud83d\\ud83d\\ude00\\u0041"',
        "long": b'4{"k":"' + b"x" * 2050 + b'","n":' + b"1" * 30 + b"}",
        "bad": b'6{"a" 1}',
    }
    plain = fixture("bedrock/01-converse-basic/body.bin")
    deflate = zlib.compressobj(wbits=-15)
    bare = deflate.compress(plain) + deflate.flush()
    zipped = gzip.compress(plain, mtime=0)
    seeds["content_coding"] = {
        "gzip": b"\x00" + zipped,
        "gzip-twice": b"\x10" + gzip.compress(zipped, mtime=0),
        "gzip-members": b"\x00" + zipped + zipped,
        "gzip-cut": b"\x00" + zipped[:-9],
        "zlib": b"\x01" + zlib.compress(plain),
        "deflate": b"\x01" + bare,
        "bomb": b"\x00" + gzip.compress(bytes(4 * 1024 * 1024), mtime=0),
        "bomb-in-bomb": b"\x10" + gzip.compress(gzip.compress(bytes(16 * 1024 * 1024), mtime=0), mtime=0),
        # Stored: brotli's last meta-block empty; zstd's one raw block.
        "brotli": b"\x02\x0b\x02\x80hello\x03",
        "brotli-empty": b"\x02\x06",
        "zstd": b"\x03\x28\xb5\x2f\xfd\x20\x05\x29\x00\x00hello",
        "zstd-repeats": b"\x03\x28\xb5\x2f\xfd\x00\x58\x03\x00\x10x",
        "zstd-skippable": b"\x03\x50\x2a\x4d\x18\x03\x00\x00\x00abc\x28\xb5\x2f\xfd\x20\x05\x29\x00\x00hello",
        **{f"encode-{number:02}": bytes([number]) + plain for number in (0x20, 0x21, 0x61, 0x22, 0x23, 0x33, 0x3E)},
    }


def aws(seeds):
    seeds["credentials"] = {
        "header": b"\x00" + MARK + text(SIGV4),
        "query": b"\x02" + text(PRESIGNED) + MARK,
        "query-escaped": b"\x02" + text(PRESIGNED.replace("X-Amz-Sig", "X%2DAmz-Sig")) + MARK,
        "asymmetric": b"\x00" + MARK + b"AWS4-ECDSA-P256-SHA256 Credential=AKIAEXAMPLE000000001/20261122/bedrock/aws4_request, SignedHeaders=host, Signature=0a",
        "bearer": b"\x00" + MARK + b"Bearer bedrock-api-key-" + base64.b64encode(text(f"bedrock.amazonaws.com/?{PRESIGNED}")),
        "api-key": b"\x01" + MARK + b"sk-something",
        "two": b"\x04" + MARK + text(SIGV4),
        "basic": b"\x00" + MARK + b"Basic dTpw",
    }
    seeds["percent"] = {"mixed": b"a%4%zz%3A%C3%BC%%3A", "escaped": b"%2525", "octets": bytes(range(256))}
    paths = [
        "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse-stream",
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc/invoke",
        "//model/x//invoke-with-response-stream?a=b",
        "/openai/v1/chat/completions", "/v1/messages/count_tokens", "/anthropic/v1/messages", "/v1/models",
        "/guardrail/g/version/1/apply", "/async-invoke", "/async-invoke/arn%3Ax", "/model/x/count-tokens",
        "/agents/A/agentAliases/B/sessions/C/text", "/retrieveAndGenerateStream", "/knowledgebases/K/retrieve", "/rerank", "/flows/F/aliases/A",
    ]
    seeds["operation"] = {f"{number:02}-{steer}": text(f"{chr(steer)}{path}") for number, path in enumerate(paths) for steer in (0, 1, 2)}
    ids = [
        "anthropic.claude-sonnet-4-5-20250929-v1:0", "us.amazon.nova-lite-v1:0", "us-gov.anthropic.claude-3-haiku-20240307-v1:0:48k",
        "arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-text-express-v1",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/eu.meta.llama3-2-3b-instruct-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123",
        "arn:aws-cn:sagemaker:cn-north-1:123456789012:endpoint/x", "arn:aws:bedrock:::", "my-model", "openai.gpt-oss-120b-1:0",
    ]
    seeds["model_id"] = {f"{number:02}": text(name) for number, name in enumerate(ids)}
    hosts = [
        HOST, "Bedrock-Runtime-FIPS.us-gov-west-1.amazonaws.com.:443", "bedrock-mantle.us-east-1.api.aws",
        "vpce-0a1b-x.bedrock-runtime.us-east-1.vpce.amazonaws.com", "bedrock-agent-runtime.eusc-de-east-1.amazonaws.eu",
        "bedrock-runtime.us-east-1.amazonaws.com.evil.example", "sts.us-east-1.amazonaws.com", "bedrock-runtime.us-east-1.amazonaws.com:+1",
    ]
    seeds["endpoint"] = {f"{number:02}": text(host) for number, host in enumerate(hosts)}
    agents = [
        "Boto3/1.43.11 md/Botocore#1.43.11 ua/2.1 os/linux#6.1.0 cfg/retry-mode#legacy app/search-api Botocore/1.43.11",
        "OpenAI/Python 3.54.0", "aws-sdk-js/3.1162.0 ua/2.1", "ttl=20261122T020100Z; attempt=2; max=5", "  spaced   2.0 x", "\u00e9t\u00e9/1",
    ]
    seeds["user_agent"] = {f"{number:02}": text(agent) for number, agent in enumerate(agents)}
    arn = "arn:aws:sts::123456789012:assumed-role/search/alice"
    secret = "<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
    xml = (
        '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><AssumedRoleUser>'
        f"<Arn>{arn}</Arn></AssumedRoleUser><Credentials><AccessKeyId>ASIAEXAMPLE000000001</AccessKeyId>{secret}"
        "</Credentials></AssumeRoleResult></AssumeRoleResponse>"
    )
    issued = {"Credentials": {"AccessKeyId": "ASIAEXAMPLE000000001", "SecretAccessKey": "s"}, "AssumedRoleUser": {"Arn": arn}}
    seeds["sts"] = {
        "xml": text(xml),
        "xml-odd": text("<?xml version='1.0'?><!-- x --><a><![CDATA[x]]><b c='&lt;'/>&amp;" + xml + "</a>"),
        "json": text(json.dumps({"AssumeRoleResponse": {"ResponseMetadata": {}, "AssumeRoleResult": issued}})),
        "cut": text(xml[:-60]),
        "deep": b"<a>" * 20,
    }
    parts = [PRESIGNED, SIGV4, "20261122T015526Z", HOST]
    seeds["diagnosis"] = {
        "header": b"\x00" + MARK.join(map(text, ["a=b", *parts[1:]])),
        "query": b"\x03" + MARK.join(map(text, parts)),
        "elsewhere": b"\x04" + MARK.join(map(text, ["", SIGV4, "Sun, 22 Nov 2026 01:55:26 GMT", "bedrock-mantle.eu-west-1.api.aws"])),
        "nothing": b"\x03" + MARK * 3,
    }
    seeds["masked_head"] = {f"{number:02}": bytes([number]) + MARK.join([b"before", b"after", b"X-A: https://u:p@h/?X-Amz-Signature=1&b\r\nCookie: c"]) for number in range(12)}
    seeds["masked_target"] = {
        f"{number:03}": bytes([number]) + b"r?u=https%3A%2F%2Fu%3Ap%40h%2F%3Fa=b" + MARK + b"after=https://x@y" for number in (0, 1, 2, 3, 4, 5, 32, 64, 96, 128)
    }
    seeds["masked_body"] = {
        "json": text(json.dumps({"SecretAccessKey": "null", "text": "export aws_session_token=1 https://u:p@h authorization: Bearer x"})),
        "key": b"-----BEGIN PRIVATE KEY-----\n0\n-----END",
        "words": bytes(range(0x80, 0x100)),
        "apart": b" ".join(bytes([octet]) for octet in range(0x80, 0xA0)) + b"." * 900 + bytes(range(0x80, 0x90)),
    }


def observations(seeds):
    plain, repaired = {}, {}
    kinds = {"application/json": 0, "application/vnd.amazon.eventstream": 1, "text/event-stream": 2}
    for name, case, folder in cases():
        path = case["request"]["path"].split("?")[0].rsplit("/", 1)[-1]
        operation = {"converse": 0, "converse-stream": 1, "invoke": 2, "invoke-with-response-stream": 3, "completions": 8, "apply": 5}[path]
        kind = kinds[case["response"]["content_type"].split(";")[0]]
        seed = MARK.join([bytes([3, operation, kind]), (folder / "request-body.bin").read_bytes(), (folder / "body.bin").read_bytes()])
        plain[name] = seed
        if kind == 1:
            repaired[name] = seed
    usage = {"taught": {"in": 7, "parts": [{"out": 1, "cached": 2}, {"out": 3}]}, "model": "m", "choices": [{"text": "a"}]}
    plain["taught"] = MARK.join([bytes([5, 2, 0]), b'{"prompt":"p"}', json.dumps(usage).encode()])
    plain["own-head"] = MARK.join([bytes([5, 9, 7]) + b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; x\r\nContent-Encoding: deflate", b"{}", zlib.compress(b"data: {\"type\":\"response.completed\"}\n\n")])
    plain["tags"] = MARK.join([bytes([5, 0, 0]) + b'X-Amzn-Bedrock-Request-Metadata: {"team":"a"}\r\nX-Amzn-Bedrock-Service-Tier: flex', b'{"requestMetadata":{"b":"c"},"serviceTier":{"type":"priority"}}', b'{"usage":{"inputTokens":1}}'])
    plain["failure"] = MARK.join([bytes([5, 1, 3]), b"", b'{"__type":"x#ThrottlingException","message":"m"}'])
    plain["cut"] = MARK.join([bytes([5, 8, 130]), b'{"messages":[{"content":"hi"}]}', b'data: {"choices":[{"delta":{"content":"Hel'])
    plain["gzip"] = MARK.join([bytes([4, 0, 4]), b"{}", gzip.compress(b'{"usage":{"inputTokens":3,"outputTokens":4}}', mtime=0)])
    stream = event("messageStart", {"role": "assistant"}) + event("contentBlockDelta", {"delta": {"text": "Paris"}})
    stream += event("metadata", {"usage": {"inputTokens": 1, "outputTokens": 2, "cacheDetails": [{"ttl": "1h", "inputTokens": 4}]}})
    stream += frame([(":message-type", "exception"), (":exception-type", "throttlingException")], b'{"message":"m"}')
    repaired["exception"] = MARK.join([bytes([7, 1, 1]), b'{"messages":[]}', stream])
    repaired["messages"] = MARK.join([bytes([7, 3, 1]), b"{}", chunk({"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 1}}}) + chunk({"amazon-bedrock-invocationMetrics": {"inputTokenCount": 3, "outputTokenCount": 4}})])
    repaired["agent"] = MARK.join([bytes([7, 12, 1]), b"{}", chunk("text") + event("trace", {"trace": {"orchestrationTrace": {"modelInvocationOutput": {"metadata": {"usage": {"inputTokens": 1, "outputTokens": 2}}}}}})])
    seeds["observer"], seeds["observer_repaired"] = plain, repaired
    seeds["estimate"] = {"text": b"An easy one. Paris, of course.", "no-words": b"a" * 600, "scripts": "日本語 ünï \u0301\u200d🏳️‍🌈".encode(), "octets": bytes(range(256)), "blanks": b" \t\n" * 50}


def operators(seeds):
    options = """
listen = "127.0.0.1:5381"
payload = "preview"
payload_limit = 1000
intercept = ["*.example.com", "sts.amazonaws.com"]
deny = ["evil.example"]
connect_to = ["a:443:b:8443", "::[::1]:80"]
retain = "90d,20GB"
durability = "relaxed"
on_client_abort = "drain"
learn_sessions = true
upstream_proxy = "http://u:p@proxy:3128"
upstream_no_proxy = ["10.0.0.0/8"]
[[route]]
prefix = "/service/a/"
upstream = "https://h:1"
[[certificate]]
host = "h"
cert = "c.pem"
key = "k.pem"
[aliases]
"AKIAEXAMPLE000000001" = "nightly"
[[usage_pattern]]
model = "acme.*"
input_tokens = "usage.in"
output_tokens = ["a.*.out"]
[[price]]
model = "acme.big"
input = "1.5"
output = 7
[[price]]
model = "*"
multiplier = "0.87"
"""
    budgets = """[[budget]]
name = "a"
access_key = ["AKIA*", "x"]
tag = { team = "a", stage = ["b", "c"] }
per = ["model", "tag:team"]
usd = "12.50"
window = "month"
zone = "Europe/Berlin"
warn_at = [50, 80]
unpriced = "assume = amazon.nova-lite-v1:0"
[[budget]]
name = "b"
concurrent = 3
[[budget]]
name = "c"
usd = 3
window = "90m"
mode = "shadow"
"""
    seeds["configuration"] = {
        "options": text(options),
        "budgets": text(budgets),
        "wrong-value": b'payload = "some"',
        "wrong-key": b"listem = 1",
        "wrong-host": b'tunnel_port = [443, "*"]\n[[host]]\npattern = "a.example"\naction = "deny"\n[[host]]\npattern = "x y"\naction = "tunnel"',
        "wrong-table": text('[[route]]\nprefix = "/\u00fc/"\n\tallow = []\nupstraem = 1'),
        "host": text("*.b\u00fccher.example"), "address": b"0251.0xfe.43518", "dressed": b"64:ff9b:1::169.254.169.254",
        "wrong-toml": b'listen = "',
        "public": b'listen = "0.0.0.0:1"\nallow_anonymous = true',
        "rate": b"3.00e-1", "multiplier": b"0.87", "retention": b"90d,20GB", "tags": b'{"team":"a","n":1}',
    }
    seeds["upstream_proxy"] = {
        f"{number:02}": bytes([number]) + MARK.join([b"user", b"proxy.example:3128/", b"10.0.0.0/8, .x, *"]) for number in (0, 1, 2, 3, 4, 8, 12)
    }
    seeds["upstream_proxy"]["escaped"] = b"\x00" + MARK.join([b"dom%5Cu%3A", b"[::1]:1", b""])
    lists = [("example.com, .a *.b:80", "a.example.com"), ("10.0.0.0/8 [fd00::]/8", "10.2.3.4"), ("*", "x"), ("[::1]:8443,::1", "::1"), ("10.0.0.0/33,host:0", "host"), ("", "a-b.c")]
    seeds["no_proxy"] = {f"{number:02}": text(entries) + MARK + text(host) for number, (entries, host) in enumerate(lists)}
    seeds["price_file"] = {
        "file": fixture("prices/litellm.json"),
        "one": b'{"acme.big": {"litellm_provider": "bedrock", "input_cost_per_token": 1e-06, "output_cost_per_token": 0.000002}}',
        "twice": b'{"bedrock/us-east-1/a.b": {"litellm_provider": "bedrock", "input_cost_per_token": 1}, "a.b": {"litellm_provider": "bedrock_converse", "input_cost_per_token": 2e-9}}',
        "wrong": b'{"a.b": {"litellm_provider": "bedrock", "input_cost_per_token": "x"}}',
    }
    book = (HERE.parent / "src/spend/prices/book.csv").read_bytes().splitlines(keepends=True)
    seeds["price_book"] = {"first": b"".join(book[:6]), "last": book[0] + b"".join(book[-4:]), "quoted": book[0] + b'"a.""b""",bedrock-runtime,,chat,1,2,,,,,,,,,,,x,,\n'}
    pem = (HERE.parent / "certs/cert.pem").read_bytes()
    body = pem.split(b"-----BEGIN CERTIFICATE-----")[1].split(b"-----END CERTIFICATE-----")[0]
    seeds["certificates"] = {
        "pem": b"localhost" + MARK + pem,
        "der": b"x.localhost" + MARK + base64.b64decode(body),
        "twice": b"[::1]" + MARK + pem + b"text between\n" + pem,
        "broken": b"." + MARK + b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    }
    seeds["proxy_reply"] = {
        "consent": b"1HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n\x16early",
        "interim": b"2HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        "credentials": b"3HTTP/1.1 407 Who\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n",
        "refusal": b"4HTTP/1.1 403 Forbidden\r\n\r\n<html>",
        "garbage": b"5SSH-2.0-x\r\n",
        "silence": b"6",
    }
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Encoding: %s\r\n\r\n"
    seeds["screen"] = {
        "json": head % (b"application/json", b"identity") + MARK + b'{"a":[1,{"b":"\\u001b[31m\x7f\xe2\x80\xae"}],"c":{}}',
        "events": head % (b"application/vnd.amazon.eventstream", b"") + MARK + fixture("bedrock/05-invoke-anthropic-stream/body.bin"),
        "sse": head % (b"text/event-stream", b"gzip") + MARK + gzip.compress(b"data: \x1b[2J\r\ndata: x\n\n", mtime=0),
        "octets": head % (b"image/png", b"") + MARK + b"\x89PNG\x00\x01\x02\xff" * 12,
        "unknown-coding": head % (b"text/plain", b"compress, \x1b[1m") + MARK + b"x",
    }


def exchanges(seeds, doors):
    """steer, cut, then the client's bytes and the answers of upstreams. See Manners in src/fuzzing/exchange.rs."""

    def seed(steer, cut, client, *answers):
        return bytes([steer, cut]) + MARK.join([client, *answers])

    good = answer("x-amzn-RequestId: 1", body=b'{"usage":{"inputTokens":1,"outputTokens":2}}')
    stream = fixture("bedrock/03-converse-stream/response.raw")
    invoke = request(target=f"https://{HOST}/model/a.b/invoke", body=b"{}")
    coded = request(target=f"https://{HOST}/model/a.b/converse-stream", lines=["Transfer-Encoding: chunked", "Expect: 100-continue"], length=False)
    connect = request("CONNECT", f"{HOST}:443", host=f"{HOST}:443", length=False)
    # Without TLS inside, the port is not the one that a Host without a port stands for.
    inside = request(target="/model/x/converse-stream", host=f"{HOST}:443")
    head = request("HEAD", f"http://{HOST}/", length=False)
    seeds["exchange"] = {
        "two-in-a-row": seed(0, 255, invoke + invoke, good, good),
        "byte-by-byte": seed(0, 2, invoke, good),
        "chunked": seed(0, 51, coded + chunked(b'{"messages":[]}', trailers=["X: y"]), b"HTTP/1.1 100 Continue\r\n\r\n" + stream),
        "answer-before-the-end": seed(1, 7, coded + b"5\r\nabc", good),
        "answer-at-once": seed(2, 9, invoke, good),
        "narrow": seed(128, 200, invoke + doors["transparent"], good, stream),
        "inside-connect": seed(0, 99, connect + inside + request("GET", "/", host=f"{HOST}:443", length=False), stream, good),
        "forward-plain": seed(0, 99, request("GET", "http://plain.example/x?y", host="plain.example", length=False) + head, answer(body=b"hi"), answer()),
        "own-route": seed(0, 255, doors["own-route"], good),
        "presigned": seed(0, 255, doors["route"], good),
        "until-close": seed(8, 255, invoke, b"HTTP/1.0 200 OK\r\n\r\nall of it"),
        "cut-until-close": seed(0, 255, invoke, b"HTTP/1.1 200 OK\r\n\r\nnot all"),
        "cut-length": seed(8, 255, invoke, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
        "cut-chunk": seed(8, 255, invoke, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc"),
        "bytes-behind": seed(0, 255, invoke + invoke, good + b"HTTP/1.1 200 OK\r\n\r\nsmuggled", good),
        "ambiguous-answer": seed(0, 255, invoke, answer("Transfer-Encoding: chunked", body=b"0\r\n\r\n")),
        "no-answer": seed(0, 255, invoke),
        "garbage": seed(0, 255, invoke, b"\x00\x01nonsense\r\n\r\n"),
        "storm": seed(0, 255, invoke, b"HTTP/1.1 102 Processing\r\n\r\n" * 70),
        "switching": seed(0, 255, invoke, b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"),
        "smuggling": seed(0, 255, request(lines=["Transfer-Encoding: chunked"], body=b"0\r\n\r\n") + invoke, good),
        "malformed-chunk": seed(0, 255, coded + b"zz\r\n", good),
        "gone": seed(32, 255, invoke[:-1], good),
        "gone-at-once": seed(34, 255, invoke, stream[:200]),
        "client-stays": seed(16, 255, invoke + b"POST", good),
        "draining": seed(64, 255, invoke, good),
        "page": seed(0, 255, request("GET", "/", host="localhost:5380", length=False) + doors["endpoint-url"]),
        "tunnel": seed(0, 255, doors["tunnel"]),
        "denied": seed(0, 255, doors["denied"]),
        "tls": seed(0, 255, b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"),
        "http2": seed(0, 255, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)),
        "chat": seed(0, 77, request(target=f"https://{HOST}/openai/v1/chat/completions", body=b'{"model":"m","stream":true}'), fixture("bedrock/09-chat-completions-sse/response.raw")),
        "refused-by-aws": seed(0, 255, doors["forward"], answer("x-amzn-ErrorType: InvalidSignatureException", "Date: Sun, 22 Nov 2026 02:00:00 GMT", body=b"{}", status="403 Forbidden")),
    }


def make():
    seeds = {}
    doors = heads(seeds)
    bodies(seeds)
    aws(seeds)
    observations(seeds)
    operators(seeds)
    exchanges(seeds, doors)
    return seeds


def main():
    check = sys.argv[1:] == ["--check"]
    wrong = []
    seeds = make()
    for target, named in seeds.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in named.items():
            path = folder / name
            if not check:
                path.write_bytes(content)
            elif not path.exists() or (path.read_bytes() != content and name not in COMPRESSED.get(target, ())):
                wrong.append(f"{path} is not what {Path(__file__).name} makes")
        strange = [path for path in folder.iterdir() if path.name not in named and not path.name.startswith("found-")]
        wrong += [f"{path} is neither made nor found" for path in strange]
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{sum(map(len, seeds.values()))} seeds for {len(seeds)} targets")


if __name__ == "__main__":
    main()
