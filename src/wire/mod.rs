//! Bytes ↔ protocol facts. Pure: no AWS, no sockets, no clock.

pub mod address;
pub mod eventstream;
pub mod frames;
pub mod http1;
pub mod http2;
pub mod json;
pub mod sniff;
pub mod sse;
