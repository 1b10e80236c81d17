//! `tollgate prices explain MODEL`: how the price of a model is found, and what a call would cost.

use std::io::Write;

use clap::Args;

use super::SourceArgs;
use crate::aws::Service;
use crate::cli::terminal::{Line, ReportError};
use crate::spend::charge::Charge;
use crate::spend::price::{Band, Kind, Rates};
use crate::spend::{CostStatus, PriceBook, PricedCall, Usd};
use crate::usage::{TokenUsage, UsageSource};

/// Arguments of `explain`.
#[derive(Args, Debug)]
pub(super) struct ExplainArgs {
    /// Model id or ARN, as a client would name it
    pub(super) model: String,
    /// The region of the call
    #[arg(long, value_name = "REGION")]
    pub(super) region: Option<String>,
    /// A call to the mantle endpoint rather than to the runtime
    #[arg(long)]
    pub(super) mantle: bool,
    /// The service tier: default, flex, priority, batch, …
    #[arg(long, value_name = "TIER")]
    pub(super) tier: Option<String>,
    #[command(flatten)]
    pub(super) source: SourceArgs,
}

/// Tokens of the example, for each kind that has a rate.
const EXAMPLE: [(Kind, u64); 5] = [
    (Kind::Input, 10_000),
    (Kind::Output, 1_000),
    (Kind::CacheRead, 5_000),
    (Kind::CacheWrite5m, 2_000),
    (Kind::CacheWrite1h, 1_000),
];

/// Prints the search, the price and an example.
pub(super) fn print(
    book: &PriceBook,
    args: &ExplainArgs,
    out: &mut impl Write,
) -> Result<(), ReportError> {
    let service = if args.mantle {
        Service::Mantle
    } else {
        Service::Runtime
    };
    let plain = example(&Rates::default());
    let call = |usage| PricedCall {
        model: Some(&args.model),
        response_model: None,
        endpoint: Some(service),
        region: args.region.as_deref(),
        service_tier: args.tier.as_deref(),
        asked_tier: None,
        performance_latency: None,
        usage,
    };
    writeln!(
        out,
        "{} at bedrock-{}, {}, tier {}",
        Line(&args.model),
        if args.mantle { "mantle" } else { "runtime" },
        args.region.as_deref().map_or_else(
            || "region unknown".to_owned(),
            |region| Line(region).to_string()
        ),
        Line(args.tier.as_deref().unwrap_or("default")),
    )?;
    let mut steps = Vec::new();
    let first = book.charge(&call(&plain), &mut |step| steps.push(step.to_string()));
    writeln!(out, "\nSearched")?;
    for (at, step) in steps.iter().enumerate() {
        writeln!(out, "  {}. {}", at + 1, Line(step))?;
    }
    let rates = match &first {
        Ok(charge) => *charge.found.price.bands.of(charge.band),
        Err(why) => {
            writeln!(out, "\nUnpriced: {}", Line(&why.to_string()))?;
            return Ok(());
        }
    };
    let usage = example(&rates);
    match book.charge(&call(&usage), &mut |_| {}) {
        Ok(charge) => print_charge(&charge, out),
        Err(why) => Ok(writeln!(out, "\nUnpriced: {}", Line(&why.to_string()))?),
    }
}

/// Input and output, and cache tokens where there are rates for them.
fn example(rates: &Rates) -> TokenUsage {
    let tokens = |kind| {
        let of = EXAMPLE.iter().find(|(known, _)| *known == kind);
        let plain = matches!(kind, Kind::Input | Kind::Output);
        of.filter(|_| plain || rates.of(kind).is_some())
            .map(|(_, tokens)| *tokens)
    };
    let hour = tokens(Kind::CacheWrite1h);
    TokenUsage {
        input_tokens: tokens(Kind::Input),
        output_tokens: tokens(Kind::Output),
        cache_read_tokens: tokens(Kind::CacheRead),
        cache_write_tokens: tokens(Kind::CacheWrite5m).map(|all| all + hour.unwrap_or(0)),
        cache_write_1h_tokens: hour,
        source: Some(UsageSource::Body),
        ..TokenUsage::default()
    }
}

fn print_charge(charge: &Charge<'_>, out: &mut impl Write) -> Result<(), ReportError> {
    let price = charge.found.price;
    writeln!(out, "\nPrice   {}", Line(&charge.found.key))?;
    writeln!(out, "Source  {}", Line(&price.source))?;
    writeln!(
        out,
        "As of   {}",
        Line(price.as_of.as_deref().unwrap_or("not told"))
    )?;
    if let Some(note) = &price.note {
        writeln!(out, "Note    {}", Line(note))?;
    }
    writeln!(out, "Status  {}", charge.cost.status.as_str())?;
    let doubts = charge.found.doubts.iter().map(ToString::to_string);
    for why in doubts.chain(charge.gaps.iter().map(ToString::to_string)) {
        writeln!(out, "        {}", Line(&why))?;
    }
    let others: Vec<_> = Band::ALL
        .into_iter()
        .filter(|band| *band != charge.band && !price.bands.of(*band).is_empty())
        .map(Band::as_str)
        .collect();
    if !others.is_empty() {
        writeln!(
            out,
            "        there are rates for {} as well",
            others.join(", ")
        )?;
    }
    if let Some(above) = price.long_context_above {
        let known = if price.bands.of(Band::Long).is_empty() {
            "other rates apply, which are not known: unpriced"
        } else {
            "the long-context rates apply"
        };
        writeln!(out, "        above {above} tokens of input, {known}")?;
    }
    writeln!(out, "\nFor example ({} rates, USD)", charge.band.as_str())?;
    for line in &charge.lines {
        let (Some(tokens), Some(rate), Some(picos)) = (line.tokens, line.rate, line.picos()) else {
            continue;
        };
        let amount = Usd::from_picos(u64::try_from(picos).unwrap_or(u64::MAX));
        writeln!(
            out,
            "  {:<14}  {tokens:>6} tokens × {rate:>8} per million = {amount}",
            line.kind.as_str(),
        )?;
    }
    if let Some(factor) = charge.found.multiplier {
        writeln!(out, "  the sum × {factor}")?;
    }
    if let Some(usd) = charge.cost.usd {
        let partial = match charge.cost.status {
            CostStatus::Partial => ", and what has no rate",
            _ => "",
        };
        writeln!(out, "  together {usd}{partial}")?;
    }
    Ok(())
}
