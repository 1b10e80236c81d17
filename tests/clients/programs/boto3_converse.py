"""One whole answer and one stream with boto3, set up as MODE says; prints the usage of each as JSON."""

import json
import os

import boto3
from botocore.config import Config

http, https = f"http://{os.environ['TOLLGATE']}", f"https://{os.environ['TOLLGATE']}"
ca = os.environ.get("TOLLGATE_CA")
MODES = {
    "environment": {},
    "connect": {"proxies": {"https": http}},
    "tls-in-tls": {"proxies": {"https": https}, "proxies_config": {"proxy_ca_bundle": ca}},
    "forward": {
        "proxies": {"https": https},
        "proxies_config": {"proxy_use_forwarding_for_https": True, "proxy_ca_bundle": ca},
    },
    "unverified": {"proxies": {"https": http}},
}
mode = os.environ["MODE"]
verify = False if mode == "unverified" else None
client = boto3.client(
    "bedrock-runtime", config=Config(retries={"total_max_attempts": 1}, **MODES[mode]), verify=verify
)
request = {
    "modelId": os.environ["MODEL"],
    "messages": [{"role": "user", "content": [{"text": os.environ["QUESTION"]}]}],
}
print(json.dumps(client.converse(**request)["usage"]))
events = client.converse_stream(**request)["stream"]
[usage] = [event["metadata"]["usage"] for event in events if "metadata" in event]
print(json.dumps(usage))
