//! The control socket: one question per connection, one line each way.

use std::fs;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use super::super::layout::SOCKET;
use super::super::record::{Request, Response};
use super::supervisor::Message;

/// Longest question in bytes.
const QUESTION_BYTES_MAX: u64 = 1024;

/// How long a questioner may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Listens in the working directory, which is the workload's; it is closed to others by its mode.
pub(super) fn start(inbox: mpsc::Sender<Message>) -> io::Result<()> {
    match fs::remove_file(SOCKET) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(SOCKET)?;
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let inbox = inbox.clone();
                    tokio::spawn(async move {
                        // A questioner who hangs up or says nonsense gets nothing.
                        let _ = tokio::time::timeout(PATIENCE, answer(stream, inbox)).await;
                    });
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    });
    Ok(())
}

async fn answer(mut stream: UnixStream, inbox: mpsc::Sender<Message>) -> io::Result<()> {
    let mut line = String::new();
    let (reader, mut writer) = stream.split();
    BufReader::new(reader.take(QUESTION_BYTES_MAX))
        .read_line(&mut line)
        .await?;
    let response = match serde_json::from_str::<Request>(&line) {
        Ok(request) => {
            let (reply, response) = oneshot::channel();
            let gone = |_| io::Error::other("the supervisor is leaving");
            inbox
                .send(Message::Asked { request, reply })
                .await
                .map_err(|_| io::Error::other("the supervisor is leaving"))?;
            response.await.map_err(gone)?
        }
        Err(error) => Response::Failed(error.to_string()),
    };
    writer.write_all(&serde_json::to_vec(&response)?).await?;
    writer.shutdown().await
}
