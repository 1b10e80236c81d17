//! What an exchange cost: prices as data, how one is found, and the sum. Pure; integers throughout.

mod cost;

pub use cost::{Cost, CostStatus, NotUsd, Usd};
