use std::path::PathBuf;

use serde::Serialize;
use virtengine_provider_core::document::{Code, Cursor, Problems};
use virtengine_provider_core::ports::signer::Algorithm;

use super::Secret;
use super::section::Section;

/// Where keys are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeyManager {
    /// The kind of storage.
    pub storage_type: KeyStorage,
    /// The key directory, mode 0700.
    pub key_dir: PathBuf,
    /// Algorithm of the identity key, when `keys generate` is told none. The account key is always secp256k1: the chain's wallets know no other (DESIGN 4.6).
    pub default_algorithm: Algorithm,
    /// Age at which the identity key is rotated, in days. Without effect: this build does not rotate keys.
    pub key_rotation_days: u32,
    /// How long the old key may finish work that began before the rotation, in hours (DESIGN 4.4). Without effect as well.
    pub grace_period_hours: u32,
    /// File with the passphrase of the key directory, readable by us alone.
    pub passphrase_file: Option<PathBuf>,
    /// The passphrase itself; best as `${VAR}`. The file is better: variables are visible to more programs.
    pub passphrase: Option<Secret>,
    /// A hardware security module.
    pub hsm: Option<Hsm>,
    /// A Ledger device.
    pub ledger: Option<Ledger>,
    /// A signer outside of this process.
    pub non_custodial: Option<NonCustodial>,
}

/// Kinds of key storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyStorage {
    /// Encrypted files.
    File,
    /// PKCS#11.
    Hardware,
    /// A Ledger device.
    Ledger,
    /// A signer outside of this process.
    NonCustodial,
    /// Nothing is kept. For tests.
    Memory,
}

impl KeyStorage {
    const ALL: [(&str, Self); 5] = [
        ("file", Self::File),
        ("hardware", Self::Hardware),
        ("ledger", Self::Ledger),
        ("non_custodial", Self::NonCustodial),
        ("memory", Self::Memory),
    ];

    /// Whether a daemon of this build can have its keys there.
    #[must_use]
    pub const fn is_available(self) -> bool {
        matches!(self, Self::File)
    }
}

/// A hardware security module, by PKCS#11.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hsm {
    /// The vendor's library.
    pub library_path: Option<PathBuf>,
    /// Slot number; tokens renumber their slots, so that the label wins (DESIGN 4.7).
    pub slot_id: Option<u64>,
    /// Label of the token.
    pub token_label: Option<String>,
    /// PIN of the token; best as `${VAR}`.
    pub pin: Option<Secret>,
    /// File with the PIN.
    pub pin_file: Option<PathBuf>,
}

/// A Ledger device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// Which of the device's keys.
    pub derivation_path: String,
    /// Whether each signature is confirmed on the device.
    pub require_confirmation: bool,
}

/// A signer outside of this process.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NonCustodial {
    /// How it is spoken to.
    pub protocol: Option<SignerProtocol>,
    /// Its unix socket.
    pub socket: Option<PathBuf>,
    /// Its URL.
    pub url: Option<String>,
    /// What it knows us by.
    pub token: Option<Secret>,
    /// Which of its keys.
    pub key: Option<String>,
}

/// How an external signer is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignerProtocol {
    /// The agent protocol of OpenSSH.
    SshAgent,
    /// The Transit engine of Vault or OpenBao.
    Vault,
}

impl KeyManager {
    pub(super) const KEYS: &[&str] = &[
        "storage_type",
        "key_dir",
        "default_algorithm",
        "key_rotation_days",
        "grace_period_hours",
        "passphrase_file",
        "passphrase",
        "hsm",
        "ledger",
        "non_custodial",
    ];

    pub(super) fn read(at: Option<Cursor<'_, '_>>, problems: &mut Problems) -> Self {
        let mut section = Section::open(at, "key_manager", Self::KEYS, problems);
        let algorithms = [
            ("ed25519", Algorithm::Ed25519),
            ("secp256k1", Algorithm::Secp256k1),
            ("p256", Algorithm::P256),
        ];
        let manager = Self {
            storage_type: section.one_of("storage_type", &KeyStorage::ALL, KeyStorage::File),
            key_dir: section
                .path("key_dir")
                .unwrap_or_else(|| "/var/lib/virtengine/keys".into()),
            default_algorithm: section.one_of("default_algorithm", &algorithms, Algorithm::Ed25519),
            key_rotation_days: section.integer("key_rotation_days", 90, 1..=3650),
            grace_period_hours: section.integer("grace_period_hours", 24, 0..=24 * 365),
            passphrase_file: section.path("passphrase_file"),
            passphrase: section.secret("passphrase"),
            hsm: section.with("hsm", |at, problems| Some(Hsm::read(at, problems))),
            ledger: section.with("ledger", |at, problems| Some(Ledger::read(at, problems))),
            non_custodial: section.with("non_custodial", |at, problems| {
                Some(NonCustodial::read(at, problems))
            }),
        };
        manager.check(&mut section);
        section.without_effect(
            &["key_rotation_days", "grace_period_hours"],
            "keys are not rotated",
        );
        manager
    }

