//! The admin port: what orchestrators and scrapers are told, and who is told nothing.

use rusqlite::Connection;
use tokio::net::TcpListener;
use tollgate::app::{self, StartError};
use tollgate::config::LedgerFailure;
use tollgate::ledger::{FILE_NAME, Outcome};

use crate::support::gate::Plan;
use crate::support::{BEDROCK, Door, RawClient, RawUpstream, admin, within};

async fn ask(gate: &crate::support::Gate, upstream: &RawUpstream) -> (RawClient, RawClient) {
    let mut client = Door::Connect.open(gate, BEDROCK).await;
    client
        .send(format!(
            "POST /model/m/converse HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 2\r\n\r\n{{}}"
        ))
        .await;
    let mut served = upstream.accept().await;
    served.request().await;
    (client, served)
}

#[tokio::test]
async fn health_readiness_and_metrics_are_told_to_whoever_reads() {
    let gate = Plan::new().with_admin().start().await;
    let rows = [
        ("GET /healthz", 200, "ok"),
        ("GET /readyz", 200, "ready"),
        (
            "GET /metrics",
            200,
            "# TYPE tollgate_connections_open gauge",
        ),
        ("HEAD /metrics", 200, ""),
        ("GET /", 404, "/healthz, /readyz and /metrics"),
        ("GET /ca.pem", 404, "/healthz, /readyz and /metrics"),
        ("POST /metrics", 405, "only GET and HEAD"),
        ("DELETE /healthz", 405, "only GET and HEAD"),
    ];
    for (asked, status, told) in rows {
        let request =
            format!("{asked} HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n");
        let answer = admin::ask(gate.admin(), &request).await;
        assert_eq!(answer.status(), status, "{asked}");
        assert!(answer.text().contains(told), "{asked}: {}", answer.text());
        let field = |name| answer.field(name).unwrap_or_default();
        assert!(field("content-type").starts_with("text/plain"), "{asked}");
        assert_eq!(field("x-content-type-options"), "nosniff", "{asked}");
        assert_eq!(field("connection"), "close", "{asked}");
        assert_eq!(field("access-control-allow-origin"), "", "{asked}");
        assert_eq!(
            field("allow"),
            if status == 405 { "GET, HEAD" } else { "" },
            "{asked}"
        );
    }
    let answer = admin::get(gate.admin(), "/metrics").await;
    let kind = answer.field("content-type").unwrap();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
}

