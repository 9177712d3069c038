//! Creates a key directory, makes an account key and an identity key, signs with one and verifies.
//!
//! `cargo run -p virtengine-keys --example sign_a_message`

use std::error::Error;

use virtengine_keys::algorithm::verify;
use virtengine_keys::mnemonic::ACCOUNT_PATH;
use virtengine_keys::{
    Algorithm, KdfParams, KeyStore, Mnemonic, Passphrase, Purpose, SecretBytes, StoreConfig,
};
use virtengine_provider_core::time::Timestamp;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let config = StoreConfig::file(dir.path().join("keys"));
    let passphrase = Passphrase::new(SecretBytes::new(b"only for this example".to_vec()))?;
    let now = Timestamp::from_seconds(i64::try_from(
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)?
            .as_secs(),
    )?);

    let keys = KeyStore::init(&config, &passphrase, KdfParams::default(), now)?;
    let mnemonic = Mnemonic::generate()?;
    keys.import_mnemonic(Purpose::Account, &mnemonic, ACCOUNT_PATH, now)?;
    keys.generate(Purpose::Identity, Algorithm::Ed25519, now)?;
    println!("account address: {}", keys.account_address("ve")?);

    let message = b"hello, tenant";
    let signer = keys.signer(Purpose::Identity)?;
    let signature = signer.sign(message).await?;
    verify(&signer.public_key(), message, &signature)?;
    println!("{:?} signed: {}", signer.public_key(), hex::encode(&signature));

    keys.lock();
    match signer.sign(message).await {
        Err(error) => println!("after locking: {error}"),
        Ok(_) => return Err("a locked store signed".into()),
    }
    Ok(())
}
