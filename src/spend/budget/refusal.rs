//! Why a call is refused, in words that its caller can act upon.

use std::time::Duration;

use time::OffsetDateTime;

use super::rule::{Counts, Key, Rule};
use super::state::Standing;
use super::window::instant;

/// A call that is not let through, or a stream that is to be ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of limit it met.
    pub kind: RefusalKind,
    /// The rule's name.
    pub rule: String,
    /// For the caller: the rule, what is spent, the limit, and when it resets.
    pub message: String,
    /// When the window is over; `None` for rolling windows and for what has none.
    pub resets_at: Option<OffsetDateTime>,
    /// After which time it makes sense to try again; of rates only.
    pub retry_after: Option<Duration>,
}

/// What kind of limit a call met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// A budget of a day or longer is spent, or trying again cannot help: `AccessDeniedException`.
    Spent,
    /// A shorter one, or too many calls at once: `ThrottlingException`.
    Rate,
}

/// What a call met.
#[derive(Clone, Copy, Debug)]
pub(super) struct Met<'a> {
    pub(super) rule: &'a Rule,
    pub(super) key: &'a Key,
    pub(super) standing: Standing,
    /// What it asked for.
    pub(super) asked: u64,
    /// When, in milliseconds since 1970.
    pub(super) at_ms: i64,
    /// How long until enough of the window is free.
    pub(super) frees_ms: Option<i64>,
}

/// When running calls are in the way, and it is not known for how long.
const SOON: Duration = Duration::from_secs(1);

impl Met<'_> {
    /// A call that asks for more than is left.
    pub(super) fn refusal(&self) -> Refusal {
        let Limit { most, counts } = self.limit();
        let asked = u128::from(self.asked);
        let hopeless = asked > most;
        let asks = match counts {
            Counts::Requests | Counts::Concurrent => String::new(),
            _ if hopeless => format!(
                "; this call may take {}, more than there ever is: ask for fewer tokens (max_tokens)",
                counts.say(asked)
            ),
            _ => format!("; this call may take {}", counts.say(asked)),
        };
        self.refused(&asks, hopeless)
    }

    /// A call without a price.
    pub(super) fn unpriced(&self, model: Option<&str>) -> Refusal {
        let model = model.unwrap_or("this model");
        let why = format!(
            "budget `{}`: no price is known for {model}, and the budget is of money; its operator can give the model a \
             price, or say what unpriced calls may do",
            self.rule.name
        );
        Refusal {
            kind: RefusalKind::Spent,
            rule: self.rule.name.clone(),
            message: why,
            resets_at: None,
            retry_after: None,
        }
    }

    /// A stream in which the budget ran out, when it had taken `so_far` itself.
    pub(super) fn exceeded(&self, so_far: u64) -> Refusal {
        let taken = self.rule.limit.counts.say(so_far.into());
        self.refused(
            &format!("; this call has taken {taken} and is ended"),
            false,
        )
    }

    fn refused(&self, asks: &str, hopeless: bool) -> Refusal {
        let Limit { most, counts } = self.limit();
        let Standing { spent, reserved } = self.standing;
        let window = self.rule.window.as_ref();
        let whose = self.whose();
        let state = match counts {
            Counts::Concurrent => {
                format!("{reserved} of {} run already", counts.say(most))
            }
            _ => {
                let of = counts.say(most);
                let spent = counts.number(spent);
                let reserved = counts.number(reserved);
                let per = window.map_or("", |window| window.name());
                format!(
                    "{spent} of {of} per {per} are spent and {reserved} reserved by running calls"
                )
            }
        };
        let ends_ms = window.and_then(|window| window.ends(self.at_ms));
        let resets = match (window, ends_ms) {
            (Some(window), Some(ends_ms)) => format!("; it resets at {}", window.say(ends_ms)),
            (Some(window), None) => self.frees_ms.map_or_else(String::new, |frees_ms| {
                format!(
                    "; enough of it is free again at {}",
                    window.say(self.at_ms + frees_ms)
                )
            }),
            (None, _) => String::new(),
        };
        let is_long = window.is_some_and(|window| window.is_long());
        let kind = if is_long || hopeless {
            RefusalKind::Spent
        } else {
            RefusalKind::Rate
        };
        Refusal {
            kind,
            rule: self.rule.name.clone(),
            message: format!("budget `{}`{whose}: {state}{asks}{resets}", self.rule.name),
            resets_at: ends_ms.and_then(instant),
            retry_after: (kind == RefusalKind::Rate).then(|| self.retry_after(ends_ms)),
        }
    }

    fn retry_after(&self, ends_ms: Option<i64>) -> Duration {
        let ends = ends_ms.map(|ends_ms| ends_ms - self.at_ms);
        let wait = ends.or(self.frees_ms).and_then(|ms| u64::try_from(ms).ok());
        let wait = wait.map_or(SOON, Duration::from_millis);
        // What only running calls hold may be free at any time.
        let spent_alone = self.standing.spent + u128::from(self.asked) > self.limit().most;
        if spent_alone { wait } else { wait.min(SOON) }
    }

    fn whose(&self) -> String {
        let parts = self.rule.per.iter().zip(&self.key.0);
        let parts: Vec<String> = parts
            .map(|(part, value)| {
                let value = value.as_deref().unwrap_or("(unknown)");
                format!("{} {value}", part.name())
            })
            .collect();
        match parts.as_slice() {
            [] => String::new(),
            parts => format!(" for {}", parts.join(", ")),
        }
    }

    fn limit(&self) -> Limit {
        Limit {
            most: self.rule.limit.most.into(),
            counts: self.rule.limit.counts,
        }
    }
}

struct Limit {
    most: u128,
    counts: Counts,
}
