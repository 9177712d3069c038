use std::io::Read as _;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use virtengine_keys::mnemonic::ACCOUNT_PATH;
use virtengine_keys::passphrase::PassphraseUse;
use virtengine_keys::{
    Access, Algorithm, KdfParams, KeyId, KeyRecord, KeyState, KeyStore, Mnemonic, Origin, Purpose,
    StorageType, StoreConfig, StoreStatus,
};
use virtengine_provider_core::id::Address;
use virtengine_provider_core::time::Timestamp;
use zeroize::Zeroizing;

use super::answer::{Answer, CliResult};
use super::context::Context;
use super::error::CliError;
use super::passphrase::PassphraseArgs;
use super::{block_on, settings, show};

/// The largest mnemonic file that is read: 24 words, comfortably.
const MNEMONIC_BYTES_MAX: u64 = 1024;

/// `keys …`.
#[derive(Debug, Args)]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Create an empty key store
    #[command(after_help = "\
Examples:
  virtengine-provider keys init --storage-type file --key-dir /var/lib/virtengine/keys
  virtengine-provider keys init --key-dir ./keys --passphrase-file ./passphrase

Keep the passphrase: without it the keys are lost. Nothing that exists is overwritten.")]
    Init {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        passphrase: PassphraseArgs,
    },
    /// Create a key: the identity key (ed25519), or the account key (secp256k1, with a mnemonic to write down)
    #[command(after_help = "\
Examples:
  virtengine-provider keys generate --algorithm ed25519
  virtengine-provider keys generate --algorithm secp256k1 --purpose account

The account key owns the address and the funds and signs transactions; it is always secp256k1. The identity key signs usage
records. Without --purpose, secp256k1 makes the account key and every other algorithm the identity key.")]
    Generate {
        /// How the key signs [default: secp256k1 for the account, key_manager.default_algorithm for the identity]
        #[arg(long, value_enum)]
        algorithm: Option<AlgorithmName>,
        /// What the key is for
        #[arg(long, value_enum)]
        purpose: Option<PurposeName>,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        passphrase: PassphraseArgs,
    },
    /// Store the account key of a mnemonic, read from a file or from standard input
    #[command(after_help = "\
Examples:
  virtengine-provider keys import --mnemonic-file ./mnemonic
  pass show provider | virtengine-provider keys import --mnemonic-file - --passphrase-file ./passphrase

The words are never given as an argument: those are visible to every user of the machine.")]
    Import {
        /// File with the 12 to 24 words, readable by its owner only; `-` for standard input
        #[arg(long, value_name = "FILE")]
        mnemonic_file: PathBuf,
        /// Where the key is among those of the mnemonic
        #[arg(long, value_name = "PATH", default_value = ACCOUNT_PATH)]
        derivation_path: String,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        passphrase: PassphraseArgs,
    },
    /// The keys and their states; needs no passphrase
    #[command(after_help = "Examples:\n  virtengine-provider keys status --output json | jq .keys")]
    Status {
        #[command(flatten)]
        place: Place,
    },
    /// Rotation policy of the identity key: not available in this build
    #[command(after_help = "\
Examples:
  virtengine-provider keys set-policy --max-age-days 90 --auto-rotate

This build does not rotate keys. The command ends with code 1 and changes nothing.")]
    SetPolicy {
        /// Age at which the key is rotated, in days
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
        max_age_days: Option<u32>,
        /// Rotate without being asked
        #[arg(long)]
        auto_rotate: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Sign a challenge with each key and verify the signatures
    #[command(after_help = "\
Examples:
  virtengine-provider keys test-sign
  virtengine-provider keys test-sign --purpose account --passphrase-file ./passphrase")]
    TestSign {
        /// Only the key of this purpose
        #[arg(long, value_enum)]
        purpose: Option<PurposeName>,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        passphrase: PassphraseArgs,
    },
}

