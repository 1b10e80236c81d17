"""A request signed by hand and posted to tollgate's route /service/standard/ with any HTTP library.

The second way of the published guide: SigV4Auth signs for the AWS host, `requests` sends the result to tollgate, which
removes the route prefix and passes every signed byte on to the host that was signed for. Works over http:// and
https:// alike.

    pip install boto3 requests
    tollgate serve
    AWS_PROFILE=Your-Profile-Name python3 examples/guide_presigned.py

AISERVICE_API_BASE names the AWS endpoint; without it, it is made from the profile's region.
In the ledger: entry `route`.
"""

import json
import os

import boto3
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

TOLLGATE_URL = f"http://{os.getenv('TOLLGATE', 'localhost:5380')}/service/standard/"

session = boto3.Session(profile_name=os.getenv("AWS_PROFILE"))
region = session.region_name

bedrock_url = os.getenv("AISERVICE_API_BASE") or f"https://bedrock-runtime.{region}.amazonaws.com/"
bedrock_host = bedrock_url.replace("https://", "").rstrip("/")
api = "model/amazon.titan-text-express-v1/invoke"

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

request = AWSRequest(
    method="POST",
    url=f"https://{bedrock_host}/{api}",
    data=body,
    headers={"Content-Type": "application/json", "Host": bedrock_host},
)
SigV4Auth(session.get_credentials(), "bedrock", region).add_auth(request)

response = requests.post(TOLLGATE_URL + api, headers=dict(request.headers), data=request.data)
response.raise_for_status()
print(response.json())
