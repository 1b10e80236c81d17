//! What a peer is about to speak, told from its first bytes.
//!
//! The same question is asked after every layer that opens: on the accepted socket, inside TLS, inside CONNECT. Bytes
//! that could still become either of two things mean "wait", never "unknown".

/// How a connection, or a layer inside it, opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A TLS record of type handshake (RFC 8446 §5.1).
    Tls,
    /// The HTTP/2 connection preface (RFC 9113 §3.4).
    Http2Preface,
    /// Anything else: HTTP/1.x, or something its parser refuses.
    Http1,
}

/// The HTTP/2 connection preface.
pub const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const TLS_HANDSHAKE: u8 = 0x16;

/// Tells how `bytes` open; `None` while more of them are needed.
#[must_use]
pub fn sniff(bytes: &[u8]) -> Option<Opening> {
    match bytes.first()? {
        &TLS_HANDSHAKE => Some(Opening::Tls),
        _ if bytes.starts_with(HTTP2_PREFACE) => Some(Opening::Http2Preface),
        _ if HTTP2_PREFACE.starts_with(bytes) => None,
        _ => Some(Opening::Http1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_of_the_preface_waits_and_one_wrong_byte_decides() {
        assert_eq!(sniff(b""), None);
        for cut in 1..HTTP2_PREFACE.len() {
            assert_eq!(sniff(&HTTP2_PREFACE[..cut]), None, "{cut}");
            let mut other = HTTP2_PREFACE[..cut].to_vec();
            other.push(b'!');
            assert_eq!(sniff(&other), Some(Opening::Http1), "{cut}");
        }
        assert_eq!(sniff(HTTP2_PREFACE), Some(Opening::Http2Preface));
        assert_eq!(sniff(b"PO"), Some(Opening::Http1));
        assert_eq!(sniff(&[0x16]), Some(Opening::Tls));
    }
}
