//! From passphrase to private keys, and back.

use std::path::Path;

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _};
use argon2::{Argon2, Block, Params, Version};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::config::KdfParams;
use super::format::{KdfBlock, KeyFile, KeystoreFile, WrappedKey};
use crate::algorithm::PrivateKey;
use crate::error::KeyError;
use crate::passphrase::Passphrase;
use crate::record::{KeyId, KeyRecord};
use crate::secret::{SecretBytes, random};

const KEY_LEN: usize = 32;

/// What a passphrase becomes.
struct Root(SecretBytes);

/// The random key of a store, under which everything in it stands.
#[derive(Debug)]
pub(super) struct StoreKey(SecretBytes);

impl Root {
    fn derive(passphrase: &Passphrase, kdf: &KdfBlock) -> Result<Self, KeyError> {
        let params = kdf.params()?;
        let argon = Argon2::new(argon2::Algorithm::Argon2id, Version::V0x13, checked(params));
        let memory = KeyError::Memory {
            memory_kib: params.memory_kib(),
        };
        let mut blocks = Zeroizing::new(Vec::new());
        let count = checked(params).block_count();
        if blocks.try_reserve_exact(count).is_err() {
            return Err(memory);
        }
        blocks.resize(count, Block::default());
        let mut root = SecretBytes::zeros(KEY_LEN);
        argon
            .hash_password_into_with_memory(
                passphrase.expose(),
                &kdf.salt,
                root.expose_mut(),
                blocks.as_mut_slice(),
            )
            .map_err(|_| memory)?;
        Ok(Self(root))
    }

    fn check_value(&self) -> [u8; 32] {
        let value = expand(self.0.expose(), None, b"ve-key/v1/passphrase-check");
        let mut public = [0; 32];
        public.copy_from_slice(value.expose());
        public
    }

    fn wrapping_key(&self) -> Aes256Gcm {
        cipher(&expand(self.0.expose(), None, b"ve-key/v1/wrap"))
    }
}

impl StoreKey {
    pub(super) fn generate() -> Result<Self, KeyError> {
        SecretBytes::random(KEY_LEN).map(Self)
    }

    /// Wraps the store key under `passphrase` with the derivation block of `keystore`. The MAC becomes stale.
    pub(super) fn wrap(&self, passphrase: &Passphrase, keystore: &mut KeystoreFile) -> Result<(), KeyError> {
        let root = Root::derive(passphrase, &keystore.kdf)?;
        keystore.passphrase_check = root.check_value();
        let nonce: [u8; 12] = random()?;
        let header = keystore.header();
        let payload = Payload {
            msg: self.0.expose(),
            aad: header.as_slice(),
        };
        keystore.store_key = WrappedKey {
            nonce,
            ciphertext: root
                .wrapping_key()
                .encrypt(&nonce.into(), payload)
                .expect("32 bytes are within the limit of AES-GCM"),
            commitment: self.commitment(),
        };
        Ok(())
    }

    /// The store key of `keystore`. The index is not authenticated yet: see [`Self::authenticate`].
    pub(super) fn unwrap(
        passphrase: &Passphrase,
        file: &Path,
        keystore: &KeystoreFile,
    ) -> Result<Self, KeyError> {
        let root = Root::derive(passphrase, &keystore.kdf)?;
        if !same(&root.check_value(), &keystore.passphrase_check) {
            return Err(KeyError::WrongPassphrase);
        }
        let header = keystore.header();
        let payload = Payload {
            msg: &keystore.store_key.ciphertext,
            aad: header.as_slice(),
        };
        let store_key = root
            .wrapping_key()
            .decrypt(&keystore.store_key.nonce.into(), payload)
            .map(|bytes| Self(SecretBytes::new(bytes)))
            .map_err(|_| KeyError::tampered(file, "the wrapped store key does not fit its header"))?;
        if !same(&store_key.commitment(), &keystore.store_key.commitment) {
            return Err(KeyError::tampered(
                file,
                "the wrapped store key is not the committed one",
            ));
        }
        Ok(store_key)
    }

