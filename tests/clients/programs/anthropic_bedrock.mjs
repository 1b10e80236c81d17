// One whole answer and one stream with Anthropic's library for JavaScript; prints the usage of each as JSON. With PROXY
// set the client gets a dispatcher; without, something else must have seen to it.
import { AnthropicBedrock } from "@anthropic-ai/bedrock-sdk";
import { ProxyAgent } from "undici";

const { MODEL, PROXY, QUESTION } = process.env;
const fetchOptions = PROXY ? { dispatcher: new ProxyAgent(PROXY) } : undefined;
const client = new AnthropicBedrock({ fetchOptions, maxRetries: 0 });
const request = { model: MODEL, max_tokens: 64, messages: [{ role: "user", content: QUESTION }] };
console.log(JSON.stringify((await client.messages.create(request)).usage));
console.log(JSON.stringify((await client.messages.stream(request).finalMessage()).usage));