/// Where the keys are.
#[derive(Debug, Args)]
struct Place {
    /// Kind of storage: file [default: key_manager.storage_type of the configuration, else file]
    #[arg(long, value_name = "TYPE")]
    storage_type: Option<StorageType>,
    /// Key directory [default: key_manager.key_dir of the configuration, else /var/lib/virtengine/keys]
    #[arg(long, value_name = "DIR", env = "VIRTENGINE_KEY_DIR")]
    key_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AlgorithmName {
    Ed25519,
    Secp256k1,
    P256,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PurposeName {
    /// Owns the address and the funds, signs transactions
    Account,
    /// Signs usage records and statements
    Identity,
}

impl From<AlgorithmName> for Algorithm {
    fn from(name: AlgorithmName) -> Self {
        match name {
            AlgorithmName::Ed25519 => Self::Ed25519,
            AlgorithmName::Secp256k1 => Self::Secp256k1,
            AlgorithmName::P256 => Self::P256,
        }
    }
}

impl From<PurposeName> for Purpose {
    fn from(name: PurposeName) -> Self {
        match name {
            PurposeName::Account => Self::Account,
            PurposeName::Identity => Self::Identity,
        }
    }
}

impl Place {
    fn config(&self, context: &Context) -> Result<StoreConfig, CliError> {
        settings::key_store(context, self.storage_type, self.key_dir.as_deref())
    }

    fn open(&self, access: Access, context: &Context) -> Result<KeyStore, CliError> {
        Ok(KeyStore::open(&self.config(context)?, access)?)
    }
}

/// A key for scripts: times are texts.
#[derive(Debug, Serialize)]
struct KeyView<'a> {
    id: KeyId,
    purpose: Purpose,
    algorithm: Algorithm,
    public_key: String,
    state: KeyState,
    #[serde(with = "virtengine_gateway::rfc3339")]
    state_since: Timestamp,
    #[serde(with = "virtengine_gateway::rfc3339")]
    created_at: Timestamp,
    generation: u32,
    origin: Origin,
    derivation_path: Option<&'a str>,
}

impl<'a> From<&'a KeyRecord> for KeyView<'a> {
    fn from(record: &'a KeyRecord) -> Self {
        Self {
            id: record.id,
            purpose: record.purpose,
            algorithm: record.algorithm(),
            public_key: hex::encode(&record.public_key.bytes),
            state: record.state,
            state_since: record.state_since,
            created_at: record.created_at,
            generation: record.generation,
            origin: record.origin,
            derivation_path: record.derivation_path.as_deref(),
        }
    }
}

fn status_value(status: &StoreStatus, address: Option<&Address>) -> serde_json::Value {
    serde_json::json!({
        "storage_type": status.storage_type,
        "location": status.location,
        "locked": status.locked,
        "address": address,
        "keys": status.keys.iter().map(KeyView::from).collect::<Vec<_>>(),
    })
}

pub(super) fn run(args: KeysArgs, context: &Context) -> CliResult {
    // A debugger or a core dump would have the secrets otherwise.
    virtengine_keys::process::forbid_core_dumps().map_err(|error| CliError::failed(error, ""))?;
    match args.command {
        KeysCommand::Init { place, passphrase } => init(&place, &passphrase, context),
        KeysCommand::Generate {
            algorithm,
            purpose,
            place,
            passphrase,
        } => generate(algorithm, purpose, &place, &passphrase, context),
        KeysCommand::Import {
            mnemonic_file,
            derivation_path,
            place,
            passphrase,
        } => import(&mnemonic_file, &derivation_path, &place, &passphrase, context),
        KeysCommand::Status { place } => status(&place, context),
        KeysCommand::SetPolicy { .. } => Err(CliError::unavailable(
            "key rotation policies are not available in this build; nothing was changed",
            "`keys status` shows the age of each key; to replace the identity key, stop the daemon and set up a new key directory",
        )),
        KeysCommand::TestSign {
            purpose,
            place,
            passphrase,
        } => test_sign(purpose, &place, &passphrase, context),
    }
}

fn init(place: &Place, passphrase: &PassphraseArgs, context: &Context) -> CliResult {
    let config = place.config(context)?;
    if config.storage_type == StorageType::Memory {
        return Err(CliError::usage(
            "a store in memory would be gone when this command ends",
            "use --storage-type file",
        ));
    }
    let secret = passphrase.read(PassphraseUse::Create, context)?;
    let store = KeyStore::init(&config, &secret, KdfParams::default(), context.now())?;
    let status = store.status()?;
    let text = format!(
        "Created an empty key store in {}\nNext: virtengine-provider keys generate --algorithm ed25519\n",
        status
            .location
            .as_ref()
            .map(|path| path.display().to_string())
            .unwrap_or_default()
    );
    Answer::new(&status_value(&status, None), text)
}

fn unlocked(
    place: &Place,
    passphrase: &PassphraseArgs,
    access: Access,
    context: &Context,
) -> Result<KeyStore, CliError> {
    let store = place.open(access, context)?;
    store.unlock(&passphrase.read(PassphraseUse::Unlock, context)?)?;
    Ok(store)
}

