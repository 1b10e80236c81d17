"""One whole answer and one stream with litellm; with the argument `async` through its other HTTP client. Prints the
usage of each as JSON."""

import asyncio
import json
import os
import sys

import litellm

request = {
    "model": f"bedrock/{os.environ['MODEL']}",
    "messages": [{"role": "user", "content": os.environ["QUESTION"]}],
    "num_retries": 0,
}
streamed = {**request, "stream": True, "stream_options": {"include_usage": True}}


def show(usage):
    print(json.dumps(usage.model_dump()))


def usage_of(chunks):
    [usage] = [chunk.usage for chunk in chunks if getattr(chunk, "usage", None)]
    return usage


async def asynchronously():
    show((await litellm.acompletion(**request)).usage)
    show(usage_of([chunk async for chunk in await litellm.acompletion(**streamed)]))


if sys.argv[1:] == ["async"]:
    asyncio.run(asynchronously())
else:
    show(litellm.completion(**request).usage)
    show(usage_of(litellm.completion(**streamed)))
