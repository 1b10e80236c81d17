// An endpoint that names the gate: the request is signed for the wrong host. Prints the error the SDK makes of the answer.
import { BedrockRuntimeClient, ConverseCommand } from "@aws-sdk/client-bedrock-runtime";
import { NodeHttpHandler } from "@smithy/node-http-handler";

const client = new BedrockRuntimeClient({ endpoint: process.env.ENDPOINT, requestHandler: new NodeHttpHandler() });
const messages = [{ role: "user", content: [{ text: "hello" }] }];
try {
  await client.send(new ConverseCommand({ modelId: "us.amazon.nova-lite-v1:0", messages }));
} catch (error) {
  console.log(JSON.stringify({ name: error.name, message: error.message }));
}
