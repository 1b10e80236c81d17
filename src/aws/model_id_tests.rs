//! Model ids of every form: kind, geography, foundation model, base and provider, one row per id.

use proptest::prelude::*;

use super::model_id::{ArnKind, ModelId, ModelKind};

type Named = (
    &'static str,
    Option<&'static str>,
    &'static str,
    &'static str,
    &'static str,
);

#[rustfmt::skip]
const NAMED: &[Named] = &[
    ("anthropic.claude-3-5-sonnet-20241022-v2:0", None, "anthropic.claude-3-5-sonnet-20241022-v2:0", "anthropic.claude-3-5-sonnet-20241022", "anthropic"),
    ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", Some("us"), "anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic.claude-sonnet-4-5-20250929", "anthropic"),
    ("eu.amazon.nova-lite-v1:0", Some("eu"), "amazon.nova-lite-v1:0", "amazon.nova-lite", "amazon"),
    ("apac.amazon.nova-pro-v1:0", Some("apac"), "amazon.nova-pro-v1:0", "amazon.nova-pro", "amazon"),
    ("jp.anthropic.claude-opus-4-7", Some("jp"), "anthropic.claude-opus-4-7", "anthropic.claude-opus-4-7", "anthropic"),
    ("au.anthropic.claude-opus-4-6-v1", Some("au"), "anthropic.claude-opus-4-6-v1", "anthropic.claude-opus-4-6", "anthropic"),
    ("ca.amazon.nova-lite-v1:0", Some("ca"), "amazon.nova-lite-v1:0", "amazon.nova-lite", "amazon"),
    ("in.moonshotai.kimi-k3", Some("in"), "moonshotai.kimi-k3", "moonshotai.kimi-k3", "moonshotai"),
    ("us-gov.openai.gpt-oss-20b-1:0", Some("us-gov"), "openai.gpt-oss-20b-1:0", "openai.gpt-oss-20b", "openai"),
    ("global.openai.gpt-5.6-luna", Some("global"), "openai.gpt-5.6-luna", "openai.gpt-5.6-luna", "openai"),
    ("us.deepseek.v3.2", Some("us"), "deepseek.v3.2", "deepseek.v3.2", "deepseek"),
    ("deepseek.v3.1", None, "deepseek.v3.1", "deepseek.v3.1", "deepseek"),
    ("deepseek.v3-v1:0", None, "deepseek.v3-v1:0", "deepseek.v3", "deepseek"),
    ("meta.llama3-3-70b-instruct-v1:0", None, "meta.llama3-3-70b-instruct-v1:0", "meta.llama3-3-70b-instruct", "meta"),
    ("cohere.embed-english-v3", None, "cohere.embed-english-v3", "cohere.embed-english", "cohere"),
    ("mistral.mistral-7b-instruct-v0:2", None, "mistral.mistral-7b-instruct-v0:2", "mistral.mistral-7b-instruct", "mistral"),
    ("amazon.titan-text-express-v1:0:8k", None, "amazon.titan-text-express-v1:0:8k", "amazon.titan-text-express", "amazon"),
    ("anthropic.claude-instant-v1:2:100k", None, "anthropic.claude-instant-v1:2:100k", "anthropic.claude-instant", "anthropic"),
    ("amazon.titan-embed-g1-text-02", None, "amazon.titan-embed-g1-text-02", "amazon.titan-embed-g1-text-02", "amazon"),
    ("anthropic.claude-haiku-5-5", None, "anthropic.claude-haiku-5-5", "anthropic.claude-haiku-5-5", "anthropic"),
    ("ai21.jamba-1-5-large-v1:0", None, "ai21.jamba-1-5-large-v1:0", "ai21.jamba-1-5-large", "ai21"),
    ("zai.glm-4.7-flash", None, "zai.glm-4.7-flash", "zai.glm-4.7-flash", "zai"),
    ("minimax.minimax-m2.1", None, "minimax.minimax-m2.1", "minimax.minimax-m2.1", "minimax"),
    ("arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-text-express-v1", None, "amazon.titan-text-express-v1", "amazon.titan-text-express", "amazon"),
    ("arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-20250514-v1:0", Some("us"), "anthropic.claude-sonnet-4-20250514-v1:0", "anthropic.claude-sonnet-4-20250514", "anthropic"),
    ("arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:inference-profile/us-gov.anthropic.claude-opus-5", Some("us-gov"), "anthropic.claude-opus-5", "anthropic.claude-opus-5", "anthropic"),
];

type Arn = (
    &'static str,
    ArnKind,
    Option<&'static str>,
    Option<&'static str>,
);

