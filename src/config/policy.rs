//! What may change while the gate runs: who may send requests, where they may go, and how they are named and priced.
//!
//! Everything else in [`Settings`](super::Settings) is as it was at the start. A request holds the policy it was admitted
//! under, so that a change of the file never reaches into a running one.

use std::sync::Arc;

use super::access::AccessRules;
use super::aliases::Aliases;
use super::hosts::HostRules;
use super::settings::RouteRule;
use super::users::Users;
use crate::spend::PriceBook;
use crate::usage::Patterns;

/// The part of the settings that is read anew with the file.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Which hosts are opened or refused.
    pub hosts: HostRules,
    /// Routes, longest prefix first.
    pub routes: Vec<RouteRule>,
    /// Who may pass by name and password; `None` when nobody is asked for either.
    pub users: Option<Arc<Users>>,
    /// What users may do.
    pub access: Arc<AccessRules>,
    /// Names that people use.
    pub aliases: Aliases,
    /// What calls cost.
    pub prices: Arc<PriceBook>,
    /// Shapes of usage that the operator taught.
    pub usage_patterns: Arc<Patterns>,
}
