//! What is said when something in here panics: where, and what was said there word for word in the source.
//!
//! A message that was formatted may quote what was being handled, a request among it (slicing a text at the wrong place
//! prints the text), so it is not repeated. The place is what a report needs; `RUST_BACKTRACE=1` adds how we got there,
//! which holds names of functions and no values.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::Write as _;
use std::panic::PanicHookInfo;

use tokio::task::JoinError;

/// Replaces the standard library's hook, which prints every message.
pub fn keep_messages_back() {
    std::panic::set_hook(Box::new(|panic| {
        let said = said(panic);
        if tracing::dispatcher::has_been_set() {
            tracing::error!("{said}");
        } else {
            writeln!(std::io::stderr().lock(), "tollgate: {said}").ok();
        }
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            writeln!(std::io::stderr().lock(), "{backtrace}").ok();
        }
    }));
}

fn said(panic: &PanicHookInfo<'_>) -> String {
    let place = panic
        .location()
        .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let message = panic
        .payload()
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("its message may quote a request and is not shown");
    format!("this is a bug: panicked at {place}: {message}")
}

/// How a task ended that did not return; what it panicked with is the hook's business.
#[must_use]
pub fn ended(error: &JoinError) -> &'static str {
    if error.is_panic() {
        "it panicked"
    } else {
        "it was cancelled"
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const ROLE: &str = "TOLLGATE_TEST_PANICS";

    /// A hook is the whole process's: the test runs itself once more.
    fn panics_as(role: &str) -> String {
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "telemetry::panics::tests::a_panic_tells_where_and_quotes_nothing",
                "--nocapture",
            ])
            .env(ROLE, role)
            .env_remove("RUST_BACKTRACE")
            .output()
            .unwrap();
        assert!(!output.status.success(), "{role}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn panic_now(role: &str) {
        keep_messages_back();
        let secret = format!("c4n4ry{}", role.len());
        match role {
            "formatted" => panic!("cannot read {secret}"),
            "error" => secret.parse::<u8>().map(drop).map_err(|_| secret).unwrap(),
            "slice" => drop(secret.split_at(99)),
            "literal" => panic!("a word of the source"),
            "task" => {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap();
                let ended = runtime.block_on(runtime.spawn(async move { panic!("{secret}") }));
                panic!("{}", super::ended(&ended.unwrap_err()));
            }
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_panic_tells_where_and_quotes_nothing() {
        if let Ok(role) = std::env::var(ROLE) {
            return panic_now(&role);
        }
        for role in ["formatted", "error", "slice", "task"] {
            let said = panics_as(role);
            assert!(
                said.contains("this is a bug: panicked at "),
                "{role}: {said}"
            );
            assert!(!said.contains("c4n4ry"), "{role}: {said}");
        }
        let said = panics_as("literal");
        assert!(
            said.contains("panics.rs") && said.contains("a word of the source"),
            "{said}"
        );
    }
}
