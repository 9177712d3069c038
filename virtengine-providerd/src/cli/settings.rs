//! What commands need of the configuration. A command that can do without a configuration file does: an absent default file means
//! the defaults; a file that was named, or that is not valid, is an error.

use std::io;
use std::path::{Path, PathBuf};

use virtengine_chain::ChainConfig;
use virtengine_chain::rpc::EndpointUrl;
use virtengine_keys::{StorageType, StoreConfig};
use virtengine_provider_core::id::Address;

use super::context::Context;
use super::error::CliError;
use crate::config::{self, Config, ConfigError, KeyStorage, Loaded, Located, Source};

/// Which file is the configuration.
pub(super) fn located(context: &Context) -> Located {
    config::locate(context.global.config.as_deref(), |name| std::env::var(name).ok())
}

/// The configuration; it must be there.
pub(super) fn load(context: &Context) -> Result<Loaded, CliError> {
    Ok(config::load(&located(context).path)?)
}

/// The configuration, or the defaults when nobody named a file and there is none.
fn load_or_defaults(context: &Context) -> Result<Config, CliError> {
    let located = located(context);
    match config::load(&located.path) {
        Ok(loaded) => Ok(loaded.config),
        Err(ConfigError { io: Some(error), .. })
            if error.kind() == io::ErrorKind::NotFound && located.source == Source::Default =>
        {
            Ok(Config::defaults())
        }
        Err(error) => Err(error.into()),
    }
}

/// Where the daemon's socket is: `--socket`, else as configured.
pub(super) fn socket(context: &Context) -> Result<PathBuf, CliError> {
    match &context.global.socket {
        Some(socket) => Ok(socket.clone()),
        None => Ok(load_or_defaults(context)?.gateway.operator_socket),
    }
}

/// The file of the daemon's log.
pub(super) fn log_file(context: &Context) -> Result<PathBuf, CliError> {
    Ok(load_or_defaults(context)?.logging.file)
}

/// Where the keys are; each part as given, else as configured.
pub(super) fn key_store(
    context: &Context,
    storage_type: Option<StorageType>,
    key_dir: Option<&Path>,
) -> Result<StoreConfig, CliError> {
    if let (Some(storage_type), Some(key_dir)) = (storage_type, key_dir) {
        return Ok(StoreConfig {
            storage_type,
            key_dir: Some(key_dir.to_owned()),
        });
    }
    let manager = load_or_defaults(context)?.key_manager;
    Ok(StoreConfig {
        storage_type: storage_type.unwrap_or_else(|| storage_of(manager.storage_type)),
        key_dir: Some(key_dir.map_or(manager.key_dir, Path::to_owned)),
    })
}

/// What the configuration says about keys.
pub(super) fn key_manager(context: &Context) -> Result<config::KeyManager, CliError> {
    Ok(load_or_defaults(context)?.key_manager)
}

const fn storage_of(storage: KeyStorage) -> StorageType {
    match storage {
        KeyStorage::File => StorageType::File,
        KeyStorage::Hardware => StorageType::Hardware,
        KeyStorage::Ledger => StorageType::Ledger,
        KeyStorage::NonCustodial => StorageType::NonCustodial,
        KeyStorage::Memory => StorageType::Memory,
    }
}

/// The prefix of addresses; that of the default chain when the configuration cannot be read.
pub(super) fn address_prefix(context: &Context) -> String {
    load_or_defaults(context).map_or_else(
        |_| Config::defaults().chain.address_prefix,
        |config| config.chain.address_prefix,
    )
}

/// The account that we provide as.
pub(super) fn provider(context: &Context) -> Result<Address, CliError> {
    let config = load_or_defaults(context)?;
    config
        .provider
        .account()
        .cloned()
        .ok_or_else(|| CliError::config("the configuration", &config.placeholders()))
}

/// The chain, as configured.
pub(super) fn chain(context: &Context) -> Result<ChainConfig, CliError> {
    let config = load_or_defaults(context)?;
    crate::daemon::chain_config(&config).map_err(CliError::bad_setting)
}

/// An endpoint of the chain.
pub(super) fn endpoint(url: &str) -> Result<EndpointUrl, CliError> {
    url.parse().map_err(|error| {
        CliError::usage(
            format!("{url:?} is not an endpoint of the chain: {error}"),
            "for example http://127.0.0.1:26657",
        )
    })
}
