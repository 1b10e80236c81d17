//! The calls the demo sends: one for each door, each another operation or model family.
//!
//! Two of them are streams, one writes to the prompt cache, and the example of the published guide goes
//! through the two doors that the guide describes.

use serde_json::json;

use super::{Credential, Door, SampleCall};

const HOST: &str = "bedrock-runtime.us-east-1.amazonaws.com";
const REGION: &str = "us-east-1";

/// One call for every door, two of them streams.
#[must_use]
pub fn samples() -> Vec<SampleCall> {
    let mut calls = through_tunnels();
    calls.extend(through_the_front());
    calls
}

/// The doors that begin with a CONNECT, and the one that needs none.
fn through_tunnels() -> Vec<SampleCall> {
    let question = json!([{"role": "user", "content": [{"text": "What does a toll gate do?"}]}]);
    let long_system = "Answer like the keeper of a toll gate on an old mountain road. ".repeat(20);
    vec![
        SampleCall {
            door: Door::ConnectPlain,
            operation: "Converse",
            model: "us.amazon.nova-lite-v1:0",
            host: HOST,
            region: REGION,
            path: "/model/us.amazon.nova-lite-v1%3A0/converse",
            body: json!({"messages": question}).to_string(),
            credential: Credential::AccessKey,
        },
        SampleCall {
            door: Door::ConnectTls,
            operation: "ConverseStream",
            model: "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            host: HOST,
            region: REGION,
            path: "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse-stream",
            body: json!({
                "system": [{"text": long_system}, {"cachePoint": {"type": "default"}}],
                "messages": question,
            })
            .to_string(),
            credential: Credential::Session,
        },
        SampleCall {
            door: Door::TransparentTls,
            operation: "ChatCompletions",
            model: "openai.gpt-oss-20b-1:0",
            host: HOST,
            region: REGION,
            path: "/openai/v1/chat/completions",
            body: json!({
                "model": "openai.gpt-oss-20b-1:0",
                "messages": [{"role": "user", "content": "What does a toll gate do?"}],
            })
            .to_string(),
            credential: Credential::Bearer,
        },
    ]
}

/// The doors that take a request as it is.
fn through_the_front() -> Vec<SampleCall> {
    let guide = json!({
        "inputText": "Human: explain black holes with 10 words\n\nAssistant:",
        "textGenerationConfig": {"maxTokenCount": 15, "stopSequences": [], "temperature": 0, "topP": 0.9},
    });
    let embed = json!({"texts": ["a gate", "a toll"], "input_type": "search_document"});
    vec![
        SampleCall {
            door: Door::ForwardTls,
            operation: "InvokeModel",
            model: "amazon.titan-text-express-v1",
            host: HOST,
            region: REGION,
            path: "/model/amazon.titan-text-express-v1/invoke",
            body: guide.to_string(),
            credential: Credential::AccessKey,
        },
        SampleCall {
            door: Door::ForwardPlain,
            operation: "InvokeModel",
            model: "cohere.embed-english-v3",
            host: HOST,
            region: REGION,
            path: "/model/cohere.embed-english-v3/invoke",
            body: embed.to_string(),
            credential: Credential::Session,
        },
        SampleCall {
            door: Door::RoutePlain,
            operation: "InvokeModel",
            model: "amazon.titan-text-express-v1",
            host: HOST,
            region: REGION,
            path: "/model/amazon.titan-text-express-v1/invoke",
            body: guide.to_string(),
            credential: Credential::Presigned,
        },
        SampleCall {
            door: Door::RouteTls,
            operation: "InvokeModelWithResponseStream",
            model: "us.meta.llama3-3-70b-instruct-v1:0",
            host: HOST,
            region: REGION,
            path: "/model/us.meta.llama3-3-70b-instruct-v1%3A0/invoke-with-response-stream",
            body: json!({"prompt": "What does a toll gate do?", "max_gen_len": 64}).to_string(),
            credential: Credential::AccessKey,
        },
    ]
}
