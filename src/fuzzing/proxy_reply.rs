//! What an upstream proxy answers to CONNECT: a tunnel with every byte behind the consent, or a reason in plain words.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::pipe::{block_on, pipe};
use super::{parts, pieces, steered, strict};
use crate::config::{Options, UpstreamProxy};
use crate::net::upstream_proxy::ask;

/// The bytes of a proxy, in pieces, after which it closes.
pub(super) fn proxy_reply(data: &[u8]) {
    let Some((steer, bytes)) = steered(data) else {
        return;
    };
    let [bytes] = parts(bytes);
    let options = Options {
        upstream_proxy: Some("http://user:c4n4ry@proxy.example:3128".to_owned().into()),
        ..Options::default()
    };
    let proxy = UpstreamProxy::from_options(&options, |_| None)
        .unwrap()
        .unwrap();
    let (near, mut far, _) = pipe(64 * 1024);
    let mut stream = near;
    let answer = async {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            if far.read_buf(&mut request).await.unwrap() == 0 {
                break;
            }
        }
        for piece in pieces(bytes, steer) {
            if far.write_all(piece).await.is_err() {
                break;
            }
        }
        drop(far);
        request
    };
    let (asked, request) =
        block_on(async { tokio::join!(ask(&mut stream, &proxy, "host.example:443"), answer) });
    let (head, rest) = strict::head(&request, strict::request_line)
        .unwrap()
        .unwrap();
    assert!(rest.is_empty() && head.start[..2] == [&b"CONNECT"[..], b"host.example:443"]);
    match asked {
        Ok(early) => assert!(bytes.ends_with(&early), "bytes of the tunnel are changed"),
        Err(why) => {
            let said = why.to_string();
            assert!(
                said.len() < 512 && !said.contains(char::is_control) && !said.contains("c4n4ry"),
                "{said:?}"
            );
        }
    }
}
