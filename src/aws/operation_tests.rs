//! Method and path to operation and model, one row per case: every operation on its own service, the ways a model id
//! is written on the wire, and the paths that are none of ours.

use std::collections::HashSet;

use proptest::prelude::*;

use super::endpoint::Service::{self, AgentRuntime, Mantle, Runtime};
use super::operation::Operation::{self, *};
use super::operation::recognise;

type Row = (
    Service,
    &'static str,
    &'static str,
    Operation,
    Option<&'static str>,
);

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const PROFILE: &str =
    "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123def456";

#[rustfmt::skip]
const KNOWN: &[Row] = &[
    // Model ids as clients write them.
    (Runtime, "POST", "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse", Converse, Some(CLAUDE)),
    (Runtime, "POST", "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3a0/converse", Converse, Some(CLAUDE)),
    (Runtime, "POST", "/model/us.anthropic.claude-sonnet-4-5-20250929-v1:0/invoke", InvokeModel, Some(CLAUDE)),
    (Runtime, "POST", "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc123def456/converse-stream", ConverseStream, Some(PROFILE)),
    (Runtime, "POST", "/model/arn%3aaws%3abedrock%3aus-east-1%3a123456789012%3aapplication-inference-profile%2fabc123def456/converse-stream", ConverseStream, Some(PROFILE)),
    (Runtime, "POST", "/model/arn:aws:bedrock:us-east-1:123456789012:application-inference-profile%2Fabc123def456/invoke", InvokeModel, Some(PROFILE)),
    (Runtime, "POST", "/model/my-custom-name/invoke", InvokeModel, Some("my-custom-name")),
    // What does not decode stays as sent; what decodes does so once.
    (Runtime, "POST", "/model/a%253A0/invoke", InvokeModel, Some("a%3A0")),
    (Runtime, "POST", "/model/a%zz/invoke", InvokeModel, Some("a%zz")),
    (Runtime, "POST", "/model/a%FF/invoke", InvokeModel, Some("a%FF")),
    (Runtime, "POST", "/model/a%/invoke", InvokeModel, Some("a%")),
    (Runtime, "POST", "/model/a+b/invoke", InvokeModel, Some("a+b")),
    // The query is no part of the path.
    (Runtime, "POST", "/model/amazon.nova-lite-v1%3A0/converse?X-Amz-Credential=a%2Fb/invoke", Converse, Some("amazon.nova-lite-v1:0")),
    (Runtime, "POST", "/model/m/converse?", Converse, Some("m")),
    // What a server may fold before it routes.
    (Runtime, "POST", "//model/m/converse", Converse, Some("m")),
    (Runtime, "POST", "/model/m/converse/", Converse, Some("m")),
    (Runtime, "POST", "/%6dodel/m/%63onverse", Converse, Some("m")),
    // Every operation.
    (Runtime, "POST", "/model/m/converse-stream", ConverseStream, Some("m")),
    (Runtime, "POST", "/model/m/invoke-with-response-stream", InvokeModelWithResponseStream, Some("m")),
    (Runtime, "POST", "/model/m/invoke-with-bidirectional-stream", InvokeModelWithBidirectionalStream, Some("m")),
    (Runtime, "POST", "/model/m/count-tokens", CountTokens, Some("m")),
    (Runtime, "POST", "/guardrail/gr123/version/DRAFT/apply", ApplyGuardrail, None),
    (Runtime, "POST", "/guardrail/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aguardrail%2Fgr123/version/1/apply", ApplyGuardrail, None),
    (Runtime, "POST", "/guardrail-checks/invoke", InvokeGuardrailChecks, None),
    (Runtime, "POST", "/async-invoke", StartAsyncInvoke, None),
    (Runtime, "GET", "/async-invoke?maxResults=5&statusEquals=Completed", ListAsyncInvokes, None),
    (Runtime, "GET", "/async-invoke/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aasync-invoke%2Fabcdef123456", GetAsyncInvoke, None),
    (Runtime, "POST", "/openai/v1/chat/completions", ChatCompletions, None),
    (Runtime, "POST", "/v1/chat/completions", ChatCompletions, None),
    (Runtime, "POST", "/anthropic/v1/messages", Messages, None),
    (Runtime, "POST", "/anthropic/v1/messages/count_tokens", MessagesCountTokens, None),
    (Runtime, "GET", "/openai/v1/models", ListModels, None),
    (Mantle, "POST", "/v1/chat/completions", ChatCompletions, None),
    (Mantle, "POST", "/openai/v1/chat/completions", ChatCompletions, None),
    (Mantle, "POST", "/v1/responses", Responses, None),
    (Mantle, "POST", "/openai/v1/responses", Responses, None),
    (Mantle, "POST", "/anthropic/v1/messages?beta=true", Messages, None),
    (Mantle, "POST", "/v1/messages", Messages, None),
    (Mantle, "POST", "/v1/messages/count_tokens", MessagesCountTokens, None),
    (Mantle, "GET", "/v1/models", ListModels, None),
    (AgentRuntime, "POST", "/agents/A1/agentAliases/B2/sessions/s-3/text", InvokeAgent, None),
    (AgentRuntime, "POST", "/agents/s-3", InvokeInlineAgent, None),
    (AgentRuntime, "POST", "/retrieveAndGenerate", RetrieveAndGenerate, None),
    (AgentRuntime, "POST", "/retrieveAndGenerateStream", RetrieveAndGenerateStream, None),
    (AgentRuntime, "POST", "/knowledgebases/KB/retrieve", Retrieve, None),
    (AgentRuntime, "POST", "/rerank", Rerank, None),
    (AgentRuntime, "POST", "/flows/F/aliases/A", InvokeFlow, None),
    (AgentRuntime, "POST", "/optimize-prompt", OptimizePrompt, None),
    (AgentRuntime, "POST", "/generateQuery", GenerateQuery, None),
];