#[tokio::test]
async fn a_gate_that_drains_is_alive_and_not_ready() {
    let upstream = RawUpstream::tls().await;
    let gate = Plan::new().before(&upstream).with_admin().start().await;
    let address = gate.admin();
    let (mut client, mut served) = ask(&gate, &upstream).await;
    let stopping = gate.begin_to_stop();
    let drained = async {
        while admin::get(address, "/readyz").await.status() == 200 {
            tokio::task::yield_now().await;
        }
    };
    within("a gate that is not ready", drained).await;
    let answer = admin::get(address, "/readyz").await;
    assert_eq!(
        (answer.status(), answer.text().contains("draining")),
        (503, true)
    );
    assert_eq!(admin::get(address, "/healthz").await.status(), 200);
    assert_eq!(admin::metric(address, "tollgate_draining").await, 1.0);
    served
        .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        .await;
    assert_eq!(client.answer().await.text(), "{}");
    assert_eq!(stopping.end().await.record().outcome, Outcome::Complete);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn only_a_gate_that_refuses_without_its_ledger_is_not_ready_while_that_fails() {
    for (policy, status) in [(LedgerFailure::Refuse, 503), (LedgerFailure::Serve, 200)] {
        let upstream = RawUpstream::tls().await;
        let gate = Plan::new()
            .before(&upstream)
            .with_admin()
            .with(|settings| settings.accounting.on_ledger_failure = policy)
            .start()
            .await;
        assert_eq!(admin::get(gate.admin(), "/readyz").await.status(), 200);
        let ledger = Connection::open(gate.home().join(FILE_NAME)).unwrap();
        ledger.execute_batch("BEGIN IMMEDIATE").unwrap();
        let (mut client, mut served) = ask(&gate, &upstream).await;
        served
            .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
            .await;
        // The answer is held back until the ledger was tried.
        assert_eq!(client.answer().await.text(), "{}");
        let answer = admin::get(gate.admin(), "/readyz").await;
        assert_eq!(answer.status(), status, "{policy:?}: {}", answer.text());
        assert_eq!(admin::get(gate.admin(), "/healthz").await.status(), 200);
        assert_eq!(
            admin::metric(gate.admin(), "tollgate_ledger_failing").await,
            1.0
        );
        assert!(admin::metric(gate.admin(), "tollgate_ledger_queue_places").await > 0.0);
        ledger.execute_batch("ROLLBACK").unwrap();
        let recovered = async {
            while admin::metric(gate.admin(), "tollgate_ledger_failing").await > 0.0 {
                tokio::task::yield_now().await;
            }
        };
        within("a ledger that can be written again", recovered).await;
        assert_eq!(
            admin::get(gate.admin(), "/readyz").await.status(),
            200,
            "{policy:?}"
        );
    }
}

#[tokio::test]
async fn a_name_that_somebody_elses_dns_leads_here_is_told_nothing() {
    let gate = Plan::new()
        .with_admin()
        .with(|settings| settings.admin.hosts = vec!["metrics.example".to_owned()])
        .start()
        .await;
    let port = gate.admin().port();
    for path in ["/healthz", "/readyz", "/metrics", "/"] {
        for (head, status) in [
            (
                format!("GET {path} HTTP/1.1\r\nHost: evil.example:{port}\r\n\r\n"),
                421,
            ),
            (format!("GET {path} HTTP/1.1\r\n\r\n"), 400),
            (
                format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"),
                400,
            ),
            (
                format!(
                    "GET http://localhost:{port}{path} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"
                ),
                400,
            ),
        ] {
            let answer = admin::ask(gate.admin(), &head).await;
            assert_eq!(answer.status(), status, "{head}");
            assert!(!answer.text().contains("tollgate_"), "{head}");
        }
    }
    for host in ["metrics.example", "localhost", "127.0.0.1", "[::1]"] {
        let head = format!("GET /metrics HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
        assert_eq!(
            admin::ask(gate.admin(), &head).await.status(),
            200,
            "{host}"
        );
    }
    let old = "GET /healthz HTTP/1.0\r\n\r\n";
    assert_eq!(admin::ask(gate.admin(), old).await.status(), 200);
}

#[tokio::test]
async fn whoever_says_too_much_or_too_slowly_keeps_nobody_else_out() {
    let gate = Plan::new().with_admin().start().await;
    let head = format!(
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
        "x".repeat(64 * 1024)
    );
    let mut talker = admin::open(gate.admin()).await;
    // The answer may come before all of it is sent.
    talker.try_send(&head).await.ok();
    let (said, _) = talker.rest().await;
    assert!(
        !said.starts_with(b"HTTP/1.1 200"),
        "a head of 64 KiB was taken"
    );

    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut one = admin::open(gate.admin()).await;
        one.send("GET /healthz HTTP/1.1\r\n").await;
        slow.push(one);
    }
    assert_eq!(admin::get(gate.admin(), "/healthz").await.status(), 200);
    for one in &mut slow {
        let (said, _) = one.rest().await;
        assert!(
            !said.starts_with(b"HTTP/1.1 200"),
            "half a head was answered"
        );
    }
}

#[tokio::test]
async fn a_default_that_is_taken_is_done_without_and_what_was_asked_for_is_not() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    for (is_explicit, starts) in [(false, true), (true, false)] {
        let plan = Plan::new().with(|settings| {
            settings.admin.address = Some(address);
            settings.admin.is_explicit = is_explicit;
        });
        let started = app::Gate::start(plan.settings.clone()).await;
        match started {
            Ok(gate) => {
                assert!(starts);
                assert_eq!(gate.admin_address(), None);
            }
            Err(error) => {
                assert!(
                    !starts && matches!(error, StartError::Admin { .. }),
                    "{error}"
                );
                let told = error.to_string();
                assert!(
                    told.contains("--admin") && told.contains(&address.to_string()),
                    "{told}"
                );
            }
        }
    }
}
