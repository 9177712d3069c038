//! What types that hold secrets say about themselves.

use virtengine_keys::mnemonic::ACCOUNT_PATH;
use virtengine_keys::{KeyStore, Mnemonic, Passphrase, Purpose, SecretBytes};
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::manifest;
use virtengine_provider_core::time::Timestamp;
use virtengine_providerd::config;

use crate::needles::{forms, found};
use crate::round::{MANIFEST, REGISTRY_PASSWORD, WORDS, key};
use crate::site::PASSPHRASE;

#[test]
fn debug_and_errors_show_no_secret() {
    let key = key();
    let mut needles = forms("mnemonic", WORDS.as_bytes());
    needles.extend(forms("key", &key));
    needles.extend(forms("passphrase", PASSPHRASE.as_bytes()));
    needles.extend(forms("registry password", REGISTRY_PASSWORD.as_bytes()));
    // The search itself: a bare vector would be found.
    assert_eq!(found(&needles, format!("{key:?}").as_bytes()), ["key (numbers)"]);

    let store = KeyStore::memory();
    let words = Mnemonic::parse(WORDS).unwrap();
    store
        .import_mnemonic(Purpose::Account, &words, ACCOUNT_PATH, Timestamp::EPOCH)
        .unwrap();
    let signer = store.signer(Purpose::Account).unwrap();
    let passphrase = Passphrase::new(SecretBytes::new(PASSPHRASE.as_bytes().to_vec())).unwrap();
    let text = format!("key_manager:\n  passphrase: \"{PASSPHRASE}\"\n");
    let config = config::parse(text.as_bytes(), &|_| None).unwrap();
    let valid = manifest::read(MANIFEST.as_bytes()).unwrap();
    let workload = valid.workload("local", WorkloadId::local(b"x"), None).unwrap();
    assert!(workload.services[0].credentials.is_some());

    let mistyped = format!("{} {}", WORDS, "zebra");
    let broken = MANIFEST.replace("username: shop", "user: shop");
    let shown = [
        format!(
            "{store:?} {signer:?} {words:?} {passphrase:?} {:?}",
            SecretBytes::new(key)
        ),
        format!("{config:?} {}", serde_json::to_string(&config).unwrap()),
        format!("{valid:?} {workload:?}"),
        format!("{:?}", Mnemonic::parse(&mistyped).unwrap_err()),
        format!("{:?}", manifest::read(broken.as_bytes()).unwrap_err()),
    ];
    for text in shown {
        let given_away = found(&needles, text.as_bytes());
        assert!(given_away.is_empty(), "{given_away:?} in {text}");
    }
}
