//! One rule, as it was configured: who and what it is for, what it counts, and how much there may be.
//!
//! A rule says nothing of what is spent; that is kept in `state`. How tables become rules is left to the configuration.

use std::borrow::Cow;
use std::fmt;

use wildmatch::WildMatchPattern;

use super::window::Window;
use super::{Ask, Spent, Subject};
use crate::aws::Operation;
use crate::aws::model_id::ModelId;
use crate::spend::book;
use crate::spend::cost::Usd;
use crate::spend::rate::Rate;

/// A rule. Two that are equal mean the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Unique; in messages, tags and metrics.
    pub name: String,
    /// All of them have to match.
    pub matches: Vec<Match>,
    /// Each distinct value has a budget of its own; empty: one for all that match.
    pub per: Vec<Per>,
    /// What is counted, and how much there may be.
    pub limit: Limit,
    /// In which time; `None` exactly where concurrent calls are counted.
    pub window: Option<Window>,
    /// Percentages of the limit that are noted when they are reached, in ascending order.
    pub warn_at: Vec<u32>,
    /// Whether calls are refused.
    pub mode: Mode,
    /// What happens to a stream when the budget runs out in it.
    pub on_exceeded: OnExceeded,
    /// What happens to calls without a price; matters to money only.
    pub unpriced: Unpriced,
    /// Output tokens reserved where the body allows no number at most.
    pub assume_output_tokens: u64,
}

/// One condition: any of its globs has to match any of the texts that a part goes by.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// Which part of a call.
    pub part: Per,
    /// In which `*` stands for anything.
    pub globs: Vec<Glob>,
}

/// A pattern in which only `*` is special, as in `[aliases]`.
#[derive(Clone, PartialEq)]
pub struct Glob(WildMatchPattern<'*', '\0'>);

/// A part of a call: what conditions look at, and what budgets are kept apart by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Per {
    /// `access_key`
    AccessKey,
    /// `account`
    Account,
    /// `api_key`
    ApiKey,
    /// `user`: of the proxy.
    User,
    /// `alias`: what `[aliases]` calls the caller.
    Alias,
    /// `role`
    Role,
    /// `model`
    Model,
    /// `operation`
    Operation,
    /// `region`
    Region,
    /// `route`
    Route,
    /// `tag:KEY`
    Tag(String),
}

/// What is counted, and how much there may be of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What.
    pub counts: Counts,
    /// How many; picodollars of money.
    pub most: u64,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// Input, output and cache tokens.
    TotalTokens,
    /// Input tokens without cache tokens, as in the usage record.
    InputTokens,
    /// Output tokens.
    OutputTokens,
    /// Calls.
    Requests,
    /// Calls that run at the same time.
    Concurrent,
    /// US dollars.
    Usd,
}

/// Whether calls are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// They are.
    #[default]
    Enforce,
    /// It is only recorded which would have been.
    Shadow,
}

/// What happens to a stream when the budget runs out in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExceeded {
    /// It goes on to its end.
    #[default]
    Finish,
    /// It is ended with an exception.
    Cut,
}

/// What happens to calls without a price under a budget of money.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Unpriced {
    /// They pass and count for nothing.
    Allow,
    /// They are refused: a cap that they could pass would be none.
    #[default]
    Deny,
    /// They count as if this model had been called; cache tokens as input.
    Assume {
        /// The model.
        model: String,
        /// Of a token that is not output.
        input: Rate,
        /// Of an output token.
        output: Rate,
    },
}

/// What a call may cost a rule at most, or that nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// So much; and so much at least, where the rest is only what the rule assumes.
    Amount {
        /// What is reserved if there is room for it.
        most: u64,
        /// What there has to be room for.
        least: u64,
    },
    /// There is no price, and the rule wants one.
    Unpriced,
}

impl Asked {
    /// How much is reserved where so much is left. All of it is as much as can be kept for a call whose answer nobody has
    /// limited.
    pub(super) fn of_what_is_left(self, left: u64) -> u64 {
        match self {
            Self::Amount { most, least } if least <= left => most.min(left),
            Self::Amount { least, .. } => least,
            Self::Unpriced => 0,
        }
    }
}

/// Counts beyond this are a peer's nonsense; the ledger keeps no larger ones either.
const MOST: u64 = i64::MAX as u64;

