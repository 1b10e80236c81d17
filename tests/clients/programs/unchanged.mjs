// The AWS SDK for JavaScript as its documentation shows it, with its default handler, as an ES module.
import { BedrockRuntimeClient, ConverseCommand, ConverseStreamCommand } from "@aws-sdk/client-bedrock-runtime";

const client = new BedrockRuntimeClient({});
const messages = [{ role: "user", content: [{ text: "What does a toll gate do?" }] }];
const modelId = "us.amazon.nova-lite-v1:0";
const whole = await client.send(new ConverseCommand({ modelId, messages }));
console.log(JSON.stringify(whole.usage));
const { stream } = await client.send(new ConverseStreamCommand({ modelId, messages }));
for await (const event of stream) {
  if (event.metadata) {
    console.log(JSON.stringify(event.metadata.usage));
  }
}
