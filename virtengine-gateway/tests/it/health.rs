use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use virtengine_gateway::health::{
    Component, ComponentHealth, HealthBoard, HealthReport, HealthServer, HealthServerOptions, HealthSnapshot,
    HealthSource, Observed, OverallStatus,
};
use virtengine_gateway::metrics::Metrics;
use virtengine_provider_core::ports::clock::Clock as _;

use crate::clock::TestClock;

fn options() -> HealthServerOptions {
    HealthServerOptions {
        listen: ([127, 0, 0, 1], 0).into(),
        stale_after: Duration::from_secs(60),
    }
}

fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

fn report(address: SocketAddr) -> (u16, HealthReport) {
    let (status, body) = get(address, "/health");
    (status, serde_json::from_str(&body).unwrap())
}

struct Ward {
    board: Arc<HealthBoard>,
    clock: Arc<TestClock>,
    metrics: Arc<Metrics>,
    server: HealthServer,
}

impl Ward {
    fn open() -> Self {
        let clock = Arc::new(TestClock::new());
        let board = Arc::new(HealthBoard::new(clock.now()));
        let metrics = Arc::new(Metrics::new());
        let server = HealthServer::start(options(), board.clone(), metrics.clone(), clock.clone()).unwrap();
        Self {
            board,
            clock,
            metrics,
            server,
        }
    }

    fn note(&self, component: Component, observed: Observed) {
        self.board.note(component, observed, self.clock.now());
    }

    fn all_up(&self) {
        for component in Component::ALL {
            self.note(component, Observed::up("works"));
        }
    }
}

#[test]
fn the_status_follows_the_components() {
    let ward = Ward::open();
    let address = ward.server.address();
    assert_eq!(report(address).0, 503);
    ward.all_up();
    assert_eq!(report(address).1.status, OverallStatus::Healthy);
    ward.note(
        Component::Adapters,
        Observed::degraded("1 of 2 does not answer", "see `doctor`"),
    );
    let (status, degraded) = report(address);
    assert_eq!((status, degraded.status), (200, OverallStatus::Degraded));
    ward.note(
        Component::Chain,
        Observed::down("no endpoint answers", "check chain.nodes"),
    );
    let (status, unhealthy) = report(address);
    assert_eq!((status, unhealthy.status), (503, OverallStatus::Unhealthy));
    let chain = &unhealthy.components[&Component::Chain];
    assert_eq!(
        (chain.message.as_str(), chain.remedy.as_str()),
        ("no endpoint answers", "check chain.nodes")
    );
    assert_eq!(get(address, "/live").0, 200);
}

#[test]
fn each_component_has_its_page() {
    let ward = Ward::open();
    ward.all_up();
    ward.note(Component::KeyManager, Observed::down("locked", "unlock it"));
    for component in Component::ALL {
        let (status, body) = get(ward.server.address(), &format!("/health/{component}"));
        let health: ComponentHealth = serde_json::from_str(&body).unwrap();
        assert_eq!(health.name, component);
        assert_eq!(
            status,
            if component == Component::KeyManager {
                503
            } else {
                200
            }
        );
    }
    assert_eq!(get(ward.server.address(), "/health/coffee").0, 404);
}

#[test]
fn what_nobody_looks_at_any_more_is_said_to_be_stale() {
    let ward = Ward::open();
    ward.all_up();
    ward.clock.advance(Duration::from_secs(61));
    let (status, report) = report(ward.server.address());
    assert_eq!((status, report.status), (200, OverallStatus::Degraded));
    assert!(
        report.components[&Component::Chain]
            .message
            .contains("not checked for 61 s")
    );
}

/// Answers once, then never again.
#[derive(Debug)]
struct Stuck {
    board: HealthBoard,
    asked: std::sync::atomic::AtomicBool,
}

impl HealthSource for Stuck {
    fn snapshot(&self) -> HealthSnapshot {
        if self.asked.swap(true, std::sync::atomic::Ordering::SeqCst) {
            std::thread::park_timeout(Duration::from_secs(3));
        }
        self.board.snapshot()
    }
}

