//! Commands against a daemon that answers, and against one that does not.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use virtengine_gateway::api::*;
use virtengine_gateway::health::{Component, HealthBoard, Observed};
use virtengine_gateway::operator::{OperatorServer, OperatorServerOptions};
use virtengine_provider_core::id::{Height, OrderId, WorkloadId};
use virtengine_provider_core::money::Price;
use virtengine_provider_core::ports::clock::Clock as _;
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::{GIB, Resources};
use virtengine_providerd::cli::SystemClock;

use crate::program::Program;

const TENANT: &str = "ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f";
const PROVIDER: &str = "ve16ns2f3vrquy0vpyvkg92dxhymmran5f7cp7mdq";

fn now() -> Timestamp {
    Timestamp::from_seconds(1_700_000_000)
}

fn price(amount: &str) -> Price {
    Price::new("uve".parse().unwrap(), amount.parse().unwrap())
}

fn order() -> OrderId {
    format!("{TENANT}/7/1/1").parse().unwrap()
}

fn bid(outcome: BidOutcome) -> BidView {
    BidView {
        id: format!("{}/{PROVIDER}", order()).parse().unwrap(),
        outcome,
        price: price("2.5"),
        deposit: Some("500000uve".parse().unwrap()),
        decided_at: now(),
        tx: None,
        message: String::new(),
    }
}

fn workload(id: &WorkloadId, state: WorkloadState, wanted: WorkloadState) -> WorkloadView {
    WorkloadView {
        id: id.clone(),
        deployment_id: None,
        lease_id: None,
        adapter: "local".to_owned(),
        state,
        wanted,
        status_message: String::new(),
        resources: Resources {
            cpu_millis: 1500,
            memory_bytes: GIB,
            ..Resources::ZERO
        },
        services: Vec::new(),
        endpoints: Vec::new(),
        created_at: now(),
        updated_at: now(),
    }
}

/// A daemon in the middle of a quiet day.
#[derive(Debug)]
struct QuietDay;