    fn check(&self, section: &mut Section<'_, '_, '_>) {
        if self.grace_period_hours > self.key_rotation_days.saturating_mul(24) {
            section.error(
                Code::Conflict,
                "grace_period_hours",
                "longer than key_rotation_days: two rotations would overlap",
                "",
            );
        }
        if self.passphrase.is_some() && self.passphrase_file.is_some() {
            section.error(
                Code::Conflict,
                "passphrase",
                "passphrase_file is set as well",
                "keep one of them",
            );
        }
        let missing = match self.storage_type {
            KeyStorage::Hardware if self.hsm.as_ref().is_none_or(|hsm| hsm.library_path.is_none()) => {
                Some(("hsm", "storage_type hardware needs hsm.library_path"))
            }
            KeyStorage::NonCustodial if self.non_custodial.as_ref().is_none_or(|n| n.protocol.is_none()) => {
                Some((
                    "non_custodial",
                    "storage_type non_custodial needs non_custodial.protocol",
                ))
            }
            _ => None,
        };
        if let Some((key, message)) = missing {
            section.error(Code::RequiredField, key, message, "");
        }
        if !self.storage_type.is_available() {
            let message = match self.storage_type {
                KeyStorage::Memory => {
                    "a key storage in memory forgets its keys with the process that made them"
                }
                _ => "this kind of key storage is not available in this build",
            };
            section.notice(
                Code::NotAvailable,
                "storage_type",
                message,
                "set storage_type: file",
            );
        }
    }
}

impl Hsm {
    pub(super) const KEYS: &[&str] = &["library_path", "slot_id", "token_label", "pin", "pin_file"];

    fn read(at: Cursor<'_, '_>, problems: &mut Problems) -> Self {
        let mut section = Section::open(Some(at), "", Self::KEYS, problems);
        let hsm = Self {
            library_path: section.path("library_path"),
            slot_id: section.with("slot_id", |at, problems| at.integer(0..=u64::MAX, problems)),
            token_label: section.text_that("token_label", "a label of at most 32 bytes", |text| {
                text.len() <= 32
            }),
            pin: section.secret("pin"),
            pin_file: section.path("pin_file"),
        };
        if hsm.pin.is_some() && hsm.pin_file.is_some() {
            section.error(
                Code::Conflict,
                "pin",
                "pin_file is set as well",
                "keep one of them",
            );
        }
        hsm
    }
}

impl Ledger {
    pub(super) const KEYS: &[&str] = &["derivation_path", "require_confirmation"];

    fn read(at: Cursor<'_, '_>, problems: &mut Problems) -> Self {
        let mut section = Section::open(Some(at), "", Self::KEYS, problems);
        let path = section.text_that(
            "derivation_path",
            "a path such as m/44'/118'/0'/0/0",
            is_derivation_path,
        );
        Self {
            derivation_path: path.unwrap_or_else(|| "m/44'/118'/0'/0/0".to_owned()),
            require_confirmation: section.boolean("require_confirmation", true),
        }
    }
}

/// `m` and then numbers below 2³¹, each hardened or not.
fn is_derivation_path(text: &str) -> bool {
    let step = |part: &str| {
        let digits = part.strip_suffix(['\'', 'h']).unwrap_or(part);
        let number = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.is_empty();
        number && digits.parse::<u32>().is_ok_and(|number| number < 1 << 31)
    };
    text.strip_prefix("m/").is_some_and(|rest| {
        let parts: Vec<&str> = rest.split('/').collect();
        parts.len() <= 10 && parts.into_iter().all(step)
    })
}

impl NonCustodial {
    pub(super) const KEYS: &[&str] = &["protocol", "socket", "url", "token", "key"];

    fn read(at: Cursor<'_, '_>, problems: &mut Problems) -> Self {
        let mut section = Section::open(Some(at), "", Self::KEYS, problems);
        let protocols = [
            ("ssh-agent", Some(SignerProtocol::SshAgent)),
            ("vault", Some(SignerProtocol::Vault)),
        ];
        Self {
            protocol: section.one_of("protocol", &protocols, None),
            socket: section.path("socket"),
            url: section.url("url"),
            token: section.secret("token"),
            key: section.text("key"),
        }
    }
}
