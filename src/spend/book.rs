//! The price book: which price applies to a call.
//!
//! The order, each step tried on the id as it was named before anything is taken off it: the operator's `[[price]]`
//! tables, rows for the id, rows for the id without its geography. Rows of the operator's file come before the
//! compiled-in ones, those of the call's own endpoint before the other's, those of its region before general ones. A
//! price of one partition never serves a call in another: GovCloud takes GovCloud's or none. What a call costs at the
//! price that was found is left to `charge`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use super::builtin;
use super::litellm::PriceFile;
use super::operator::{Means, Override, Overrides, Served};
use super::price::{Price, Row};
use super::rate::Multiplier;
use crate::aws::Service;
use crate::aws::model_id::{ArnKind, ModelId, ModelKind};

/// All prices, ready to be asked.
#[derive(Clone, Debug)]
pub struct PriceBook {
    overrides: Overrides,
    file: Option<Arc<PriceFile>>,
    file_rows: Table,
}

/// What a price is looked for by.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The model, as the client named it.
    pub model: &'a str,
    /// The model that the response names: what a prompt router chose.
    pub response_model: Option<&'a str>,
    /// The service behind the host, where the host tells it.
    pub endpoint: Option<Service>,
    /// Where the call was made.
    pub region: Option<&'a str>,
    /// The service tier.
    pub tier: &'a str,
}

/// A price that applies, and how far.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// The price.
    pub price: &'a Price,
    /// What names it; the band is not in it yet.
    pub key: String,
    /// Factor on the whole cost.
    pub multiplier: Option<Multiplier>,
    /// The price is for this service tier alone, whatever its name.
    pub is_for_the_tier: bool,
    /// Why it is not exact.
    pub doubts: Vec<Doubt>,
}

/// Why a cost is derived rather than exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// The id without its geography has a price.
    #[error("no row for the inference profile; this is the row of the model without its geography")]
    WithoutGeography,
    /// The other endpoint's price.
    #[error(
        "no row for this endpoint, or the host does not tell which it is; this is the other endpoint's"
    )]
    OtherEndpoint,
    /// A general price, where regions are known to differ.
    #[error("no row for this region, and other regions have rates of their own")]
    RegionsDiffer,
    /// The response named the model.
    #[error("a prompt router: the model is the one that the response names")]
    Router,
    /// The row has a note.
    #[error("the row itself is doubted, see its note")]
    Note,
    /// The response did not say at which tier it was served.
    #[error("the response does not tell the service tier; this is the one that was asked for")]
    TierAsAsked,
    /// How long the cache entries live was not told.
    #[error(
        "the lifetime of cache writes was not told; they are taken as written for five minutes"
    )]
    CacheLifetime,
}

