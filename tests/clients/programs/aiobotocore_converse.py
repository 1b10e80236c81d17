"""One whole answer and one stream with aiobotocore, set up as MODE says; prints the usage of each as JSON."""

import asyncio
import json
import os

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

MODES = {"environment": {}, "connect": {"proxies": {"https": f"http://{os.environ['TOLLGATE']}"}}}


async def main():
    config = AioConfig(retries={"total_max_attempts": 1}, **MODES[os.environ["MODE"]])
    request = {
        "modelId": os.environ["MODEL"],
        "messages": [{"role": "user", "content": [{"text": os.environ["QUESTION"]}]}],
    }
    async with get_session().create_client("bedrock-runtime", config=config) as client:
        print(json.dumps((await client.converse(**request))["usage"]))
        events = (await client.converse_stream(**request))["stream"]
        [usage] = [event["metadata"]["usage"] async for event in events if "metadata" in event]
        print(json.dumps(usage))


asyncio.run(main())
