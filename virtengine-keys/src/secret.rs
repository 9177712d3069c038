use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::error::KeyError;

/// Secret bytes: wiped when dropped, never shown by `Debug`, compared in constant time, not cloneable.
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes ownership of `bytes`. They must not have been moved out of a longer-lived buffer that is not wiped.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads hex digits; surrounding white space is ignored.
    ///
    /// # Errors
    /// The text, without repeating it, is not hex.
    pub fn from_hex(text: &str) -> Result<Self, &'static str> {
        let digits = text.trim();
        // One buffer of the right size: one that grew would leave copies in freed memory.
        let mut bytes = Self::zeros(digits.len() / 2);
        hex::decode_to_slice(digits, bytes.expose_mut()).map_err(|_| "not an even number of hex digits")?;
        Ok(bytes)
    }

    /// The bytes. Do not copy them into anything that is not wiped.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// `len` bytes from the operating system's random source.
    pub(crate) fn random(len: usize) -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new(vec![0; len]);
        getrandom::fill(&mut bytes).map_err(|_| KeyError::Entropy)?;
        Ok(Self(bytes))
    }

    pub(crate) fn zeros(len: usize) -> Self {
        Self::new(vec![0; len])
    }

    pub(crate) fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for SecretBytes {}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(REDACTED)")
    }
}

/// `N` bytes that need not be secret (salts, nonces, ids) from the operating system's random source.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| KeyError::Entropy)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_digits_become_bytes_in_one_buffer_that_never_grew() {
        for len in [0, 1, 31, 32, 33, 100] {
            let secret = SecretBytes::from_hex(&format!(" {}\n", "a5".repeat(len))).unwrap();
            assert_eq!(secret.expose(), vec![0xa5; len]);
            // A buffer that grew has room to spare, and left copies of what it held where it was before.
            assert_eq!(secret.0.capacity(), len);
        }
    }

    #[test]
    fn what_is_not_hex_is_refused() {
        for text in ["a", "abc", "0x00", "zz", "é"] {
            assert!(SecretBytes::from_hex(text).is_err(), "{text}");
        }
    }
}
