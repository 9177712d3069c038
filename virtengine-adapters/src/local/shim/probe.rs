//! One question to a replica: a request, a connection, or a command.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::super::record::Exit;

/// A question that is ready to be asked.
#[derive(Debug)]
pub(super) enum Question {
    /// `GET path` must answer 2xx or 3xx.
    Http {
        /// Path and query.
        path: String,
        /// Where the replica listens.
        port: u16,
    },
    /// Every one of these ports must accept.
    Tcp {
        /// Where the replica listens.
        ports: Vec<u16>,
    },
    /// A command that runs already must end with 0.
    Command {
        /// How it ends.
        ended: oneshot::Receiver<Exit>,
    },
}

/// Longest status line that is read.
const STATUS_LINE_BYTES_MAX: u64 = 256;

/// Asks; the error is a sentence for the tenant.
pub(super) async fn ask(question: Question, patience: Duration) -> Result<(), String> {
    let seconds = patience.as_secs_f32();
    let answer = async {
        match question {
            Question::Http { path, port } => http(&path, port).await,
            Question::Tcp { ports } => {
                for port in ports {
                    connect(port).await?;
                }
                Ok(())
            }
            Question::Command { ended } => match ended.await {
                Ok(Exit::Code(0)) => Ok(()),
                Ok(exit) => Err(format!("the command ended with {exit}")),
                Err(_) => Err("the command could not be waited for".to_owned()),
            },
        }
    };
    tokio::time::timeout(patience, answer)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {seconds} seconds")))
}

async fn connect(port: u16) -> Result<TcpStream, String> {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|error| format!("port does not accept connections: {error}"))
}

async fn http(path: &str, port: u16) -> Result<(), String> {
    let mut stream = connect(port).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nuser-agent: virtengine-probe\r\nconnection: close\r\n\r\n"
    );
    let failed = |error: std::io::Error| format!("http request failed: {error}");
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut head = Vec::new();
    // To the end of the connection or the limit: a status line that comes in pieces is still one.
    (&mut stream)
        .take(STATUS_LINE_BYTES_MAX)
        .read_to_end(&mut head)
        .await
        .map_err(failed)?;
    let text = String::from_utf8_lossy(&head);
    let status = text
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5)?.parse::<u16>().ok());
    match status {
        Some(200..400) => Ok(()),
        Some(status) => Err(format!("GET {path} answered with status {status}")),
        None => Err(format!("GET {path} did not answer in http")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn check(answer: &'static str) -> Result<(), String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 512];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let path = "/healthz".to_owned();
        ask(Question::Http { path, port }, Duration::from_secs(5)).await
    }

    #[tokio::test]
    async fn two_and_three_hundreds_are_well() {
        assert_eq!(check("HTTP/1.1 204 No Content\r\n\r\n").await, Ok(()));
        assert_eq!(check("HTTP/1.0 302 Found\r\n\r\n").await, Ok(()));
        let sick = check("HTTP/1.1 503 Busy\r\n\r\n").await.unwrap_err();
        assert!(sick.contains("503"), "{sick}");
        assert!(check("SSH-2.0-x\r\n").await.is_err());
    }

    #[tokio::test]
    async fn a_silent_port_is_not_waited_for_for_ever() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let path = "/".to_owned();
        let answer = ask(Question::Http { path, port }, Duration::from_millis(50)).await;
        assert!(answer.unwrap_err().contains("no answer within"));
    }
}
