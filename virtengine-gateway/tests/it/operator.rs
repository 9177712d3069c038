use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use virtengine_gateway::api::*;
use virtengine_gateway::health::{HealthBoard, OverallStatus};
use virtengine_gateway::operator::{
    ClientError, OperatorClient, OperatorServer, OperatorServerOptions, SocketError,
};
use virtengine_provider_core::id::{OrderId, WorkloadId};
use virtengine_provider_core::ports::clock::Clock as _;
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::Resources;

use crate::clock::TestClock;
use crate::provider::{alice, price, provider};

/// Answers with what it was asked.
#[derive(Debug)]
struct Desk;

fn workload(id: &WorkloadId, state: WorkloadState, message: &str) -> WorkloadView {
    WorkloadView {
        id: id.clone(),
        deployment_id: None,
        lease_id: None,
        adapter: "local".to_owned(),
        state,
        wanted: state,
        status_message: message.to_owned(),
        resources: Resources::ZERO,
        services: Vec::new(),
        endpoints: Vec::new(),
        created_at: Timestamp::from_seconds(1),
        updated_at: Timestamp::from_seconds(2),
    }
}

fn unsupported<T>() -> ApiResult<T> {
    Err(ApiError::new(ErrorCode::Unsupported, "not in this test", ""))
}

#[async_trait]
impl OperatorApi for Desk {
    async fn status(&self) -> ApiResult<ProviderStatus> {
        std::future::pending().await
    }
    async fn bid_engine(&self) -> ApiResult<BidEngineStatus> {
        unsupported()
    }
    async fn bids(&self, last: usize) -> ApiResult<Vec<BidView>> {
        let id = format!("{}/7/1/1/{}", alice().address(), provider());
        let bid = BidView {
            id: id.parse().unwrap(),
            outcome: BidOutcome::Won,
            price: price("2.5"),
            deposit: Some("500000uve".parse().unwrap()),
            decided_at: Timestamp::from_millis(1_700_000_000_001),
            tx: None,
            message: String::new(),
        };
        Ok(vec![bid; last])
    }
    async fn explain(&self, order: &OrderId) -> ApiResult<Explanation> {
        Err(ApiError::not_found(format!("order: {order}")))
    }
    async fn orders(&self, _limit: usize) -> ApiResult<Vec<OrderView>> {
        unsupported()
    }
    async fn leases(&self) -> ApiResult<Vec<LeaseView>> {
        panic!("as asked")
    }
    async fn deploy_workload(&self, manifest: &str) -> ApiResult<WorkloadView> {
        let id = WorkloadId::local(manifest.as_bytes());
        Ok(workload(&id, WorkloadState::Pending, &manifest.len().to_string()))
    }
    async fn workload(&self, id: &WorkloadId) -> ApiResult<WorkloadView> {
        Ok(workload(id, WorkloadState::Running, ""))
    }
    async fn workloads(&self, state: Option<WorkloadState>) -> ApiResult<Vec<WorkloadView>> {
        let id = WorkloadId::local(b"1");
        Ok(vec![workload(&id, state.unwrap_or(WorkloadState::Running), "")])
    }
    async fn act_on_workload(&self, id: &WorkloadId, action: WorkloadAction) -> ApiResult<WorkloadView> {
        Ok(workload(id, WorkloadState::Running, action.as_str()))
    }
    async fn usage(&self, query: UsageQuery) -> ApiResult<Vec<UsageView>> {
        let record = UsageView {
            id: "ab".to_owned(),
            workload_id: WorkloadId::local(b"1"),
            deployment_id: None,
            lease_id: None,
            kind: UsageKind::Periodic,
            start: Timestamp::from_seconds(0),
            end: Timestamp::from_seconds(3600),
            metrics: UsageMetrics {
                memory_byte_seconds: u128::MAX,
                ..UsageMetrics::default()
            },
            state: if query.pending {
                UsageState::Pending
            } else {
                UsageState::Settled
            },
            flags: Vec::new(),
            cost: None,
            tx: None,
            signature: String::new(),
            created_at: Timestamp::from_seconds(3600),
        };
        Ok(vec![record; query.limit])
    }
    async fn release_usage(&self, record: &str) -> ApiResult<UsageView> {
        let mut all = self
            .usage(UsageQuery {
                pending: true,
                limit: 1,
            })
            .await?;
        all.retain(|view| view.id == record);
        all.pop()
            .ok_or_else(|| ApiError::not_found(format!("usage record: {record}")))
    }
    async fn logs(&self, query: OperatorLogQuery) -> ApiResult<Vec<LogEntry>> {
        let entry = LogEntry {
            at: Timestamp::from_seconds(1),
            level: query.level,
            target: "desk".to_owned(),
            message: "hello".to_owned(),
            fields: std::collections::BTreeMap::new(),
        };
        Ok(vec![entry; query.tail])
    }
    async fn doctor(&self) -> ApiResult<DoctorReport> {
        Ok(DoctorReport::default())
    }
    async fn ping_chain(&self) -> ApiResult<ChainPing> {
        unsupported()
    }
    async fn config(&self) -> ApiResult<serde_json::Value> {
        Ok(serde_json::json!({"key_manager": {"passphrase": "REDACTED"}}))
    }
    async fn shutdown(&self) -> ApiResult<ShutdownReceipt> {
        Ok(ShutdownReceipt {
            drain_seconds: 30,
            already_draining: false,
        })
    }
}

