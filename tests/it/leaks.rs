//! Whoever goes away, wherever and however: the record says so, and of connections, tasks, descriptors and memory nothing
//! is left behind.

use tollgate::ledger::Outcome;

use crate::support::faults::{ClientAt, Scene, UpstreamAt, ask};
use crate::support::gate::Plan;
use crate::support::process::Process;
use crate::support::traces::{Traces, memory_kib, nothing_more};
use crate::support::{Gate, Going, RawUpstream, until};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

/// What the record of a client that went may say; `None` where there was no request to record.
fn of_client(at: ClientAt) -> Option<&'static [Outcome]> {
    use Outcome::{ClientAborted, Complete, Refused, UpstreamAborted};
    match at {
        ClientAt::Connected
        | ClientAt::Sniffed
        | ClientAt::Handshake
        | ClientAt::Handshaken
        | ClientAt::ConnectHead
        | ClientAt::Tunnelled
        | ClientAt::InnerHandshake
        | ClientAt::InnerHandshaken
        | ClientAt::Head => None,
        ClientAt::Body
        | ClientAt::ChunkedBody
        | ClientAt::Asked
        | ClientAt::AnswerHead
        | ClientAt::AnswerBody
        | ClientAt::Stream => Some(&[ClientAborted]),
        // The answer had come whole, and was about to leave.
        ClientAt::Commit => Some(&[Complete, ClientAborted]),
        ClientAt::Refusal => Some(&[Refused]),
        // Either end of a pipe may have been the first to close.
        ClientAt::TunnelDialled | ClientAt::TunnelUsed | ClientAt::TunnelHalfClosed => {
            Some(&[Complete, ClientAborted, UpstreamAborted])
        }
    }
}

fn of_upstream(at: UpstreamAt, going: Going) -> &'static [Outcome] {
    use Outcome::{ClientAborted, Complete, Failed, UpstreamAborted};
    match at {
        UpstreamAt::Asked | UpstreamAt::Half | UpstreamAt::Interim => &[Failed],
        UpstreamAt::UntilClose if going == Going::Closing => &[Complete],
        UpstreamAt::Head
        | UpstreamAt::Body
        | UpstreamAt::Chunk
        | UpstreamAt::LastChunk
        | UpstreamAt::UntilClose
        | UpstreamAt::Frame => &[UpstreamAborted],
        UpstreamAt::Upload => &[Failed],
        UpstreamAt::Tunnel => &[Complete, ClientAborted, UpstreamAborted],
    }
}

struct Stage {
    upstream: RawUpstream,
    elsewhere: RawUpstream,
    gate: Gate,
}

impl Stage {
    async fn new() -> Self {
        let upstream = RawUpstream::tls().await;
        let elsewhere = RawUpstream::plain().await;
        let gate = Plan::new().before(&upstream).start().await;
        Self {
            upstream,
            elsewhere,
            gate,
        }
    }

    fn scene(&self) -> Scene<'_> {
        Scene {
            port: &self.gate.port,
            home: self.gate.home(),
            upstream: &self.upstream,
            elsewhere: &self.elsewhere,
        }
    }

    fn traces(&self) -> Traces {
        self.gate.traces(&self.upstream)
    }

    /// What it holds once everything is in place: an answered call has been seen through, and its connections are gone.
    async fn rest(&self) -> Traces {
        answered(self.scene()).await;
        let rest = Traces {
            clients: 0,
            upstreams: 0,
            ..self.traces()
        };
        nothing_more("an answered call", rest, || self.traces()).await;
        self.traces()
    }
}

/// A call that is answered and leaves no warm connection.
async fn answered(scene: Scene<'_>) {
    let (mut client, mut served) = ask(scene.port, scene.upstream).await;
    served.send(OK).await;
    client.expect(OK).await;
    served.close().await;
    client.close().await;
}

