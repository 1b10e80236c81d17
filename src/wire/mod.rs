//! Bytes ↔ protocol facts. Pure: no AWS, no sockets, no clock.

pub mod address;
pub mod eventstream;
pub mod http1;
pub mod http2;
pub mod json;
pub mod sniff;
pub mod sse;
