//! The faces from outside: over real sockets, with real signatures.

mod clock;
mod health;
mod operator;
mod provider;
mod tenant;
mod tenant_auth;
mod tenant_limits;
mod tenant_tls;
