"""Converse through tollgate without a line about it in the program: two environment variables do it.

    pip install boto3
    tollgate serve                        # prints both lines to paste
    export HTTPS_PROXY=http://localhost:5380
    export AWS_CA_BUNDLE=…/bundle.pem
    python3 examples/boto3_env.py

In the ledger: entry `connect`.
"""

import json
import os

import boto3

MODEL = os.getenv("MODEL", "us.amazon.nova-lite-v1:0")

client = boto3.client("bedrock-runtime")
response = client.converse(
    modelId=MODEL,
    messages=[{"role": "user", "content": [{"text": "What does a toll gate do?"}]}],
    requestMetadata={"team": "roads", "project": "toll"},
)
print(response["output"]["message"]["content"][0]["text"])
print(json.dumps(response["usage"]))
