//! What is billed by other things than tokens: pictures, films, queries, speech.

use super::*;
use crate::usage::UsageSource;

fn units(seen: &Observation) -> Vec<(&str, u64)> {
    seen.units
        .iter()
        .map(|(unit, count)| (unit.as_str(), *count))
        .collect()
}

/// An answer to a prompt with text in it.
fn asked(operation: Operation, document: &str) -> Observation {
    let mut observer = crate::usage::ExchangeObserver::new(Some(operation));
    observer.request_content(br#"{"prompt":"a dog in the snow","query":"dogs"}"#);
    observer.response_head(&head(200, &[("Content-Type", JSON)]));
    for piece in document.as_bytes().chunks(11) {
        observer.response_content(piece);
    }
    observer.finish(true)
}

#[test]
fn pictures_are_counted_and_have_no_tokens() {
    let long = "A".repeat(100_000);
    let nova = format!(r#"{{"images":["{long}","{long}","x"],"error":null}}"#);
    for (document, images, reason) in [
        (nova.as_str(), 3, None),
        (r#"{"images":[],"error":"blocked"}"#, 0, None),
        (r#"{"images":null}"#, 0, None),
        (
            r#"{"seeds":[1],"finish_reasons":[null],"images":["x"]}"#,
            1,
            None,
        ),
        (
            r#"{"seeds":[1],"finish_reasons":["Filter reason: prompt"],"images":[null]}"#,
            0,
            Some("Filter reason: prompt"),
        ),
        (
            r#"{"result":"success","artifacts":[{"seed":1,"base64":"x\/y","finishReason":"SUCCESS"},{"base64":"","finishReason":"CONTENT_FILTERED"}]}"#,
            1,
            Some("CONTENT_FILTERED"),
        ),
        (
            r#"{"created":1,"data":[{"b64_json":"x"},{"b64_json":"y"}]}"#,
            2,
            None,
        ),
    ] {
        let seen = asked(Operation::InvokeModel, document);
        let wanted: &[_] = &[("images", images)];
        let wanted = if images == 0 { &[] } else { wanted };
        assert_eq!(units(&seen), wanted, "{document:.60}");
        assert_eq!(seen.usage, TokenUsage::default());
        assert_eq!(seen.untold, None);
        assert_eq!(seen.finish_reason.as_deref(), reason);
    }
}

#[test]
fn a_ranking_is_one_query() {
    let invoked =
        r#"{"results":[{"index":1,"relevance_score":0.9},{"index":0,"relevance_score":0.1}]}"#;
    let ranked = r#"{"results":[{"index":1,"relevanceScore":0.9},{"index":0,"relevanceScore":1}]}"#;
    for (operation, document) in [
        (Operation::InvokeModel, invoked),
        (Operation::Rerank, ranked),
    ] {
        let seen = asked(operation, document);
        assert_eq!(units(&seen), [("queries", 1)]);
        assert_eq!(seen.usage, TokenUsage::default());
        assert_eq!(seen.untold, None);
    }
    let titan = asked(Operation::InvokeModel, r#"{"results":[{"tokenCount":1}]}"#);
    assert!(titan.units.is_empty());
}

#[test]
fn what_is_about_a_film_is_not_estimated() {
    for document in [
        r#"{"message":"A dog runs.","finishReason":"stop"}"#,
        r#"{"data":[{"embedding":[0.1],"embeddingOption":"audio","startSec":0.0}]}"#,
    ] {
        assert_eq!(
            asked(Operation::InvokeModel, document).untold,
            None,
            "{document}"
        );
    }
}

#[test]
fn speech_shows_its_first_token_and_is_no_text() {
    let session = [
        r#"{"event":{"usageEvent":{"totalInputTokens":5,"totalOutputTokens":1,"totalTokens":6,"details":{"delta":{"input":{"speechTokens":5}}}}}}"#,
        r#"{"event":{"audioOutput":{"content":"UklGRg=="}}}"#,
        r#"{"event":{"usageEvent":{"totalInputTokens":9,"totalOutputTokens":4,"totalTokens":13}}}"#,
    ];
    let operation = Some(Operation::InvokeModelWithBidirectionalStream);
    let mut observer = crate::usage::ExchangeObserver::new(operation);
    observer.response_head(&head(200, &[("Content-Type", EVENTS)]));
    observer.response_content(&chunks(&session[..1]));
    assert!(!observer.first_token_seen());
    observer.response_content(&chunks(&session[1..]));
    assert!(observer.first_token_seen());
    let seen = observer.finish(true);
    assert_eq!(counts(&seen.usage), plain(9, 4));
    assert_eq!(seen.usage.source, Some(UsageSource::Stream));
    assert_eq!(seen.untold, None);
}

#[test]
fn a_count_of_tokens_is_not_usage() {
    for (operation, document) in [
        (Operation::CountTokens, r#"{"inputTokens":18}"#),
        (Operation::MessagesCountTokens, r#"{"input_tokens":18}"#),
    ] {
        let seen = asked(operation, document);
        assert_eq!(units(&seen), [("counted_tokens", 18)]);
        assert_eq!(seen.usage, TokenUsage::default());
        assert_eq!(seen.untold, None);
    }
}
