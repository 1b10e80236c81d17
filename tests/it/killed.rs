//! `SIGKILL` under load: of every answer that a client holds completely there is a record, whenever the gate was killed.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tollgate::ledger::{FILE_NAME, Outcome, Query, Reader};

use crate::support::frames::{chunk, converse_stream};
use crate::support::process::Process;
use crate::support::{BEDROCK, Door, RawClient, RawUpstream, until, within};

const ROUNDS: usize = 3;
const CLIENTS: usize = 24;
/// So many answers are complete when the gate is killed, in the first round.
const ANSWERS: usize = 300;

/// Answers whatever comes, every second call with a stream, until its connections end.
async fn serve(upstream: Arc<RawUpstream>) {
    loop {
        let mut served = upstream.accept_patiently().await;
        tokio::spawn(async move {
            let mut number = 0_usize;
            while served.try_request().await.is_ok() {
                number += 1;
                let stream = number.is_multiple_of(2);
                if answer(&mut served, stream).await.is_err() {
                    return;
                }
            }
        });
    }
}

async fn answer(served: &mut RawClient, stream: bool) -> std::io::Result<()> {
    if !stream {
        let body = r#"{"usage":{"inputTokens":7,"outputTokens":2,"totalTokens":9}}"#;
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        return served.try_send(format!("{head}{body}")).await;
    }
    served
        .try_send(
            "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\n\
             Transfer-Encoding: chunked\r\n\r\n",
        )
        .await?;
    for event in converse_stream() {
        served.try_send(chunk(&event)).await?;
    }
    served.try_send("0\r\n\r\n").await
}

/// Makes one call after the other until the gate is gone. Each is for a model of its own; those whose answer came whole
/// are written down.
async fn call(mut client: RawClient, door: Door, name: String, answered: Arc<Answered>) {
    for number in 0.. {
        let model = format!("{name}-{number}");
        let target = door.target(BEDROCK, &format!("/model/{model}/converse"));
        let sent = client
            .try_send(format!(
                "POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 2\r\n\r\n{{}}"
            ))
            .await;
        let Ok(answer) = client.try_answer().await else {
            return;
        };
        assert!(sent.is_ok() && answer.status() == 200, "{}", answer.text());
        answered.models.lock().await.push(model);
        answered.count.fetch_add(1, Ordering::SeqCst);
    }
}

#[derive(Default)]
struct Answered {
    count: AtomicUsize,
    models: Mutex<Vec<String>>,
}

fn recorded(home: &Path) -> HashSet<String> {
    let reader = Reader::open(&home.join(FILE_NAME)).unwrap();
    let records = reader
        .records(&Query::default())
        .unwrap()
        .map(Result::unwrap);
    let complete = records.filter(|record| record.outcome == Outcome::Complete);
    complete.filter_map(|record| record.model).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_record_of_an_answer_that_a_client_holds_is_lost() {
    let upstream = Arc::new(RawUpstream::tls().await);
    let serving = tokio::spawn(serve(Arc::clone(&upstream)));
    let parent = tempfile::tempdir().unwrap();
    let home = parent.path().join("home");
    let doors = [
        Door::Connect,
        Door::ConnectInTls,
        Door::Route,
        Door::ForwardInTls,
    ];
    let (mut held, mut compared) = (Vec::new(), 0);
    for round in 0..ROUNDS {
        let mut process = Process::start(&home, &upstream).await;
        let answered = Arc::new(Answered::default());
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let door = doors[number % doors.len()];
            let client = door.open(&process, BEDROCK).await;
            let name = format!("r{round}c{number}");
            clients.spawn(call(client, door, name, Arc::clone(&answered)));
        }
        let wanted = ANSWERS + 37 * round;
        until("enough answers", || {
            answered.count.load(Ordering::SeqCst) >= wanted
        })
        .await;
        process.kill();
        within("the clients' end", clients.join_all()).await;
        let models = std::mem::take(&mut *answered.models.lock().await);
        println!(
            "round {round}: {} answers, killed while {CLIENTS} clients called",
            models.len()
        );
        // Where the disk was too slow, it has said so, and nobody was promised anything.
        if process.said().contains("records wait in memory") {
            println!("the ledger was too slow to compare: {}", process.said());
            continue;
        }
        held.extend(models);
        compared += 1;
        let recorded = recorded(&home);
        let lost: Vec<_> = held
            .iter()
            .filter(|model| !recorded.contains(*model))
            .collect();
        assert!(
            lost.is_empty(),
            "{} of {}: {lost:?}",
            lost.len(),
            held.len()
        );
    }
    assert!(compared > 0, "no round could be compared");
    serving.abort();
}