#[test]
fn health_answers_within_a_second_while_its_source_hangs() {
    let clock = Arc::new(TestClock::new());
    let board = HealthBoard::new(clock.now());
    for component in Component::ALL {
        board.note(component, Observed::up("works"), clock.now());
    }
    let stuck = Stuck {
        board,
        asked: false.into(),
    };
    let server = HealthServer::start(
        options(),
        Arc::new(stuck),
        Arc::new(Metrics::new()),
        clock.clone(),
    )
    .unwrap();
    assert_eq!(report(server.address()).1.status, OverallStatus::Healthy);
    clock.advance(Duration::from_secs(5));
    let probes: Vec<_> = (0..4)
        .map(|_| {
            let address = server.address();
            std::thread::spawn(move || {
                let begun = Instant::now();
                (report(address).1, begun.elapsed())
            })
        })
        .collect();
    for probe in probes {
        let (report, took) = probe.join().unwrap();
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert_eq!(report.status, OverallStatus::Degraded);
        assert!(
            report.components[&Component::Chain]
                .message
                .contains("not checked for 5 s")
        );
    }
    let begun = Instant::now();
    server.stop();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[test]
fn health_answers_while_every_thread_of_the_callers_runtime_is_blocked() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let ward = runtime.block_on(async { Ward::open() });
    ward.all_up();
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    runtime.spawn(async move {
        let _ = blocked.recv();
    });
    let begun = Instant::now();
    assert_eq!(report(ward.server.address()).0, 200);
    assert!(begun.elapsed() < Duration::from_secs(1));
    drop(release);
}

#[test]
fn a_taken_port_is_named() {
    let ward = Ward::open();
    let taken = HealthServerOptions {
        listen: ward.server.address(),
        ..options()
    };
    let error = HealthServer::start(
        taken,
        ward.board.clone(),
        ward.metrics.clone(),
        ward.clock.clone(),
    )
    .unwrap_err();
    assert!(
        error.to_string().contains(&ward.server.address().to_string()),
        "{error}"
    );
}

#[test]
fn metrics_parse_and_carry_the_names_of_the_dashboards() {
    let ward = Ward::open();
    let metrics = &ward.metrics;
    metrics.deployment_succeeded("local", Duration::from_secs(2));
    metrics.deployment_failed("timeout");
    metrics.set_workloads(virtengine_gateway::api::WorkloadState::Running, 3);
    metrics.set_active_deployments("local", 3);
    metrics.bid_decided(Some(Duration::from_millis(3)));
    metrics.bid_submitted("success");
    metrics.usage_record("success");
    metrics.cpu_metered("ve1/1", 1500);
    metrics.lease_operation("deploy", Duration::from_millis(20));
    metrics.earned(&"25uve".parse().unwrap());
    metrics.set_status(OverallStatus::Degraded);
    let (status, text) = get(ward.server.address(), "/metrics");
    assert_eq!(status, 200);
    let mut samples = std::collections::BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let value: f64 = value.parse().unwrap();
        assert!(
            samples.insert(series.to_owned(), value).is_none(),
            "{series} twice"
        );
    }
    for (series, value) in [
        ("virtengine_provider_deployments_total{status=\"success\"}", 1.0),
        ("virtengine_provider_deployment_success_total", 1.0),
        (
            "virtengine_provider_deployment_failures_total{reason=\"timeout\"}",
            1.0,
        ),
        (
            "virtengine_provider_deployment_time_seconds_count{adapter=\"local\"}",
            1.0,
        ),
        ("virtengine_provider_workloads{state=\"running\"}", 3.0),
        ("virtengine_provider_workload_state{state=\"running\"}", 3.0),
        ("virtengine_provider_active_deployments{adapter=\"local\"}", 3.0),
        ("virtengine_provider_bids_total", 1.0),
        (
            "virtengine_provider_bids_submitted_total{status=\"success\"}",
            1.0,
        ),
        ("virtengine_provider_bid_calculation_duration_seconds_count", 1.0),
        (
            "virtengine_provider_usage_records_submitted_total{status=\"success\"}",
            1.0,
        ),
        (
            "virtengine_provider_metered_cpu_seconds_total{deployment=\"ve1/1\"}",
            1.5,
        ),
        (
            "virtengine_provider_lease_operation_seconds_count{operation=\"deploy\"}",
            1.0,
        ),
        ("virtengine_provider_revenue_total{denom=\"uve\"}", 25.0),
        ("virtengine_provider_status{status=\"degraded\"}", 1.0),
        ("virtengine_provider_status{status=\"healthy\"}", 0.0),
        ("provider_daemon_pending_orders", 0.0),
        ("virtengine_provider_bid_engine_pending_bids", 0.0),
        ("virtengine_provider_resource_cpu_millicores_capacity", 0.0),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series}");
    }
    assert!(text.ends_with("# EOF\n"));
    metrics.forget_deployment("ve1/1");
    assert!(
        !get(ward.server.address(), "/metrics")
            .1
            .contains("deployment=\"ve1/1\"")
    );
}