/// Where a step of the search is told to, in words.
pub(crate) type Trace<'t> = &'t mut dyn FnMut(fmt::Arguments<'_>);

impl PriceBook {
    /// The compiled-in prices.
    #[must_use]
    pub fn builtin() -> Self {
        Self {
            overrides: Overrides::default(),
            file: None,
            file_rows: Table::default(),
        }
    }

    /// With the operator's own prices before all others.
    #[must_use]
    pub fn with_overrides(self, overrides: Overrides) -> Self {
        Self { overrides, ..self }
    }

    /// With the rows of the operator's file before the compiled-in ones.
    #[must_use]
    pub fn with_file(self, file: PriceFile) -> Self {
        Self {
            file_rows: Table::new(file.rows().iter().cloned()),
            file: Some(Arc::new(file)),
            ..self
        }
    }

    /// The operator's own prices.
    #[must_use]
    pub fn overrides(&self) -> &Overrides {
        &self.overrides
    }

    /// The operator's file.
    #[must_use]
    pub fn file(&self) -> Option<&PriceFile> {
        self.file.as_deref()
    }

    /// Every row that can apply, in the order of ids: those of the file, and the compiled-in ones that it leaves alone.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        let builtin = BUILTIN.iter().filter(|row| {
            let of_file = self
                .file_rows
                .get(&row.id, row.endpoint, row.region.as_deref());
            of_file.is_none()
        });
        let mut rows: Vec<&Row> = self.file_rows.iter().chain(builtin).collect();
        rows.sort_by_key(|row| (&row.id, row.endpoint == Service::Mantle, &row.region));
        rows.into_iter()
    }

    /// The row for exactly this id, endpoint and region.
    #[must_use]
    pub fn row(&self, id: &str, endpoint: Service, region: Option<&str>) -> Option<&Row> {
        self.file_rows
            .get(id, endpoint, region)
            .or_else(|| BUILTIN.get(id, endpoint, region))
    }

    /// Finds the price that applies.
    pub(crate) fn find(&self, wanted: &Wanted<'_>, trace: Trace<'_>) -> Option<Found<'_>> {
        // What an ARN names lives where the ARN says, whatever that leads to.
        let wanted = Wanted {
            region: region_of(wanted.model).or(wanted.region),
            ..*wanted
        };
        let mut found = self.named(wanted.model, &wanted, true, trace)?;
        if found.price.note.is_some() {
            found.doubts.push(Doubt::Note);
        }
        Some(found)
    }

    /// The price of a model named so. `likes` is whether a table that says `like` may be followed: one may, so that two
    /// that name each other do not run in a circle.
    fn named(
        &self,
        model: &str,
        wanted: &Wanted<'_>,
        likes: bool,
        trace: Trace<'_>,
    ) -> Option<Found<'_>> {
        let served = Served {
            region: wanted.region,
            tier: wanted.tier,
        };
        let id = Id::of(model);
        let Some(entry) = self
            .overrides
            .find(model, id.map(|id| id.text), served, likes)
        else {
            trace(format_args!("[[price]] tables: none for {model}"));
            return self.by_rows((model, id), wanted, trace);
        };
        trace(format_args!("[[price]] tables: {entry} applies"));
        let found = match &entry.means {
            Means::Rates(price) => Found {
                price,
                key: entry.to_string(),
                multiplier: entry.multiplier,
                is_for_the_tier: entry.tier.is_some(),
                doubts: Vec::new(),
            },
            Means::Like(id) => {
                trace(format_args!("it costs what {id} costs"));
                self.named(id, wanted, false, trace)?.under(entry)
            }
            Means::AsNamed => {
                trace(format_args!("it has a multiplier only"));
                self.by_rows((model, id), wanted, trace)?.under(entry)
            }
        };
        Some(found)
    }

    fn by_rows(
        &self,
        (model, id): (&str, Option<Id<'_>>),
        wanted: &Wanted<'_>,
        trace: Trace<'_>,
    ) -> Option<Found<'_>> {
        if id.is_none()
            && let ModelKind::Arn {
                kind: ArnKind::PromptRouter | ArnKind::DefaultPromptRouter,
                ..
            } = ModelId::parse(model).kind()
        {
            let chosen = wanted
                .response_model
                .filter(|model| Id::of(model).is_some());
            let Some(chosen) = chosen else {
                trace(format_args!(
                    "a prompt router, and the response names no model"
                ));
                return None;
            };
            trace(format_args!("a prompt router; the response names {chosen}"));
            let mut found = self.named(chosen, wanted, false, trace)?;
            found.doubts.push(Doubt::Router);
            return Some(found);
        }
        let Some(Id { text: id, parsed }) = id else {
            trace(format_args!("the id does not tell its model"));
            return None;
        };
        let region = wanted.region;
        let partition = match parsed.geography() {
            Some("us-gov") => Partition::UsGov,
            _ => Partition::of_region(region),
        };
        let place = Place { region, partition };
        let base = parsed.foundation_model().filter(|base| *base != id);
        self.rows_for(id, wanted.endpoint, place, trace)
            .or_else(|| {
                let mut found = self.rows_for(base?, wanted.endpoint, place, trace)?;
                found.doubts.insert(0, Doubt::WithoutGeography);
                Some(found)
            })
    }

    fn rows_for(
        &self,
        id: &str,
        asked: Option<Service>,
        place: Place<'_>,
        trace: Trace<'_>,
    ) -> Option<Found<'_>> {
        let order = match asked {
            Some(Service::Mantle) => [Service::Mantle, Service::Runtime],
            _ => [Service::Runtime, Service::Mantle],
        };
        for endpoint in order {
            for (name, table) in [("file", &self.file_rows), ("built in", &*BUILTIN)] {
                let Some((row, regions_differ)) = table.pick(id, endpoint, place) else {
                    if name == "built in" || self.file.is_some() {
                        trace(format_args!("{id} at {}, {name}: no row", label(endpoint)));
                    }
                    continue;
                };
                trace(format_args!("{id} at {}, {name}: {row}", label(endpoint)));
                let mut doubts = Vec::new();
                if asked != Some(endpoint) {
                    doubts.push(Doubt::OtherEndpoint);
                }
                if regions_differ {
                    doubts.push(Doubt::RegionsDiffer);
                }
                return Some(Found {
                    price: &row.price,
                    key: row.to_string(),
                    multiplier: None,
                    is_for_the_tier: false,
                    doubts,
                });
            }
        }
        None
    }
}

impl Found<'_> {
    /// Found through a table of the operator's, whose multiplier is the nearer one.
    fn under(self, entry: &Override) -> Self {
        Self {
            key: format!("{entry}=>{}", self.key),
            multiplier: entry.multiplier.or(self.multiplier),
            ..self
        }
    }
}

