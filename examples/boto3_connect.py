"""Converse through tollgate as an http:// proxy set in the client's Config: CONNECT, with TLS inside.

    pip install boto3
    tollgate serve                        # prints the AWS_CA_BUNDLE line to paste
    export AWS_CA_BUNDLE=…/bundle.pem
    python3 examples/boto3_connect.py

In the ledger: entry `connect`.
"""

import json
import os

import boto3
from botocore.config import Config

TOLLGATE = os.getenv("TOLLGATE", "localhost:5380")
MODEL = os.getenv("MODEL", "us.amazon.nova-lite-v1:0")

client = boto3.client(
    "bedrock-runtime",
    config=Config(proxies={"https": f"http://{TOLLGATE}"}),
)
response = client.converse(
    modelId=MODEL,
    messages=[{"role": "user", "content": [{"text": "What does a toll gate do?"}]}],
)
print(response["output"]["message"]["content"][0]["text"])
print(json.dumps(response["usage"]))
