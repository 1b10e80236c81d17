//! Prices from files: LiteLLM's JSON, and the CSV that the built-in book is.

use crate::aws::Service;
use crate::spend::litellm::PriceFile;
use crate::spend::price::{Band, Kind, Row};
use crate::spend::rate::Rate;
use crate::spend::{PriceBook, PricedCall, builtin};
use crate::usage::TokenUsage;

fn check_row(row: &Row) {
    assert!(!row.id.is_empty());
    for (band, kind) in Band::ALL
        .into_iter()
        .flat_map(|band| Kind::ALL.map(|kind| (band, kind)))
    {
        let rate = row.price.bands.of(band).of(kind);
        assert!(rate.is_none_or(|rate| Rate::from_picos(rate.picos()) == Some(rate)));
    }
}

/// LiteLLM's price file: rows or an explanation, and a book with them prices calls without overflow.
pub(super) fn price_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let file = match PriceFile::parse(text, "prices.json", Some("2026-01-01")) {
        Ok(file) => file,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    file.rows().iter().for_each(check_row);
    let models: Vec<String> = file
        .rows()
        .iter()
        .take(8)
        .map(|row| row.id.to_string())
        .collect();
    let book = PriceBook::builtin().with_file(file);
    let usage = TokenUsage {
        input_tokens: Some(1 << 53),
        output_tokens: Some(1 << 53),
        cache_read_tokens: Some(1 << 53),
        cache_write_tokens: Some(1 << 53),
        ..TokenUsage::default()
    };
    for model in &models {
        let cost = book.cost(&PricedCall {
            model: Some(model),
            endpoint: Some(Service::Runtime),
            region: Some("us-east-1"),
            response_model: None,
            service_tier: None,
            asked_tier: None,
            performance_latency: None,
            usage: &usage,
        });
        assert!(cost.usd.is_none() || cost.price_key.is_some());
    }
}

/// The book's own form: a row that does not parse is left out, and the others are in order.
pub(super) fn price_book(data: &[u8]) {
    builtin::rows_of(data).for_each(|row| check_row(&row));
}
