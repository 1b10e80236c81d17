"""One whole answer and one stream with OpenAI's library on Bedrock's compatible path; prints the usage of each as JSON."""

import json
import os

from openai import OpenAI

client = OpenAI(
    base_url=f"https://bedrock-runtime.{os.environ['AWS_REGION']}.amazonaws.com/openai/v1",
    api_key=os.environ["AWS_BEARER_TOKEN_BEDROCK"],
    max_retries=0,
)
request = {
    "model": os.environ["MODEL"],
    "messages": [{"role": "user", "content": os.environ.get("QUESTION", "What does a toll gate do?")}],
}
print(json.dumps(client.chat.completions.create(**request).usage.model_dump()))
stream = client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True})
[usage] = [chunk.usage for chunk in stream if chunk.usage]
print(json.dumps(usage.model_dump()))
