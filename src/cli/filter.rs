//! Which records: the filters that `log`, `stats` and `export` have in common.
//!
//! A new filter is one argument here and its line in [`Filter::query`]; what it means in SQL is left to the ledger.

use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;
use time::OffsetDateTime;

use crate::ledger::{Column, Condition, Outcome, Query, Since, StatusRange};
use crate::spend::Usd;

/// Which records.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Filters")]
pub struct Filter {
    /// From this time on: RFC 3339, YYYY-MM-DD (UTC), or an age such as 10m, 2h, 3d
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    pub since: Option<Since>,
    /// Before this time, likewise
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    pub until: Option<Since>,
    /// Only this model, by its id or its name; `*` stands for anything, here and below
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// Only this caller: name, role, access key id, account id, API key label or proxy user
    #[arg(long, value_name = "IDENTITY")]
    pub identity: Option<String>,
    /// Only this AWS account
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<String>,
    /// Only this region
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Only this operation, such as ConverseStream
    #[arg(long, value_name = "OPERATION")]
    pub operation: Option<String>,
    /// Only this upstream host
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Only requests that came by this route
    #[arg(long, value_name = "PREFIX")]
    pub route: Option<String>,
    /// Only these statuses: 200, 4xx, and with `!` before it all others; separated by commas
    #[arg(long, value_name = "STATUS", value_delimiter = ',', value_parser = StatusRange::parse)]
    pub status: Vec<StatusRange>,
    /// Only those that ended like this
    #[arg(long, value_name = "OUTCOME", value_parser = outcomes())]
    pub outcome: Option<Outcome>,
    /// Only those with this error type; `*` for any error
    #[arg(long, value_name = "TYPE")]
    pub error: Option<String>,
    /// Only those with this tag, and this value if one is given; repeatable
    #[arg(long, value_name = "KEY[=VALUE]", value_parser = parse_tag)]
    pub tag: Vec<Tag>,
    /// Only those that cost so much at least
    #[arg(long, value_name = "USD")]
    pub min_cost: Option<Usd>,
    /// Only those for which no price is known
    #[arg(long)]
    pub unpriced: bool,
}

/// What `--tag` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Its name.
    pub name: String,
    /// Its value; any if there is none.
    pub value: Option<String>,
}

/// `--tag` without a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("give a tag's name, or NAME=VALUE")]
pub struct TagError;

impl Filter {
    /// What is asked for, when it is `now`.
    #[must_use]
    pub fn query(&self, now: OffsetDateTime) -> Query {
        let mut conditions = Vec::new();
        for (column, text) in [
            (Column::Account, &self.account),
            (Column::Region, &self.region),
            (Column::Operation, &self.operation),
            (Column::Host, &self.host),
            (Column::Route, &self.route),
            (Column::ErrorType, &self.error),
        ] {
            conditions.extend(
                text.iter()
                    .map(|text| Condition::Matches(column, text.clone())),
            );
        }
        if !self.status.is_empty() {
            conditions.push(Condition::Status(self.status.clone()));
        }
        conditions.extend(self.outcome.map(Condition::Outcome));
        conditions.extend(self.tag.iter().map(|tag| Condition::Tag {
            name: tag.name.clone(),
            value: tag.value.clone(),
        }));
        conditions.extend(self.min_cost.map(Condition::MinCost));
        if self.unpriced {
            conditions.push(Condition::Unpriced);
        }
        Query {
            since_ms: self.since.map(|since| since.resolve(now)),
            until_ms: self.until.map(|until| until.resolve(now)),
            model: self.model.clone(),
            identity: self.identity.clone(),
            conditions,
            newest: None,
        }
    }
}

fn outcomes() -> impl clap::builder::TypedValueParser<Value = Outcome> {
    PossibleValuesParser::new(Outcome::ALL.map(Outcome::as_str)).try_map(|name| {
        let named = Outcome::ALL.into_iter().find(|one| one.as_str() == name);
        named.ok_or("no outcome")
    })
}

fn parse_tag(text: &str) -> Result<Tag, TagError> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    if name.is_empty() {
        return Err(TagError);
    }
    Ok(Tag {
        name: name.to_owned(),
        value,
    })
}