async fn start(socket: &Path) -> Result<OperatorServer, SocketError> {
    let clock = Arc::new(TestClock::new());
    let board = Arc::new(HealthBoard::new(clock.now()));
    let mut options = OperatorServerOptions::new(socket);
    options.deadline = Duration::from_millis(300);
    OperatorServer::start(options, Arc::new(Desk), board, clock).await
}

struct Room {
    dir: tempfile::TempDir,
    socket: PathBuf,
}

impl Room {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("run/provider.sock");
        Self { dir, socket }
    }

    fn client(&self) -> OperatorClient {
        OperatorClient::new(&self.socket)
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn code(error: ClientError) -> ErrorCode {
    match error {
        ClientError::Refused(error) => error.code,
        other => panic!("not a refusal: {other}"),
    }
}

#[tokio::test]
async fn questions_come_back_as_they_were_answered() {
    let room = Room::new();
    let server = start(&room.socket).await.unwrap();
    let client = room.client();
    let bids = client.bids(2).await.unwrap();
    assert_eq!(
        (bids.len(), bids[0].decided_at),
        (2, Timestamp::from_millis(1_700_000_000_001))
    );
    assert_eq!(
        client
            .usage(UsageQuery {
                pending: true,
                limit: 1
            })
            .await
            .unwrap()[0]
            .metrics
            .memory_byte_seconds,
        u128::MAX
    );
    let id = WorkloadId::local(b"1");
    for action in WorkloadAction::ALL {
        assert_eq!(
            client.act_on_workload(&id, action).await.unwrap().status_message,
            action.as_str()
        );
    }
    let released = client.release_usage("ab").await.unwrap();
    assert_eq!(
        (released.id.as_str(), released.state),
        ("ab", UsageState::Pending)
    );
    // No path but that of a record is reached by an id.
    assert!(client.release_usage("../usage/cd").await.is_err());
    let stopped = client.workloads(Some(WorkloadState::Stopped)).await.unwrap();
    assert_eq!(stopped[0].state, WorkloadState::Stopped);
    assert_eq!(
        client
            .deploy_workload("services: {}")
            .await
            .unwrap()
            .status_message,
        "12"
    );
    let logs = OperatorLogQuery {
        tail: 3,
        level: LogLevel::Error,
    };
    assert_eq!(client.logs(logs).await.unwrap().len(), 3);
    assert_eq!(client.health().await.unwrap().status, OverallStatus::Unhealthy);
    assert_eq!(
        client.config().await.unwrap()["key_manager"]["passphrase"],
        "REDACTED"
    );
    assert_eq!(client.shutdown().await.unwrap().drain_seconds, 30);
    server.stop().await;
}

#[tokio::test]
async fn refusals_hangs_and_panics_come_back_as_errors() {
    let room = Room::new();
    let server = start(&room.socket).await.unwrap();
    let client = room.client();
    let order = format!("{}/7/1/1", alice().address()).parse().unwrap();
    assert_eq!(
        code(client.explain(&order).await.unwrap_err()),
        ErrorCode::NotFound
    );
    assert_eq!(code(client.bids(0).await.unwrap_err()), ErrorCode::InvalidRequest);
    assert_eq!(
        code(client.bids(1_000_000).await.unwrap_err()),
        ErrorCode::InvalidRequest
    );
    assert_eq!(code(client.status().await.unwrap_err()), ErrorCode::TimedOut);
    assert_eq!(code(client.leases().await.unwrap_err()), ErrorCode::Internal);
    let large = "a".repeat((1 << 20) + 1);
    assert_eq!(
        code(client.deploy_workload(&large).await.unwrap_err()),
        ErrorCode::TooLarge
    );
    server.stop().await;
}

#[tokio::test]
async fn the_socket_is_private_and_goes_with_the_server() {
    let room = Room::new();
    let server = start(&room.socket).await.unwrap();
    assert_eq!(mode(&room.socket), 0o600);
    assert_eq!(mode(room.socket.parent().unwrap()), 0o700);
    server.stop().await;
    assert!(!room.socket.exists());
    let error = room.client().bids(1).await.unwrap_err();
    assert!(matches!(error, ClientError::NotRunning { .. }), "{error}");
    assert!(error.to_string().contains("virtengine-provider start"), "{error}");
}

#[tokio::test]
async fn a_second_daemon_is_refused_and_a_dead_ones_socket_is_replaced() {
    let room = Room::new();
    let first = start(&room.socket).await.unwrap();
    assert!(matches!(start(&room.socket).await, Err(SocketError::InUse(_))));
    room.client().bids(1).await.unwrap();
    first.stop().await;
    // A socket that nobody listens on any more.
    drop(UnixListener::bind(&room.socket).unwrap());
    assert!(room.socket.exists());
    let second = start(&room.socket).await.unwrap();
    room.client().bids(1).await.unwrap();
    second.stop().await;
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let room = Room::new();
    std::fs::create_dir(room.socket.parent().unwrap()).unwrap();
    std::fs::write(&room.socket, "precious").unwrap();
    assert!(matches!(
        start(&room.socket).await,
        Err(SocketError::NotASocket(_))
    ));
    assert_eq!(std::fs::read_to_string(&room.socket).unwrap(), "precious");
}

#[tokio::test]
async fn a_directory_that_others_can_write_to_is_refused() {
    let room = Room::new();
    let directory = room.socket.parent().unwrap();
    std::fs::create_dir(directory).unwrap();
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(
        start(&room.socket).await,
        Err(SocketError::Directory { .. })
    ));
    let long = room.dir.path().join("x".repeat(120));
    assert!(matches!(start(&long).await, Err(SocketError::TooLong(_))));
}

