use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use virtengine_keys::passphrase::{PassphraseUse, Prompt};
use virtengine_keys::{Passphrase, PassphraseSource, SecretBytes};
use zeroize::Zeroizing;

use super::context::Context;
use super::error::CliError;
use super::settings;

/// Name of the systemd credential (`LoadCredential=key-passphrase:…`).
const CREDENTIAL: &str = "key-passphrase";

/// Where the passphrase of the key store comes from. Never an argument: those are visible to every user of the machine.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct PassphraseArgs {
    /// File with the passphrase, readable by its owner only [default: key_manager.passphrase_file of the configuration, else the
    /// systemd credential `key-passphrase`, else a prompt]
    #[arg(long, value_name = "FILE", env = "VIRTENGINE_KEY_PASSPHRASE_FILE")]
    pub(super) passphrase_file: Option<PathBuf>,
}

impl PassphraseArgs {
    /// Reads it; `configured` says what the configuration has to say about it.
    pub(super) fn read(&self, wanted_for: PassphraseUse, context: &Context) -> Result<Passphrase, CliError> {
        if self.passphrase_file.is_some() {
            return Ok(passphrase_source(self.passphrase_file.as_deref()).read(wanted_for)?);
        }
        let manager = settings::key_manager(context)?;
        if let (None, Some(secret)) = (&manager.passphrase_file, &manager.passphrase) {
            return Ok(Passphrase::new(SecretBytes::new(
                secret.reveal().as_bytes().to_vec(),
            ))?);
        }
        Ok(passphrase_source(manager.passphrase_file.as_deref()).read(wanted_for)?)
    }
}

/// Where the passphrase of the key store is: in `file` when one is named; else in the systemd credential `key-passphrase` when the
/// service has one; else a person is asked.
#[must_use]
pub fn passphrase_source(file: Option<&Path>) -> PassphraseSource {
    if let Some(file) = file {
        return PassphraseSource::File(file.to_owned());
    }
    let credential = std::env::var_os("CREDENTIALS_DIRECTORY")
        .is_some_and(|directory| PathBuf::from(directory).join(CREDENTIAL).exists());
    if credential {
        return PassphraseSource::Credential(CREDENTIAL.to_owned());
    }
    PassphraseSource::Prompt(Arc::new(Terminal))
}

/// A person at the terminal.
struct Terminal;

impl Prompt for Terminal {
    fn ask(&self, question: &str) -> io::Result<Zeroizing<String>> {
        if !io::stdin().is_terminal() {
            return Err(io::Error::other(
                "there is no terminal to ask at; name a file with --passphrase-file",
            ));
        }
        rpassword::prompt_password(question).map(Zeroizing::new)
    }
}
