//! A view of a model identifier: foundation model, inference profile, ARN or bare name.
//!
//! Works on the decoded id and judges form only, so it needs no list of models or providers. What an id does not say
//! (the model behind an application inference profile, a provisioned, imported or custom model, a router) stays
//! unknown rather than guessed. Patterns follow the `modelId` member of the Bedrock Runtime service model.

use super::split::{all, split_once};

/// A model identifier, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelId<'a> {
    kind: ModelKind<'a>,
    /// `[geography.]provider.name[-vN][:M]`, where the id holds one.
    named: Option<Named<'a>>,
}

/// A name, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Named<'a> {
    geography: Option<&'a str>,
    /// What stands behind the geography.
    model: &'a str,
}

/// The forms that a model identifier takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelKind<'a> {
    /// `provider.name-vN:M`.
    FoundationModel,
    /// A system inference profile: a foundation model behind a geography.
    InferenceProfile {
        /// `us`, `eu`, `apac`, `us-gov`, `global`, …
        geography: &'a str,
    },
    /// An ARN.
    Arn {
        /// What the ARN names.
        kind: ArnKind,
        /// The account; foundation models have none.
        account: Option<&'a str>,
        /// The region.
        region: Option<&'a str>,
    },
    /// Anything else: the name of a custom or provisioned model.
    Bare,
}

/// The resources that an ARN in place of a model id may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArnKind {
    /// `foundation-model`.
    FoundationModel,
    /// `inference-profile`: a system inference profile.
    InferenceProfile,
    /// `application-inference-profile`.
    ApplicationInferenceProfile,
    /// `provisioned-model`.
    ProvisionedModel,
    /// `custom-model`.
    CustomModel,
    /// `custom-model-deployment`.
    CustomModelDeployment,
    /// `imported-model`.
    ImportedModel,
    /// `prompt`.
    Prompt,
    /// `prompt-router`.
    PromptRouter,
    /// `default-prompt-router`.
    DefaultPromptRouter,
    /// A SageMaker `endpoint`.
    Endpoint,
    /// A resource that is not known here.
    Other,
}

impl<'a> ModelId<'a> {
    /// Takes a decoded model id apart. Every text has a form, so this cannot fail.
    #[must_use]
    pub fn parse(id: &'a str) -> Self {
        if let Some(arn) = Self::from_arn(id) {
            return arn;
        }
        let named = Named::parse(id);
        let kind = match named {
            None => ModelKind::Bare,
            Some(Named {
                geography: Some(geography),
                ..
            }) => ModelKind::InferenceProfile { geography },
            Some(_) => ModelKind::FoundationModel,
        };
        Self { kind, named }
    }

    /// The form of the id.
    #[must_use]
    pub fn kind(&self) -> ModelKind<'a> {
        self.kind
    }

    /// The geography of an inference profile, also when an ARN names it.
    #[must_use]
    pub fn geography(&self) -> Option<&'a str> {
        self.named?.geography
    }

    /// The foundation model with its version: the id without ARN and geography. The key for exact look-ups.
    #[must_use]
    pub fn foundation_model(&self) -> Option<&'a str> {
        Some(self.named?.model)
    }

    /// The foundation model without its version suffix (`-vN`, `-vN:M`, `-N:M`, and a context suffix behind them).
    ///
    /// For grouping: two versions of one model may differ in price, so look prices up by
    /// [`foundation_model`](Self::foundation_model) first. `None` for opaque ids.
    #[must_use]
    pub fn base(&self) -> Option<String> {
        self.foundation_model()
            .map(|model| without_version(model).to_owned())
    }

    /// The provider: `anthropic`, `amazon`, `meta`, `cohere`, … `None` for opaque ids.
    #[must_use]
    pub fn provider(&self) -> Option<&'a str> {
        let (provider, _) = self.foundation_model()?.split_once('.')?;
        Some(provider)
    }

    fn from_arn(id: &'a str) -> Option<Self> {
        let mut parts = id.strip_prefix("arn:")?.splitn(5, ':');
        let (_partition, service) = (parts.next()?, parts.next()?);
        let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
        let (resource_kind, name) = resource.split_once('/')?;
        let kind = ArnKind::of(service, resource_kind);
        Some(Self {
            kind: ModelKind::Arn {
                kind,
                account: Some(account).filter(|text| !text.is_empty()),
                region: Some(region).filter(|text| !text.is_empty()),
            },
            named: match kind {
                ArnKind::FoundationModel | ArnKind::InferenceProfile => Named::parse(name),
                _ => None,
            },
        })
    }
}

impl<'a> Named<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let (first, rest) = split_name(name)?;
        let has_geography = is_geography(first, rest);
        Some(Self {
            geography: has_geography.then_some(first),
            model: if has_geography { rest } else { name },
        })
    }
}

impl ArnKind {
    fn of(service: &str, resource: &str) -> Self {
        match (service, resource) {
            ("bedrock", "foundation-model") => Self::FoundationModel,
            ("bedrock", "inference-profile") => Self::InferenceProfile,
            ("bedrock", "application-inference-profile") => Self::ApplicationInferenceProfile,
            ("bedrock", "provisioned-model") => Self::ProvisionedModel,
            ("bedrock", "custom-model") => Self::CustomModel,
            ("bedrock", "custom-model-deployment") => Self::CustomModelDeployment,
            ("bedrock", "imported-model") => Self::ImportedModel,
            ("bedrock", "prompt") => Self::Prompt,
            ("bedrock", "prompt-router") => Self::PromptRouter,
            ("bedrock", "default-prompt-router") => Self::DefaultPromptRouter,
            ("sagemaker", "endpoint") => Self::Endpoint,
            _ => Self::Other,
        }
    }
}

/// Geographies that two letters do not spell; the two-letter ones need no list.
const GEOGRAPHIES: &[&str] = &["apac", "global", "us-gov"];

/// Whether `first` is a geography before `provider.name`. No provider's name is as short as two letters.
fn is_geography(first: &str, rest: &str) -> bool {
    let known = GEOGRAPHIES.contains(&first)
        || (first.len() == 2 && first.bytes().all(|octet| octet.is_ascii_lowercase()));
    known && split_name(rest).is_some()
}

/// Splits `provider.name` or `geography.provider.name` at its first dot, if it has that form.
fn split_name(id: &str) -> Option<(&str, &str)> {
    let (first, rest) = split_once(id, b'.')?;
    let of_label = |octet: u8| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let of_name = |octet: u8| {
        octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b':' | b'@')
    };
    let label = first.starts_with(|first: char| first.is_ascii_lowercase()) && all(first, of_label);
    let name = rest.starts_with(|first: char| first.is_ascii_alphanumeric()) && all(rest, of_name);
    (label && name).then_some((first, rest))
}

fn without_version(model: &str) -> &str {
    let (stem, minor) = match model.split_once(':') {
        Some((stem, _)) => (stem, true),
        None => (model, false),
    };
    let Some((name, last)) = stem.rsplit_once('-') else {
        return stem;
    };
    // A number without `v` is a version only where `:M` follows: `claude-opus-5-5` ends in its name.
    let number = match last.strip_prefix('v') {
        Some(number) => number,
        None if minor => last,
        None => return stem,
    };
    if !number.is_empty() && number.bytes().all(|octet| octet.is_ascii_digit()) {
        name
    } else {
        stem
    }
}
