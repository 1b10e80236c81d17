"""ConverseStream through tollgate: the text appears as the model writes it, the token counts come last.

    pip install boto3
    tollgate serve                        # prints the AWS_CA_BUNDLE line to paste
    export AWS_CA_BUNDLE=…/bundle.pem
    python3 examples/converse_stream.py

In the ledger: entry `connect`, `stream` true.
"""

import json
import os

import boto3
from botocore.config import Config

TOLLGATE = os.getenv("TOLLGATE", "localhost:5380")
MODEL = os.getenv("MODEL", "us.anthropic.claude-sonnet-4-5-20250929-v1:0")

client = boto3.client(
    "bedrock-runtime",
    config=Config(proxies={"https": f"http://{TOLLGATE}"}),
)
response = client.converse_stream(
    modelId=MODEL,
    messages=[{"role": "user", "content": [{"text": "What does a toll gate do?"}]}],
)
for event in response["stream"]:
    if "contentBlockDelta" in event:
        print(event["contentBlockDelta"]["delta"].get("text", ""), end="", flush=True)
    elif "metadata" in event:
        print("\n" + json.dumps(event["metadata"]["usage"]))
