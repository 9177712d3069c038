//! Runs the demo service on this host without the daemon: deploy, watch, ask, measure, terminate.
//!
//! ```text
//! cargo run -p virtengine-adapters --example run_locally
//! ```

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use virtengine_adapters::local::{Config, DEMO_IMAGE, LocalAdapter, demo, shim};
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{Adapter, LogQuery, Phase, WorkloadEndpoint};
use virtengine_provider_core::ports::clock::Clock;
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::workload::{
    ExposeSpec, HealthCheck, Hooks, Probe, Protocol, RestartPolicy, ServiceKind, ServiceSpec, WorkloadSpec,
};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

fn main() -> ExitCode {
    // The two sub-commands that every program with a local adapter has. They come before any thread is started.
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("local-shim") => return shim::main(args),
        Some("demo-service") => return demo::main(args),
        _ => {}
    }
    let runtime = tokio::runtime::Runtime::new();
    match runtime
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(run()))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Outcome<()> {
    let state_dir = std::env::temp_dir().join(format!("virtengine-run-locally-{}", std::process::id()));
    let adapter = LocalAdapter::open(Config::new(&state_dir), Arc::new(SystemClock))
        .map_err(|problems| problems.iter().map(|p| format!("{p}\n")).collect::<String>())?;
    println!("enforced here: {:?}", adapter.enforcement());
    println!("inventory: {:?}", adapter.inventory().await?);
    let workload = WorkloadSpec {
        id: WorkloadId::local(b"run_locally"),
        lease: None,
        services: vec![demo_service()],
    };
    adapter.deploy(&workload).await?;
    let outcome = show(&adapter, &workload.id).await;
    adapter.terminate(&workload.id).await?;
    println!("terminated; left: {:?}", adapter.list().await?);
    drop(adapter);
    std::fs::remove_dir_all(&state_dir)?;
    outcome
}

async fn show(adapter: &LocalAdapter, id: &WorkloadId) -> Outcome<()> {
    let endpoint = loop {
        let seen = adapter.observe(id).await?;
        println!("{:?} {}", seen.phase, seen.message);
        if seen.phase == Phase::Running {
            break seen.endpoints.into_iter().next().ok_or("no endpoint")?;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    for path in ["/", "/burn?ms=300", "/bytes?kb=100"] {
        println!("{path}: {} bytes", get(&endpoint, path)?.len());
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    println!("{:?}", adapter.usage(id).await?);
    for line in adapter.logs(id, &LogQuery::default()).await? {
        println!(
            "{}/{} {:>6} {}",
            line.service, line.replica, line.position, line.text
        );
    }
    Ok(())
}

fn get(endpoint: &WorkloadEndpoint, path: &str) -> Outcome<Vec<u8>> {
    let mut stream = TcpStream::connect((endpoint.host.as_str(), endpoint.external_port))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: demo\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

fn demo_service() -> ServiceSpec {
    ServiceSpec {
        name: "web".to_owned(),
        image: DEMO_IMAGE.to_owned(),
        kind: ServiceKind::Container,
        command: Vec::new(),
        args: Vec::new(),
        env: [("GREETING".to_owned(), "hello".to_owned())].into(),
        count: 2,
        cpu_millis: 100,
        memory_bytes: 128 << 20,
        gpus: 0,
        gpu_models: Vec::new(),
        volumes: Vec::new(),
        exposes: vec![ExposeSpec {
            port: 80,
            external_port: 80,
            protocol: Protocol::Tcp,
            global: true,
            to_services: Vec::new(),
            hosts: Vec::new(),
            ip: None,
        }],
        restart: RestartPolicy::Always,
        health: Some(HealthCheck {
            probe: Probe::Http {
                path: "/healthz".to_owned(),
                port: 80,
                https: false,
            },
            initial_delay_seconds: 0,
            period_seconds: 1,
            timeout_seconds: 1,
            failure_threshold: 3,
            success_threshold: 1,
        }),
        hooks: Hooks::default(),
        credentials: None,
    }
}
