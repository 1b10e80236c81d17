// One whole answer and one stream with Vercel's AI SDK; prints the usage of each as JSON. With PROXY set the provider
// gets a fetch that uses it; without, something else must have seen to it.
import { createAmazonBedrock } from "@ai-sdk/amazon-bedrock";
import { generateText, streamText } from "ai";
import { fetch as undiciFetch, ProxyAgent } from "undici";

const { MODEL, PROXY, QUESTION } = process.env;
const dispatcher = PROXY && new ProxyAgent(PROXY);
const fetch = dispatcher && ((url, options) => undiciFetch(url, { ...options, dispatcher }));
const model = createAmazonBedrock({ fetch })(MODEL);
const request = { model, prompt: QUESTION, maxRetries: 0 };
console.log(JSON.stringify((await generateText(request)).usage));
const stream = streamText(request);
await stream.consumeStream();
console.log(JSON.stringify(await stream.usage));
