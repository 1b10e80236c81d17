//! What a call asks the upstream to do with its answer, in a field that the gate passes on like any other.
//!
//! The client that asks for a fault knows what is coming, so both sides of the gate can be held against the record.

use serde::{Deserialize, Serialize};

/// The request field with the acts as JSON.
pub(crate) const ACTS: &str = "x-soak-acts";
/// The response field with the marker of the request that is answered.
pub(crate) const MARKER: &str = "x-soak-marker";
/// The response field with the CRC-32 of the content, in hexadecimal.
pub(crate) const CRC: &str = "x-soak-crc";

/// How a side goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Going {
    /// In order: `close_notify` where there is TLS, then FIN.
    Close,
    /// By FIN alone.
    Cut,
    /// By RST.
    Reset,
}

impl Going {
    pub(crate) const ALL: [Self; 3] = [Self::Close, Self::Cut, Self::Reset];
}

/// The content coding of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// How an answer is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Delimited {
    Length,
    /// With extensions and a trailer, in chunks that do not line up with anything.
    Chunks,
    /// By the connection's end.
    Close,
    /// HTTP/1.0 with a length.
    Http10,
}

/// An answer that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Nonsense {
    /// Octets that are no HTTP.
    Noise,
    /// A status line that never ends.
    Endless,
    /// Two lengths that differ.
    TwoLengths,
    /// A length and chunks.
    LengthAndChunks,
    /// A field-line that ends in LF.
    BareLf,
    /// A protocol that nobody asked for.
    Switch,
    /// More interim responses than anybody sends.
    Interims,
    /// A chunk size that is none.
    ChunkSize,
}

impl Nonsense {
    pub(crate) const ALL: [Self; 8] = [
        Self::Noise,
        Self::Endless,
        Self::TwoLengths,
        Self::LengthAndChunks,
        Self::BareLf,
        Self::Switch,
        Self::Interims,
        Self::ChunkSize,
    ];
}

/// What an upstream does, each on top of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Acts {
    /// Milliseconds before the answer begins.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) wait: u64,
    /// Octets and milliseconds: so many, then a pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pace: Option<(usize, u64)>,
    /// Octets added to the content.
    #[serde(skip_serializing_if = "is_zero_size")]
    pub(crate) pad: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) coding: Option<Coding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delimited: Option<Delimited>,
    /// Interim responses before the final one.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) interim: u64,
    /// Milliseconds of silence in the middle of the answer.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) stall: u64,
    /// Answers an error before the body has been read.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) early: bool,
    /// Ends after so many thousandths of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cut: Option<(u64, Going)>,
    /// Ends instead of answering.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gone: Option<Going>,
    /// Ends when it has read the head of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gone_at_head: Option<Going>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nonsense: Option<Nonsense>,
    /// Sends a second answer that nobody asked for in one piece with the first.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) second: bool,
    /// Sends noise so many milliseconds after the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) noise_after: Option<u64>,
    /// Ends so many milliseconds after the answer without having announced it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hangs_up: Option<(u64, Going)>,
    /// Announces `Connection: close`, and does.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) close: bool,
}

impl Acts {
    /// Whether no whole answer can come of it.
    pub(crate) fn breaks(&self) -> bool {
        self.cut.is_some()
            || self.gone.is_some()
            || self.gone_at_head.is_some()
            || self.nonsense.is_some()
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_zero_size(number: &usize) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}