/// Asks as another user: the answer with its status at the end. `None` when this test may not change users, which is a failure in
/// continuous integration.
async fn ask_as_nobody(socket: &Path) -> Option<String> {
    let ours = rustix::process::geteuid().is_root();
    let socket = socket.to_owned();
    let run = move || {
        // Whoever is not root may be allowed to become it without a password.
        let mut command = Command::new(if ours { "setpriv" } else { "sudo" });
        if !ours {
            command.args(["-n", "setpriv"]);
        }
        command
            .args([
                "--reuid=65534",
                "--clear-groups",
                "curl",
                "-sS",
                "--max-time",
                "5",
            ])
            .args(["-w", " %{http_code}", "http://daemon/v1/bids", "--unix-socket"])
            .arg(socket)
            .output()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    // Whatever curl did, it wrote a status.
    let text = text
        .ok()
        .filter(|text| text.split_whitespace().next_back().is_some());
    if text.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "needs root (or sudo without a password), setpriv and curl"
        );
        println!("skipped: needs root (or sudo without a password), setpriv and curl");
    }
    text
}

#[tokio::test]
async fn another_user_is_refused_even_when_the_file_lets_it_in() {
    let room = Room::new();
    let server = start(&room.socket).await.unwrap();
    let Some(locked) = ask_as_nobody(&room.socket).await else {
        return;
    };
    assert!(locked.ends_with(" 000"), "{locked}");
    for (path, mode) in [
        (room.dir.path(), 0o755),
        (room.socket.parent().unwrap(), 0o755),
        (&room.socket, 0o666),
    ] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let answer = ask_as_nobody(&room.socket).await.unwrap();
    assert!(answer.ends_with(" 403"), "{answer}");
    assert!(!answer.contains("won"), "{answer}");
    server.stop().await;
}