fn generate(
    algorithm: Option<AlgorithmName>,
    purpose: Option<PurposeName>,
    place: &Place,
    passphrase: &PassphraseArgs,
    context: &Context,
) -> CliResult {
    let purpose = match (purpose, algorithm) {
        (Some(purpose), _) => purpose.into(),
        (None, Some(AlgorithmName::Secp256k1)) => Purpose::Account,
        (None, _) => Purpose::Identity,
    };
    let algorithm = match (algorithm, purpose) {
        (Some(algorithm), _) => algorithm.into(),
        (None, Purpose::Account) => purpose.default_algorithm(),
        (None, Purpose::Identity) => settings::key_manager(context)?.default_algorithm,
    };
    let store = unlocked(place, passphrase, Access::ReadWrite, context)?;
    // The account key owns money: it must be possible to bring it back from paper.
    let (key, words) = if purpose == Purpose::Account && algorithm == Algorithm::Secp256k1 {
        let mnemonic = Mnemonic::generate()?;
        let key = store.import_mnemonic(purpose, &mnemonic, ACCOUNT_PATH, context.now())?;
        (key, Some(mnemonic.phrase()))
    } else {
        (store.generate(purpose, algorithm, context.now())?, None)
    };
    let address = address(&store, context);
    let shown = address.as_ref().filter(|_| purpose == Purpose::Account);
    let words = words.as_ref().map(|words| words.as_str());
    let value = serde_json::json!({ "key": KeyView::from(&key), "address": shown, "mnemonic": words });
    Answer::new(&value, show::generated(&key, shown, words))
}

fn import(
    file: &std::path::Path,
    path: &str,
    place: &Place,
    passphrase: &PassphraseArgs,
    context: &Context,
) -> CliResult {
    let mnemonic = read_mnemonic(file)?;
    let store = unlocked(place, passphrase, Access::ReadWrite, context)?;
    let key = store.import_mnemonic(Purpose::Account, &mnemonic, path, context.now())?;
    let address = address(&store, context);
    let value = serde_json::json!({ "key": KeyView::from(&key), "address": address });
    Answer::new(&value, show::generated(&key, address.as_ref(), None))
}

fn status(place: &Place, context: &Context) -> CliResult {
    let store = place.open(Access::ReadOnly, context)?;
    let status = store.status()?;
    let address = address(&store, context);
    let value = status_value(&status, address.as_ref());
    Answer::new(&value, show::key_status(&status, address.as_ref()))
}

fn test_sign(
    purpose: Option<PurposeName>,
    place: &Place,
    passphrase: &PassphraseArgs,
    context: &Context,
) -> CliResult {
    let store = unlocked(place, passphrase, Access::ReadOnly, context)?;
    let purposes: Vec<Purpose> = match purpose {
        Some(purpose) => vec![purpose.into()],
        None => {
            let mut all: Vec<_> = store
                .records()?
                .iter()
                .filter(|record| record.state.may_prove_possession())
                .map(|record| record.purpose)
                .collect();
            all.dedup();
            all
        }
    };
    if purposes.is_empty() {
        return Err(virtengine_keys::KeyError::NoKey {
            purpose: Purpose::Identity,
        }
        .into());
    }
    block_on(async {
        let mut signatures = Vec::new();
        let mut text = String::new();
        for purpose in purposes {
            let signature = store.test_sign(purpose).await?;
            text += &show::test_signature(&signature);
            text += "\n";
            signatures.push(signature);
        }
        Answer::new(&signatures, text)
    })
}

/// The account's address; `None` without an account key.
fn address(store: &KeyStore, context: &Context) -> Option<Address> {
    store.account_address(&settings::address_prefix(context)).ok()
}

/// Reads a mnemonic from a file that only its owner can read, or from standard input.
pub(super) fn read_mnemonic(path: &std::path::Path) -> Result<Mnemonic, CliError> {
    let mut words = Zeroizing::new(String::with_capacity(MNEMONIC_BYTES_MAX as usize + 1));
    let read = if path.as_os_str() == "-" {
        std::io::stdin()
            .lock()
            .take(MNEMONIC_BYTES_MAX)
            .read_to_string(&mut words)
    } else {
        private_file(path)?
            .take(MNEMONIC_BYTES_MAX)
            .read_to_string(&mut words)
    };
    read.map_err(|error| CliError::file(path, &error))?;
    Ok(Mnemonic::parse(words.trim())?)
}

fn private_file(path: &std::path::Path) -> Result<std::fs::File, CliError> {
    use std::os::unix::fs::MetadataExt as _;
    let file = std::fs::File::open(path).map_err(|error| CliError::file(path, &error))?;
    let mode = file
        .metadata()
        .map_err(|error| CliError::file(path, &error))?
        .mode()
        & 0o7777;
    if mode & 0o077 != 0 {
        return Err(virtengine_keys::KeyError::Mode {
            path: path.to_owned(),
            mode,
            wanted: 0o600,
        }
        .into());
    }
    Ok(file)
}
