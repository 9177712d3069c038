//! Mnemonics (BIP-39, English) and the secp256k1 keys that come from them (BIP-32).

use std::fmt;
use std::str::FromStr as _;

use zeroize::Zeroizing;

use crate::error::KeyError;
use crate::secret::SecretBytes;

/// The path of the account key, fixed by the chain family (spec/chain.md D.1).
pub const ACCOUNT_PATH: &str = "m/44'/118'/0'/0/0";

/// Deeper paths have no use and cost time.
const PATH_DEPTH_MAX: usize = 10;

/// Longer texts cannot be 24 words of the list.
const PHRASE_BYTES_MAX: usize = 1024;

/// 12 to 24 words that stand for a secret. Wiped when dropped, not shown by `Debug`.
pub struct Mnemonic(bip39::Mnemonic);

impl Mnemonic {
    /// Draws 24 new words (256 bits).
    ///
    /// # Errors
    /// The system gave no random bytes.
    pub fn generate() -> Result<Self, KeyError> {
        let entropy = SecretBytes::random(32)?;
        bip39::Mnemonic::from_entropy(entropy.expose())
            .map(Self)
            .map_err(|error| problem(error.to_string()))
    }

    /// Reads the words; white space between them does not matter.
    ///
    /// # Errors
    /// Not 12, 15, 18, 21 or 24 words of the English list, or the checksum is wrong. The words are not repeated in the error.
    pub fn parse(words: &str) -> Result<Self, KeyError> {
        if words.len() > PHRASE_BYTES_MAX {
            return Err(problem("longer than 24 words can be".to_owned()));
        }
        bip39::Mnemonic::parse_in(bip39::Language::English, words)
            .map(Self)
            .map_err(|error| {
                problem(match error {
                    bip39::Error::BadWordCount(count) => {
                        format!("{count} words; 12, 15, 18, 21 or 24 are needed")
                    }
                    bip39::Error::UnknownWord(index) => {
                        format!("word {} is not in the list", index.saturating_add(1))
                    }
                    bip39::Error::InvalidChecksum => {
                        "the checksum is wrong: a word is mistyped or the order is not right".to_owned()
                    }
                    _ => "not a mnemonic".to_owned(),
                })
            })
    }

    /// The words, separated by single spaces: to be shown to the operator once, and wiped with the returned value.
    #[must_use]
    pub fn phrase(&self) -> Zeroizing<String> {
        let mut phrase = Zeroizing::new(String::with_capacity(PHRASE_BYTES_MAX));
        for word in self.0.words() {
            if !phrase.is_empty() {
                phrase.push(' ');
            }
            phrase.push_str(word);
        }
        phrase
    }

    /// The secp256k1 private key at `path`, without a BIP-39 passphrase (as the chain's own tools do).
    pub(crate) fn derive(&self, path: &str) -> Result<SecretBytes, KeyError> {
        let parsed = bip32::DerivationPath::from_str(path).map_err(|_| {
            problem(format!(
                "{path:?} is not a derivation path such as {ACCOUNT_PATH}"
            ))
        })?;
        if parsed.len() > PATH_DEPTH_MAX {
            return Err(problem(format!("a path has at most {PATH_DEPTH_MAX} steps")));
        }
        let seed = Zeroizing::new(self.0.to_seed_normalized(""));
        let derived = bip32::XPrv::derive_from_path(&*seed, &parsed)
            .map_err(|_| problem("there is no key at this path".to_owned()))?;
        Ok(SecretBytes::new(
            Zeroizing::new(derived.private_key().to_bytes()).to_vec(),
        ))
    }
}

impl fmt::Debug for Mnemonic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mnemonic(REDACTED)")
    }
}

const fn problem(problem: String) -> KeyError {
    KeyError::Mnemonic { problem }
}
