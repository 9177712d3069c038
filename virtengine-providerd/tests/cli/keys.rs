use std::os::unix::fs::PermissionsExt as _;

use crate::program::{Program, set_mode};

/// The first of the development chain's accounts: no secret.
const ALICE: &str =
    "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

fn initialised() -> Program {
    let program = Program::new();
    program.run(&["keys", "init"]).ok();
    program
}

/// Files under the key directory.
fn files(program: &Program) -> Vec<std::path::PathBuf> {
    fn walk(directory: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&program.path("keys"), &mut found);
    found
}

#[test]
fn the_exercise_of_the_training_document_works_as_written() {
    let program = Program::new();
    let dir = program.path("keys").display().to_string();
    let created = program
        .run(&["keys", "init", "--storage-type", "file", "--key-dir", &dir])
        .ok();
    assert!(created.contains(&dir), "{created}");
    let generated = program.run(&["keys", "generate", "--algorithm", "ed25519"]).ok();
    assert!(generated.contains("identity"), "{generated}");
    let signed = program.run(&["keys", "test-sign"]).ok();
    assert!(signed.contains("signature verifies"), "{signed}");
    let status = program.run(&["keys", "status"]).ok();
    assert!(
        status.contains("ed25519") && status.contains("active"),
        "{status}"
    );
    let mode = std::fs::metadata(program.path("keys"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn wrong_passphrase_tampered_file_and_open_file_are_three_different_errors() {
    let program = initialised();
    program.run(&["keys", "generate", "--algorithm", "ed25519"]).ok();

    let wrong = program.write("wrong", "incorrect horse\n", 0o600);
    let error = program
        .run(&["keys", "test-sign", "--passphrase-file", &wrong])
        .fails(13);
    assert!(
        error.contains("wrong passphrase") && error.contains("hint: "),
        "{error}"
    );

    let key = files(&program)
        .into_iter()
        .max_by_key(|path| std::fs::metadata(path).unwrap().len())
        .unwrap();
    set_mode(&key, 0o644);
    let error = program.run(&["keys", "test-sign"]).fails(16);
    assert!(error.contains("chmod 600"), "{error}");
    set_mode(&key, 0o600);
    program.run(&["keys", "test-sign"]).ok();

    let whole = std::fs::read(&key).unwrap();
    std::fs::write(&key, &whole[..whole.len() / 2]).unwrap();
    let error = program.run(&["keys", "test-sign"]).fails(14);
    assert!(error.contains("damaged") && error.contains("backup"), "{error}");
}

#[test]
fn a_key_file_from_another_store_is_tampering() {
    let (program, other) = (initialised(), initialised());
    for each in [&program, &other] {
        each.run(&["keys", "generate", "--algorithm", "ed25519"]).ok();
    }
    let key_file = |program: &Program| {
        let keys = program.path("keys/keys");
        files(program)
            .into_iter()
            .find(|path| path.starts_with(&keys))
            .unwrap()
    };
    let kept = std::fs::read(key_file(&program)).unwrap();
    std::fs::write(key_file(&program), std::fs::read(key_file(&other)).unwrap()).unwrap();
    let error = program.run(&["keys", "test-sign"]).fails(15);
    assert!(
        error.contains("tampered") && error.contains("who changed it"),
        "{error}"
    );
    std::fs::write(key_file(&program), kept).unwrap();
    program.run(&["keys", "test-sign"]).ok();
}

#[test]
fn a_passphrase_is_never_guessed_and_its_file_must_be_private() {
    let program = initialised();
    let open = program.write("open", "correct horse battery staple\n", 0o644);
    program
        .run(&["keys", "generate", "--passphrase-file", &open])
        .fails(16);
    program.write(
        "config.yaml",
        &format!(
            "key_manager:\n  key_dir: {}/keys\n",
            program.home.path().display()
        ),
        0o644,
    );
    let error = program.run(&["keys", "generate"]).fails(31);
    assert!(error.contains("--passphrase-file"), "{error}");
    let private = program.path("passphrase").display().to_string();
    let env = [("VIRTENGINE_KEY_PASSPHRASE_FILE", private.as_str())];
    program.run_with(&["keys", "generate"], "", &env).ok();
}

#[test]
fn the_identity_key_is_of_the_configured_algorithm_unless_another_is_named() {
    for (configured, arguments, expected) in [
        ("p256", &[] as &[&str], "p256"),
        ("secp256k1", &["--purpose", "identity"], "secp256k1"),
        ("p256", &["--algorithm", "ed25519"], "ed25519"),
        // The account is none of its business.
        ("p256", &["--purpose", "account"], "secp256k1"),
    ] {
        let program = Program::new();
        let home = program.home.path().display();
        let text = format!(
            "key_manager:\n  key_dir: {home}/keys\n  passphrase_file: {home}/passphrase\n  default_algorithm: {configured}\n"
        );
        program.write("config.yaml", &text, 0o644);
        program.run(&["keys", "init"]).ok();
        let command = [&["keys", "generate", "--output", "json"], arguments].concat();
        let made = program.run(&command).json();
        assert_eq!(made["key"]["algorithm"], expected, "{made}");
        program.run(&["keys", "test-sign"]).ok();
    }
}

#[test]
fn the_account_key_comes_with_words_that_bring_it_back() {
    let program = initialised();
    let made = program
        .run(&["keys", "generate", "--algorithm", "secp256k1", "--output", "json"])
        .json();
    let words = made["mnemonic"].as_str().unwrap();
    assert_eq!(words.split(' ').count(), 24);
    let address = made["address"].as_str().unwrap();
    assert!(address.starts_with("ve1"), "{address}");
    let status = program.run(&["keys", "status", "--output", "json"]).json();
    assert_eq!(status["address"], address);
    assert!(
        status["keys"][0]["created_at"].as_str().unwrap().ends_with('Z'),
        "{status}"
    );
    assert!(!status.to_string().contains(words));

    let other = initialised();
    let imported = other.run_with(
        &["keys", "import", "--mnemonic-file", "-", "--output", "json"],
        &format!("{words}\n"),
        &[],
    );
    assert_eq!(imported.json()["address"], address);
}

#[test]
fn a_mnemonic_that_others_can_read_or_that_is_mistyped_is_refused() {
    let program = initialised();
    let open = program.write("open.words", ALICE, 0o644);
    program
        .run(&["keys", "import", "--mnemonic-file", &open])
        .fails(16);
    let typo = program.write("typo.words", &ALICE.replace("about", "abound"), 0o600);
    let error = program
        .run(&["keys", "import", "--mnemonic-file", &typo])
        .fails(33);
    assert!(!error.contains("abandon"), "{error}");
    let good = program.write("good.words", ALICE, 0o600);
    program.run(&["keys", "import", "--mnemonic-file", &good]).ok();
    program
        .run(&["keys", "import", "--mnemonic-file", &good])
        .fails(25);
}

#[test]
fn what_is_missing_or_there_already_has_its_own_code() {
    let program = Program::new();
    program.run(&["keys", "status"]).fails(10);
    program.run(&["keys", "init"]).ok();
    program.run(&["keys", "init"]).fails(11);
    program.run(&["keys", "test-sign"]).fails(26);
    program.run(&["keys", "generate", "--algorithm", "ed25519"]).ok();
    program
        .run(&["keys", "generate", "--algorithm", "ed25519"])
        .fails(25);
    program
        .run(&[
            "keys",
            "generate",
            "--purpose",
            "account",
            "--algorithm",
            "ed25519",
        ])
        .fails(28);
    program
        .run(&["keys", "init", "--storage-type", "memory"])
        .fails(2);
    let hsm = program.run(&["keys", "init", "--storage-type", "hardware", "--key-dir", "x"]);
    assert_eq!(hsm.code, 29, "{hsm:?}");
}

#[test]
fn an_error_for_scripts_is_json_on_standard_error() {
    let program = Program::new();
    let ran = program.run(&["keys", "status", "--output", "json"]);
    assert_eq!((ran.code, ran.out.as_str()), (10, ""));
    let error: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(error["error"]["exit_code"], 10);
    assert!(error["error"]["hint"].as_str().unwrap().contains("keys init"));
}
