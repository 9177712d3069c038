//! The files of a key directory. The first byte says which of them is replaced: the others are those of a sound store, so that
//! one damaged file stands among good ones.

#![no_main]

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use virtengine_keys::{Access, KeyStore, StoreConfig};

/// A sound store, by file name.
const SOUND: [(&str, &[u8]); 4] = [
    (
        "keystore.json",
        include_bytes!("../../virtengine-keys/tests/fixtures/key-directory-v1/keystore.json"),
    ),
    (
        "keys/23536bfd66521d4b.json",
        include_bytes!("../../virtengine-keys/tests/fixtures/key-directory-v1/keys/23536bfd66521d4b.json"),
    ),
    (
        "keys/2fb4909dd729bc3b.json",
        include_bytes!("../../virtengine-keys/tests/fixtures/key-directory-v1/keys/2fb4909dd729bc3b.json"),
    ),
    (
        "keys/a4a59f3896f22add.json",
        include_bytes!("../../virtengine-keys/tests/fixtures/key-directory-v1/keys/a4a59f3896f22add.json"),
    ),
];

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = virtengine_fuzz::folder();
    DirBuilder::new()
        .mode(0o700)
        .create(folder.path().join("keys"))
        .expect("a folder");
    for (name, text) in SOUND {
        write(&folder.path().join(name), text);
    }
    open(folder.path()).expect("the sound store is sound");
    folder
});

fn write(path: &Path, text: &[u8]) {
    fs::write(path, text).expect("a file");
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("a private file");
}

fn open(folder: &Path) -> Result<usize, virtengine_keys::KeyError> {
    let store = KeyStore::open(&StoreConfig::file(PathBuf::from(folder)), Access::ReadOnly)?;
    Ok(store.status()?.keys.len())
}

fuzz_target!(|bytes: &[u8]| {
    let Some((which, text)) = bytes.split_first() else {
        return;
    };
    let (name, sound) = SOUND[usize::from(*which) % SOUND.len()];
    let path = FOLDER.path().join(name);
    write(&path, text);
    match open(FOLDER.path()) {
        Ok(keys) => assert!(text == sound && keys == 3, "{name} is not what it was, and opens"),
        Err(error) => {
            let _ = error.to_string();
        }
    }
    write(&path, sound);
});
