//! The chain address of a public key (spec/chain.md D.1).

use ripemd::Ripemd160;
use sha2::{Digest as _, Sha256};
use virtengine_provider_core::id::{Address, IdError};
use virtengine_provider_core::ports::signer::{Algorithm, PublicKey};

/// The type name that the chain mixes into the address of a p256 key.
const P256_TYPE: &[u8] = b"cosmos.crypto.secp256r1.PubKey";

/// The address of `key` under the human-readable `prefix`, e.g. `ve`: 20 bytes for secp256k1 and ed25519, 32 for p256.
///
/// ```
/// use virtengine_keys::{Algorithm, PublicKey, address::address_of};
/// let key = PublicKey {
///     algorithm: Algorithm::Secp256k1,
///     bytes: vec![2; 33],
/// };
/// assert!(address_of(&key, "ve").unwrap().as_str().starts_with("ve1"));
/// ```
///
/// # Errors
/// `prefix` is not a valid bech32 prefix.
pub fn address_of(key: &PublicKey, prefix: &str) -> Result<Address, IdError> {
    let hash = Sha256::digest(&key.bytes);
    match key.algorithm {
        Algorithm::Secp256k1 => Address::from_bytes(prefix, &Ripemd160::digest(hash)),
        Algorithm::Ed25519 => {
            let (address, _) = hash.split_at(20);
            Address::from_bytes(prefix, address)
        }
        Algorithm::P256 => {
            let typed = Sha256::new()
                .chain_update(Sha256::digest(P256_TYPE))
                .chain_update(&key.bytes)
                .finalize();
            Address::from_bytes(prefix, &typed)
        }
    }
}
