//! Published vectors: RFC 8032, RFC 6979, BIP-39/32, and those of the chain (spec/chain.md D.8).

use virtengine_keys::address::address_of;
use virtengine_keys::algorithm::verify;
use virtengine_keys::mnemonic::ACCOUNT_PATH;
use virtengine_keys::{Algorithm, KeyStore, Mnemonic, PublicKey, Purpose, SecretBytes};

use crate::NOW;

async fn sign(algorithm: Algorithm, secret: &str, message: &[u8]) -> (PublicKey, String) {
    let keys = KeyStore::memory();
    let secret = SecretBytes::from_hex(secret).unwrap();
    keys.import_raw(Purpose::Identity, algorithm, &secret, NOW)
        .unwrap();
    let signer = keys.signer(Purpose::Identity).unwrap();
    let signature = signer.sign(message).await.unwrap();
    verify(&signer.public_key(), message, &signature).unwrap();
    (signer.public_key(), hex::encode(signature))
}

#[tokio::test]
async fn ed25519_signs_as_rfc_8032_says() {
    // 7.1, tests 1 to 3: secret, public key, message, signature.
    let vectors = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ];
    for (secret, public, message, signature) in vectors {
        let message = hex::decode(message).unwrap();
        let (key, found) = sign(Algorithm::Ed25519, secret, &message).await;
        assert_eq!(hex::encode(key.bytes), public);
        assert_eq!(found, signature);
    }
}

#[tokio::test]
async fn p256_signs_as_rfc_6979_says_but_low_s() {
    // A.2.5 with SHA-256. The s of "sample" is high in the document, so its negative modulo the order is expected here.
    let secret = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
    let vectors = [
        (
            "sample",
            "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716",
            "0834e36ad29a83bf2bc9385e491d6099c8fdf9d1ed67aa7ea5f51f93782857a9",
        ),
        (
            "test",
            "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367",
            "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083",
        ),
    ];
    for (message, r, s) in vectors {
        let (_, found) = sign(Algorithm::P256, secret, message.as_bytes()).await;
        assert_eq!(found, format!("{r}{s}"), "{message}");
    }
}

#[tokio::test]
async fn secp256k1_signs_as_rfc_6979_says() {
    // The vector that the libraries of this curve share: secret 1, SHA-256.
    let secret = "0000000000000000000000000000000000000000000000000000000000000001";
    let (_, found) = sign(Algorithm::Secp256k1, secret, b"Satoshi Nakamoto").await;
    assert_eq!(
        found,
        "934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8\
         2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5"
    );
}

fn repeated(word: &str, last: &str) -> String {
    format!("{}{last}", format!("{word} ").repeat(11))
}

#[test]
fn account_keys_and_addresses_are_those_of_the_local_network() {
    let vectors = [
        (
            repeated("abandon", "about"),
            "ve19rl4cm2hmr8afy4kldpxz3fka4jguq0aqakfsa",
            "024f4e2ad99c34d60b9ba6283c9431a8418af8673212961f97a77b6377fcd05b62",
        ),
        (
            "legal winner thank year wave sausage worth useful legal winner thank yellow".to_owned(),
            "ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f",
            "03510c69e626043eda293ccd3aecf49a568a9aab62173e77540fe385a454e61513",
        ),
        (
            "letter advice cage absurd amount doctor acoustic avoid letter advice cage above".to_owned(),
            "ve16ns2f3vrquy0vpyvkg92dxhymmran5f7cp7mdq",
            "031e652a35832290964e9b0cdb70bde5153da7022be44be64cc1587f76dd86d867",
        ),
        (
            repeated("zoo", "wrong"),
            "ve1am058pdux3hyulcmfgj4m3hhrlfn8nzmm68nqg",
            "03b7329f678e0ac1214b7723575466219c77fedbdd955c33291a74f18bf5c8a4e2",
        ),
    ];
    for (words, address, public) in vectors {
        let keys = KeyStore::memory();
        let mnemonic = Mnemonic::parse(&words).unwrap();
        let record = keys
            .import_mnemonic(Purpose::Account, &mnemonic, ACCOUNT_PATH, NOW)
            .unwrap();
        assert_eq!(hex::encode(&record.public_key.bytes), public);
        assert_eq!(keys.account_address("ve").unwrap().as_str(), address);
    }
}

#[test]
fn the_same_key_has_its_well_known_address_under_another_prefix() {
    let keys = KeyStore::memory();
    let mnemonic = Mnemonic::parse(&repeated("abandon", "about")).unwrap();
    keys.import_mnemonic(Purpose::Account, &mnemonic, ACCOUNT_PATH, NOW)
        .unwrap();
    assert_eq!(
        keys.account_address("cosmos").unwrap().as_str(),
        "cosmos19rl4cm2hmr8afy4kldpxz3fka4jguq0auqdal4"
    );
    assert_eq!(keys.account_address("not a prefix").unwrap_err().exit_code(), 30);
}

#[test]
fn addresses_have_the_length_of_their_algorithm() {
    for (algorithm, key_len, len) in [
        (Algorithm::Secp256k1, 33, 20),
        (Algorithm::Ed25519, 32, 20),
        (Algorithm::P256, 33, 32),
    ] {
        let key = PublicKey {
            algorithm,
            bytes: vec![2; key_len],
        };
        assert_eq!(address_of(&key, "ve").unwrap().to_bytes().len(), len);
    }
}

#[test]
fn a_generated_mnemonic_has_24_words_and_reads_back() {
    let mnemonic = Mnemonic::generate().unwrap();
    let phrase = mnemonic.phrase();
    assert_eq!(phrase.split(' ').count(), 24);
    let record = |mnemonic: &Mnemonic| {
        KeyStore::memory()
            .import_mnemonic(Purpose::Account, mnemonic, ACCOUNT_PATH, NOW)
            .unwrap()
    };
    let spaced = format!("  {}\n", phrase.replace(' ', "  "));
    assert_eq!(
        record(&mnemonic).id,
        record(&Mnemonic::parse(&spaced).unwrap()).id
    );
    assert_ne!(phrase.as_str(), Mnemonic::generate().unwrap().phrase().as_str());
}

#[test]
fn bad_mnemonics_and_paths_are_refused_without_repeating_the_words() {
    let cases = [
        (repeated("abandon", "abandon"), "checksum"),
        (repeated("abandon", "secretword"), "word 12"),
        ("abandon about".to_owned(), "2 words"),
        ("abandon ".repeat(200), "longer"),
    ];
    for (words, expected) in cases {
        let error = Mnemonic::parse(&words).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!format!("{error:?} {error}").contains("secretword"), "{error:?}");
        assert_eq!(error.exit_code(), 33);
    }
    let mnemonic = Mnemonic::parse(&repeated("abandon", "about")).unwrap();
    for path in ["", "44'/118'", "m/x", "m/4294967296", "m/0/0/0/0/0/0/0/0/0/0/0"] {
        let error = KeyStore::memory()
            .import_mnemonic(Purpose::Account, &mnemonic, path, NOW)
            .unwrap_err();
        assert_eq!(error.exit_code(), 33, "{path:?}: {error}");
    }
}
