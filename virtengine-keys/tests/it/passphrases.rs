use std::fs;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Mutex};

use virtengine_keys::passphrase::{PASSPHRASE_BYTES_MAX, PassphraseUse, Prompt};
use virtengine_keys::{KeyError, PassphraseSource};
use zeroize::Zeroizing;

use crate::{chmod, passphrase};

fn read(source: &PassphraseSource) -> Result<virtengine_keys::Passphrase, KeyError> {
    source.read(PassphraseUse::Unlock)
}

fn file(content: &[u8]) -> (tempfile::TempDir, PassphraseSource) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("passphrase");
    fs::write(&path, content).unwrap();
    chmod(&path, 0o600);
    (dir, PassphraseSource::File(path))
}

#[test]
fn exactly_one_line_end_is_dropped() {
    for (content, expected) in [
        ("right", "right"),
        ("right\n", "right"),
        ("right\r\n", "right"),
        ("right\n\n", "right\n"),
        (" right ", " right "),
        ("two\nlines\n", "two\nlines"),
    ] {
        let (_dir, source) = file(content.as_bytes());
        assert_eq!(read(&source).unwrap(), passphrase(expected), "{content:?}");
    }
}

#[test]
fn nothing_and_too_much_are_refused() {
    let longest = "x".repeat(PASSPHRASE_BYTES_MAX);
    let (_dir, source) = file(format!("{longest}\r\n").as_bytes());
    assert_eq!(read(&source).unwrap(), passphrase(&longest));
    for content in [
        "".to_owned(),
        "\n".to_owned(),
        format!("{longest}x\r\n"),
        "x".repeat(100_000),
    ] {
        let (_dir, source) = file(content.as_bytes());
        let error = read(&source).unwrap_err();
        assert_eq!(error.exit_code(), 31, "{error}");
    }
}

#[test]
fn a_passphrase_file_that_others_can_read_is_refused() {
    let (dir, source) = file(b"right");
    let path = dir.path().join("passphrase");
    for mode in [0o640, 0o604, 0o644] {
        chmod(&path, mode);
        let error = read(&source).unwrap_err();
        assert!(matches!(error, KeyError::Mode { .. }), "{error}");
    }
    chmod(&path, 0o400);
    assert!(read(&source).is_ok());
    let missing = PassphraseSource::File(dir.path().join("none"));
    assert_eq!(read(&missing).unwrap_err().exit_code(), 31);
    assert_eq!(
        read(&PassphraseSource::File(dir.path().to_owned()))
            .unwrap_err()
            .exit_code(),
        31
    );
}

#[test]
fn a_link_to_a_safe_passphrase_file_is_followed_as_secret_mounts_need() {
    let (dir, _source) = file(b"right");
    let link = dir.path().join("link");
    std::os::unix::fs::symlink("passphrase", &link).unwrap();
    assert_eq!(read(&PassphraseSource::File(link)).unwrap(), passphrase("right"));
}

#[test]
fn a_descriptor_is_read_to_its_end() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"right\n").unwrap();
    drop(writer);
    let source = PassphraseSource::Fd(reader.as_raw_fd());
    assert_eq!(read(&source).unwrap(), passphrase("right"));
    // A socket cannot be opened by name, only copied.
    let (reader, mut writer) = std::os::unix::net::UnixStream::pair().unwrap();
    writer.write_all(b"right").unwrap();
    drop(writer);
    let source = PassphraseSource::Fd(reader.as_raw_fd());
    assert_eq!(read(&source).unwrap(), passphrase("right"));
    assert_eq!(read(&PassphraseSource::Fd(987)).unwrap_err().exit_code(), 31);
}

#[test]
fn an_environment_variable_that_is_not_set_is_named() {
    let error = read(&PassphraseSource::Env("VE_KEYS_NO_SUCH_VARIABLE".to_owned())).unwrap_err();
    assert!(error.to_string().contains("VE_KEYS_NO_SUCH_VARIABLE"), "{error}");
    // Cargo sets this one for every test.
    let source = PassphraseSource::Env("CARGO_PKG_NAME".to_owned());
    assert_eq!(read(&source).unwrap(), passphrase("virtengine-keys"));
}

#[test]
fn a_credential_is_a_plain_name() {
    for name in ["../etc/passwd", "a/b", "", ".hidden"] {
        let error = read(&PassphraseSource::Credential(name.to_owned())).unwrap_err();
        assert!(error.to_string().contains("plain file name"), "{error}");
    }
}

struct Script(Mutex<Vec<&'static str>>);

impl Prompt for Script {
    fn ask(&self, _question: &str) -> std::io::Result<Zeroizing<String>> {
        match self.0.lock().unwrap().pop() {
            Some(answer) => Ok(Zeroizing::new(answer.to_owned())),
            None => Err(std::io::Error::other("no terminal")),
        }
    }
}

#[test]
fn a_prompt_asks_twice_for_something_new_and_once_to_unlock() {
    let prompt =
        |answers: &[&'static str]| PassphraseSource::Prompt(Arc::new(Script(Mutex::new(answers.to_vec()))));
    let unlock = prompt(&["right"]).read(PassphraseUse::Unlock).unwrap();
    assert_eq!(unlock, passphrase("right"));
    let create = prompt(&["right", "right"]).read(PassphraseUse::Create).unwrap();
    assert_eq!(create, passphrase("right"));
    for answers in [&["right", "rihgt"][..], &["right"][..], &["", ""][..]] {
        let error = prompt(answers).read(PassphraseUse::Create).unwrap_err();
        assert_eq!(error.exit_code(), 31, "{error}");
    }
}
