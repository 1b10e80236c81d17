//! The compiled-in prices: `prices/book.csv`, which `prices/make_book.py` makes from `prices/bedrock_prices.csv`.
//!
//! The script has checked every cell; here a row that does not parse is left out, so that its model is unpriced rather
//! than mispriced, and a test holds the number of rows against the file.

use csv::StringRecord;

use super::price::{Band, Kind, Price, Row};
use super::rate::Rate;
use crate::aws::Service;

/// The file as it was made.
pub(crate) const BOOK: &str = include_str!("prices/book.csv");

/// Above so many tokens of input, cache included, a price that is marked `long_context` has a higher band.
///
/// It is where Anthropic's band begins. Some providers' bands are said to begin later; taking the same for all leaves
/// a call between the two unpriced, which is better than too cheap.
pub(crate) const LONG_CONTEXT_ABOVE: u64 = 200_000;

/// How the note begins of a row whose calls are billed by other units as well.
const TEXT_RATE_ONLY: &str = "text rate only";

/// Which columns hold which rates.
const RATES: [(usize, Band, Kind); 11] = [
    (4, Band::Standard, Kind::Input),
    (5, Band::Standard, Kind::Output),
    (6, Band::Standard, Kind::CacheRead),
    (7, Band::Standard, Kind::CacheWrite5m),
    (8, Band::Standard, Kind::CacheWrite1h),
    (9, Band::Batch, Kind::Input),
    (10, Band::Batch, Kind::Output),
    (11, Band::Flex, Kind::Input),
    (12, Band::Flex, Kind::Output),
    (13, Band::Priority, Kind::Input),
    (14, Band::Priority, Kind::Output),
];

/// The rows, in the order of the file.
pub(crate) fn rows() -> impl Iterator<Item = Row> {
    rows_of(BOOK.as_bytes())
}

/// The rows of a file of that form that parse.
pub(crate) fn rows_of(file: &[u8]) -> impl Iterator<Item = Row> {
    let mut reader = csv::Reader::from_reader(file);
    let mut record = StringRecord::new();
    std::iter::from_fn(move || {
        loop {
            match reader.read_record(&mut record) {
                Ok(false) => return None,
                Ok(true) => {
                    if let Some(row) = row(&record) {
                        return Some(row);
                    }
                }
                Err(_) => {}
            }
        }
    })
}

fn row(record: &StringRecord) -> Option<Row> {
    let text = |at: usize| record.get(at).filter(|cell| !cell.is_empty());
    let mut price = Price {
        mode: text(3).map(Into::into),
        long_context_above: text(15).map(|_| LONG_CONTEXT_ABOVE),
        bills_other_units: text(18).is_some_and(|note| note.contains(TEXT_RATE_ONLY)),
        source: text(16)?.into(),
        as_of: text(17).map(Into::into),
        note: text(18).map(Into::into),
        ..Price::default()
    };
    for (at, band, kind) in RATES {
        if let Some(cell) = text(at) {
            let rate = Rate::from_picos(cell.parse().ok()?)?;
            *price.bands.of_mut(band).of_mut(kind) = Some(rate);
        }
    }
    Some(Row {
        endpoint: match text(1)? {
            "bedrock-runtime" => Service::Runtime,
            "bedrock-mantle" => Service::Mantle,
            _ => return None,
        },
        id: text(0)?.into(),
        region: text(2).map(Into::into),
        file_key: None,
        price,
    })
}
