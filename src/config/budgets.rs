//! `[[budget]]` tables become the rules that calls are admitted by.
//!
//! What a rule means is said in `spend::budget`; here the tables are checked, each on its own and all against each other,
//! so that a wrong one never starts the gate. Messages name the table, the key, what was found, and what should stand there.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::load::ConfigError;
use super::settings::invalid;
use crate::spend::budget::{
    Counts, Glob, Limit, Match, Mode, OnExceeded, Per, Rolling, Rule, Unpriced, Window, Zone,
};
use crate::spend::price::Kind;
use crate::spend::rate::Rate;
use crate::spend::{PriceBook, PricedCall, Usd};
use crate::usage::TokenUsage;

/// One `[[budget]]` table.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetOption {
    /// Unique; in messages, tags and metrics.
    pub name: String,
    /// Globs of access key ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key: Option<Several>,
    /// Globs of account ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<Several>,
    /// Globs of the labels of bearer keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<Several>,
    /// Globs of proxy users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Several>,
    /// Globs of names that `[aliases]` gives callers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<Several>,
    /// Globs of roles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Several>,
    /// Globs of tags, by their keys.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tag: BTreeMap<String, Several>,
    /// Globs of models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Several>,
    /// Globs of operations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<Several>,
    /// Globs of regions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Several>,
    /// Globs of the prefixes of routes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<Several>,
    /// Each distinct value has a budget of its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub per: Vec<String>,
    /// Most tokens, of all kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_tokens: Option<u64>,
    /// Most input tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Most output tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// Most calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// Most calls at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<u64>,
    /// Most US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd: Option<Money>,
    /// `minute`, `hour`, `day`, `month`, or a length such as `90m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// The zone of the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Percentages that are noted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warn_at: Vec<u32>,
    /// `enforce` or `shadow`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// `finish` or `cut`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_exceeded: Option<String>,
    /// `allow`, `deny` or `assume = MODEL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpriced: Option<String>,
    /// Reserved where the body allows no number of output tokens at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assume_output_tokens: Option<u64>,
}

/// One text, or several.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged, expecting = "a text or a list of texts is expected")]
pub enum Several {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// An amount of money.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "an amount of US dollars is expected, in quotes: \"12.50\""
)]
pub enum Money {
    /// As it should be written.
    Text(String),
    /// Whole dollars.
    Whole(u64),
}

/// Output tokens reserved where nothing else is known.
const ASSUMED_OUTPUT: u64 = 4096;

/// Most characters of a name.
const MAX_NAME: usize = 100;

