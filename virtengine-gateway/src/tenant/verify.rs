use std::time::Duration;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use k256::ecdsa::signature::Verifier as _;
use k256::ecdsa::{Signature, VerifyingKey};
use k256::elliptic_curve::scalar::IsHigh as _;
use subtle::ConstantTimeEq as _;
use virtengine_provider_core::id::Address;
use virtengine_provider_core::time::Timestamp;

use super::nonces::{NonceCache, NonceError, lifetime};
use super::signed::{RequestToSign, account_address, header};
use crate::api::{ApiError, ApiResult, ErrorCode};

/// How far a request's time may be from ours, to either side.
pub(super) const WINDOW: Duration = Duration::from_secs(60);

/// Checks who made a request.
#[derive(Debug)]
pub(super) struct Verifier {
    /// Whom requests must be for.
    pub(super) provider: Address,
    /// On which chain.
    pub(super) chain_id: String,
    /// Used nonces.
    pub(super) nonces: NonceCache,
}

/// What the headers claim; checked for form and time, not yet for truth.
#[derive(Debug)]
pub(super) struct Claim {
    address: Address,
    public_key: Vec<u8>,
    at: Timestamp,
    nonce: String,
    signature: Vec<u8>,
}

/// A request whose signature is right. What is left is to see that it is the first of its kind.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) owner: Address,
    nonce: String,
    at: Timestamp,
}

fn refused(message: impl Into<String>, remedy: &str) -> ApiError {
    ApiError::new(ErrorCode::Unauthenticated, message, remedy)
}

impl Verifier {
    /// Reads the headers. Cheap: done before the body is read.
    pub(super) fn claim(&self, headers: &HeaderMap, now: Timestamp) -> ApiResult<Claim> {
        let text = |name: &'static str| {
            let mut values = headers.get_all(name).iter();
            match (values.next().map(|value| value.to_str()), values.next()) {
                (Some(Ok(value)), None) => Ok(value),
                (None, _) => Err(refused(
                    format!("the header {name} is missing"),
                    "sign the request with the account that owns the lease, as the provider's documentation describes",
                )),
                _ => Err(refused(format!("the header {name} is not one plain text"), "")),
            }
        };
        let address: Address = text(header::ADDRESS)?
            .parse()
            .map_err(|error| refused(format!("{}: {error}", header::ADDRESS), ""))?;
        let bytes = |name| {
            BASE64
                .decode(text(name)?)
                .map_err(|_| refused(format!("{name} is not base64"), ""))
        };
        let at = text(header::TIMESTAMP)?
            .parse()
            .map(Timestamp::from_millis)
            .map_err(|_| refused(format!("{} is not in Unix milliseconds", header::TIMESTAMP), ""))?;
        self.check_time(at, now)?;
        let nonce = text(header::NONCE)?;
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !(16..=64).contains(&nonce.len()) || !nonce.bytes().all(legal) {
            return Err(refused(
                format!("{} is not 16 to 64 letters, digits, - or _", header::NONCE),
                "",
            ));
        }
        Ok(Claim {
            address,
            public_key: bytes(header::PUBLIC_KEY)?,
            at,
            nonce: nonce.to_owned(),
            signature: bytes(header::SIGNATURE)?,
        })
    }

    #[expect(clippy::unused_self, reason = "reads as a check of the verifier")]
    fn check_time(&self, at: Timestamp, now: Timestamp) -> ApiResult<()> {
        let (off, side) = if at < now {
            (now.since(at), "old")
        } else {
            (at.since(now), "ahead of time")
        };
        if off <= WINDOW {
            return Ok(());
        }
        Err(refused(
            format!(
                "the request is {} s {side}; at most {} s are accepted",
                off.as_secs(),
                WINDOW.as_secs()
            ),
            "sign it anew; if that does not help, compare your clock with the Date header of this answer",
        ))
    }

    /// Checks that the key behind `claim.address` signed exactly this request.
    pub(super) fn signed(
        &self,
        claim: Claim,
        method: &str,
        path_and_query: &str,
        body: &[u8],
    ) -> ApiResult<Signed> {
        let derived = account_address(self.provider.prefix(), &claim.public_key)
            .map_err(|error| ApiError::internal(error.to_string()))?;
        if !bool::from(
            derived
                .as_str()
                .as_bytes()
                .ct_eq(claim.address.as_str().as_bytes()),
        ) {
            return Err(refused(
                format!("{} is not the address of this public key", claim.address),
                "send the public key of the account, and its address under this chain's prefix",
            ));
        }
        let key = VerifyingKey::from_sec1_bytes(&claim.public_key)
            .ok()
            .filter(|_| claim.public_key.len() == 33)
            .ok_or_else(|| refused("the public key is not a compressed secp256k1 key", ""))?;
        let signature = Signature::from_slice(&claim.signature)
            .map_err(|_| refused("the signature is not 64 bytes of r and s", ""))?;
        if bool::from(signature.s().is_high()) {
            return Err(refused(
                "the signature is not in its low-s form",
                "replace s by n - s; common libraries do so",
            ));
        }
        let request = RequestToSign {
            method,
            path_and_query,
            body,
            provider: &self.provider,
            chain_id: &self.chain_id,
            at: claim.at,
            nonce: &claim.nonce,
        };
        if key
            .verify(&request.sign_document(&claim.address), &signature)
            .is_err()
        {
            let (provider, chain) = (&self.provider, &self.chain_id);
            return Err(refused(
                "the signature is not of this request",
                &format!("sign exactly what is sent, for provider {provider} on chain {chain}"),
            ));
        }
        Ok(Signed {
            owner: claim.address,
            nonce: claim.nonce,
            at: claim.at,
        })
    }

    /// Checks that the request was not made before. Done last, so that strangers cannot fill the memory of used nonces.
    pub(super) fn first_time(&self, signed: &Signed, now: Timestamp) -> ApiResult<()> {
        let until = signed.at.plus(lifetime(WINDOW));
        match self.nonces.admit(&signed.owner, &signed.nonce, until, now) {
            Ok(()) => Ok(()),
            Err(NonceError::Used) => Err(refused(
                "this request was made before",
                "sign each request anew, with a fresh nonce",
            )),
            Err(NonceError::Full) => Err(ApiError::new(
                ErrorCode::RateLimited,
                "too many signed requests within two minutes",
                "ask less often; follow the logs instead of polling them",
            )),
        }
    }
}
