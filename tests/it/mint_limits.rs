//! Whoever asks for certificates of a thousand names gets them one after the other, is not remembered for all of them, and
//! keeps nobody waiting.

use std::sync::Arc;

use crate::support::gate::{Plan, simulator};
use crate::support::signing::Call;
use crate::support::{BEDROCK, Door, Gate, within};

const NAMES: usize = 300;

async fn is_served(gate: &Gate) {
    let mut client = Door::Connect.open(gate, BEDROCK).await;
    client
        .send(Call::converse("meanwhile").sign().through(Door::Connect))
        .await;
    assert_eq!(client.answer().await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_names_is_minted_in_turn_and_kept_in_bounded_number() {
    let simulator = simulator().await;
    let plan = Plan::new().before_simulator(&simulator);
    let plan = plan.with(|settings| {
        settings.limits.certificates = 16;
        settings.limits.mints = 1;
    });
    let gate = Arc::new(plan.start().await);
    let mut flood = tokio::task::JoinSet::new();
    for part in 0..10 {
        let gate = Arc::clone(&gate);
        flood.spawn(async move {
            for number in (0..NAMES).filter(|number| number % 10 == part) {
                let host = format!("vpce-{number}.{BEDROCK}");
                let door = if number % 2 == 0 {
                    Door::Connect
                } else {
                    Door::Transparent
                };
                // Its handshake verifies the name.
                door.open(&gate, &host).await.close().await;
                assert!(gate.figures().certificates <= 16);
            }
        });
    }
    for _ in 0..10 {
        is_served(&gate).await;
    }
    within("the flood's end", flood.join_all()).await;
    is_served(&gate).await;
    let figures = gate.figures();
    assert_eq!(figures.certificates, 16);
    // Each name once; and once more for the one in use, each time that a flood between two uses swept it away.
    let mints = usize::try_from(figures.mints).unwrap();
    assert!((NAMES..=NAMES + 12).contains(&mints), "{mints} mints");
}

#[tokio::test]
async fn no_certificate_is_minted_for_a_name_that_is_not_opened() {
    let simulator = simulator().await;
    let gate = Plan::new().before_simulator(&simulator).start().await;
    gate.tls("localhost").await.close().await;
    assert_eq!(gate.figures().mints, 1, "the port's own");
    for number in 0..50 {
        let name = format!("bedrock-runtime.us-east-1.amazonaws.com.evil-{number}.test");
        let config = gate.client_config(&[b"http/1.1"]);
        let refused = gate.handshake(config, &name).await;
        assert!(
            refused.is_err(),
            "the port's own certificate is not for {name}"
        );
        let mut client = gate.plain().await;
        client
            .send(format!("CONNECT {name}:443 HTTP/1.1\r\n\r\n"))
            .await;
        // A tunnel, which is never opened; it leads nowhere.
        assert_ne!(client.answer_to("CONNECT").await.status(), 200);
    }
    let figures = gate.figures();
    assert_eq!((figures.mints, figures.certificates), (1, 1));
}
