"""One whole answer and one stream with Anthropic's own library; prints the usage of each as JSON."""

import json
import os

from anthropic import AnthropicBedrock

client = AnthropicBedrock(
    aws_access_key=os.environ["AWS_ACCESS_KEY_ID"],
    aws_secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    aws_session_token=os.environ.get("AWS_SESSION_TOKEN"),
    aws_region=os.environ["AWS_REGION"],
    max_retries=0,
)
request = {
    "model": os.environ["MODEL"],
    "max_tokens": 64,
    "messages": [{"role": "user", "content": os.environ.get("QUESTION", "What does a toll gate do?")}],
}
print(json.dumps(client.messages.create(**request).usage.model_dump()))
with client.messages.stream(**request) as stream:
    print(json.dumps(stream.get_final_message().usage.model_dump()))
