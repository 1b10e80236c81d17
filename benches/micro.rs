//! What the steps of an exchange cost, one by one, with allocations counted.
//!
//! `cargo bench --bench micro` runs all of them, `cargo bench --bench micro -- usage` those whose name holds the word. The
//! messages are those of the load benchmark: a boto3 request of 1 KiB, a Converse answer of 2 KiB, an event stream of 100
//! messages. docs/performance.md tells where these numbers stand in the whole.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark of messages that it has rendered itself may stop at a mistake of its own"
)]

#[expect(
    dead_code,
    reason = "the load benchmark needs more of the messages than these benchmarks"
)]
#[path = "load/messages.rs"]
mod messages;
#[expect(
    dead_code,
    reason = "the other benchmarks fill whole ledgers with these records"
)]
mod records;

use std::error::Error;
use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use divan::counter::{BytesCount, ItemsCount};
use divan::{AllocProfiler, Bencher, black_box};
use time::OffsetDateTime;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tollgate::aws::mask;
use tollgate::aws::operation::Operation;
use tollgate::config::{HostRules, LogFormat};
use tollgate::ledger::{FILE_NAME, Ledger, UsageRecord};
use tollgate::net::dial::Origin;
use tollgate::proxy::route::{Rules, Scope, route};
use tollgate::telemetry;
use tollgate::usage::{ExchangeObserver, Observation, Patterns};
use tollgate::wire::eventstream;
use tollgate::wire::http1::forward::{self, RequestEdits};
use tollgate::wire::http1::{HeadLimits, MessageFraming, RequestHead, ResponseHead, Scheme};

use messages::{Answer, HOST, Request, Script};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

/// Deltas in the event stream, so that it has 100 messages.
const DELTAS: usize = 96;

fn main() -> Result<(), Box<dyn Error>> {
    // The line of an exchange is made only where somebody listens.
    let nowhere = tracing_subscriber::fmt().with_writer(io::sink).finish();
    tracing::subscriber::set_global_default(nowhere)?;
    divan::main();
    Ok(())
}

fn request() -> Vec<u8> {
    Request::Converse(1024).render(0)
}

fn request_head() -> RequestHead {
    let mut buffer = BytesMut::from(request().as_slice());
    RequestHead::take(&mut buffer, &HeadLimits::default())
        .unwrap()
        .unwrap()
}

/// Head and body of an answer.
fn response(bytes: &[u8]) -> (ResponseHead, Vec<u8>) {
    let mut buffer = BytesMut::from(bytes);
    let head = ResponseHead::take(&mut buffer, &HeadLimits::default())
        .unwrap()
        .unwrap();
    (head, buffer.to_vec())
}

fn answer() -> (ResponseHead, Vec<u8>) {
    response(&Answer::converse(2048).bytes)
}

/// Head of a streamed answer, and its chunks as they are written.
fn stream() -> (ResponseHead, Vec<Vec<u8>>) {
    let script = Script::new(DELTAS);
    let (head, _) = response(&script.head);
    let mut chunks = vec![script.first];
    chunks.extend(std::iter::repeat_n(script.delta, script.deltas));
    chunks.push(script.last);
    (head, chunks)
}

/// The same chunks without the chunked coding.
fn stream_content() -> Vec<Vec<u8>> {
    let (head, chunks) = stream();
    let mut decoder = MessageFraming::of_response(&head, "POST")
        .unwrap()
        .decoder();
    chunks
        .iter()
        .map(|chunk| {
            let mut content = Vec::new();
            decoder.push(chunk, &mut content).unwrap();
            content
                .into_iter()
                .flat_map(|range| chunk.get(range).unwrap().iter().copied())
                .collect()
        })
        .collect()
}

fn scope() -> Scope {
    Scope::Tunnel(Origin {
        scheme: Scheme::Https,
        host: HOST.to_owned(),
        port: 443,
    })
}

