//! What a budget does not allow is refused at once and reaches nobody: every kind of limit, whoever and whatever it is
//! for, at every door; and what it allows passes.

use tollgate::config::HostPattern;
use tollgate::ledger::{Outcome, UsageRecord};

use crate::callers::{ROLE, SESSION, STS, assume_role};
use crate::support::budgets::{
    ANSWER, Answered, Call, KEY, NOVA, OTHER_KEY, authorization, in_home, plan,
};
use crate::support::{BEDROCK, Door, End, RawUpstream, until};

const SPENT: (u16, &str, &str) = (403, "AccessDeniedException", "budget-spent");
const RATE: (u16, &str, &str) = (429, "ThrottlingException", "rate-limited");

fn tag<'r>(record: &'r UsageRecord, name: &str) -> Option<&'r str> {
    record.tags.get(name).map(String::as_str)
}

/// One `[[budget]]` table.
fn budget(keys: &str) -> String {
    format!("[[budget]]\nname = \"the rule\"\n{keys}\n")
}

#[tokio::test]
async fn every_count_is_refused_when_it_is_spent_and_not_before() {
    // A call asks for about 30 and 10 tokens and takes 7 and 2.
    for (limit, window, (status, error_type, code)) in [
        ("total_tokens = 48", "24h", SPENT),
        ("total_tokens = 48", "90m", RATE),
        ("input_tokens = 36", "7d", SPENT),
        ("output_tokens = 11", "1h", RATE),
        ("requests = 1", "24h", SPENT),
        ("requests = 1", "1h", RATE),
        ("usd = \"0.0000048\"", "24h", SPENT),
    ] {
        let config = budget(&format!("{limit}\nwindow = \"{window}\""));
        let it = Answered::new(&config).await;
        assert_eq!(
            it.call(Door::Connect, &Call::default()).await.text(),
            ANSWER,
            "{config}"
        );
        let refused = it.call(Door::Connect, &Call::default()).await;
        let records = it.gate.records();
        assert_eq!(refused.status(), status, "{config}: {records:#?}");
        refused.assert_typed(status, error_type, code);
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains("the rule"), "{message}");
        assert_eq!(refused.field("retry-after").is_some(), status == 429);
        assert_eq!(refused.field("x-amz-retry-after").is_some(), status == 429);
        assert_eq!(it.served(), 1, "{config}");
        assert_eq!(records[0].outcome, Outcome::Complete);
        assert_eq!(tag(&records[0], "tollgate-rule"), None);
        let record = &records[1];
        assert_eq!(record.outcome, Outcome::Refused, "{config}");
        assert_eq!(record.status, Some(status));
        assert_eq!(record.error_type.as_deref(), Some(error_type));
        assert_eq!(tag(record, "tollgate-rule"), Some("the rule"));
        assert_eq!(record.usage.total_tokens, None);
        assert_eq!(record.request_bytes, Call::default().body.len() as u64);
    }
}

#[tokio::test]
async fn windows_of_the_calendar_say_when_they_reset() {
    for (window, zone, (status, error_type, code)) in [
        ("minute", "", RATE),
        ("hour", "", RATE),
        ("day", "zone = \"Europe/Berlin\"", SPENT),
        ("month", "zone = \"Asia/Kolkata\"", SPENT),
    ] {
        // A limit that was never any: the clock may strike in between.
        let config = budget(&format!("requests = 1\nwindow = \"{window}\"\n{zone}"));
        let it = Answered::new(&config).await;
        let mut refused = None;
        // A minute may end between two calls, and not between every two of them.
        for _ in 0..3 {
            let answer = it.call(Door::Connect, &Call::default()).await;
            if answer.status() != 200 {
                refused = Some(answer);
                break;
            }
        }
        let refused = refused.unwrap();
        refused.assert_typed(status, error_type, code);
        let text = refused.text();
        assert!(
            text.contains("resets at") && text.contains(window),
            "{text}"
        );
        if status == 429 {
            let millis: u64 = refused.field("x-amz-retry-after").unwrap().parse().unwrap();
            let seconds: u64 = refused.field("retry-after").unwrap().parse().unwrap();
            assert_eq!(seconds, millis.div_ceil(1000));
            assert!(millis > 0 && millis <= 3_600_000, "{millis}");
        }
    }
}