    /// Proves that all of `keystore` was written with this store key.
    pub(super) fn authenticate(&self, file: &Path, keystore: &KeystoreFile) -> Result<(), KeyError> {
        if same(&self.mac(keystore), &keystore.mac) {
            return Ok(());
        }
        Err(KeyError::tampered(
            file,
            "the index is not the one that was written",
        ))
    }

    /// The MAC of everything in `keystore` but MAC and checksum.
    pub(super) fn mac(&self, keystore: &KeystoreFile) -> [u8; 32] {
        let key = expand(self.0.expose(), None, b"ve-key/v1/index");
        Hmac::<Sha256>::new_from_slice(key.expose())
            .expect("HMAC takes keys of any length")
            .chain_update(keystore.authenticated().as_slice())
            .finalize()
            .into_bytes()
            .into()
    }

    /// The key file of `record` with `private` sealed in it, under a new salt and nonce.
    pub(super) fn seal(
        &self,
        keystore_id: [u8; 16],
        record: &KeyRecord,
        private: &PrivateKey,
    ) -> Result<KeyFile, KeyError> {
        let mut file = KeyFile::new(keystore_id, record);
        file.salt = random()?;
        file.nonce = random()?;
        let secret = private.to_bytes();
        let header = file.authenticated();
        file.ciphertext = self
            .file_cipher(file.id, &file.salt)
            .encrypt(
                &file.nonce.into(),
                Payload {
                    msg: secret.expose(),
                    aad: header.as_slice(),
                },
            )
            .expect("32 bytes are within the limit of AES-GCM");
        Ok(file)
    }

    /// The private key in `file`, which must be the one that its record names.
    pub(super) fn open(&self, path: &Path, file: &KeyFile) -> Result<PrivateKey, KeyError> {
        let header = file.authenticated();
        let payload = Payload {
            msg: &file.ciphertext,
            aad: header.as_slice(),
        };
        let secret = self
            .file_cipher(file.id, &file.salt)
            .decrypt(&file.nonce.into(), payload)
            .map(SecretBytes::new)
            .map_err(|_| KeyError::tampered(path, "the sealed key does not fit its record"))?;
        let private = PrivateKey::from_bytes(file.algorithm, &secret)
            .map_err(|_| KeyError::tampered(path, "what is sealed is not a private key"))?;
        if private.public_key() != file.record().public_key || KeyId::of(&private.public_key()) != file.id {
            return Err(KeyError::tampered(
                path,
                "the public key is not that of the private key",
            ));
        }
        Ok(private)
    }

    fn commitment(&self) -> [u8; 32] {
        let value = expand(self.0.expose(), None, b"ve-key/v1/commit");
        let mut public = [0; 32];
        public.copy_from_slice(value.expose());
        public
    }

    fn file_cipher(&self, id: KeyId, salt: &[u8; 32]) -> Aes256Gcm {
        let info = [b"ve-key/v1".as_slice(), id.bytes()].concat();
        cipher(&expand(self.0.expose(), Some(salt), &info))
    }
}

fn checked(params: KdfParams) -> Params {
    Params::new(
        params.memory_kib(),
        params.iterations(),
        params.parallelism(),
        Some(KEY_LEN),
    )
    .expect("the bounds of KdfParams are within those of Argon2")
}

fn expand(key: &[u8], salt: Option<&[u8]>, info: &[u8]) -> SecretBytes {
    let mut output = SecretBytes::zeros(KEY_LEN);
    Hkdf::<Sha256>::new(salt, key)
        .expand(info, output.expose_mut())
        .expect("32 bytes are within the limit of HKDF");
    output
}

fn cipher(key: &SecretBytes) -> Aes256Gcm {
    Aes256Gcm::new_from_slice(key.expose()).expect("the key has 32 bytes")
}

fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.ct_eq(b).into()
}
