// Converse with the AWS SDK for JavaScript v3 through tollgate.
//
// The SDK's default handler for Bedrock speaks HTTP/2 and ignores proxies, so it gets NodeHttpHandler with an agent that
// does CONNECT.
//
//     npm ci                                # in this directory
//     tollgate serve                        # prints the NODE_EXTRA_CA_CERTS line to paste
//     export NODE_EXTRA_CA_CERTS=…/ca.pem
//     AWS_REGION=us-east-1 node converse.mjs
//
// In the ledger: entry `connect`.

import { BedrockRuntimeClient, ConverseCommand } from "@aws-sdk/client-bedrock-runtime";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { HttpsProxyAgent } from "https-proxy-agent";

const proxy = `http://${process.env.TOLLGATE ?? "localhost:5380"}`;
const modelId = process.env.MODEL ?? "us.amazon.nova-lite-v1:0";

const client = new BedrockRuntimeClient({
  requestHandler: new NodeHttpHandler({ httpsAgent: new HttpsProxyAgent(proxy) }),
});
const response = await client.send(
  new ConverseCommand({
    modelId,
    messages: [{ role: "user", content: [{ text: "What does a toll gate do?" }] }],
  }),
);
console.log(response.output.message.content[0].text);
console.log(JSON.stringify(response.usage));
