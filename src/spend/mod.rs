//! What an exchange cost: prices as data, how one is found, and the sum. Pure; integers throughout.
//!
//! [`book`] finds the price that applies, among the operator's tables ([`operator`]), the operator's file ([`litellm`])
//! and the compiled-in rows; [`charge`] multiplies and adds; [`ratios`] reports what looks odd. [`budget`] decides what may
//! be spent.

pub mod book;
pub mod budget;
pub(crate) mod builtin;
pub mod charge;
mod cost;
pub mod litellm;
pub mod operator;
pub mod price;
pub mod rate;
pub mod ratios;
pub mod tier;

#[cfg(test)]
mod book_operator_tests;
#[cfg(test)]
mod book_tests;
#[cfg(test)]
mod builtin_tests;
#[cfg(test)]
mod charge_tests;
#[cfg(test)]
mod litellm_tests;
#[cfg(test)]
mod operator_tests;

pub use book::PriceBook;
pub use charge::PricedCall;
pub use cost::{Cost, CostStatus, NotUsd, Usd};