#[async_trait]
impl OperatorApi for QuietDay {
    async fn status(&self) -> ApiResult<ProviderStatus> {
        Ok(ProviderStatus {
            version: "1".to_owned(),
            provider: PROVIDER.parse().unwrap(),
            state: DaemonState::Running,
            dry_run: true,
            started_at: now(),
            at: now(),
            chain: ChainView {
                chain_id: "test-1".to_owned(),
                height: Height(12),
                processed: Height(10),
                block_at: Some(now()),
                endpoints_up: 1,
                endpoints: 2,
            },
            capacity: CapacityView::default(),
            workloads: BTreeMap::from([(WorkloadState::Running, 3)]),
            active_leases: 3,
            pending_orders: 1,
            open_bids: 2,
            pending_usage_records: 4,
            balance: Some("99uve".parse().unwrap()),
            revenue_24h: vec!["5uve".parse().unwrap()],
            alerts: vec![AlertView {
                since: now(),
                level: LogLevel::Warn,
                subject: "w-1".to_owned(),
                message: "cpu above 90 %".to_owned(),
            }],
        })
    }
    async fn bid_engine(&self) -> ApiResult<BidEngineStatus> {
        Ok(BidEngineStatus {
            bidding: false,
            reason: "the journal's disk is full".to_owned(),
            pending_orders: 1,
            open_bids: 0,
            concurrent: RateView { used: 1, limit: 5 },
            last_minute: RateView { used: 2, limit: 10 },
            last_hour: RateView { used: 3, limit: 100 },
            bids_total: 9,
            won_total: 4,
            lost_total: 5,
            declined: BTreeMap::from([("attributes".to_owned(), 7)]),
            last_order_at: Some(now()),
            last_bid_at: None,
        })
    }
    async fn bids(&self, last: usize) -> ApiResult<Vec<BidView>> {
        Ok(vec![bid(BidOutcome::Won); last.min(3)])
    }
    async fn explain(&self, order: &OrderId) -> ApiResult<Explanation> {
        if order.oseq != 1 {
            return Err(ApiError::not_found(format!("order: {order}")));
        }
        Ok(Explanation {
            order: order.clone(),
            decision: Decision::Declined,
            decided_at: Some(now()),
            summary: "asks for more CPU than is free".to_owned(),
            steps: vec![
                ExplainStep {
                    check: "attributes".to_owned(),
                    passed: Some(true),
                    detail: "region=us-east is offered".to_owned(),
                },
                ExplainStep {
                    check: "capacity".to_owned(),
                    passed: Some(false),
                    detail: "asks 4000 millicores, 2500 free".to_owned(),
                },
            ],
            price_lines: Vec::new(),
            price: None,
            price_max: Some(price("10")),
            bid: None,
        })
    }
    async fn orders(&self, _limit: usize) -> ApiResult<Vec<OrderView>> {
        Ok(Vec::new())
    }
    async fn leases(&self) -> ApiResult<Vec<LeaseView>> {
        Ok(vec![LeaseView {
            id: bid(BidOutcome::Won).id,
            state: "active".to_owned(),
            price: price("2.5"),
            since: now(),
            manifest: ManifestState::Awaited,
            manifest_deadline: Some(now()),
            workload: None,
            workload_state: None,
            earned: Vec::new(),
            message: String::new(),
        }])
    }
    async fn deploy_workload(&self, manifest: &str) -> ApiResult<WorkloadView> {
        let id = WorkloadId::local(manifest.as_bytes());
        Ok(workload(&id, WorkloadState::Pending, WorkloadState::Running))
    }
    async fn workload(&self, id: &WorkloadId) -> ApiResult<WorkloadView> {
        if *id == WorkloadId::local(b"known") {
            return Ok(workload(id, WorkloadState::Running, WorkloadState::Running));
        }
        Err(ApiError::not_found(format!("workload: {id}")))
    }
    async fn workloads(&self, state: Option<WorkloadState>) -> ApiResult<Vec<WorkloadView>> {
        let state = state.unwrap_or(WorkloadState::Deploying);
        Ok(vec![workload(
            &WorkloadId::local(b"known"),
            state,
            WorkloadState::Running,
        )])
    }
    async fn act_on_workload(&self, id: &WorkloadId, action: WorkloadAction) -> ApiResult<WorkloadView> {
        let wanted = match action {
            WorkloadAction::Pause => WorkloadState::Paused,
            WorkloadAction::Resume => {
                let message = "the workload is running already";
                return Err(ApiError::new(ErrorCode::Conflict, message, "nothing to do"));
            }
            WorkloadAction::Stop => WorkloadState::Stopped,
            WorkloadAction::Terminate => WorkloadState::Terminated,
        };
        Ok(workload(id, WorkloadState::Running, wanted))
    }
    async fn usage(&self, _query: UsageQuery) -> ApiResult<Vec<UsageView>> {
        Ok(Vec::new())
    }
    async fn release_usage(&self, record: &str) -> ApiResult<UsageView> {
        Err(ApiError::not_found(format!("usage record: {record}")))
    }
    async fn logs(&self, query: OperatorLogQuery) -> ApiResult<Vec<LogEntry>> {
        Ok(vec![LogEntry {
            at: now(),
            level: query.level,
            target: "t".to_owned(),
            message: format!("tail {}", query.tail),
            fields: BTreeMap::new(),
        }])
    }
    async fn doctor(&self) -> ApiResult<DoctorReport> {
        Ok(DoctorReport {
            checks: vec![DoctorCheck {
                name: "capacity.matches".to_owned(),
                outcome: CheckOutcome::Ok,
                message: "the adapters have what is sold".to_owned(),
                remedy: String::new(),
            }],
        })
    }
    async fn ping_chain(&self) -> ApiResult<ChainPing> {
        Ok(ChainPing {
            chain_id: "test-1".to_owned(),
            usable: false,
            endpoints: vec![EndpointPing {
                url: "http://127.0.0.1:1".to_owned(),
                usable: false,
                latency_ms: None,
                chain_id: None,
                height: None,
                block_at: None,
                catching_up: None,
                message: "connection refused".to_owned(),
            }],
        })
    }
    async fn config(&self) -> ApiResult<serde_json::Value> {
        Ok(serde_json::Value::Null)
    }
    async fn shutdown(&self) -> ApiResult<ShutdownReceipt> {
        Ok(ShutdownReceipt {
            drain_seconds: 30,
            already_draining: false,
        })
    }
}

/// A program beside a daemon; both end with it.
struct Office {
    program: Program,
    _server: OperatorServer,
    _runtime: tokio::runtime::Runtime,
}

impl Office {
    fn open() -> Self {
        let program = Program::new();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let clock = Arc::new(SystemClock);
        let board = Arc::new(HealthBoard::new(clock.now()));
        board.note(
            Component::Chain,
            Observed::down("no endpoint answers", "check chain.endpoints"),
            clock.now(),
        );
        let options = OperatorServerOptions::new(program.path("state/operator.sock"));
        let started = OperatorServer::start(options, Arc::new(QuietDay), board, clock);
        let server = runtime.block_on(started).unwrap();
        Self {
            program,
            _server: server,
            _runtime: runtime,
        }
    }

    #[track_caller]
    fn table(&self, command: &str) -> String {
        self.program.run(&command.split(' ').collect::<Vec<_>>()).ok()
    }

    #[track_caller]
    fn json(&self, command: &str) -> serde_json::Value {
        let command = format!("{command} --output json");
        self.program.run(&command.split(' ').collect::<Vec<_>>()).json()
    }
}

#[test]
fn the_overview_shows_what_needs_attention() {
    let office = Office::open();
    let text = office.table("status");
    for part in [
        "dry run",
        "3 running",
        "2 blocks behind",
        "1 of 2 endpoints",
        "99uve",
        "unhealthy",
        "check chain.endpoints",
        "cpu above 90 %",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "colours only at a terminal");
    let json = office.json("status");
    assert_eq!(json["workloads"]["running"], 3);
    assert_eq!(json["health"]["components"]["chain"]["status"], "down");
    assert_eq!(json["started_at"], "2023-11-14T22:13:20.000Z");
}