mod head {
    use super::*;

    #[divan::bench]
    fn parse_request(bencher: Bencher<'_, '_>) {
        let bytes = request();
        bencher
            .counter(BytesCount::new(bytes.len()))
            .with_inputs(|| BytesMut::from(bytes.as_slice()))
            .bench_local_values(|mut buffer| {
                RequestHead::take(&mut buffer, &HeadLimits::default()).unwrap()
            });
    }

    #[divan::bench]
    fn parse_response(bencher: Bencher<'_, '_>) {
        let bytes = Answer::converse(2048).bytes;
        bencher
            .with_inputs(|| BytesMut::from(&*bytes))
            .bench_local_values(|mut buffer| {
                ResponseHead::take(&mut buffer, &HeadLimits::default()).unwrap()
            });
    }

    #[divan::bench]
    fn route_decision(bencher: Bencher<'_, '_>) {
        let (head, scope, hosts) = (request_head(), scope(), HostRules::default());
        let rules = Rules {
            hosts: &hosts,
            routes: &[],
        };
        bencher.bench_local(|| route(black_box(&head), &scope, rules));
    }

    #[divan::bench]
    fn forward_request(bencher: Bencher<'_, '_>) {
        let head = request_head();
        bencher.bench_local(|| {
            let mut out = Vec::new();
            let signed = |name: &str| matches!(name, "content-type" | "host" | "x-amz-date");
            forward::request_head(black_box(&head), RequestEdits::default(), &signed, &mut out)
                .unwrap();
            out
        });
    }

    #[divan::bench]
    fn forward_response(bencher: Bencher<'_, '_>) {
        let (head, _) = answer();
        bencher.bench_local(|| {
            let mut out = Vec::new();
            forward::response_head(black_box(&head), &mut out).unwrap();
            out
        });
    }

    #[divan::bench]
    fn mask_request(bencher: Bencher<'_, '_>) {
        let head = request_head();
        bencher.bench_local(|| mask::request_head(black_box(&head)));
    }

    #[divan::bench]
    fn mask_response(bencher: Bencher<'_, '_>) {
        let (head, _) = answer();
        bencher.bench_local(|| mask::response_head(black_box(&head)));
    }
}

mod body {
    use super::*;

    #[divan::bench]
    fn frame_length(bencher: Bencher<'_, '_>) {
        let (head, body) = answer();
        bencher
            .counter(BytesCount::new(body.len()))
            .bench_local(|| {
                let framing = MessageFraming::of_response(black_box(&head), "POST").unwrap();
                let mut content = Vec::new();
                framing.decoder().push(&body, &mut content).unwrap();
                content
            });
    }

    #[divan::bench]
    fn frame_100_chunks(bencher: Bencher<'_, '_>) {
        let (head, chunks) = stream();
        bencher
            .counter(ItemsCount::new(DELTAS + 4))
            .bench_local(|| {
                let framing = MessageFraming::of_response(black_box(&head), "POST").unwrap();
                let mut decoder = framing.decoder();
                let mut content = Vec::new();
                for chunk in &chunks {
                    content.clear();
                    decoder.push(chunk, &mut content).unwrap();
                }
                decoder.ended()
            });
    }

    #[divan::bench]
    fn decode_100_messages(bencher: Bencher<'_, '_>) {
        let pieces = stream_content();
        bencher
            .counter(ItemsCount::new(DELTAS + 4))
            .bench_local(|| {
                let mut decoder = eventstream::Decoder::new();
                let mut bytes = 0;
                for piece in &pieces {
                    decoder
                        .push(piece, |message| bytes += message.payload.len())
                        .unwrap();
                }
                bytes
            });
    }
}

mod usage {
    use super::*;

