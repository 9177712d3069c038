//! The command: what it prints, and that a killed process can be started again on its directory.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::messages::*;
use crate::scenarios::Cast;
use crate::stage::Stage;

/// Starts the command; the process and the URL that it prints first.
async fn start(home: &std::path::Path) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_virtengine-devchain"))
        .args(["--listen", "127.0.0.1:0", "--block-time", "50ms", "--home"])
        .arg(home)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = tokio::time::timeout(Duration::from_secs(20), lines.next_line());
    let first = first.await.unwrap().unwrap().unwrap();
    let url = first.strip_prefix("RPC").unwrap().trim().to_owned();
    // The rest of what it says must not fill the pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, url)
}

#[tokio::test]
async fn a_killed_process_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let cast = Cast::new();
    let (mut child, url) = start(dir.path()).await;
    let stage = Stage::new(&url, 1_000_000);
    let message = vec![any(&send(&cast.bob.address, &cast.alice.address, 1))];
    let seen = stage.act(&cast.bob, message).await.succeeded();
    child.kill().await.unwrap();
    let (_child, url) = start(dir.path()).await;
    let stage = Stage::new(&url, 1_000_000);
    assert!(stage.height().await >= seen.height);
    assert_eq!(stage.account(&cast.bob.address).await, (5, 1));
}

#[tokio::test]
async fn the_default_genesis_is_printed_and_read_back() {
    let command = || Command::new(env!("CARGO_BIN_EXE_virtengine-devchain"));
    let printed = command().arg("--print-genesis").output().await.unwrap();
    let text = String::from_utf8(printed.stdout).unwrap();
    assert_eq!(
        virtengine_devchain::Genesis::from_json(&text).unwrap(),
        virtengine_devchain::Genesis::default()
    );
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.json");
    std::fs::write(&path, text.replace("100000000000uve", "lots")).unwrap();
    let refused = command().arg("--genesis").arg(&path).output().await.unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success());
    assert!(said.contains("bad.json") && said.contains("\"lots\""), "{said}");
}

/// Sends one raw HTTP request and reads the whole answer.
async fn get(address: &str, target: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_uri_form_answers_like_a_node() {
    let chain = virtengine_devchain::Devchain::start(virtengine_devchain::Config::manual())
        .await
        .unwrap();
    let address = chain.rpc_url().trim_start_matches("http://").to_owned();
    let status = get(&address, "/status").await;
    assert!(
        status.starts_with("HTTP/1.1 200") && status.contains("\"id\":-1"),
        "{status}"
    );
    let params = "/abci_query?path=%22/virtengine.market.v1beta5.Query/Params%22&data=0x";
    assert!(
        get(&address, params)
            .await
            .contains("\"value\":\"ChEKDQoDdXZlEgY1MDAwMDAQFA==\"")
    );
    let far = get(&address, "/block_results?height=99").await;
    assert!(
        far.starts_with("HTTP/1.1 500") && far.contains("current blockchain height 1"),
        "{far}"
    );
    assert!(get(&address, "/nope").await.starts_with("HTTP/1.1 404"));
    let search = get(&address, "/tx_search?query=%22a.b%3D1%20OR%20c.d%3D2%22").await;
    assert!(search.contains("offset 6: got tag, want 6"), "{search}");
}
