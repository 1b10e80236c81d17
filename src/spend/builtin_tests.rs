//! The compiled-in book: every row is found by its own name, and holds the rates of its source.

use super::book::Wanted;
use super::book_tests::*;
use super::cost::CostStatus::Exact;
use super::price::{Band, Kind};
use super::*;
use crate::aws::Service::Runtime;

#[test]
fn the_built_in_book_is_whole_and_every_row_is_found_by_its_own_name() {
    let book = PriceBook::builtin();
    let rows: Vec<_> = book.rows().collect();
    assert_eq!(rows.len(), builtin::BOOK.lines().count() - 1);
    assert_eq!(rows.len(), 520);
    let mut keys = std::collections::HashSet::new();
    let counted = usage();
    for row in rows {
        assert!(keys.insert(row.to_string()), "{row}");
        assert_eq!(
            book.row(&row.id, row.endpoint, row.region.as_deref()),
            Some(row)
        );
        assert_eq!(row.price.as_of.as_deref(), Some("2026-11-22"));
        let wanted = Wanted {
            model: &row.id,
            response_model: None,
            endpoint: Some(row.endpoint),
            region: row.region.as_deref(),
            tier: "default",
        };
        let found = book.find(&wanted, &mut |_| {}).unwrap();
        assert_eq!(found.key, row.to_string());
        assert_eq!(found.price, &row.price);
        let cost = book.cost(&PricedCall {
            endpoint: Some(row.endpoint),
            ..call(&row.id, row.region.as_deref().unwrap_or_default(), &counted)
        });
        // Only what has no rate at all costs nothing that can be told; nothing costs 0.
        assert_eq!(cost.usd.is_none(), row.price.bands.is_empty(), "{row}");
        assert_ne!(cost.usd.map(|usd| usd.picos()), Some(0), "{row}");
        if row.price.note.is_some() {
            assert_ne!(cost.status, Exact, "{row}");
        }
    }
}

#[test]
fn rates_of_the_book_are_those_of_its_source() {
    let book = PriceBook::builtin();
    let rate = |id: &str, region, band, kind| {
        let row = book.row(id, Runtime, region).unwrap();
        row.price.bands.of(band).of(kind).map(|rate| rate.picos())
    };
    assert_eq!(
        rate(
            "jp.amazon.nova-2-lite-v1:0",
            None,
            Band::Priority,
            Kind::Output
        ),
        Some(5_794_250)
    );
    assert_eq!(
        rate(
            "amazon.nova-micro-v1:0",
            None,
            Band::Standard,
            Kind::CacheRead
        ),
        Some(8_750)
    );
    assert_eq!(
        rate("cohere.rerank-v3-5:0", None, Band::Standard, Kind::Input),
        None
    );
    // Listed twice, once with and once without batch and priority.
    assert_eq!(
        rate("moonshotai.kimi-k2.5", None, Band::Batch, Kind::Input),
        Some(300_000)
    );
    assert_eq!(
        rate("moonshotai.kimi-k2.5", None, Band::Priority, Kind::Output),
        Some(5_250_000)
    );
    // Silent in the source, while the model's other rows have a long-context band.
    let gov = book.row(SONNET, Runtime, Some("us-gov-west-1")).unwrap();
    assert_eq!(gov.price.long_context_above, Some(200_000));
}
