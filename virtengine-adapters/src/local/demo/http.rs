//! Just enough HTTP/1.1 for the demo: one request per connection, nothing but `GET`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::work::{Answer, Work};

/// Connections at the same time; more are turned away.
const CONNECTIONS_MAX: usize = 64;

/// Longest request head.
const HEAD_BYTES_MAX: u64 = 16 * 1024;

/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers for ever.
pub(super) fn serve(listener: &TcpListener, work: &Arc<Work>) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (work, open) = (Arc::clone(work), Arc::clone(&open));
        std::thread::spawn(move || {
            // A client who goes away gets no answer; nobody else cares.
            let _ = answer(stream, &work);
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

fn answer(stream: TcpStream, work: &Work) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new((&stream).take(HEAD_BYTES_MAX));
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 0 && !header.trim().is_empty() {
        header.clear();
    }
    let mut words = request.split_ascii_whitespace();
    let Answer { status, body } = match (words.next(), words.next()) {
        (Some("GET"), Some(target)) => {
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            work.answer(path, query)
        }
        _ => Answer::text("405 Method Not Allowed", "only GET is served\n"),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    (&stream).write_all(head.as_bytes())?;
    (&stream).write_all(&body)
}
