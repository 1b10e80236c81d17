//! From a model id to the family whose bodies it speaks.
//!
//! An id may have a geography in front, or be the last part of an ARN. Ids that do not tell their model (application
//! inference profiles and the like) are taken for Anthropic ones when the body looks so.

use super::prompt::parse;

/// The families that InvokeModel knows bodies of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Anthropic,
    Nova,
    TitanText,
    TitanEmbeddings,
    Llama,
    Mistral,
    CohereEmbed,
    /// Chat completions in InvokeModel.
    Chat,
}

const GEOGRAPHIES: [&str; 8] = ["us", "eu", "apac", "jp", "au", "ca", "us-gov", "global"];

impl Family {
    /// The family of a model, if its id or the body tells.
    pub(super) fn of(model: &str, body: &[u8]) -> Option<Self> {
        let (provider, name) = base(model).split_once('.').unwrap_or(("", ""));
        match (provider, name) {
            ("anthropic", _) => Some(Self::Anthropic),
            ("amazon", name) if name.starts_with("nova-") => Some(Self::Nova),
            ("amazon", name) if name.starts_with("titan-embed-") => Some(Self::TitanEmbeddings),
            ("amazon", name)
                if name.starts_with("titan-text-") || name.starts_with("titan-tg1-") =>
            {
                Some(Self::TitanText)
            }
            ("meta", name) if name.starts_with("llama") => Some(Self::Llama),
            ("mistral", _) => Some(Self::Mistral),
            ("cohere", name) if name.starts_with("embed-") => Some(Self::CohereEmbed),
            ("openai" | "qwen" | "writer", _) => Some(Self::Chat),
            // The models that fail on purpose fail in this family's shape.
            ("simulate", _) => Some(Self::Anthropic),
            _ => {
                let looks_anthropic =
                    parse(body).is_ok_and(|body| body.get("anthropic_version").is_some());
                (model.starts_with("arn:") && looks_anthropic).then_some(Self::Anthropic)
            }
        }
    }
}

/// Whether the id names a system or application inference profile.
pub(super) fn is_inference_profile(model: &str) -> bool {
    model.contains("inference-profile/") || last_part(model) != base(model)
}

/// The id without provider and version, as Anthropic bodies repeat it.
pub(super) fn bare_name(model: &str) -> &str {
    let base = base(model);
    let name = base.split_once('.').map_or(base, |(_, name)| name);
    name.rsplit_once("-v").map_or(name, |(name, _)| name)
}

fn last_part(model: &str) -> &str {
    model.rsplit_once('/').map_or(model, |(_, last)| last)
}

fn base(model: &str) -> &str {
    let id = last_part(model);
    match id.split_once('.') {
        Some((geography, rest)) if GEOGRAPHIES.contains(&geography) => rest,
        _ => id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_tell_their_family() {
        let rows = [
            (
                "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
                Some(Family::Anthropic),
            ),
            (
                "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
                Some(Family::Nova),
            ),
            ("amazon.titan-text-express-v1", Some(Family::TitanText)),
            (
                "amazon.titan-embed-text-v2:0",
                Some(Family::TitanEmbeddings),
            ),
            ("us.meta.llama3-3-70b-instruct-v1:0", Some(Family::Llama)),
            ("openai.gpt-oss-20b-1:0", Some(Family::Chat)),
            (
                "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc",
                None,
            ),
            ("nobody.knows", None),
        ];
        for (model, family) in rows {
            assert_eq!(Family::of(model, b"{}"), family, "{model}");
        }
        let opaque = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc";
        assert_eq!(
            Family::of(opaque, br#"{"anthropic_version":"x"}"#),
            Some(Family::Anthropic)
        );
        assert!(is_inference_profile(opaque) && is_inference_profile("eu.amazon.nova-lite-v1:0"));
        assert!(!is_inference_profile("anthropic.claude-v2"));
        assert_eq!(
            bare_name("us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
            "claude-sonnet-4-5-20250929"
        );
    }
}
