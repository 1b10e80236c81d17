//! The one thing we say in HTTP/2: that this connection must be HTTP/1.1.
//!
//! A client with prior knowledge has sent its preface; it understands a SETTINGS frame followed by GOAWAY with
//! `HTTP_1_1_REQUIRED` and the reason as debug data. RFC 9113 §3.4, §6.5, §6.8 and §7.

/// Error code HTTP_1_1_REQUIRED.
const HTTP_1_1_REQUIRED: u32 = 0xd;
const FRAME_SETTINGS: u8 = 0x4;
const FRAME_GOAWAY: u8 = 0x7;

/// An empty SETTINGS frame and a GOAWAY frame that carries `reason`.
#[must_use]
pub fn http_1_1_required(reason: &str) -> Vec<u8> {
    let mut goaway = Vec::with_capacity(8 + reason.len());
    goaway.extend_from_slice(&0_u32.to_be_bytes());
    goaway.extend_from_slice(&HTTP_1_1_REQUIRED.to_be_bytes());
    goaway.extend_from_slice(reason.as_bytes());
    let mut frames = Vec::with_capacity(2 * 9 + goaway.len());
    push_frame(&mut frames, FRAME_SETTINGS, &[]);
    push_frame(&mut frames, FRAME_GOAWAY, &goaway);
    frames
}

fn push_frame(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    out.extend_from_slice(length.get(1..).unwrap_or_default());
    out.extend_from_slice(&[kind, 0]);
    out.extend_from_slice(&0_u32.to_be_bytes());
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goaway_follows_settings_and_names_the_code() {
        let frames = http_1_1_required("why");
        assert_eq!(&frames[..9], &[0, 0, 0, 4, 0, 0, 0, 0, 0]);
        assert_eq!(&frames[9..18], &[0, 0, 11, 7, 0, 0, 0, 0, 0]);
        assert_eq!(&frames[18..], b"\0\0\0\0\0\0\0\x0dwhy");
    }
}
