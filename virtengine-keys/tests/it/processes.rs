//! A second process. The test binary starts itself again with one of the ignored tests below.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use virtengine_keys::{Access, KeyError, KeyStore, PassphraseSource, Purpose, StoreConfig};

use crate::{Directory, passphrase};

const DIR: &str = "VE_KEYS_TEST_DIR";

fn start(test: &str, environment: &[(&str, &str)]) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            &format!("processes::{test}"),
            "--ignored",
            "--nocapture",
        ])
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Reads until the line that says that the child is where it should be. The rest stays to be read: the child must not find the pipe
/// closed.
fn wait_for(child: &mut Child, line: &str) -> impl Iterator<Item = String> + use<> {
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert!(
        lines.any(|found| found.ends_with(line)),
        "the child never said {line:?}"
    );
    lines
}

#[test]
#[ignore = "run by the tests below in a process of its own"]
fn hold_until_told() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let _keys = KeyStore::open(&StoreConfig::file(dir), Access::ReadWrite).unwrap();
    println!("\nholding");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn a_second_writer_is_told_who_holds_the_store_and_readers_are_not_disturbed() {
    let directory = Directory::new();
    let dir = directory.path();
    let mut child = start("hold_until_told", &[(DIR, dir.to_str().unwrap())]);
    let _rest = wait_for(&mut child, "holding");

    let error = directory.open(Access::ReadWrite).unwrap_err();
    assert!(
        matches!(error, KeyError::Held { pid: Some(pid), .. } if pid == child.id()),
        "{error}"
    );
    assert!(error.remedy().contains(&child.id().to_string()));
    assert!(matches!(directory.init(), Err(KeyError::Held { .. })));
    directory.unlocked(Access::ReadOnly).unwrap();

    // A process that dies without a word holds nothing.
    child.kill().unwrap();
    child.wait().unwrap();
    directory.unlocked(Access::ReadWrite).unwrap();
}

#[test]
fn a_second_writer_in_the_same_process_is_refused_until_the_first_is_dropped() {
    let directory = Directory::new();
    let first = directory.unlocked(Access::ReadWrite).unwrap();
    let signer = first.signer(Purpose::Identity).unwrap();
    assert!(matches!(
        directory.open(Access::ReadWrite),
        Err(KeyError::Held { .. })
    ));
    drop(first);
    // A signer still needs the store.
    assert!(directory.open(Access::ReadWrite).is_err());
    drop(signer);
    directory.open(Access::ReadWrite).unwrap();
}

#[test]
#[ignore = "run by the test below in a process of its own"]
fn read_the_credential() {
    if std::env::var_os("CREDENTIALS_DIRECTORY").is_none() {
        return;
    }
    let source = PassphraseSource::Credential("key-passphrase".to_owned());
    let read = source.read(virtengine_keys::passphrase::PassphraseUse::Unlock);
    assert_eq!(read.unwrap(), passphrase("from the manager"));
    println!("\nread");
}

#[test]
fn a_credential_comes_from_the_directory_of_the_service_manager() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key-passphrase");
    std::fs::write(&file, "from the manager\n").unwrap();
    crate::chmod(&file, 0o440);
    let mut child = start(
        "read_the_credential",
        &[("CREDENTIALS_DIRECTORY", dir.path().to_str().unwrap())],
    );
    wait_for(&mut child, "read").for_each(drop);
    assert!(child.wait().unwrap().success());
}

#[test]
#[ignore = "run by the test below in a process of its own"]
fn forbid_dumps() {
    virtengine_keys::process::forbid_core_dumps().unwrap();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Core);
    assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
    assert_eq!(
        rustix::process::dumpable_behavior().unwrap(),
        rustix::process::DumpableBehavior::NotDumpable
    );
    println!("\nforbidden");
}

#[test]
fn core_dumps_are_forbidden_for_the_whole_process() {
    let mut child = start("forbid_dumps", &[]);
    wait_for(&mut child, "forbidden").for_each(drop);
    assert!(child.wait().unwrap().success());
}