#[tokio::test]
async fn a_client_that_goes_wherever_it_is_leaves_its_record_and_nothing_else() {
    let stage = Stage::new().await;
    let rest = stage.rest().await;
    for at in ClientAt::ALL {
        for going in Going::ALL {
            let what = format!("a client at {at:?}, {going:?},");
            let before = stage.gate.records().len();
            at.play(stage.scene(), going).await;
            nothing_more(&what, rest, || stage.traces()).await;
            // A ledger that was locked takes the record a moment later.
            let expected = before + usize::from(of_client(at).is_some());
            until(&what, || stage.gate.records().len() >= expected).await;
            let records = stage.gate.records().split_off(before);
            let outcomes: Vec<Outcome> = records.iter().map(|record| record.outcome).collect();
            match of_client(at) {
                None => assert!(outcomes.is_empty(), "{what} {outcomes:?}"),
                Some(allowed) => {
                    assert_eq!(outcomes.len(), 1, "{what} {records:#?}");
                    assert!(allowed.contains(&outcomes[0]), "{what} {outcomes:?}");
                }
            }
        }
    }
    stage.gate.stop().await;
}

#[tokio::test]
async fn an_upstream_that_goes_wherever_it_is_leaves_a_record_and_nothing_else() {
    let stage = Stage::new().await;
    let rest = stage.rest().await;
    for at in UpstreamAt::ALL {
        for going in Going::ALL {
            let what = format!("an upstream at {at:?}, {going:?},");
            let before = stage.gate.records().len();
            at.play(stage.scene(), going).await;
            nothing_more(&what, rest, || stage.traces()).await;
            let records = stage.gate.records().split_off(before);
            assert_eq!(records.len(), 1, "{what} {records:#?}");
            let allowed = of_upstream(at, going);
            assert!(allowed.contains(&records[0].outcome), "{what} {records:#?}");
        }
    }
    stage.gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_that_met_every_fault_many_times_holds_no_more_than_before() {
    /// More than the allocator's own ups and downs; less than a connection's buffers for each fault.
    const SLACK_KIB: u64 = 4096;
    let upstream = RawUpstream::tls().await;
    let elsewhere = RawUpstream::plain().await;
    let parent = tempfile::tempdir().unwrap();
    let home = parent.path().join("home");
    let process = Process::start(&home, &upstream).await;
    let scene = Scene {
        port: &process,
        home: &home,
        upstream: &upstream,
        elsewhere: &elsewhere,
    };
    let traces = || Traces::of(&process, upstream.address);
    // What is made once and kept is made by now: threads, caches, the tokenizer, pages of the allocator.
    for _ in 0..3 {
        every_fault(scene).await;
    }
    answered(scene).await;
    let (rest, memory) = at_rest(&process, &upstream).await;
    for round in 0..std::env::var("DBG_ROUNDS").map_or(5, |r| r.parse().unwrap()) {
        println!("DBG {round} {}", memory_kib(process.pid()));
        match std::env::var("DBG_WHAT").as_deref() {
            Ok("none") => {
                for _ in 0..10 {
                    for going in Going::ALL {
                        for at in ClientAt::ALL {
                            if of_client(at).is_none() {
                                at.play(scene, going).await;
                            }
                        }
                    }
                }
            }
            Ok("ok") => {
                for _ in 0..93 {
                    answered(scene).await;
                }
            }
            _ => every_fault(scene).await,
        }
        answered(scene).await;
        nothing_more(&format!("round {round} of faults"), rest, traces).await;
    }
    let grown = memory_kib(process.pid()).saturating_sub(memory);
    println!("{rest:?}; {memory} KiB, {grown} KiB more after 5 rounds of faults");
    assert!(grown < SLACK_KIB, "{grown} KiB more than {memory} KiB");
    process.terminate();
    let (status, _) = process.ended().await;
    assert!(status.success(), "{status}");
}

/// What it holds, and how much memory, when no connection is left.
async fn at_rest(process: &Process, upstream: &RawUpstream) -> (Traces, u64) {
    let traces = || Traces::of(process, upstream.address);
    let rest = Traces {
        clients: 0,
        upstreams: 0,
        others: usize::MAX,
    };
    nothing_more("every fault", rest, traces).await;
    (traces(), memory_kib(process.pid()))
}

async fn every_fault(scene: Scene<'_>) {
    for going in Going::ALL {
        for at in ClientAt::ALL {
            at.play(scene, going).await;
        }
        for at in UpstreamAt::ALL {
            at.play(scene, going).await;
        }
    }
}
