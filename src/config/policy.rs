//! What may change while the gate runs: where requests may go, and how they are named and priced.
//!
//! Everything else in [`Settings`](super::Settings) is as it was at the start. A request holds the policy it was admitted
//! under, so that a change of the file never reaches into a running one.

use std::sync::Arc;

use super::aliases::Aliases;
use super::hosts::HostRules;
use super::settings::RouteRule;
use crate::spend::PriceBook;
use crate::spend::budget::Rule;
use crate::usage::Patterns;

/// The part of the settings that is read anew with the file.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Which hosts are opened or refused.
    pub hosts: HostRules,
    /// Routes, longest prefix first.
    pub routes: Vec<RouteRule>,
    /// Names that people use.
    pub aliases: Aliases,
    /// What calls cost.
    pub prices: Arc<PriceBook>,
    /// How much may be consumed.
    pub budgets: Vec<Rule>,
    /// Shapes of usage that the operator taught.
    pub usage_patterns: Arc<Patterns>,
}
