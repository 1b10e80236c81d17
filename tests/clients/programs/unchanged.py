"""A program that has never heard of a proxy: two calls with boto3, and what each told of its tokens."""

import json

import boto3

client = boto3.client("bedrock-runtime")
messages = [{"role": "user", "content": [{"text": "What does a toll gate do?"}]}]
whole = client.converse(modelId="us.amazon.nova-lite-v1:0", messages=messages)
print(json.dumps(whole["usage"]))
stream = client.converse_stream(modelId="us.anthropic.claude-sonnet-4-5-20250929-v1:0", messages=messages)
print(json.dumps(next(event["metadata"]["usage"] for event in stream["stream"] if "metadata" in event)))