#[rustfmt::skip]
const UNKNOWN: &[(Service, &str, &str)] = &[
    (Runtime, "POST", ""),
    (Runtime, "POST", "/"),
    (Runtime, "POST", "*"),
    (Runtime, "POST", "?"),
    (Runtime, "POST", "model/m/converse"),
    (Runtime, "POST", "https://host/model/m/converse"),
    (Runtime, "GET", "/model/m/converse"),
    (Runtime, "post", "/model/m/converse"),
    (Runtime, "OPTIONS", "/model/m/invoke"),
    (Runtime, "POST", "/model//converse"),
    (Runtime, "POST", "/model/m"),
    (Runtime, "POST", "/model/m/Converse"),
    (Runtime, "POST", "/model/m/converse/x"),
    (Runtime, "POST", "/model/m%2Fconverse"),
    (Runtime, "POST", "/model%2Fm/converse"),
    (Runtime, "POST", "/x/model/m/converse"),
    (Runtime, "POST", "/service/standard/model/m/invoke"),
    (Runtime, "POST", "/guardrail/g/apply"),
    (Runtime, "POST", "/async-invoke/x"),
    (Runtime, "DELETE", "/async-invoke"),
    (Runtime, "POST", "/anthropic/v1/chat/completions"),
    (Runtime, "POST", "/openai/v1/messages"),
    (Runtime, "POST", "/v2/chat/completions"),
    (Runtime, "POST", "/rerank"),
    (Mantle, "POST", "/model/m/converse"),
    (Mantle, "GET", "/v1/responses/resp_1"),
    (Mantle, "POST", "/v1/models"),
    (AgentRuntime, "POST", "/model/m/converse"),
    (AgentRuntime, "GET", "/rerank"),
    (AgentRuntime, "POST", "/agents/A/agentAliases/B/memories"),
    (AgentRuntime, "POST", "/agents/A/agentAliases/B/sessions/s/text/x"),
    (AgentRuntime, "POST", "/sessions/"),
    (AgentRuntime, "POST", "/flows/F/aliases/A/executions"),
];

