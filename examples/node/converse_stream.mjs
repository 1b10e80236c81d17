// ConverseStream with the AWS SDK for JavaScript v3 through tollgate: the text appears as the model writes it, the token
// counts come last.
//
//     npm ci                                # in this directory
//     tollgate serve                        # prints the NODE_EXTRA_CA_CERTS line to paste
//     export NODE_EXTRA_CA_CERTS=…/ca.pem
//     AWS_REGION=us-east-1 node converse_stream.mjs
//
// In the ledger: entry `connect`, `stream` true.

import { BedrockRuntimeClient, ConverseStreamCommand } from "@aws-sdk/client-bedrock-runtime";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { HttpsProxyAgent } from "https-proxy-agent";

const proxy = `http://${process.env.TOLLGATE ?? "localhost:5380"}`;
const modelId = process.env.MODEL ?? "us.anthropic.claude-sonnet-4-5-20250929-v1:0";

const client = new BedrockRuntimeClient({
  requestHandler: new NodeHttpHandler({ httpsAgent: new HttpsProxyAgent(proxy) }),
});
const response = await client.send(
  new ConverseStreamCommand({
    modelId,
    messages: [{ role: "user", content: [{ text: "What does a toll gate do?" }] }],
  }),
);
for await (const event of response.stream) {
  if (event.contentBlockDelta) {
    process.stdout.write(event.contentBlockDelta.delta.text ?? "");
  } else if (event.metadata) {
    console.log("\n" + JSON.stringify(event.metadata.usage));
  }
}
