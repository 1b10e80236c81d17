//! What one exchange holds at most, as docs/configuration.md says it: many that are stuck at their worst, and the memory of
//! the process.
#![cfg(target_os = "linux")]

use crate::support::process::Process;
use crate::support::{BEDROCK, Door, RawClient, RawUpstream};

const KIB: usize = 1024;
/// What `Process` keeps of a body.
const PAYLOAD_LIMIT: usize = 64 * KIB;
/// What the page says that an exchange holds, bodies for the ledger aside.
const PAGE: &str = "1 MiB and twice `--payload-limit`";
const HELD: usize = 1024 * KIB + 2 * PAYLOAD_LIMIT;
const EXCHANGES: usize = 24;

/// An exchange with heads of almost the longest kind, a body for the ledger in both directions, and a client that takes
/// nothing of its answer and has sent as many further requests as it could.
async fn stuck(process: &Process, upstream: &RawUpstream) -> (RawClient, RawClient) {
    let filler = "x".repeat(60 * KIB);
    let mut client = Door::ConnectInTls.open(process, BEDROCK).await;
    let body = vec![b'y'; 100 * KIB];
    let length = body.len();
    let head = format!(
        "POST /model/m/converse HTTP/1.1\r\nHost: {BEDROCK}\r\nX: {filler}\r\nContent-Length: {length}\r\n\r\n"
    );
    client.send(&head).await;
    client.send(&body).await;
    let mut served = upstream.accept().await;
    served.request().await;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX: {filler}\r\nContent-Length: 1000000000\r\n\r\n"
    );
    served.send(head).await;
    fill(&mut client).await;
    fill(&mut served).await;
    (client, served)
}

/// Sends until nothing more is taken; a gate that takes everything is not fed for ever.
async fn fill(peer: &mut RawClient) {
    let piece = vec![b'z'; 256 * KIB];
    let patience = std::time::Duration::from_millis(200);
    for _ in 0..64 {
        match tokio::time::timeout(patience, peer.try_send(&piece)).await {
            Ok(sent) => sent.unwrap(),
            Err(_) => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_holds_no_more_than_the_page_says() {
    assert!(include_str!("../../docs/configuration.md").contains(PAGE));
    let upstream = RawUpstream::tls().await;
    let parent = tempfile::tempdir().unwrap();
    let process = Process::start_within(&parent.path().join("home"), &upstream, &[], None).await;
    // What the first one needs, all share.
    let mut stuck_ones = vec![stuck(&process, &upstream).await];
    let before = process.peak_memory();
    for _ in 0..EXCHANGES {
        stuck_ones.push(stuck(&process, &upstream).await);
    }
    let grown = usize::try_from(process.peak_memory() - before).unwrap();
    let each = grown / EXCHANGES;
    println!("{each} bytes an exchange");
    assert!(each < HELD, "{each} bytes an exchange, not {HELD}");
}