#[test]
fn known_paths_tell_operation_and_model() {
    for (service, method, path, operation, model) in KNOWN {
        let call = recognise(*service, method, path).unwrap_or_else(|| panic!("{method} {path}"));
        assert_eq!(call.operation, *operation, "{method} {path}");
        assert_eq!(call.model.as_deref(), *model, "{method} {path}");
    }
}

#[test]
fn unknown_paths_tell_nothing() {
    for (service, method, path) in UNKNOWN {
        assert_eq!(recognise(*service, method, path), None, "{method} {path}");
    }
}

#[test]
fn an_id_longer_than_the_service_allows_is_not_kept() {
    let longest = "m".repeat(2048);
    let call = |id: &str| recognise(Runtime, "POST", &format!("/model/{id}/invoke")).unwrap();
    assert_eq!(call(&longest).model.as_deref(), Some(&*longest));
    let longer = call(&format!("{longest}m"));
    assert_eq!((longer.operation, longer.model), (InvokeModel, None));
}

#[test]
fn names_are_distinct_and_spelt_like_the_variants() {
    let operations: HashSet<Operation> = KNOWN.iter().map(|row| row.3).collect();
    let names: HashSet<&str> = operations
        .iter()
        .map(|operation| operation.name())
        .collect();
    assert_eq!((operations.len(), names.len()), (25, 25));
    for operation in operations {
        assert_eq!(operation.name(), format!("{operation:?}"));
    }
}

#[test]
fn a_model_stands_in_the_path_or_in_the_body_but_not_in_both() {
    for (_, _, path, operation, model) in KNOWN {
        assert!(
            model.is_none() || !operation.names_model_in_body(),
            "{path}"
        );
    }
    let in_body: HashSet<&str> = KNOWN
        .iter()
        .filter(|row| row.3.names_model_in_body())
        .map(|row| row.3.name())
        .collect();
    let expected = [
        "ChatCompletions",
        "Responses",
        "Messages",
        "MessagesCountTokens",
        "StartAsyncInvoke",
        "InvokeInlineAgent",
        "RetrieveAndGenerate",
        "RetrieveAndGenerateStream",
        "Rerank",
    ];
    assert_eq!(in_body, expected.into_iter().collect());
}

proptest! {
    #[test]
    fn no_path_panics(method in "[A-Z]{0,5}", path in any::<String>(), tail in "(/[a-z%2-9:]{0,6}){0,9}") {
        for service in [Runtime, Mantle, AgentRuntime] {
            prop_assert!(recognise(service, &method, &path).is_none_or(|call| call.model.is_none()));
            let _call = recognise(service, "POST", &format!("/{path}{tail}"));
        }
    }

    #[test]
    fn any_id_survives_its_encoding(id in "\\PC{1,80}") {
        let encoded: String = id.bytes().map(|octet| format!("%{octet:02X}")).collect();
        let call = recognise(Runtime, "POST", &format!("/model/{encoded}/converse")).unwrap();
        prop_assert_eq!(call.model.as_deref(), Some(&*id));
    }
}

#[test]
fn every_operation_is_known_by_its_name() {
    let named: HashSet<_> = Operation::ALL
        .iter()
        .map(|operation| operation.name())
        .collect();
    assert_eq!(named.len(), Operation::ALL.len());
    for (_, _, _, operation, _) in KNOWN {
        assert_eq!(Operation::from_name(operation.name()), Some(*operation));
    }
    let known: HashSet<_> = KNOWN
        .iter()
        .map(|(_, _, _, operation, _)| *operation)
        .collect();
    assert_eq!(known.len(), Operation::ALL.len());
    assert_eq!(Operation::from_name("converse"), None);
}
