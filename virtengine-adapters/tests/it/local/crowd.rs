//! More connections than there are places.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use virtengine_adapters::local::CgroupMode;
use virtengine_provider_core::ports::adapter::{Adapter, Phase};

use super::fixture::{Local, script};
use crate::support::{exposed, observe_until, phase, workload};

/// More than a supervisor carries at the same time.
const IDLERS: usize = 1200;

/// Lets this process hold so many files; other tests open theirs at the same time.
fn allow_files(files: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < files) {
        let current = Some(limit.maximum.map_or(files, |maximum| maximum.min(files)));
        setrlimit(Resource::Nofile, Rlimit { current, ..limit }).unwrap();
    }
}

/// Gives back what it is sent, to everybody, for as long as they like.
async fn echo(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let (mut from, mut to) = stream.split();
            let _ = tokio::io::copy(&mut from, &mut to).await;
        });
    }
}

async fn call(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"hello").await?;
    let mut answer = [0; 5];
    let read = tokio::time::timeout(Duration::from_secs(15), stream.read_exact(&mut answer));
    read.await??;
    assert_eq!(&answer, b"hello");
    Ok(())
}

#[tokio::test]
async fn idle_connections_do_not_keep_a_live_one_out() {
    allow_files(8192);
    let host = Local::new(CgroupMode::Auto);
    // The service itself is here, where it is told to listen: it never closes a connection.
    let mut service = script("main", "echo $PORT > port; echo up; exec sleep 1000");
    service.exposes = vec![exposed(80)];
    let spec = workload("crowd", vec![service]);
    host.deploy(&spec).await;
    let file = host.workload_dir(&spec.id).join("data/main/0/port");
    observe_until(host.local(), &spec.id, |_| {
        std::fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n'))
    })
    .await;
    let port: u16 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    let server = tokio::spawn(echo(listener));
    let seen = phase(host.local(), &spec.id, Phase::Running).await;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, seen.endpoints[0].external_port));

    let mut lively = TcpStream::connect(address).await.unwrap();
    call(&mut lively).await.unwrap();
    let mut idlers = Vec::new();
    for number in 0..IDLERS {
        let connect = tokio::time::timeout(Duration::from_secs(2), TcpStream::connect(address));
        idlers.extend(connect.await.ok().and_then(Result::ok));
        if number % 100 == 0 {
            call(&mut lively).await.unwrap();
        }
    }
    assert!(idlers.len() > 1000, "{} connected", idlers.len());
    for _ in 0..3 {
        let began = Instant::now();
        let mut live = TcpStream::connect(address).await.unwrap();
        call(&mut live).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    }
    call(&mut lively)
        .await
        .expect("the one that talks was not turned out");
    let usage = host.local().usage(&spec.id).await.unwrap();
    assert!(usage.network_bytes_in >= 5 * 14);
    host.end(&spec.id).await;
    server.abort();
}
