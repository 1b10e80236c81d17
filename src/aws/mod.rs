//! What the bytes mean to AWS. Pure: reads signatures and never makes one.

pub mod diagnose;
pub mod endpoint;
pub mod inert;
pub mod mask;
pub mod model_id;
pub mod operation;
pub(crate) mod percent;
pub mod sigv4;
mod split;
pub mod sts;
pub mod user_agent;

#[cfg(test)]
mod diagnose_tests;
#[cfg(test)]
mod endpoint_tests;
#[cfg(test)]
mod mask_property_tests;
#[cfg(test)]
mod mask_tests;
#[cfg(test)]
mod model_id_tests;
#[cfg(test)]
mod operation_tests;
#[cfg(test)]
mod sigv4_tests;

pub use endpoint::{AWS_DOMAINS, Endpoint, Service};
pub use model_id::ModelId;
pub use operation::{Call, Operation};
pub use sigv4::{CredentialScope, Credentials, Placement, Signature};
