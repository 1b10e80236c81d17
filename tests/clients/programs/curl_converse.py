"""One whole answer and one stream with curl, which signs them itself; prints the usage of each as JSON.

The arguments go to curl. Python only takes the answers apart: curl has no use for an event stream.
"""

import json
import os
import subprocess
import sys

from botocore.eventstream import EventStreamBuffer

HOST = f"bedrock-runtime.{os.environ['AWS_REGION']}.amazonaws.com"


def credentials():
    if "AWS_BEARER_TOKEN_BEDROCK" in os.environ:
        return ["--header", f"authorization: Bearer {os.environ['AWS_BEARER_TOKEN_BEDROCK']}"]
    pair = f"{os.environ['AWS_ACCESS_KEY_ID']}:{os.environ['AWS_SECRET_ACCESS_KEY']}"
    token = os.environ.get("AWS_SESSION_TOKEN")
    return [
        *("--aws-sigv4", f"aws:amz:{os.environ['AWS_REGION']}:bedrock", "--user", pair),
        *(["--header", f"x-amz-security-token: {token}"] if token else []),
    ]


def post(operation):
    body = {"messages": [{"role": "user", "content": [{"text": os.environ["QUESTION"]}]}]}
    line = [
        *("curl", "--silent", "--show-error", "--fail", *sys.argv[1:], *credentials()),
        *("--header", "content-type: application/json", "--data", json.dumps(body)),
        f"https://{HOST}/model/{os.environ['MODEL']}/{operation}",
    ]
    return subprocess.run(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True).stdout


print(json.dumps(json.loads(post("converse"))["usage"]))
events = EventStreamBuffer()
events.add_data(post("converse-stream"))
[metadata] = [event.payload for event in events if event.headers[":event-type"] == "metadata"]
print(json.dumps(json.loads(metadata)["usage"]))
