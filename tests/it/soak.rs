//! The soak in small, so that a broken promise or a broken soak is noticed at once, and the parts of it that judge.

#[path = "../../benches/soak/harness/mod.rs"]
mod harness;

mod audit;
mod parts;

use std::path::Path;
use std::time::Duration;

use self::harness::Plan;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_soak_keeps_every_promise() {
    let directory = tempfile::tempdir().unwrap();
    let plan = Plan {
        gate: Path::new(env!("CARGO_BIN_EXE_tollgate")).to_owned(),
        directory: directory.path().to_owned(),
        load: Duration::from_secs(8),
        clients: 12,
        pause: Duration::from_millis(50),
        seed: 3,
        around_kill: Duration::from_secs(2),
    };
    let report = harness::run(&plan).await.unwrap();
    assert!(report.is_good(), "{}", report.markdown());
    let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
    assert_eq!(json["lost"], 0);
    assert!(
        json["whole"].as_u64().unwrap() > 50,
        "{}",
        report.markdown()
    );
}
