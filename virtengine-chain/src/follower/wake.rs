//! "There is a new block", over WebSocket. Only a hint: whoever waits here also wakes up by itself.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{Connector, connect_async_tls_with_config};
use virtengine_provider_core::id::Height;

use crate::client::ChainClient;
use crate::rpc::{announced_height, client_config};

/// A connection that is silent for so long is dead: nodes send pings at least every half minute.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// First and longest pause before connecting again.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_LONGEST: Duration = Duration::from_secs(30);

const SUBSCRIBE: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"query":"tm.event='NewBlock'"}}"#;

/// Listens in a task of its own, which ends with this.
#[derive(Debug)]
pub(super) struct Wake {
    announced: watch::Receiver<Height>,
    task: JoinHandle<()>,
}

impl Drop for Wake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Wake {
    pub(super) fn spawn(client: &ChainClient) -> Self {
        let (sender, announced) = watch::channel(Height(0));
        let task = tokio::spawn(listen(client.clone(), sender));
        Self { announced, task }
    }

    /// The height of an announcement, or `None` after `patience` without one.
    pub(super) async fn wait(&mut self, patience: Duration) -> Option<Height> {
        match tokio::time::timeout(patience, self.announced.changed()).await {
            Ok(Ok(())) => Some(*self.announced.borrow_and_update()),
            // The listener is gone, which only happens when it panicked: polling goes on alone.
            Ok(Err(_)) => {
                tokio::time::sleep(patience).await;
                None
            }
            Err(_) => None,
        }
    }
}

async fn listen(client: ChainClient, announced: watch::Sender<Height>) {
    let https = client
        .config()
        .endpoints
        .iter()
        .any(|url| url.websocket().scheme() == "wss");
    let tls = Arc::new(client_config(https));
    let (mut failures, mut round) = (0_u32, 0_usize);
    loop {
        let urls = client.pool().websockets();
        if let Some(url) = urls.get(round % urls.len().max(1)) {
            let before = *announced.borrow();
            let end = attend(url, &tls, &client, &announced).await;
            if *announced.borrow() != before {
                failures = 0;
            }
            let host = url.host_str().unwrap_or_default();
            tracing::debug!(host, reason = %end, "block announcements ended");
        }
        let factor = 1_u32.checked_shl(failures.min(8)).unwrap_or(u32::MAX);
        tokio::time::sleep(PAUSE_FIRST.saturating_mul(factor).min(PAUSE_LONGEST)).await;
        failures = failures.saturating_add(1);
        round = round.wrapping_add(1);
    }
}

/// Reads announcements until the connection ends, and says why it did.
async fn attend(
    url: &reqwest::Url,
    tls: &Arc<rustls::ClientConfig>,
    client: &ChainClient,
    announced: &watch::Sender<Height>,
) -> String {
    let limit = Some(client.config().response_bytes_max);
    let settings = WebSocketConfig::default()
        .max_message_size(limit)
        .max_frame_size(limit);
    let connector = Connector::Rustls(Arc::clone(tls));
    let connecting = connect_async_tls_with_config(url.as_str(), Some(settings), true, Some(connector));
    let mut stream = match tokio::time::timeout(client.config().request_timeout, connecting).await {
        Ok(Ok((stream, _))) => stream,
        Ok(Err(error)) => return error.to_string(),
        Err(_) => return "no connection in time".to_owned(),
    };
    if let Err(error) = stream.send(Message::text(SUBSCRIBE)).await {
        return error.to_string();
    }
    loop {
        match tokio::time::timeout(SILENCE_MAX, stream.next()).await {
            Ok(Some(Ok(Message::Text(text)))) => {
                if let Some(height) = announced_height(&text) {
                    announced.send_if_modified(|last| std::mem::replace(last, height) != height);
                } else if text.contains("\"error\"") {
                    return text.chars().take(200).collect();
                }
            }
            Ok(Some(Ok(Message::Close(_))) | None) => return "closed".to_owned(),
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(error))) => return error.to_string(),
            Err(_) => return format!("silent for {SILENCE_MAX:?}"),
        }
    }
}