/// The name of an endpoint in the data and in price keys.
pub(crate) fn label(endpoint: Service) -> &'static str {
    match endpoint {
        Service::Runtime => "bedrock-runtime",
        Service::Mantle => "bedrock-mantle",
        Service::AgentRuntime => "bedrock-agent-runtime",
    }
}

/// The id that names a model: itself, or what stands in the ARN of a foundation model or system inference profile.
pub(crate) fn id_of(model: &str) -> Option<&str> {
    Id::of(model).map(|id| id.text)
}

/// The id of [`id_of`], taken apart.
#[derive(Clone, Copy)]
struct Id<'a> {
    text: &'a str,
    parsed: ModelId<'a>,
}

impl<'a> Id<'a> {
    fn of(model: &'a str) -> Option<Self> {
        let parsed = ModelId::parse(model);
        parsed.foundation_model()?;
        let id = match parsed.kind() {
            ModelKind::Arn { .. } => {
                let (_, text) = model.split_once('/')?;
                let parsed = ModelId::parse(text);
                Self { text, parsed }
            }
            _ => Self {
                text: model,
                parsed,
            },
        };
        Some(id)
    }
}

/// The region that an ARN names.
fn region_of(model: &str) -> Option<&str> {
    // Most models are not named by an ARN.
    if !model.starts_with("arn:") {
        return None;
    }
    match ModelId::parse(model).kind() {
        ModelKind::Arn { region, .. } => region,
        _ => None,
    }
}

#[derive(Clone, Copy)]
struct Place<'a> {
    region: Option<&'a str>,
    partition: Partition,
}

/// AWS's partitions, as far as prices are kept apart by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Partition {
    Commercial,
    UsGov,
    /// China, the European sovereign cloud and the isolated ones: only a row for the very region applies.
    Other,
}

impl Partition {
    fn of_region(region: Option<&str>) -> Self {
        let region = region.unwrap_or_default();
        let other = ["cn-", "eusc-", "us-iso", "eu-iso"];
        if region.starts_with("us-gov-") {
            Self::UsGov
        } else if other.iter().any(|prefix| region.starts_with(prefix)) {
            Self::Other
        } else {
            Self::Commercial
        }
    }

    fn of_row(row: &Row) -> Self {
        match &row.region {
            Some(region) => Self::of_region(Some(region)),
            None if ModelId::parse(&row.id).geography() == Some("us-gov") => Self::UsGov,
            None => Self::Commercial,
        }
    }
}

/// The compiled-in rows, the same for every book. Made when the first price is looked for, which no start waits for.
static BUILTIN: LazyLock<Table> = LazyLock::new(|| Table::new(builtin::rows()));

/// Rows by id.
#[derive(Clone, Debug, Default)]
struct Table(Arc<BTreeMap<Box<str>, Vec<Placed>>>);

/// A row and where it applies, which is asked of it with every call.
#[derive(Clone, Debug)]
struct Placed {
    row: Row,
    partition: Partition,
}

impl Table {
    fn new(rows: impl Iterator<Item = Row>) -> Self {
        let mut table: BTreeMap<Box<str>, Vec<Placed>> = BTreeMap::new();
        for row in rows {
            let partition = Partition::of_row(&row);
            let same_id = table.entry(row.id.clone()).or_default();
            same_id.push(Placed { row, partition });
        }
        Self(Arc::new(table))
    }

    fn iter(&self) -> impl Iterator<Item = &Row> {
        self.0.values().flatten().map(|placed| &placed.row)
    }

    fn of(&self, id: &str) -> &[Placed] {
        self.0.get(id).map_or(&[], Vec::as_slice)
    }

    fn get(&self, id: &str, endpoint: Service, region: Option<&str>) -> Option<&Row> {
        self.of(id)
            .iter()
            .map(|placed| &placed.row)
            .find(|row| row.endpoint == endpoint && row.region.as_deref() == region)
    }

    /// The row for a place, and whether it is a general one while regions have rates of their own.
    fn pick(&self, id: &str, endpoint: Service, place: Place<'_>) -> Option<(&Row, bool)> {
        let same = |placed: &&Placed| {
            placed.row.endpoint == endpoint && placed.partition == place.partition
        };
        let same_id = self.of(id);
        let rows = || same_id.iter().filter(same).map(|placed| &placed.row);
        let own = place
            .region
            .and_then(|region| rows().find(|row| row.region.as_deref() == Some(region)));
        if let Some(row) = own {
            return Some((row, false));
        }
        let general = rows().find(|row| row.region.is_none())?;
        let mut others = rows().filter(|row| !std::ptr::eq(*row, general));
        let differ = others.any(|row| row.price.bands.clash(&general.price.bands).is_some());
        Some((general, differ))
    }
}
