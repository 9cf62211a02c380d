//! The local OpenStack as a client: its Keystone, and its services' token caches.
//!
//! - [`bus`]: what its services announce.
//! - [`collector`]: who is told of traces.
//! - [`estate`]: what a partner's project has here, and how it is stopped and deleted.
//! - [`keystone`]: what the daemon asks, as a user with role `service` on its project and role
//!   `reader` on the system, and no more.
//! - [`metering`]: what there is in its services.
//! - [`operator`]: what the operator's command line makes, with the operator's own rights.
//! - [`probe`]: whether anything answers at an endpoint.
//! - [`publishing`]: what is said on its message bus.
//! - [`quotas`]: what its services allow a project.
//! - [`provisioning`]: what is made, found and removed there for a partner's project.
//! - [`services`]: its services, as `alliance work` uses them.
//! - [`token_cache`]: dropping tokens that keystonemiddleware has cached.
//! - [`versions`]: what versions of their APIs its services have.
//! - [`webhook`]: messages to whatever an operator names.
//!
//! Every call ends by its deadline, whatever the other side does.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod bus;
pub mod collector;
pub mod estate;
pub mod keystone;
pub mod metering;
pub mod operator;
pub mod probe;
pub mod provisioning;
pub mod publishing;
pub mod quotas;
pub mod services;
pub mod token_cache;
pub mod transport;
pub mod versions;
pub mod webhook;
