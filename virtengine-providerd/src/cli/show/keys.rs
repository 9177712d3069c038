use virtengine_keys::{KeyRecord, StoreStatus, TestSignature};
use virtengine_provider_core::id::Address;

use super::{moment, pairs, table};

fn record(record: &KeyRecord, address: Option<&Address>) -> String {
    pairs([
        ("Key", record.id.to_string()),
        ("Purpose", record.purpose.to_string()),
        ("Algorithm", record.algorithm().to_string()),
        ("Public key", hex::encode(&record.public_key.bytes)),
        ("Address", address.map(ToString::to_string).unwrap_or_default()),
        ("State", record.state.to_string()),
    ])
}

/// `keys generate` and `keys import`.
pub(in crate::cli) fn generated(
    key: &KeyRecord,
    address: Option<&Address>,
    mnemonic: Option<&str>,
) -> String {
    let mut text = record(key, address);
    if let Some(words) = mnemonic {
        text += "\nWrite these words down and keep them where nobody else finds them. They are shown once, are not stored, and\n\
                 are the only way to bring the account back:\n\n";
        text += &format!("  {words}\n");
    }
    text
}

/// `keys status`.
pub(in crate::cli) fn key_status(status: &StoreStatus, address: Option<&Address>) -> String {
    let mut text = pairs([
        ("Storage", status.storage_type.to_string()),
        (
            "Directory",
            status
                .location
                .as_ref()
                .map(|path| path.display().to_string())
                .unwrap_or_default(),
        ),
        ("Account", address.map(ToString::to_string).unwrap_or_default()),
    ]);
    let rows = status.keys.iter().map(|key| {
        [
            key.id.to_string(),
            key.purpose.to_string(),
            key.algorithm().to_string(),
            key.state.to_string(),
            moment(Some(key.state_since)),
            key.generation.to_string(),
        ]
    });
    text += "\n";
    text += &table(
        ["KEY", "PURPOSE", "ALGORITHM", "STATE", "SINCE", "GENERATION"],
        rows,
        "no keys yet: create them with `keys generate`",
    );
    text
}

/// `keys test-sign`.
pub(in crate::cli) fn test_signature(signature: &TestSignature) -> String {
    format!(
        "The {} key {} signs, and its signature verifies\n\n{}",
        signature.purpose,
        signature.id,
        pairs([
            ("Public key", hex::encode(&signature.public_key.bytes)),
            ("Message", hex::encode(&signature.message)),
            ("Signature", hex::encode(&signature.signature)),
        ])
    )
}
