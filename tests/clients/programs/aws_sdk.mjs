// One whole answer and one stream with the AWS SDK for JavaScript v3; prints the usage of each as JSON.
import { BedrockRuntimeClient, ConverseCommand, ConverseStreamCommand } from "@aws-sdk/client-bedrock-runtime";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { HttpsProxyAgent } from "https-proxy-agent";

const requestHandler = new NodeHttpHandler({ httpsAgent: new HttpsProxyAgent(process.env.PROXY) });
const client = new BedrockRuntimeClient({ requestHandler, maxAttempts: 1 });
const request = {
  modelId: process.env.MODEL,
  messages: [{ role: "user", content: [{ text: process.env.QUESTION }] }],
};
console.log(JSON.stringify((await client.send(new ConverseCommand(request))).usage));
for await (const event of (await client.send(new ConverseStreamCommand(request))).stream) {
  if (event.metadata) console.log(JSON.stringify(event.metadata.usage));
}
