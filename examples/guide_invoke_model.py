"""InvokeModel through tollgate as an https:// proxy, with forwarding instead of CONNECT.

The first way of the published guide: boto3 opens one TLS session to the proxy and sends the request in absolute-form,
still signed for the AWS host. `verify=False` trusts whatever certificate the proxy shows: fine on your own machine,
not in production, where the commented lines below belong.

    pip install boto3
    tollgate serve
    AWS_PROFILE=Your-Profile-Name python3 examples/guide_invoke_model.py

In the ledger: entry `forward`.
"""

import json
import os

import boto3
from botocore.config import Config

TOLLGATE = os.getenv("TOLLGATE", "localhost:5380")

proxy_definitions = {
    "https": f"https://{TOLLGATE}",
}

my_config = Config(
    proxies=proxy_definitions,
    proxies_config={
        "proxy_use_forwarding_for_https": True,
        # In production: "proxy_ca_bundle": "…/tollgate/ca.pem" here, and no verify=False below.
    },
)

boto3.setup_default_session(profile_name=os.getenv("AWS_PROFILE"))
client = boto3.client("bedrock-runtime", config=my_config, verify=False)

body = json.dumps(
    {
        "inputText": "Human: explain black holes with 10 words\n\nAssistant:",
        "textGenerationConfig": {
            "maxTokenCount": 15,
            "stopSequences": [],
            "temperature": 0,
            "topP": 0.9,
        },
    }
)

response = client.invoke_model(
    body=body,
    modelId="amazon.titan-text-express-v1",
    accept="application/json",
    contentType="application/json",
)
print(json.loads(response["body"].read()))
