//! Keys and signed transactions, written independently of `virtengine-chain`.

use k256::ecdsa::signature::Signer as _;
use prost::Message as _;
use prost_types::Any;
use ripemd::Ripemd160;
use sha2::{Digest, Sha256};
use virtengine_chain::proto::cosmos::base::v1beta1::Coin;
use virtengine_chain::proto::cosmos::crypto;
use virtengine_chain::proto::cosmos::tx::v1beta1::mode_info::{Single, Sum};
use virtengine_chain::proto::cosmos::tx::v1beta1::{
    AuthInfo, Fee, ModeInfo, SignDoc, SignerInfo, TxBody, TxRaw,
};
use virtengine_devchain::{CHAIN_ID, TestAccount};
use virtengine_provider_core::id::Address;

/// Who signs.
#[derive(Debug, Clone)]
pub enum Key {
    Secp256k1(k256::ecdsa::SigningKey),
    Ed25519(ed25519_dalek::SigningKey),
}

/// A key with its address.
#[derive(Debug, Clone)]
pub struct Wallet {
    key: Key,
    pub address: String,
}

fn any<M: prost::Message + prost::Name>(message: &M) -> Any {
    Any {
        type_url: M::type_url(),
        value: message.encode_to_vec(),
    }
}

fn text(bytes: &[u8]) -> String {
    Address::from_bytes("ve", bytes).unwrap().to_string()
}

impl Wallet {
    /// A well-known account.
    pub fn named(name: &str) -> Self {
        let account = TestAccount::named(name).unwrap();
        let wallet = Self::secp256k1(&hex::decode(account.secret_key_hex).unwrap());
        assert_eq!(wallet.address, account.address, "{name}");
        wallet
    }

    /// A new secp256k1 account; the same for the same seed.
    pub fn new(seed: &str) -> Self {
        Self::secp256k1(&Sha256::digest(seed.as_bytes()))
    }

    fn secp256k1(secret: &[u8]) -> Self {
        let key = k256::ecdsa::SigningKey::from_slice(secret).unwrap();
        let public = key.verifying_key().to_sec1_point(true);
        Self {
            address: text(&Ripemd160::digest(Sha256::digest(public.as_bytes()))),
            key: Key::Secp256k1(key),
        }
    }

    /// A new ed25519 account.
    pub fn ed25519(seed: &str) -> Self {
        let key = ed25519_dalek::SigningKey::from_bytes(&Sha256::digest(seed.as_bytes()).into());
        Self {
            address: text(&Sha256::digest(key.verifying_key().as_bytes())[..20]),
            key: Key::Ed25519(key),
        }
    }

    fn public_key(&self) -> Any {
        match &self.key {
            Key::Secp256k1(key) => any(&crypto::secp256k1::PubKey {
                key: key.verifying_key().to_sec1_point(true).as_bytes().to_vec(),
            }),
            Key::Ed25519(key) => any(&crypto::ed25519::PubKey {
                key: key.verifying_key().as_bytes().to_vec(),
            }),
        }
    }

    fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        match &self.key {
            Key::Secp256k1(key) => {
                let signature: k256::ecdsa::Signature = key.sign(bytes);
                signature.normalize_s().to_bytes().to_vec()
            }
            Key::Ed25519(key) => key.sign(bytes).to_bytes().to_vec(),
        }
    }
}

/// A transaction before it is signed.
#[derive(Debug, Clone)]
pub struct Draft {
    pub messages: Vec<Any>,
    pub memo: String,
    pub timeout_height: u64,
    pub unordered: bool,
    pub fee: u64,
    pub gas: u64,
    pub granter: String,
    pub account_number: u64,
    pub sequence: u64,
    pub chain_id: String,
    /// The `msgs` of an amino-JSON sign document; absent: DIRECT.
    pub amino: Option<String>,
    /// Appended to the body: fields that the chain does not know.
    pub extra_body: Vec<u8>,
}

impl Draft {
    pub fn new(messages: Vec<Any>, account_number: u64, sequence: u64) -> Self {
        Self {
            messages,
            memo: String::new(),
            timeout_height: 0,
            unordered: false,
            fee: 25_000,
            gas: 1_000_000,
            granter: String::new(),
            account_number,
            sequence,
            chain_id: CHAIN_ID.to_owned(),
            amino: None,
            extra_body: Vec::new(),
        }
    }

    /// The bytes of the `TxRaw`. `signed`: with a signature, else with an empty one (for simulation).
    pub fn bytes(&self, wallet: &Wallet, signed: bool) -> Vec<u8> {
        let mut body_bytes = TxBody {
            messages: self.messages.clone(),
            memo: self.memo.clone(),
            timeout_height: self.timeout_height,
            unordered: self.unordered,
            ..TxBody::default()
        }
        .encode_to_vec();
        body_bytes.extend(&self.extra_body);
        let amount = Coin {
            denom: "uve".to_owned(),
            amount: self.fee.to_string(),
        };
        let auth_info_bytes = AuthInfo {
            signer_infos: vec![SignerInfo {
                public_key: Some(wallet.public_key()),
                mode_info: Some(ModeInfo {
                    sum: Some(Sum::Single(Single {
                        mode: if self.amino.is_some() { 127 } else { 1 },
                    })),
                }),
                sequence: self.sequence,
            }],
            fee: Some(Fee {
                amount: if self.fee == 0 { Vec::new() } else { vec![amount] },
                gas_limit: self.gas,
                granter: self.granter.clone(),
                ..Fee::default()
            }),
            ..AuthInfo::default()
        }
        .encode_to_vec();
        let amino = self.amino.as_ref().map(|msgs| {
            format!(
                r#"{{"account_number":"{}","chain_id":"{}","fee":{{"amount":[{{"amount":"{}","denom":"uve"}}],"gas":"{}"}},"memo":"{}","msgs":{msgs},"sequence":"{}"}}"#,
                self.account_number, self.chain_id, self.fee, self.gas, self.memo, self.sequence
            )
            .into_bytes()
        });
        let direct = SignDoc {
            body_bytes: body_bytes.clone(),
            auth_info_bytes: auth_info_bytes.clone(),
            chain_id: self.chain_id.clone(),
            account_number: self.account_number,
        }
        .encode_to_vec();
        let document = amino.unwrap_or(direct);
        TxRaw {
            body_bytes,
            auth_info_bytes,
            signatures: vec![if signed {
                wallet.sign(&document)
            } else {
                Vec::new()
            }],
        }
        .encode_to_vec()
    }
}

#[test]
fn the_wallet_signs_the_vector_of_the_specification() {
    // spec/chain.md D.8: bob, sequence 7, account 5.
    let message = hex::decode("0a5e0a297665316176677968373779636e3939376a6134357135713873733879396d723432346a75386538366610c0843d180120012a29766531366e73326633767271757930767079766b673932647868796d6d72616e3566376370376d6471121a0a037576651213313030303030303030303030303030303030301a120a0d0a0375766512063530303030302a0101").unwrap();
    let mut draft = Draft::new(
        vec![Any {
            type_url: "/virtengine.market.v1beta5.MsgCreateBid".to_owned(),
            value: message,
        }],
        5,
        7,
    );
    (draft.fee, draft.gas) = (5000, 200_000);
    let raw = TxRaw::decode(draft.bytes(&Wallet::named("bob"), true).as_slice()).unwrap();
    assert_eq!(
        hex::encode(&raw.signatures[0]),
        "8960ac82e060de8b13216ad89a9529867da9cdeef0646617edcd5f15bd619de64767afa2aac82e685fd4a626bdb1368ffa28799e1f78cea4f3afd22ff8bf0ad6"
    );
}
