//! Sockets and what stands on them: certificates, the TLS of both legs, the pool of upstream connections.

mod address;
pub mod ca;
pub(crate) mod ca_chain;
pub mod ca_error;
pub mod ca_home;
pub mod certificate_store;
pub mod certificates;
pub mod client_certificate;
pub mod descriptors;
pub mod dial;
mod dial_error;
pub mod expiry;
mod issuance;
pub(crate) mod name_constraints;
pub(crate) mod ownership;
pub mod pool;
pub mod private_file;
mod root_files;
pub mod stream;
pub mod tls_server;
pub mod trust;
pub mod upstream_proxy;
pub mod vouches;

#[cfg(test)]
mod ca_given_tests;
#[cfg(test)]
mod ca_home_tests;
#[cfg(test)]
mod ca_tests;
#[cfg(test)]
mod test_certificates;
#[cfg(test)]
mod tls_server_tests;
#[cfg(test)]
mod trust_tests;
