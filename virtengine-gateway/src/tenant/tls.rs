use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};

use super::options::TlsChoice;

/// SHA-256 of a certificate (DER); text form is lower-case hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of the certificate `der`.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for Fingerprint {
    type Err = String;
    /// Hex, upper or lower case, with or without colons.
    fn from_str(text: &str) -> Result<Self, String> {
        let plain: String = text.chars().filter(|letter| *letter != ':').collect();
        let mut bytes = [0; 32];
        hex::decode_to_slice(&plain, &mut bytes)
            .map_err(|_| format!("{text:?} is not a SHA-256 fingerprint (64 hex digits)"))?;
        Ok(Self(bytes))
    }
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The private key can be read by others.
    #[error("the private key {} can be read by others (mode {mode:04o}): chmod 600 it", .path.display())]
    KeyExposed {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// What is in the files is no certificate and key that belong together.
    #[error("{}: {message}", .path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

/// A certificate to show, ready for use.
pub(super) struct ServerTls {
    pub(super) config: Arc<ServerConfig>,
    pub(super) fingerprint: Fingerprint,
}

/// Loads or makes the certificate; `None` for plain HTTP.
pub(super) fn load(choice: &TlsChoice) -> Result<Option<ServerTls>, TlsError> {
    match choice {
        TlsChoice::Off => Ok(None),
        TlsChoice::Files { certificate, key } => from_files(certificate, key).map(Some),
        TlsChoice::SelfSigned { directory, names } => {
            let (certificate, key) = self_signed(directory, names)?;
            from_files(&certificate, &key).map(Some)
        }
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> TlsError {
    let path = path.to_owned();
    move |source| TlsError::Io { path, source }
}

fn content_error(path: &Path, message: impl fmt::Display) -> TlsError {
    TlsError::Content {
        path: path.to_owned(),
        message: message.to_string(),
    }
}

fn from_files(certificate: &Path, key: &Path) -> Result<ServerTls, TlsError> {
    let text = fs::read(certificate).map_err(io_error(certificate))?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| content_error(certificate, format!("not PEM: {error:?}")))?;
    let Some(first) = chain.first() else {
        return Err(content_error(certificate, "no certificate in it"));
    };
    let fingerprint = Fingerprint::of(first);
    let private = private_key(key)?;
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|error| content_error(certificate, format!("does not go with its key: {error}")))?;
    Ok(ServerTls {
        config: Arc::new(config),
        fingerprint,
    })
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let mode = fs::metadata(path).map_err(io_error(path))?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(TlsError::KeyExposed {
            path: path.to_owned(),
            mode,
        });
    }
    let text = fs::read(path).map_err(io_error(path))?;
    PrivateKeyDer::from_pem_slice(&text)
        .map_err(|error| content_error(path, format!("no private key: {error:?}")))
}

/// Makes what is missing: first the key, then the certificate, so that a start that was cut short is finished by the next.
fn self_signed(directory: &Path, names: &[String]) -> Result<(PathBuf, PathBuf), TlsError> {
    let (certificate, key) = (directory.join("tenant-tls.crt"), directory.join("tenant-tls.key"));
    if certificate.exists() && key.exists() {
        return Ok((certificate, key));
    }
    fs::create_dir_all(directory).map_err(io_error(directory))?;
    if !key.exists() {
        let fresh = KeyPair::generate().map_err(|error| content_error(&key, error))?;
        write_private(&key, &fresh.serialize_pem()).map_err(io_error(&key))?;
    }
    private_key(&key)?;
    let text = fs::read_to_string(&key).map_err(io_error(&key))?;
    let pair = KeyPair::from_pem(&text).map_err(|error| content_error(&key, error))?;
    let made = CertificateParams::new(names.to_vec())
        .and_then(|params| params.self_signed(&pair))
        .map_err(|error| content_error(&certificate, error))?;
    write_private(&certificate, &made.pem()).map_err(io_error(&certificate))?;
    Ok((certificate, key))
}

/// Whole or not at all, and never readable by others.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension("new");
    let _ = fs::remove_file(&draft);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)
}
