// Calls a model by four operations with the AWS SDK for JavaScript v3 through tollgate, and prints as JSON what each comes to.
//
// ATTEMPTS is how often the SDK may try, MODEL the model, MOST the longest answer if there is to be one.

import {
  BedrockRuntimeClient,
  ConverseCommand,
  ConverseStreamCommand,
  InvokeModelCommand,
  InvokeModelWithResponseStreamCommand,
} from "@aws-sdk/client-bedrock-runtime";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { HttpsProxyAgent } from "https-proxy-agent";

const { TOLLGATE, MODEL: modelId, ATTEMPTS, MOST } = process.env;
const client = new BedrockRuntimeClient({
  maxAttempts: Number(ATTEMPTS),
  requestHandler: new NodeHttpHandler({ httpsAgent: new HttpsProxyAgent(`http://${TOLLGATE}`) }),
});
const messages = [{ role: "user", content: [{ text: "hello" }] }];
const inferenceConfig = MOST ? { maxTokens: Number(MOST) } : {};
const body = JSON.stringify({ messages, inferenceConfig });
const calls = {
  Converse: new ConverseCommand({ modelId, messages, inferenceConfig }),
  ConverseStream: new ConverseStreamCommand({ modelId, messages, inferenceConfig }),
  InvokeModel: new InvokeModelCommand({ modelId, body }),
  InvokeModelWithResponseStream: new InvokeModelWithResponseStreamCommand({ modelId, body }),
};
const seen = {};
for (const [name, call] of Object.entries(calls)) {
  try {
    const response = await client.send(call);
    for await (const event of response.stream ?? response.body ?? []) void event;
    seen[name] = { name: "none" };
  } catch (error) {
    const { httpStatusCode: status, attempts } = error.$metadata ?? {};
    seen[name] = { name: error.name, message: error.message, status, attempts };
  }
}
console.log(JSON.stringify(seen));