    fn observe(operation: Operation, head: &ResponseHead, pieces: &[Vec<u8>]) -> Observation {
        let request = request_head_and_body();
        let mut observer = ExchangeObserver::for_call(
            Some(operation),
            &Arc::new(Patterns::default()),
            HOST,
            None,
            Some(Request::Converse(0).model()),
        );
        observer.request_head(&request.0);
        observer.request_content(&request.1);
        observer.response_head(head);
        for piece in pieces {
            observer.response_content(piece);
        }
        observer.finish(true)
    }

    fn request_head_and_body() -> &'static (RequestHead, Vec<u8>) {
        static REQUEST: std::sync::OnceLock<(RequestHead, Vec<u8>)> = std::sync::OnceLock::new();
        REQUEST.get_or_init(|| {
            let mut buffer = BytesMut::from(request().as_slice());
            let head = RequestHead::take(&mut buffer, &HeadLimits::default());
            (head.unwrap().unwrap(), buffer.to_vec())
        })
    }

    #[divan::bench]
    fn of_converse(bencher: Bencher<'_, '_>) {
        let (head, body) = answer();
        let pieces = [body];
        bencher.bench_local(|| observe(Operation::Converse, black_box(&head), &pieces));
    }

    #[divan::bench]
    fn of_converse_stream_100_messages(bencher: Bencher<'_, '_>) {
        let (head, _) = stream();
        let pieces = stream_content();
        bencher
            .counter(ItemsCount::new(DELTAS + 4))
            .bench_local(|| observe(Operation::ConverseStream, black_box(&head), &pieces));
    }
}

mod record {
    use super::*;

    fn one() -> UsageRecord {
        records::record(7, 1000, OffsetDateTime::now_utc()).unwrap()
    }

    #[divan::bench]
    fn encode_json(bencher: Bencher<'_, '_>) {
        let record = one();
        bencher.bench_local(|| serde_json::to_string(black_box(&record)).unwrap());
    }

    #[divan::bench]
    fn line_text(bencher: Bencher<'_, '_>) {
        let record = one();
        bencher.bench_local(|| {
            drop(telemetry::exchange_line(
                black_box(&record),
                LogFormat::Text,
            ));
        });
    }

    #[divan::bench]
    fn line_json(bencher: Bencher<'_, '_>) {
        let record = one();
        bencher.bench_local(|| {
            drop(telemetry::exchange_line(
                black_box(&record),
                LogFormat::Json,
            ));
        });
    }
}

mod ledger {
    use super::*;

    struct Open {
        runtime: Runtime,
        ledger: Ledger,
        _home: tempfile::TempDir,
    }

    fn open() -> Open {
        let home = tempfile::tempdir().unwrap();
        Open {
            runtime: Runtime::new().unwrap(),
            ledger: Ledger::open(&home.path().join(FILE_NAME)).unwrap(),
            _home: home,
        }
    }

    /// Allocations of the writer's thread are not counted here.
    #[divan::bench]
    fn commit_one(bencher: Bencher<'_, '_>) {
        let open = open();
        bencher
            .with_inputs(|| records::record(7, 1000, OffsetDateTime::now_utc()).unwrap())
            .bench_local_values(|record| open.runtime.block_on(open.ledger.commit(record, None)));
    }

    /// As many as may come together under load; the time is that of all of them.
    #[divan::bench(sample_count = 50, sample_size = 1)]
    fn commit_64_together(bencher: Bencher<'_, '_>) {
        let open = open();
        let now = OffsetDateTime::now_utc();
        bencher
            .counter(ItemsCount::new(64_usize))
            .with_inputs(|| {
                let made = (0..64).map(|n| records::record(n, 1000, now).unwrap());
                made.collect::<Vec<_>>()
            })
            .bench_local_values(|records| {
                open.runtime.block_on(async {
                    let mut commits = JoinSet::new();
                    for record in records {
                        let ledger = open.ledger.clone();
                        commits.spawn(async move { ledger.commit(record, None).await });
                    }
                    commits.join_all().await
                })
            });
    }
}
