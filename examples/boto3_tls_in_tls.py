"""Converse through tollgate as an https:// proxy: CONNECT inside TLS, then the TLS session for AWS inside that.

Nothing is in the clear between client and gate, not even the name of the AWS host.

    pip install boto3
    tollgate serve                        # prints the AWS_CA_BUNDLE line to paste
    export AWS_CA_BUNDLE=…/bundle.pem
    python3 examples/boto3_tls_in_tls.py

In the ledger: entry `connect`.
"""

import json
import os

import boto3
from botocore.config import Config

TOLLGATE = os.getenv("TOLLGATE", "localhost:5380")
MODEL = os.getenv("MODEL", "us.amazon.nova-lite-v1:0")

config = Config(
    proxies={"https": f"https://{TOLLGATE}"},
    # What the proxy's own certificate is verified with; AWS_CA_BUNDLE is for the session inside.
    proxies_config={"proxy_ca_bundle": os.environ["AWS_CA_BUNDLE"]},
)
client = boto3.client("bedrock-runtime", config=config)
response = client.converse(
    modelId=MODEL,
    messages=[{"role": "user", "content": [{"text": "What does a toll gate do?"}]}],
)
print(response["output"]["message"]["content"][0]["text"])
print(json.dumps(response["usage"]))
