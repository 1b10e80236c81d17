//! The admin port, asked as a scraper or an orchestrator asks it.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::message::Message;
use super::peer::{Peer, with_handle};
use super::within;

/// A connection to the admin port.
pub(crate) async fn open(admin: SocketAddr) -> Peer {
    let stream = within("the admin port", TcpStream::connect(admin))
        .await
        .unwrap();
    let (stream, socket) = with_handle(stream);
    Peer::new(Box::new(stream), socket)
}

/// What is answered to GET `path`.
pub(crate) async fn get(admin: SocketAddr, path: &str) -> Message {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\n\r\n");
    ask(admin, &request).await
}

/// What is answered to `request`.
pub(crate) async fn ask(admin: SocketAddr, request: &str) -> Message {
    let mut peer = open(admin).await;
    peer.send(request).await;
    peer.answer_to(request.split(' ').next().unwrap()).await
}

/// The lines of the metrics, each with its value.
pub(crate) async fn metrics(admin: SocketAddr) -> Vec<(String, f64)> {
    let answer = get(admin, "/metrics").await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let text = answer.text();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// The value of the metric that is `line`, labels and all.
pub(crate) async fn metric(admin: SocketAddr, line: &str) -> f64 {
    let metrics = metrics(admin).await;
    let found = metrics.iter().find(|(name, _)| name == line);
    found
        .unwrap_or_else(|| panic!("no {line} in {metrics:#?}"))
        .1
}

/// The value of `label` in a line of metrics.
pub(crate) fn label(line: &str, label: &str) -> String {
    let (_, rest) = line
        .split_once(&format!("{label}=\""))
        .unwrap_or_else(|| panic!("no {label} in {line}"));
    rest.split_once('"').unwrap().0.to_owned()
}