impl Rule {
    /// Whether it is for `subject`.
    #[must_use]
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        self.matches.iter().all(|one| one.is_met_by(subject))
    }

    /// Whether it may be for `subject`, as far as that is known before the body: tags, and a model that the path does not
    /// name, may stand in it.
    pub(super) fn may_match(&self, subject: &Subject<'_>) -> bool {
        let may = |one: &Match| match one.part {
            Per::Tag(_) => true,
            Per::Model if subject.model.is_none() => true,
            _ => one.is_met_by(subject),
        };
        self.matches.iter().all(may)
    }

    /// Whether what it is for, or how much it reserves, may depend on the body.
    pub(super) fn wants_body(&self, subject: &Subject<'_>) -> bool {
        let parts = self
            .matches
            .iter()
            .map(|one| &one.part)
            .chain(self.per.iter());
        let stands_in_it = |part: &Per| match part {
            Per::Tag(_) => true,
            Per::Model => subject.model.is_none(),
            _ => false,
        };
        // Input, too: the length of a body does not say whether it is text or pictures.
        let counts_calls = matches!(self.limit.counts, Counts::Requests | Counts::Concurrent);
        !counts_calls || parts.into_iter().any(stands_in_it)
    }

    /// Whether a tag matters to it.
    pub(super) fn uses_tags(&self) -> bool {
        let parts = self.matches.iter().map(|one| &one.part).chain(&self.per);
        parts.into_iter().any(|part| matches!(part, Per::Tag(_)))
    }

    /// Whether what is spent under `other` is what is spent under this: only the limit and what follows from it differ.
    pub(super) fn measures_as(&self, other: &Self) -> bool {
        let assumes = |rule: &Self| match &rule.unpriced {
            Unpriced::Assume { input, output, .. } => Some((*input, *output)),
            Unpriced::Allow | Unpriced::Deny => None,
        };
        self.matches == other.matches
            && self.per == other.per
            && self.limit.counts == other.limit.counts
            && self.window == other.window
            && assumes(self) == assumes(other)
    }

    /// What `subject` is kept apart by.
    pub(super) fn key(&self, subject: &Subject<'_>) -> Key {
        let part = |part: &Per| {
            let value = part.value(subject)?;
            Some(value.chars().take(KEY_CHARS).collect::<String>().into())
        };
        Key(self.per.iter().map(part).collect())
    }

    /// What a call may come to at most.
    pub(super) fn asked(
        &self,
        subject: &Subject<'_>,
        ask: &Ask,
        price: &dyn Fn(u64, u64) -> Option<Usd>,
    ) -> Asked {
        if is_free(subject) {
            let amount = match self.limit.counts {
                Counts::Requests | Counts::Concurrent => 1,
                _ => 0,
            };
            return Asked::Amount {
                most: amount,
                least: amount,
            };
        }
        let output = ask.max_output_tokens.unwrap_or(self.assume_output_tokens);
        let Some(most) = self.amount(ask.input_tokens, output, price) else {
            return Asked::Unpriced;
        };
        // A guess about an answer that nobody has limited is no reason to refuse it.
        let least = match ask.max_output_tokens {
            Some(_) => Some(most),
            None => self.amount(ask.input_tokens, output.min(1), price),
        };
        Asked::Amount {
            most,
            least: least.unwrap_or(most),
        }
    }

    /// What so many tokens come to; `None` where there is no price and the rule wants one.
    fn amount(
        &self,
        input: u64,
        output: u64,
        price: &dyn Fn(u64, u64) -> Option<Usd>,
    ) -> Option<u64> {
        let total = input.saturating_add(output);
        Some(match self.limit.counts {
            Counts::TotalTokens => total,
            Counts::InputTokens => input,
            Counts::OutputTokens => output,
            Counts::Requests | Counts::Concurrent => 1,
            Counts::Usd => match (price(input, output), &self.unpriced) {
                (Some(usd), _) => usd.picos(),
                (None, Unpriced::Allow) => 0,
                (None, Unpriced::Deny) => return None,
                (None, Unpriced::Assume { .. }) => self.assumed(total, output),
            },
        })
    }

    /// What a call came to.
    pub(super) fn spent(&self, spent: &Spent) -> u64 {
        let amount = match self.limit.counts {
            Counts::TotalTokens => spent.total_tokens,
            Counts::InputTokens => spent.input_tokens,
            Counts::OutputTokens => spent.output_tokens,
            Counts::Requests => 1,
            Counts::Concurrent => 0,
            Counts::Usd => match (spent.cost, &self.unpriced) {
                (Some(usd), _) => usd.picos(),
                (None, Unpriced::Assume { .. }) => {
                    self.assumed(spent.total_tokens, spent.output_tokens)
                }
                (None, Unpriced::Allow | Unpriced::Deny) => 0,
            },
        };
        amount.min(MOST)
    }

    fn assumed(&self, total: u64, output: u64) -> u64 {
        let Unpriced::Assume {
            input: of_input,
            output: of_output,
            ..
        } = &self.unpriced
        else {
            return 0;
        };
        let input = total
            .saturating_sub(output)
            .saturating_mul(of_input.picos());
        input.saturating_add(output.saturating_mul(of_output.picos()))
    }
}

