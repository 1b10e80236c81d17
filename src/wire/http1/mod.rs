//! HTTP/1.0 and HTTP/1.1 on the wire, in both directions. RFC 9112.

pub mod chunked;
pub mod ending;
pub mod fields;
pub mod forward;
pub mod framing;
pub mod head;
pub mod target;

#[cfg(test)]
mod forward_tests;
#[cfg(test)]
mod framing_tests;
#[cfg(test)]
mod head_tests;

pub use ending::Ending;
pub use fields::{FieldLine, FieldLines};
pub use framing::{BodyDecoder, FramingError, MessageFraming};
pub use head::{HeadError, HeadLimits, MAX_FIELD_LINES, RequestHead, ResponseHead, Version};
pub use target::{Authority, RequestTarget, Scheme, TargetError};
