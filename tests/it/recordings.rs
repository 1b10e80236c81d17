//! What the models are known to answer passes octet for octet, however it is cut, and every token in it is counted.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tollgate::config::settings::{PREVIEW_BYTES, PayloadMode};
use tollgate::ledger::{Outcome, UsageRecord};

use crate::support::gate::Plan;
use crate::support::{BEDROCK, Door, Gate, RawClient, RawUpstream, assert_bytes};

/// One recorded call.
struct Recording {
    name: String,
    request: Vec<u8>,
    request_body: Vec<u8>,
    response: Vec<u8>,
    /// The response without the one line that is for the upstream's hop.
    passed_on: Vec<u8>,
    /// Without transfer coding.
    response_body: Vec<u8>,
    closes: bool,
    expected: Value,
}

fn recordings() -> Vec<Recording> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bedrock");
    let mut folders: Vec<PathBuf> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    assert!(folders.len() >= 12, "{folders:?}");
    folders
        .iter()
        .map(|folder| Recording::read(folder))
        .collect()
}

fn without(bytes: &[u8], part: &[u8]) -> Vec<u8> {
    let at = memchr::memmem::find(bytes, part).unwrap();
    [&bytes[..at], &bytes[at + part.len()..]].concat()
}

impl Recording {
    fn read(folder: &Path) -> Self {
        let file = |name: &str| std::fs::read(folder.join(name)).unwrap();
        let case: Value = serde_json::from_slice(&file("case.json")).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let request_body = file("request-body.bin");
        let mut head = format!(
            "{} {{target}} HTTP/1.1\r\nHost: {BEDROCK}\r\n",
            text(&case["request"]["method"])
        );
        for line in case["request"]["headers"].as_array().unwrap() {
            head.push_str(&format!("{}: {}\r\n", text(&line[0]), text(&line[1])));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", request_body.len()));
        let head = head.replace("{target}", &text(&case["request"]["path"]));
        let response = file("response.raw");
        let text_of_response = String::from_utf8_lossy(&response).into_owned();
        let hop = text_of_response
            .lines()
            .find(|line| line.to_ascii_lowercase().starts_with("connection:"));
        let passed_on = without(
            &response,
            hop.map(|line| format!("{line}\r\n"))
                .unwrap_or_default()
                .as_bytes(),
        );
        // `body.bin` has the content coding removed as well; what is kept has not.
        let coded = case["response"]["content_encoding"].is_string();
        Self {
            name: text(&case["id"]),
            request: [head.as_bytes(), &request_body].concat(),
            request_body,
            response_body: if coded { Vec::new() } else { file("body.bin") },
            response,
            passed_on,
            closes: case["response"]["closes_connection_after"]
                .as_bool()
                .unwrap(),
            expected: case["expect"].clone(),
        }
    }

    /// Sends the request, plays the response in pieces of `size`, and fails unless it arrives as it is.
    async fn play(&self, upstream: &RawUpstream, client: &mut RawClient, size: usize) {
        client.send(&self.request).await;
        let mut served = upstream.accept().await;
        served.expect(&self.request).await;
        served.send_pieces(self.response.chunks(size)).await;
        if self.closes {
            served.close().await;
            client.expect(&self.passed_on).await;
        } else {
            client.expect(&self.passed_on).await;
            served.close().await;
        }
    }

    #[track_caller]
    fn assert_counted(&self, record: &UsageRecord) {
        let usage = serde_json::to_value(&record.usage).unwrap();
        let names = [
            "input_tokens",
            "output_tokens",
            "cache_read_tokens",
            "cache_write_tokens",
            "cache_write_1h_tokens",
        ];
        for name in names {
            let expected = &self.expected["usage"][name];
            // The recordings say 0 where nothing was told; the record says nothing then.
            let told = usage[name].as_u64().unwrap_or_default();
            assert_eq!(
                told,
                expected.as_u64().unwrap_or_default(),
                "{}, {name}: {usage}",
                self.name
            );
            assert!(
                self.expected["usage"].get(name) != Some(&Value::Null) || usage[name].is_null(),
                "{}, {name}: made up in {usage}",
                self.name
            );
        }
        let total = &self.expected["usage"]["total_tokens"];
        assert!(
            total.is_null() || usage["total_tokens"].is_null() || usage["total_tokens"] == *total,
            "{usage}"
        );
        if let Some(reason) = self.expected["stop_reason"].as_str() {
            assert_eq!(
                record.finish_reason.as_deref(),
                Some(reason),
                "{}",
                self.name
            );
        }
        if let Some(error) = self.expected["error"]["type"].as_str() {
            let found = record.error_type.as_deref().unwrap_or_default();
            assert!(
                found.eq_ignore_ascii_case(error),
                "{}: {found} and not {error}",
                self.name
            );
        }
        assert_eq!(record.outcome, Outcome::Complete, "{}", self.name);
    }
}

#[tokio::test]
async fn every_recording_passes_unchanged_and_is_counted_however_it_is_cut() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for recording in recordings() {
        for size in [1, 2, 7, 64, 1000, usize::MAX] {
            let mut client = Door::Connect.open(&gate, BEDROCK).await;
            recording.play(&upstream, &mut client, size).await;
            recording.assert_counted(&gate.records().pop().unwrap());
        }
    }
}

#[tokio::test]
async fn what_is_kept_of_a_call_is_its_content() {
    let rows = [
        (PayloadMode::Full, 1024 * 1024),
        (PayloadMode::Preview, PREVIEW_BYTES),
        (PayloadMode::None, 0),
    ];
    for (mode, limit) in rows {
        let upstream = RawUpstream::tls().await;
        let gate = Plan::new()
            .before(&upstream)
            .with(|settings| settings.payload = mode)
            .start()
            .await;
        let recordings = recordings();
        for recording in &recordings {
            let mut client = Door::Connect.open(&gate, BEDROCK).await;
            recording.play(&upstream, &mut client, usize::MAX).await;
        }
        let left = gate.stop().await;
        for (record, recording) in left.records().iter().zip(&recordings) {
            let payload = left.find(&record.id).payload.unwrap();
            let request_head =
                &recording.request[..recording.request.len() - recording.request_body.len()];
            assert_bytes(&payload.request_head, request_head, &recording.name);
            assert!(
                recording.response.starts_with(&payload.response_head),
                "{}",
                recording.name
            );
            let kept = recording.request_body.len().min(limit);
            assert_bytes(
                &payload.request_body,
                &recording.request_body[..kept],
                &recording.name,
            );
            assert_eq!(
                payload.request_truncated,
                recording.request_body.len() > limit
            );
            if !recording.response_body.is_empty() {
                let kept = recording.response_body.len().min(limit);
                assert_bytes(
                    &payload.response_body,
                    &recording.response_body[..kept],
                    &recording.name,
                );
                assert_eq!(
                    payload.response_truncated,
                    recording.response_body.len() > limit
                );
            }
            recording.assert_counted(record);
        }
    }
}
