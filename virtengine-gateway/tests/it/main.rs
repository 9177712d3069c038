//! The faces from outside: over real sockets, with real signatures.
#![allow(clippy::unwrap_used, clippy::too_many_lines, reason = "tests")]

mod clock;
mod health;
mod operator;
mod provider;
mod tenant;
mod tenant_auth;
mod tenant_limits;
mod tenant_tls;
