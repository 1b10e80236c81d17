//! How a call was served: the service tier and the latency configuration, and the band of rates that they lead to.
//!
//! The response decides; what was asked for counts only where it is silent. Names are those of the wire: Bedrock's
//! `serviceTier` (`default`, `priority`, `flex`, `reserved`) and those of the OpenAI and Anthropic shapes for the same.

use super::price::Band;

/// A service tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier<'a> {
    /// On demand.
    Standard,
    /// Cheaper and slower.
    Flex,
    /// Dearer and quicker.
    Priority,
    /// A batch.
    Batch,
    /// `reserved`, and every one that is not known here.
    Other(&'a str),
}

/// A service tier, and whether the response told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServedTier<'a> {
    pub(crate) tier: Tier<'a>,
    /// The response was silent, and something was asked for that it need not have given.
    pub(crate) is_assumed: bool,
}

impl<'a> Tier<'a> {
    /// Reads a tier's name.
    #[must_use]
    pub fn parse(name: &'a str) -> Self {
        match name {
            "" | "default" | "standard" | "standard_only" | "auto" => Self::Standard,
            "flex" => Self::Flex,
            "priority" => Self::Priority,
            "batch" => Self::Batch,
            other => Self::Other(other),
        }
    }

    /// Its one name.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        match self {
            Self::Standard => "default",
            Self::Flex => "flex",
            Self::Priority => "priority",
            Self::Batch => "batch",
            Self::Other(name) => name,
        }
    }

    /// The band of rates, for this tier and latency. `None` where no band is known.
    pub(crate) fn band(self, latency: Option<&str>) -> Option<Band> {
        match (self, latency.unwrap_or("standard")) {
            (Self::Standard, "standard" | "") => Some(Band::Standard),
            (Self::Standard, "optimized") => Some(Band::Optimized),
            (Self::Flex, "standard" | "") => Some(Band::Flex),
            (Self::Priority, "standard" | "") => Some(Band::Priority),
            (Self::Batch, "standard" | "") => Some(Band::Batch),
            _ => None,
        }
    }
}

impl<'a> ServedTier<'a> {
    /// From what the response told and what was asked for.
    pub(crate) fn new(told: Option<&'a str>, asked: Option<&'a str>) -> Self {
        match (told.filter(|name| !name.is_empty()), asked) {
            (Some(told), _) => Self {
                tier: Tier::parse(told),
                // The answer to `auto` is what was chosen; an echo of the question is none.
                is_assumed: told == "auto",
            },
            (None, asked) => {
                let asked = asked.unwrap_or_default();
                let tier = Tier::parse(asked);
                Self {
                    tier,
                    is_assumed: tier != Tier::Standard || asked == "auto",
                }
            }
        }
    }
}
