//! The back end in memory, in the process that is not killed: one JSON line per question and answer over a unix socket.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use virtengine_adapters::memory::{MemoryAdapter, MemoryBackend};
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{
    Adapter, AdapterError, AdapterResult, Capabilities, Counters, ErrorKind, Inventory, LogLine, LogQuery,
    Observation, Retry,
};
use virtengine_provider_core::workload::WorkloadSpec;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Question {
    Inventory,
    Deploy(Box<WorkloadSpec>),
    Observe(WorkloadId),
    Pause(WorkloadId),
    Resume(WorkloadId),
    Stop(WorkloadId),
    Terminate(WorkloadId),
    Usage(WorkloadId),
    List,
}

/// Answers questions until the runtime ends.
pub(crate) fn serve(socket: &Path, backend: MemoryBackend) {
    let listener = UnixListener::bind(socket).unwrap();
    let adapter = Arc::new(MemoryAdapter::attach(backend));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(Arc::clone(&adapter), stream));
        }
    });
}

async fn answer(adapter: Arc<MemoryAdapter>, stream: UnixStream) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // What has been asked is done, whether or not whoever asked lives on.
        let question = serde_json::from_str(&line).unwrap();
        let answer = match ask(&adapter, question).await {
            Ok(value) => json!({ "ok": value }),
            Err(error) => json!({ "kind": error.kind, "retry": error.retry, "message": error.message }),
        };
        if write.write_all(format!("{answer}\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn ask(adapter: &MemoryAdapter, question: Question) -> AdapterResult<Value> {
    let value = |value: &dyn erased::Value| value.json();
    Ok(match question {
        Question::Inventory => value(&adapter.inventory().await?),
        Question::Deploy(spec) => value(&adapter.deploy(&spec).await?),
        Question::Observe(id) => value(&adapter.observe(&id).await?),
        Question::Pause(id) => value(&adapter.pause(&id).await?),
        Question::Resume(id) => value(&adapter.resume(&id).await?),
        Question::Stop(id) => value(&adapter.stop(&id).await?),
        Question::Terminate(id) => value(&adapter.terminate(&id).await?),
        Question::Usage(id) => value(&adapter.usage(&id).await?),
        Question::List => value(&adapter.list().await?),
    })
}

mod erased {
    /// Anything that can be an answer.
    pub(super) trait Value {
        fn json(&self) -> serde_json::Value;
    }
    impl<T: serde::Serialize> Value for T {
        fn json(&self) -> serde_json::Value {
            serde_json::to_value(self).unwrap()
        }
    }
}

/// The adapter in the process that is killed.
#[derive(Debug)]
pub(crate) struct RemoteAdapter {
    socket: PathBuf,
    capabilities: Capabilities,
}

impl RemoteAdapter {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self {
            socket,
            capabilities: Capabilities {
                name: "memory".to_owned(),
                pause: true,
                persistent_storage: true,
                logs: false,
                exec: false,
                gpus: false,
                isolation: true,
            },
        }
    }

    async fn ask<T: DeserializeOwned>(&self, question: Question) -> AdapterResult<T> {
        let answer = self.exchange(&question).await.map_err(|error| AdapterError {
            kind: ErrorKind::Unavailable,
            retry: Retry::Unknown,
            adapter: "memory",
            operation: "ask",
            message: error.to_string(),
        })?;
        if let Some(value) = answer.get("ok") {
            return Ok(serde_json::from_value(value.clone()).unwrap());
        }
        Err(AdapterError {
            kind: serde_json::from_value(answer["kind"].clone()).unwrap(),
            retry: serde_json::from_value(answer["retry"].clone()).unwrap(),
            adapter: "memory",
            operation: "ask",
            message: answer["message"].as_str().unwrap().to_owned(),
        })
    }

    async fn exchange(&self, question: &Question) -> std::io::Result<Value> {
        let mut stream = UnixStream::connect(&self.socket).await?;
        let text = format!("{}\n", serde_json::to_string(question).unwrap());
        stream.write_all(text.as_bytes()).await?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await?;
        Ok(serde_json::from_str(&line)?)
    }
}

#[async_trait]
impl Adapter for RemoteAdapter {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn inventory(&self) -> AdapterResult<Inventory> {
        self.ask(Question::Inventory).await
    }

    async fn deploy(&self, workload: &WorkloadSpec) -> AdapterResult<()> {
        self.ask(Question::Deploy(Box::new(workload.clone()))).await
    }

    async fn observe(&self, id: &WorkloadId) -> AdapterResult<Observation> {
        self.ask(Question::Observe(id.clone())).await
    }

    async fn pause(&self, id: &WorkloadId) -> AdapterResult<()> {
        self.ask(Question::Pause(id.clone())).await
    }

    async fn resume(&self, id: &WorkloadId) -> AdapterResult<()> {
        self.ask(Question::Resume(id.clone())).await
    }

    async fn stop(&self, id: &WorkloadId) -> AdapterResult<()> {
        self.ask(Question::Stop(id.clone())).await
    }

    async fn terminate(&self, id: &WorkloadId) -> AdapterResult<()> {
        self.ask(Question::Terminate(id.clone())).await
    }

    async fn usage(&self, id: &WorkloadId) -> AdapterResult<Counters> {
        self.ask(Question::Usage(id.clone())).await
    }

    async fn list(&self) -> AdapterResult<Vec<WorkloadId>> {
        self.ask(Question::List).await
    }

    async fn logs(&self, _: &WorkloadId, _: &LogQuery) -> AdapterResult<Vec<LogLine>> {
        Err(AdapterError {
            kind: ErrorKind::Unsupported,
            retry: Retry::Never,
            adapter: "memory",
            operation: "logs",
            message: "no logs over this socket".to_owned(),
        })
    }
}
