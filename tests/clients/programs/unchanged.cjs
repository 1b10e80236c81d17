// The same as a CommonJS module.
const { BedrockRuntimeClient, ConverseCommand } = require("@aws-sdk/client-bedrock-runtime");

const client = new BedrockRuntimeClient({});
const messages = [{ role: "user", content: [{ text: "What does a toll gate do?" }] }];
client
  .send(new ConverseCommand({ modelId: "us.amazon.nova-lite-v1:0", messages }))
  .then((whole) => console.log(JSON.stringify(whole.usage)));