#[tokio::test]
async fn a_rule_is_for_whom_and_what_it_says() {
    let bearer = "Authorization: Bearer bedrock-api-key-of-somebody-else";
    let user = "Proxy-Authorization: Basic YWxpY2U6d29uZGVybGFuZA==";
    let metadata = "X-Amzn-Bedrock-Request-Metadata: {\"team\":\"a\"}";
    let tagged = Call::saying(r#"{"requestMetadata":{"team":"a"},"messages":[]}"#);
    let without = |call: Call| Call {
        fields: String::new(),
        ..call
    };
    for (matcher, call) in [
        ("access_key = \"AKIAEXAMPLE000000002\"", Call::by(OTHER_KEY)),
        ("access_key = [\"nobody\", \"*00002\"]", Call::by(OTHER_KEY)),
        ("account = \"*\"", Call::by("AKIAY34FZKBOKMUTVV7A")),
        ("api_key = \"*\"", without(Call::default()).field(bearer)),
        ("user = \"alice\"", Call::default().field(user)),
        ("alias = \"nightly *\"", Call::by("AKIAEXAMPLE000000009")),
        (
            "model = \"anthropic.*\"",
            Call::of("anthropic.claude-haiku-4-5-20251001-v1:0"),
        ),
        (
            "model = \"anthropic.*\"",
            Call::of("eu.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ),
        (
            "operation = \"InvokeModel\"",
            Call::default().action("invoke"),
        ),
        ("tag = { team = \"a\" }", tagged),
        ("tag = { team = \"a\" }", Call::default().field(metadata)),
    ] {
        let aliases = "[aliases]\n\"AKIAEXAMPLE000000009\" = \"nightly job\"\n";
        let config = budget(&format!("{matcher}\nrequests = 0\nwindow = \"24h\""));
        let it = Answered::new(&format!("{aliases}{config}")).await;
        let door = Door::Forward;
        assert_eq!(
            it.call(door, &Call::default()).await.status(),
            200,
            "{matcher}"
        );
        let refused = it.call(door, &call).await;
        assert_eq!(refused.status(), 403, "{matcher}");
        refused.assert_typed(SPENT.0, SPENT.1, SPENT.2);
        assert_eq!(it.served(), 1);
    }
    for (matcher, door, status) in [
        ("route = \"/service/standard/\"", Door::Route, 403),
        ("route = \"/service/standard/\"", Door::Connect, 200),
        ("region = \"us-east-1\"", Door::Connect, 403),
        ("region = \"eu-*\"", Door::Connect, 200),
    ] {
        let config = budget(&format!("{matcher}\nrequests = 0\nwindow = \"24h\""));
        let it = Answered::new(&config).await;
        let answer = it.call(door, &Call::default()).await;
        assert_eq!(answer.status(), status, "{matcher}");
    }
}

#[tokio::test]
async fn a_rule_is_for_the_role_that_sts_named() {
    let config = budget("role = \"*:assumed-role/search/*\"\nrequests = 0\nwindow = \"24h\"");
    let upstream = RawUpstream::tls_for(STS).await;
    let gate = plan(&config, &upstream)
        .with(|settings| {
            settings.policy.hosts.intercept = vec![HostPattern::parse(STS).unwrap()];
            settings.accounting.learn_sessions = true;
        })
        .start()
        .await;
    assume_role(&gate, &upstream).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client.send(Call::by(SESSION).through(Door::Connect)).await;
    client
        .answer()
        .await
        .assert_typed(SPENT.0, SPENT.1, SPENT.2);
    let record = gate.records().pop().unwrap();
    assert_eq!(record.identity.role.as_deref(), Some(ROLE));
}

#[tokio::test]
async fn what_was_spent_is_spent_for_the_next_gate_in_the_same_home() {
    let config = budget("per = [\"access_key\"]\ntotal_tokens = 60\nwindow = \"24h\"");
    let it = Answered::new(&config).await;
    for status in [200, 200, 200, 403] {
        let answer = it.call(Door::Connect, &Call::default()).await;
        assert_eq!(answer.status(), status, "{}", answer.text());
    }
    let home = it.stop().await;
    let upstream = RawUpstream::tls().await;
    let gate = in_home(home, &config, &upstream).start().await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client.send(Call::default().through(Door::Connect)).await;
    let refused = client.answer().await;
    refused.assert_typed(SPENT.0, SPENT.1, SPENT.2);
    assert!(refused.text().contains("27 of 60"), "{}", refused.text());
    client
        .send(Call::by(OTHER_KEY).through(Door::Connect))
        .await;
    upstream.accept().await.request().await;
}

#[tokio::test]
async fn a_model_that_only_the_body_names_is_known_before_it_is_asked() {
    let config = budget("model = \"openai.*\"\nrequests = 0\nwindow = \"24h\"");
    let it = Answered::new(&config).await;
    for (model, status) in [("openai.gpt-oss-20b", 403), ("qwen.qwen3-32b", 200)] {
        let body = format!(r#"{{"messages":[],"model":"{model}"}}"#);
        let mut client = Door::Connect.open(&it.gate, BEDROCK).await;
        client
            .send(format!(
                "POST /openai/v1/chat/completions HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ))
            .await;
        assert_eq!(client.answer().await.status(), status, "{model}");
        let record = it.gate.records().pop().unwrap();
        assert_eq!(record.model.as_deref(), Some(model));
    }
}

#[tokio::test]
async fn each_value_has_a_budget_of_its_own_where_a_rule_says_so() {
    let config = budget("per = [\"access_key\"]\nrequests = 1\nwindow = \"24h\"");
    let it = Answered::new(&config).await;
    for (key, status) in [(KEY, 200), (KEY, 403), (OTHER_KEY, 200), (OTHER_KEY, 403)] {
        let answer = it.call(Door::Connect, &Call::by(key)).await;
        assert_eq!(answer.status(), status, "{key}");
        if status == 403 {
            assert!(answer.text().contains(key), "{}", answer.text());
        }
    }
    assert_eq!(it.served(), 2);
}

#[tokio::test]
async fn every_door_refuses_in_the_words_of_aws() {
    for (keys, (status, error_type, code)) in [
        ("requests = 0\nwindow = \"24h\"", SPENT),
        ("concurrent = 1", RATE),
    ] {
        let upstream = RawUpstream::tls().await;
        let gate = plan(&budget(keys), &upstream).start().await;
        let mut holder = Door::Connect.open(&gate, BEDROCK).await;
        // One that runs as long as the others are refused.
        let mut held = None;
        if status == 429 {
            holder.send(Call::default().through(Door::Connect)).await;
            let mut served = upstream.accept().await;
            served.request().await;
            held = Some(served);
        }
        let connections = upstream.connections();
        for door in Door::ALL {
            for action in [
                "invoke",
                "converse",
                "invoke-with-response-stream",
                "converse-stream",
            ] {
                let call = Call::default().action(action);
                let mut client = door.open(&gate, BEDROCK).await;
                client.send(call.through(door)).await;
                let refused = client.answer().await;
                refused.assert_typed(status, error_type, code);
                let record = gate.records().pop().unwrap();
                assert_eq!(record.entry, door.entry());
                assert_eq!(record.outcome, Outcome::Refused);
            }
        }
        assert_eq!(
            upstream.connections(),
            connections,
            "an upstream saw what was refused"
        );
        drop(held);
    }
}

#[tokio::test]
async fn a_refused_connection_carries_the_next_request() {
    let config = budget("access_key = \"*1\"\nrequests = 0\nwindow = \"24h\"");
    let it = Answered::new(&config).await;
    let mut client = Door::Connect.open(&it.gate, BEDROCK).await;
    for (key, status) in [(KEY, 403), (OTHER_KEY, 200), (KEY, 403), (OTHER_KEY, 200)] {
        client.send(Call::by(key).through(Door::Connect)).await;
        assert_eq!(client.answer().await.status(), status);
    }
    // Half a body: what follows the answer could be the other half.
    let call = Call::by(KEY).through(Door::Connect);
    client.send(&call[..call.len() - 1]).await;
    let refused = client.answer().await;
    refused.assert_typed(SPENT.0, SPENT.1, SPENT.2);
    assert_eq!(refused.field("connection").as_deref(), Some("close"));
    assert_eq!(client.end().await, End::Closed);
}

#[tokio::test]
async fn a_hundred_first_requests_at_once_cannot_overspend_a_budget_of_one() {
    for keys in [
        "total_tokens = 50\nwindow = \"24h\"",
        "requests = 1\nwindow = \"24h\"",
        "usd = \"0.0000048\"\nwindow = \"24h\"",
        "concurrent = 1",
    ] {
        let upstream = RawUpstream::tls().await;
        let gate = plan(&budget(keys), &upstream).start().await;
        let mut clients = Vec::new();
        for _ in 0..100 {
            clients.push(Door::Forward.open(&gate, BEDROCK).await);
        }
        let call = Call::default().through(Door::Forward);
        for client in &mut clients {
            client.send(&call).await;
        }
        let mut served = upstream.accept().await;
        served.request().await;
        until("ninety-nine are refused", || gate.records().len() == 99).await;
        assert!(
            gate.records()
                .iter()
                .all(|record| record.outcome == Outcome::Refused)
        );
        assert_eq!(upstream.connections(), 1, "{keys}");
        served
            .send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{ANSWER}",
                ANSWER.len()
            ))
            .await;
        let mut answered = 0;
        for client in &mut clients {
            answered += usize::from(client.answer().await.status() == 200);
        }
        assert_eq!(answered, 1, "{keys}");
    }
}

#[tokio::test]
async fn what_a_failed_call_reserved_is_free_again() {
    let config = budget("total_tokens = 50\nwindow = \"24h\"");
    let upstream = RawUpstream::tls().await;
    let gate = plan(&config, &upstream).start().await;
    for answer in [
        "",
        "garbage\r\n\r\n",
        "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
    ] {
        let mut client = Door::Connect.open(&gate, BEDROCK).await;
        client.send(Call::default().through(Door::Connect)).await;
        let mut served = upstream.accept().await;
        served.request().await;
        served.send(answer).await;
        served.close().await;
        let failed = client.answer().await;
        assert!(failed.status() >= 500, "{}", failed.text());
    }
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client.send(Call::default().through(Door::Connect)).await;
    let mut served = upstream.accept().await;
    served.request().await;
    // Who hangs up while it runs has spent what was seen: nothing.
    client.reset();
    served.end().await;
    until("the record of a hang-up", || gate.records().len() == 4).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client.send(Call::default().through(Door::Connect)).await;
    upstream.accept().await.request().await;
}

#[tokio::test]
async fn a_shadow_only_says_what_it_would_have_done_and_a_threshold_that_it_was_reached() {
    let config = budget("requests = 0\nwindow = \"24h\"\nmode = \"shadow\"")
        + "[[budget]]\nname = \"soft\"\nrequests = 10\nwindow = \"24h\"\nwarn_at = [10, 30]\n";
    let it = Answered::new(&config).await;
    for _ in 0..4 {
        // No tag of a caller passes for ours.
        let call =
            Call::saying(r#"{"requestMetadata":{"tollgate-budget-shadow":"x"},"messages":[]}"#);
        assert_eq!(it.call(Door::Connect, &call).await.status(), 200);
    }
    let records = it.gate.records();
    let warnings: Vec<_> = records
        .iter()
        .map(|record| tag(record, "tollgate-budget-warning"))
        .collect();
    assert_eq!(
        warnings,
        [None, Some("soft 10%"), Some("soft 10%"), Some("soft 30%")]
    );
    for record in &records {
        assert_eq!(tag(record, "tollgate-budget-shadow"), Some("the rule"));
        assert_eq!(record.outcome, Outcome::Complete);
    }
    assert_eq!(it.served(), 4);
}

#[tokio::test]
async fn a_model_without_a_price_is_treated_as_its_budget_of_money_says() {
    for (unpriced, statuses) in [
        ("", [403, 403]),
        ("unpriced = \"deny\"", [403, 403]),
        ("unpriced = \"allow\"", [200, 200]),
        (
            "unpriced = \"assume = us.amazon.nova-lite-v1:0\"",
            [200, 403],
        ),
    ] {
        let config = budget(&format!(
            "usd = \"0.0000048\"\nwindow = \"24h\"\n{unpriced}"
        ));
        let it = Answered::new(&config).await;
        for status in statuses {
            let answer = it
                .call(Door::Connect, &Call::of("example.unheard-of-v1:0"))
                .await;
            assert_eq!(answer.status(), status, "{unpriced}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn what_is_free_counts_as_a_call_only_and_what_is_no_call_for_nothing() {
    for (keys, status) in [
        ("total_tokens = 1\nwindow = \"24h\"", 200),
        ("usd = \"0\"\nwindow = \"24h\"", 200),
        ("requests = 0\nwindow = \"24h\"", 403),
    ] {
        let it = Answered::new(&budget(keys)).await;
        let free = Call::default().action("count-tokens");
        assert_eq!(
            it.call(Door::Connect, &free).await.status(),
            status,
            "{keys}"
        );
        let mut client = Door::Connect.open(&it.gate, BEDROCK).await;
        client
            .send(format!(
                "GET /anything HTTP/1.1\r\nHost: {BEDROCK}\r\n{}\r\n",
                authorization(KEY)
            ))
            .await;
        assert_eq!(client.answer_to("GET").await.status(), 200);
    }
}

#[tokio::test]
async fn a_call_that_names_no_longest_answer_is_no_reason_to_refuse_it() {
    for assumed in [10, 1000] {
        let config = budget(&format!(
            "total_tokens = 100\nwindow = \"24h\"\nassume_output_tokens = {assumed}"
        ));
        let it = Answered::new(&config).await;
        let call = Call::saying(r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#);
        assert_eq!(it.call(Door::Connect, &call).await.status(), 200);
        // An embedding answers nothing, whatever is assumed.
        let call = Call {
            body: r#"{"inputText":"hi"}"#.to_owned(),
            ..Call::of("amazon.titan-embed-text-v2:0").action("invoke")
        };
        assert_eq!(it.call(Door::Connect, &call).await.status(), 200);
    }
    // The model of all that does not say otherwise.
    assert_eq!(Call::default().model, NOVA);
}

#[tokio::test]
async fn a_picture_is_taken_for_a_picture_and_text_as_long_for_text() {
    // Base64 of a JPEG's beginning and much behind it.
    let long = format!("/9j/{}", "A".repeat(60_000));
    let picture = format!(
        r#"{{"messages":[{{"role":"user","content":[{{"image":{{"format":"jpeg","source":{{"bytes":"{long}"}}}}}}]}}],"max_tokens":1}}"#
    );
    let text = format!(
        r#"{{"messages":[{{"role":"user","content":[{{"text":"{long}"}}]}}],"max_tokens":1}}"#
    );
    for limit in ["input_tokens", "total_tokens"] {
        let config = budget(&format!("{limit} = 2000\nwindow = \"24h\""));
        let it = Answered::new(&config).await;
        for (body, status) in [(&text, 403), (&picture, 200)] {
            let answer = it.call(Door::Connect, &Call::saying(body)).await;
            assert_eq!(answer.status(), status, "{limit}: {}", answer.text());
        }
    }
}
