//! A way to the checks of a signed request, for fuzz targets alone. No part of the API.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use virtengine_provider_core::id::Address;
use virtengine_provider_core::time::Timestamp;

use super::nonces::NonceCache;
use super::verify::Verifier;
use crate::api::{ApiError, ApiResult};

/// What stands before every route of a tenant.
#[derive(Debug)]
pub struct Gate(Verifier);

impl Gate {
    /// For requests to `provider` on `chain_id`; it remembers used nonces in memory.
    ///
    /// # Errors
    /// None in practice: there is no file that could fail.
    pub fn new(provider: Address, chain_id: String, now: Timestamp) -> std::io::Result<Self> {
        Ok(Self(Verifier {
            provider,
            chain_id,
            nonces: NonceCache::open(None, now)?,
        }))
    }

    /// Every check, in the order of the server. Headers that HTTP does not allow are left out, as a server never sees them.
    ///
    /// # Errors
    /// Why the request is refused.
    pub fn admit(
        &self,
        headers: &[(&[u8], &[u8])],
        method: &str,
        path_and_query: &str,
        body: &[u8],
        now: Timestamp,
    ) -> ApiResult<Address> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                map.try_append(name, value)
                    .map_err(|error| ApiError::internal(error.to_string()))?;
            }
        }
        let claim = self.0.claim(&map, now)?;
        let signed = self.0.signed(claim, method, path_and_query, body)?;
        self.0.first_time(&signed, now)?;
        Ok(signed.owner)
    }
}