/// What is wrong with a table: the key, and why.
type Wrong = (&'static str, String);

/// The tables, checked. `prices`: what a model that is assumed costs.
pub(super) fn rules(
    options: &[BudgetOption],
    prices: &PriceBook,
) -> Result<Vec<Rule>, ConfigError> {
    let mut names = BTreeSet::new();
    let tables = options.iter().zip(1_usize..);
    tables
        .map(|(option, number)| {
            let rule = rule(option, prices);
            let rule = rule.and_then(|rule| match names.insert(rule.name.clone()) {
                true => Ok(rule),
                false => Err((
                    "name",
                    "another table has this name; every budget needs one of its own".to_owned(),
                )),
            });
            rule.map_err(|(key, why)| {
                let named = match option.name.trim() {
                    "" => String::new(),
                    name => format!(" (`{name}`)"),
                };
                invalid("budget", format!("table {number}{named}, {key}: {why}"))
            })
        })
        .collect()
}

fn rule(option: &BudgetOption, prices: &PriceBook) -> Result<Rule, Wrong> {
    let name = name(&option.name)?;
    let limit = limit(option)?;
    let window = window(option, limit.counts)?;
    let one_of = |key, value: Option<&str>, first: &str, second: &str| match value {
        None => Ok(false),
        Some(value) if value == first => Ok(false),
        Some(value) if value == second => Ok(true),
        Some(value) => Err((key, format!("`{value}` is neither {first} nor {second}"))),
    };
    let is_shadow = one_of("mode", option.mode.as_deref(), "enforce", "shadow")?;
    let cuts = one_of(
        "on_exceeded",
        option.on_exceeded.as_deref(),
        "finish",
        "cut",
    )?;
    if cuts && matches!(limit.counts, Counts::Requests | Counts::Concurrent) {
        let why = "a stream can be cut for tokens and money only, and this budget counts calls";
        return Err(("on_exceeded", why.to_owned()));
    }
    Ok(Rule {
        name,
        matches: matches(option)?,
        per: per(&option.per)?,
        limit,
        window,
        warn_at: warn_at(&option.warn_at)?,
        mode: if is_shadow {
            Mode::Shadow
        } else {
            Mode::Enforce
        },
        on_exceeded: if cuts {
            OnExceeded::Cut
        } else {
            OnExceeded::Finish
        },
        unpriced: unpriced(option.unpriced.as_deref(), limit.counts, prices)?,
        assume_output_tokens: option.assume_output_tokens.unwrap_or(ASSUMED_OUTPUT),
    })
}

fn name(text: &str) -> Result<String, Wrong> {
    let name = text.trim();
    let fits = !name.is_empty()
        && name.chars().count() <= MAX_NAME
        && !name.chars().any(|c| c.is_control() || c == ',' || c == '`');
    fits.then(|| name.to_owned()).ok_or_else(|| {
        (
            "name",
            format!(
                "`{name}` does not do; give a name of 1 to {MAX_NAME} characters, without commas and backquotes, that \
                 refusals, tags and metrics can call the budget by"
            ),
        )
    })
}

fn limit(option: &BudgetOption) -> Result<Limit, Wrong> {
    let counted = [
        (Counts::TotalTokens, option.total_tokens),
        (Counts::InputTokens, option.input_tokens),
        (Counts::OutputTokens, option.output_tokens),
        (Counts::Requests, option.requests),
        (Counts::Concurrent, option.concurrent),
        (Counts::Usd, option.usd.as_ref().map(dollars).transpose()?),
    ];
    let mut given = counted
        .iter()
        .filter_map(|(counts, most)| Some((*counts, (*most)?)));
    let all = || {
        let names = counted.map(|(counts, _)| counts.name());
        names.join(", ")
    };
    let Some((counts, most)) = given.next() else {
        return Err((
            "limit",
            format!("there is none; give exactly one of {}", all()),
        ));
    };
    if let Some((second, _)) = given.next() {
        let why = format!(
            "`{}` and `{}` are both given; give exactly one of {} (and another table for the other)",
            counts.name(),
            second.name(),
            all()
        );
        return Err(("limit", why));
    }
    Ok(Limit { counts, most })
}

fn dollars(money: &Money) -> Result<u64, Wrong> {
    let text = match money {
        Money::Text(text) => text.clone(),
        Money::Whole(whole) => whole.to_string(),
    };
    let usd: Result<Usd, _> = text.parse();
    usd.map(Usd::picos)
        .map_err(|error| ("usd", format!("`{text}` is {error}")))
}

fn window(option: &BudgetOption, counts: Counts) -> Result<Option<Window>, Wrong> {
    let zone = option.zone.as_deref();
    let Some(text) = option.window.as_deref() else {
        if counts != Counts::Concurrent {
            let why = format!("`{}` needs one: {WINDOWS}", counts.name());
            return Err(("window", why));
        }
        return match zone {
            None => Ok(None),
            Some(_) => Err(("zone", NO_ZONE.to_owned())),
        };
    };
    if counts == Counts::Concurrent {
        let why = "`concurrent` counts the calls that run now and has no window; leave it out";
        return Err(("window", why.to_owned()));
    }
    let named = || match zone {
        None => Ok(Zone::utc()),
        Some(name) => Zone::named(name).ok_or_else(|| {
            let why =
                format!("`{name}` is no zone of the IANA database, such as Europe/Berlin or UTC");
            ("zone", why)
        }),
    };
    let window = match text {
        "hour" => Window::Hour(named()?),
        "day" => Window::Day(named()?),
        "month" => Window::Month(named()?),
        _ if zone.is_some() && (text == "minute" || Rolling::parse(text).is_some()) => {
            return Err(("zone", NO_ZONE.to_owned()));
        }
        "minute" => Window::Minute,
        _ => match Rolling::parse(text) {
            Some(rolling) => Window::Rolling(rolling),
            None => return Err(("window", format!("`{text}` is none; give {WINDOWS}"))),
        },
    };
    Ok(Some(window))
}

const WINDOWS: &str = "minute, hour, day, month, or for a rolling one a whole number and m, h, d or w, from 1m to 366d, as in \
                       90m, 24h or 7d";
const NO_ZONE: &str = "only hours, days and months begin by the clocks of a zone; leave it out";

fn matches(option: &BudgetOption) -> Result<Vec<Match>, Wrong> {
    let plain = [
        (Per::AccessKey, "access_key", &option.access_key),
        (Per::Account, "account", &option.account),
        (Per::ApiKey, "api_key", &option.api_key),
        (Per::User, "user", &option.user),
        (Per::Alias, "alias", &option.alias),
        (Per::Role, "role", &option.role),
        (Per::Model, "model", &option.model),
        (Per::Operation, "operation", &option.operation),
        (Per::Region, "region", &option.region),
        (Per::Route, "route", &option.route),
    ];
    let plain = plain
        .into_iter()
        .filter_map(|(part, key, texts)| Some((part, key, texts.as_ref()?)));
    let tags = option
        .tag
        .iter()
        .map(|(tag, texts)| (Per::Tag(tag.clone()), "tag", texts));
    plain
        .chain(tags)
        .map(|(part, key, texts)| {
            let texts = match texts {
                Several::One(text) => std::slice::from_ref(text),
                Several::Many(texts) => texts.as_slice(),
            };
            if texts.is_empty() || texts.iter().any(|text| text.trim().is_empty()) {
                let why = "an empty pattern matches nothing; leave the key out to match everything";
                return Err((key, why.to_owned()));
            }
            let globs = texts.iter().map(|text| Glob::new(text)).collect();
            Ok(Match { part, globs })
        })
        .collect()
}

fn per(texts: &[String]) -> Result<Vec<Per>, Wrong> {
    let mut parts = Vec::with_capacity(texts.len());
    for text in texts {
        let Some(part) = Per::parse(text) else {
            let known = Per::PLAIN.map(|part| part.name().into_owned());
            let why = format!(
                "`{text}` is nothing that budgets are kept apart by; give {}, or tag:KEY",
                known.join(", ")
            );
            return Err(("per", why));
        };
        if parts.contains(&part) {
            return Err(("per", format!("`{text}` is given twice")));
        }
        parts.push(part);
    }
    Ok(parts)
}

fn warn_at(percentages: &[u32]) -> Result<Vec<u32>, Wrong> {
    if let Some(wrong) = percentages
        .iter()
        .find(|percent| !(1..=100).contains(*percent))
    {
        return Err((
            "warn_at",
            format!("{wrong} is no percentage from 1 to 100, as in [50, 80]"),
        ));
    }
    let sorted: BTreeSet<u32> = percentages.iter().copied().collect();
    Ok(sorted.into_iter().collect())
}

fn unpriced(text: Option<&str>, counts: Counts, prices: &PriceBook) -> Result<Unpriced, Wrong> {
    let Some(text) = text else {
        return Ok(Unpriced::default());
    };
    if counts != Counts::Usd {
        let why = format!("prices do not matter to `{}`; leave it out", counts.name());
        return Err(("unpriced", why));
    }
    let assumed = text
        .split_once('=')
        .filter(|(word, _)| word.trim() == "assume")
        .map(|(_, model)| model.trim());
    match (text, assumed) {
        ("allow", _) => Ok(Unpriced::Allow),
        ("deny", _) => Ok(Unpriced::Deny),
        (_, Some(model)) if !model.is_empty() => {
            let Some((input, output)) = rates(model, prices) else {
                let why = format!(
                    "there is no price of input and output for `{model}`; `tollgate prices explain {model}` says where was \
                     looked"
                );
                return Err(("unpriced", why));
            };
            Ok(Unpriced::Assume {
                model: model.to_owned(),
                input,
                output,
            })
        }
        _ => Err((
            "unpriced",
            format!("`{text}` is none of: allow, deny, assume = MODEL"),
        )),
    }
}

/// What a token of input and one of output of `model` cost, at its standard rates.
fn rates(model: &str, prices: &PriceBook) -> Option<(Rate, Rate)> {
    let usage = TokenUsage {
        input_tokens: Some(1),
        output_tokens: Some(1),
        total_tokens: Some(2),
        ..TokenUsage::default()
    };
    let call = PricedCall {
        model: Some(model),
        response_model: None,
        endpoint: None,
        region: None,
        service_tier: None,
        asked_tier: None,
        performance_latency: None,
        usage: &usage,
    };
    let charge = prices.charge(&call, &mut |_| {}).ok()?;
    let rate = |kind: Kind| {
        let line = charge.lines.iter().find(|line| line.kind == kind)?;
        let picos = u128::from(line.rate?.picos());
        let picos = match charge.found.multiplier {
            Some(multiplier) => multiplier.apply(picos),
            None => picos,
        };
        Rate::from_picos(u64::try_from(picos).ok()?)
    };
    Some((rate(Kind::Input)?, rate(Kind::Output)?))
}

#[cfg(test)]
#[path = "budgets_tests.rs"]
mod tests;