/// Operations that answer about calls and are none themselves.
pub(super) fn is_free(subject: &Subject<'_>) -> bool {
    let operation = subject.operation;
    operation.is_some_and(|name| Operation::FREE.iter().any(|free| free.name() == name))
}

/// What a budget is kept for: a value for each part that a rule is `per`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key(pub(super) Box<[Option<Box<str>>]>);

/// As much of a value as tells it apart: ids are shorter, and what is longer shares a budget with what begins alike.
const KEY_CHARS: usize = 256;

impl Match {
    fn is_met_by(&self, subject: &Subject<'_>) -> bool {
        let any = |text: &str| self.globs.iter().any(|glob| glob.matches(text));
        match self.part {
            // A model goes by several names, and no rule is escaped by choosing another one.
            Per::Model => {
                let model = subject.model;
                let id = model.and_then(book::id_of);
                let base = model.and_then(|model| ModelId::parse(model).foundation_model());
                let names = [model, subject.model_name, id, base];
                names.into_iter().flatten().any(any)
            }
            _ => self.part.value(subject).is_some_and(any),
        }
    }
}

impl Per {
    /// Those that have no name of their own in them.
    pub const PLAIN: [Self; 10] = [
        Self::AccessKey,
        Self::Account,
        Self::ApiKey,
        Self::User,
        Self::Alias,
        Self::Role,
        Self::Model,
        Self::Operation,
        Self::Region,
        Self::Route,
    ];

    /// The part that is called so in the configuration.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("tag:") {
            Some(key) => (!key.is_empty()).then(|| Self::Tag(key.to_owned())),
            None => Self::PLAIN.into_iter().find(|part| part.name() == text),
        }
    }

    /// What it is called in the configuration and in reports.
    #[must_use]
    pub fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::AccessKey => "access_key",
            Self::Account => "account",
            Self::ApiKey => "api_key",
            Self::User => "user",
            Self::Alias => "alias",
            Self::Role => "role",
            Self::Model => "model",
            Self::Operation => "operation",
            Self::Region => "region",
            Self::Route => "route",
            Self::Tag(key) => return Cow::Owned(format!("tag:{key}")),
        })
    }

    fn value<'a>(&self, subject: &Subject<'a>) -> Option<&'a str> {
        match self {
            Self::AccessKey => subject.access_key_id,
            Self::Account => subject.account_id,
            Self::ApiKey => subject.api_key,
            Self::User => subject.proxy_user,
            Self::Alias => subject.name,
            Self::Role => subject.role,
            Self::Model => subject.model_name.or(subject.model),
            Self::Operation => subject.operation,
            Self::Region => subject.region,
            Self::Route => subject.route,
            Self::Tag(key) => subject.tags.get(key).map(String::as_str),
        }
    }
}

impl Glob {
    /// Matches what `text` says, in which `*` stands for anything.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(WildMatchPattern::new(text))
    }

    /// Whether `text` is one of them.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.0.matches(text)
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Counts {
    /// The key of the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TotalTokens => "total_tokens",
            Self::InputTokens => "input_tokens",
            Self::OutputTokens => "output_tokens",
            Self::Requests => "requests",
            Self::Concurrent => "concurrent",
            Self::Usd => "usd",
        }
    }

    /// An amount of it as people read it: `1000 total tokens`, `12.5 US dollars`.
    pub(super) fn say(self, amount: u128) -> String {
        let what = match self {
            Self::TotalTokens => "total tokens",
            Self::InputTokens => "input tokens",
            Self::OutputTokens => "output tokens",
            Self::Requests => "requests",
            Self::Concurrent => "concurrent requests",
            Self::Usd => "US dollars",
        };
        format!("{} {what}", self.number(amount))
    }

    /// An amount of it in digits, money in dollars.
    #[must_use]
    pub fn number(self, amount: u128) -> String {
        match self {
            Self::Usd => dollars(amount),
            _ => amount.to_string(),
        }
    }
}

/// Picodollars as decimal dollars, without zeros at the end.
fn dollars(picos: u128) -> String {
    const IN_A_DOLLAR: u128 = 1_000_000_000_000;
    let (whole, rest) = (picos / IN_A_DOLLAR, picos % IN_A_DOLLAR);
    if rest == 0 {
        return whole.to_string();
    }
    let places = format!("{rest:012}");
    format!("{whole}.{}", places.trim_end_matches('0'))
}

impl Mode {
    /// The name it has in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
        }
    }
}