/// ARNs that name no foundation model: kind, account, region.
#[rustfmt::skip]
const OPAQUE: &[Arn] = &[
    ("arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc123def456", ArnKind::ApplicationInferenceProfile, Some("123456789012"), Some("eu-west-1")),
    ("arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc123def456", ArnKind::ProvisionedModel, Some("123456789012"), Some("us-east-1")),
    ("arn:aws:bedrock:us-east-1:123456789012:custom-model/amazon.titan-text-lite-v1:0:4k/abc123def456", ArnKind::CustomModel, Some("123456789012"), Some("us-east-1")),
    ("arn:aws:bedrock:us-east-1:123456789012:custom-model-deployment/abc123def456", ArnKind::CustomModelDeployment, Some("123456789012"), Some("us-east-1")),
    ("arn:aws:bedrock:us-east-1:123456789012:imported-model/abc123def456", ArnKind::ImportedModel, Some("123456789012"), Some("us-east-1")),
    ("arn:aws:bedrock:us-east-1:123456789012:prompt/ABCDEFGHIJ:3", ArnKind::Prompt, Some("123456789012"), Some("us-east-1")),
    ("arn:aws:bedrock:us-east-1:123456789012:prompt-router/abc", ArnKind::PromptRouter, Some("123456789012"), Some("us-east-1")),
    ("arn:aws:bedrock:us-east-1:123456789012:default-prompt-router/anthropic.claude:1", ArnKind::DefaultPromptRouter, Some("123456789012"), Some("us-east-1")),
    ("arn:aws:sagemaker:us-east-1:123456789012:endpoint/my-endpoint", ArnKind::Endpoint, Some("123456789012"), Some("us-east-1")),
    ("arn:aws:sagemaker:us-east-1:123456789012:foundation-model/a.b", ArnKind::Other, Some("123456789012"), Some("us-east-1")),
    ("arn:aws:bedrock:::something/else", ArnKind::Other, None, None),
];

#[test]
fn named_models_are_taken_apart() {
    for (id, geography, foundation_model, base, provider) in NAMED {
        let model = ModelId::parse(id);
        assert_eq!(model.geography(), *geography, "{id}");
        assert_eq!(model.foundation_model(), Some(*foundation_model), "{id}");
        assert_eq!(model.base().as_deref(), Some(*base), "{id}");
        assert_eq!(model.provider(), Some(*provider), "{id}");
        match model.kind() {
            ModelKind::FoundationModel => assert_eq!(*geography, None, "{id}"),
            ModelKind::InferenceProfile { geography: found } => {
                assert_eq!(Some(found), *geography, "{id}");
            }
            ModelKind::Arn { .. } => assert!(id.starts_with("arn:"), "{id}"),
            ModelKind::Bare => panic!("{id}"),
        }
    }
}

#[test]
fn arns_tell_kind_account_and_region() {
    for (id, kind, account, region) in OPAQUE {
        let model = ModelId::parse(id);
        let expected = ModelKind::Arn {
            kind: *kind,
            account: *account,
            region: *region,
        };
        assert_eq!(model.kind(), expected, "{id}");
        // What these address is not in the request.
        assert_eq!(
            (model.geography(), model.base(), model.provider()),
            (None, None, None),
            "{id}"
        );
    }
    let foundation = "arn:aws:bedrock:us-east-1::foundation-model/meta.llama3-8b-instruct-v1:0";
    assert_eq!(
        ModelId::parse(foundation).kind(),
        ModelKind::Arn {
            kind: ArnKind::FoundationModel,
            account: None,
            region: Some("us-east-1"),
        }
    );
}

#[test]
fn everything_else_is_a_bare_name() {
    let rows = [
        "",
        ".",
        "a.",
        ".a",
        "my-custom-model",
        "claude-sonnet-4-5-20250929-v1:0",
        "My.Model",
        "arn:",
        "arn:aws:bedrock",
        "arn:aws:bedrock:us-east-1:123456789012:no-slash",
        "claude_platform/claude-opus-5.5",
        "anthropic.claude sonnet",
        "anthropic.claude\n",
        "anthropic.clåude",
        "-x.claude",
    ];
    for id in rows {
        let model = ModelId::parse(id);
        assert_eq!(model.kind(), ModelKind::Bare, "{id:?}");
        assert_eq!(
            (model.geography(), model.base(), model.provider()),
            (None, None, None),
            "{id:?}"
        );
    }
    // Two letters before a name without provider are no geography.
    let short = ModelId::parse("us.model");
    assert_eq!((short.geography(), short.provider()), (None, Some("us")));
}

proptest! {
    #[test]
    fn no_id_panics(id in any::<String>(), shaped in "(arn:)?[a-z.:/-]{0,40}") {
        for id in [id, shaped] {
            let model = ModelId::parse(&id);
            if let (Some(base), Some(provider)) = (model.base(), model.provider()) {
                prop_assert!(base.starts_with(provider));
                prop_assert!(id.contains(&base));
            }
        }
    }
}
