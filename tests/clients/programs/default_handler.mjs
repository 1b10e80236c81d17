// The SDK's default handler for Bedrock opens HTTP/2 on whatever endpoint it is given.
import { BedrockRuntimeClient, ConverseCommand } from "@aws-sdk/client-bedrock-runtime";

const client = new BedrockRuntimeClient({ endpoint: process.env.ENDPOINT, maxAttempts: 1 });
const messages = [{ role: "user", content: [{ text: "hello" }] }];
await client.send(new ConverseCommand({ modelId: "us.amazon.nova-lite-v1:0", messages }));