#[test]
fn the_bid_engine_says_why_it_does_not_bid() {
    let office = Office::open();
    let text = office.table("bid-engine status");
    assert!(
        text.contains("disk is full") && text.contains("2 of 10") && text.contains("attributes"),
        "{text}"
    );
    assert_eq!(office.json("bid-engine status")["declined"]["attributes"], 7);
}

#[test]
fn bids_orders_leases_and_explanations_are_shown() {
    let office = Office::open();
    assert_eq!(office.table("bids list --last 2").lines().count(), 3);
    assert_eq!(office.json("bids list --last 100").as_array().unwrap().len(), 3);
    assert_eq!(office.table("orders list"), "no orders yet\n");
    assert!(office.table("leases list").contains("awaited until"));
    let text = office.table(&format!("explain {}", order()));
    assert!(
        text.contains("declined") && text.contains("asks 4000 millicores, 2500 free"),
        "{text}"
    );
    let unknown = format!("{TENANT}/7/1/2");
    office.program.run(&["explain", &unknown]).fails(8);
}

#[test]
fn workloads_are_driven_through_their_life() {
    let office = Office::open();
    let manifest = "version: v1\nname: own\nservices:\n  - {name: api, type: container, image: 'nginx:1.27', resources: {cpu: 500, memory: 536870912}}\n";
    let file = office.program.write("own.yaml", manifest, 0o644);
    let deployed = office.json(&format!("workload deploy --manifest {file}"));
    assert_eq!(
        (&deployed["state"], &deployed["wanted"]),
        (&"pending".into(), &"running".into())
    );
    let id = WorkloadId::local(b"known");
    assert!(
        office
            .table(&format!("workload status {id}"))
            .contains("1.5 cores, 1 GiB memory")
    );
    for (action, wanted) in [
        ("pause", "paused"),
        ("stop", "stopped"),
        ("terminate", "terminated"),
    ] {
        assert_eq!(office.json(&format!("workload {action} {id}"))["wanted"], wanted);
    }
    let conflict = office.program.run(&["workload", "resume", id.as_str()]).fails(1);
    assert!(
        conflict.contains("running already") && conflict.contains("hint: nothing to do"),
        "{conflict}"
    );
    assert_eq!(
        office.json("workload list --state running")[0]["state"],
        "running"
    );
    assert!(office.table("workload list").contains("deploying -> running"));
    office
        .program
        .run(&["workload", "status", "local-unknown"])
        .fails(8);
}

#[test]
fn logs_usage_and_the_chain_are_asked_of_the_daemon() {
    let office = Office::open();
    assert!(office.table("logs --tail 100 --level error").contains("tail 100"));
    assert_eq!(office.json("usage list --pending"), serde_json::json!([]));
    let unknown = office.program.run(&["usage", "release", "5f0c7b"]).fails(8);
    assert!(unknown.contains("usage record: 5f0c7b"), "{unknown}");
    assert!(office.table("stop").contains("30 s at most"));
    let ping = office.program.run(&["chain", "ping"]);
    assert_eq!(ping.code, 6);
    assert!(ping.out.contains("connection refused"), "{}", ping.out);
}

#[test]
fn the_doctor_adds_the_daemons_checks_to_its_own() {
    let office = Office::open();
    let ran = office.program.run(&["doctor", "--output", "json"]);
    assert_eq!((ran.code, ran.err.as_str()), (1, ""), "no key store yet");
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let outcome = |name: &str| {
        let checks = report["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"] == name);
        check.map(|check| check["outcome"].as_str().unwrap().to_owned())
    };
    assert_eq!(outcome("config.valid").as_deref(), Some("ok"));
    assert_eq!(outcome("keys.store").as_deref(), Some("failed"));
    assert_eq!(outcome("daemon.running").as_deref(), Some("ok"));
    assert_eq!(outcome("capacity.matches").as_deref(), Some("ok"));
}

#[test]
fn a_daemon_that_is_not_there_is_said_to_be_so() {
    let program = Program::new();
    for command in [
        "status",
        "bid-engine status",
        "bids list",
        "orders list",
        "leases list",
        "workload list",
        "workload stop local-a",
        "usage list",
        "stop",
        "logs",
    ] {
        let args: Vec<_> = command.split(' ').collect();
        let error = program.run(&args).fails(4);
        assert!(
            error.contains("operator.sock") && error.contains("virtengine-provider start"),
            "{error}"
        );
    }
    let ran = program.run(&["status", "--output", "json"]);
    let error: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(error["error"]["code"], "daemon_not_running");
    let elsewhere = program.run(&["--socket", "/nowhere/x.sock", "status"]).fails(4);
    assert!(elsewhere.contains("/nowhere/x.sock"), "{elsewhere}");
}
