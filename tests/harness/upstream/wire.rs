//! The provider's side of a connection: reads requests whole, plays replies byte for byte.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::script::{Cut, Reply, Step};
use super::{Ended, State};

pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    sent: usize,
}

pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// Why a write did not go through.
enum Stop {
    Cut(Cut),
    PeerGone,
}

/// An id that no other request of this process has.
pub(super) fn new_id(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{prefix}{:012}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Connection { stream, buffer: Vec::new(), sent: 0 }
    }

    /// The next request; nothing where the peer closed between requests.
    pub(super) async fn read(&mut self) -> io::Result<Option<Request>> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let method = first.next().unwrap_or_default().to_owned();
        let path = first.next().unwrap_or_default().to_owned();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let find = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, v)| v.clone());
        self.buffer.drain(..end + 4);
        let body = if find("transfer-encoding").is_some() {
            self.read_chunks().await?
        } else {
            let length = find("content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
            self.read_exactly(length).await?
        };
        Ok(Some(Request { method, path, headers, body }))
    }

    async fn read_exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer.drain(..length).collect())
    }

    async fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                line.extend(self.read_exactly(1).await?);
            }
            let text = String::from_utf8_lossy(&line).trim().to_owned();
            let size = usize::from_str_radix(&text, 16)
                .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            body.extend(self.read_exactly(size).await?);
            self.read_exactly(2).await?;
            if size == 0 {
                return Ok(body);
            }
        }
    }

    /// Plays the reply and says how it ended; the log's row is kept up to date on the way.
    pub(super) async fn play(&mut self, reply: Reply, state: &State, row: usize) -> Ended {
        self.sent = 0;
        match self.try_play(reply, state, row).await {
            Ok(()) => Ended::Whole,
            Err(Stop::PeerGone) => Ended::PeerGone,
            Err(Stop::Cut(cut)) => {
                self.break_off(cut).await;
                Ended::Cut
            }
        }
    }

    async fn try_play(&mut self, reply: Reply, state: &State, row: usize) -> Result<(), Stop> {
        let cut = reply.cut;
        self.wait(reply.before).await?;
        let mut head = format!("HTTP/1.1 {} {}\r\n", reply.status, reason(reply.status));
        for (name, value) in &reply.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match reply.streamed {
            true => head.push_str("transfer-encoding: chunked\r\n\r\n"),
            false => head.push_str(&format!("content-length: {}\r\n\r\n", length(&reply.steps))),
        }
        self.write(head.as_bytes(), cut).await?;
        state.note(row, |truth| truth.status = reply.status);
        for step in &reply.steps {
            match step {
                Step::Pause(time) => self.wait(*time).await?,
                Step::Flood(bytes) => self.flood(*bytes).await?,
                Step::Send(bytes, tokens, usage) => {
                    let framed = if reply.streamed { chunk(bytes) } else { bytes.clone() };
                    state.note(row, |truth| truth.begun += tokens);
                    let before = self.sent;
                    let written = self.write(&framed, cut).await;
                    // A cut in the framing behind a piece leaves the piece itself whole.
                    let framing = if reply.streamed { "\r\n".len() } else { 0 };
                    if self.sent - before + framing >= framed.len() {
                        state.note(row, |truth| {
                            truth.produced += tokens;
                            truth.reported = usage.or(truth.reported);
                        });
                    }
                    written?;
                }
            }
        }
        if reply.streamed {
            self.write(b"0\r\n\r\n", cut).await?;
        }
        Ok(())
    }

    /// Writes up to the cut, where there is one in these bytes.
    async fn write(&mut self, bytes: &[u8], cut: Option<Cut>) -> Result<(), Stop> {
        let at = cut.map(|(Cut::Reset(at) | Cut::Fin(at) | Cut::Hang(at))| at);
        let room = at.map_or(bytes.len(), |at| at.saturating_sub(self.sent).min(bytes.len()));
        self.stream.write_all(&bytes[..room]).await.map_err(|_| Stop::PeerGone)?;
        self.sent += room;
        match cut {
            Some(cut) if at.is_some_and(|at| self.sent >= at) => Err(Stop::Cut(cut)),
            _ => Ok(()),
        }
    }

    async fn flood(&mut self, bytes: usize) -> Result<(), Stop> {
        let piece = vec![b'x'; 64 * 1024];
        for _ in 0..bytes.div_ceil(piece.len()) {
            self.write(&chunk(&piece), None).await?;
        }
        Ok(())
    }

    /// Waits, and notices a peer that leaves meanwhile: it has nothing more to say.
    async fn wait(&mut self, time: Duration) -> Result<(), Stop> {
        if time.is_zero() {
            return Ok(());
        }
        tokio::select! {
            () = sleep(time) => Ok(()),
            read = self.stream.read_buf(&mut self.buffer) => match read {
                Ok(0) | Err(_) => Err(Stop::PeerGone),
                Ok(_) => { sleep(time).await; Ok(()) }
            },
        }
    }

    async fn break_off(&mut self, cut: Cut) {
        match cut {
            Cut::Fin(_) => {
                let _ = self.stream.shutdown().await;
            }
            Cut::Reset(_) => {
                // What was written must be read first: a reset may discard what is on its way.
                sleep(Duration::from_millis(30)).await;
                self.stream.set_zero_linger().unwrap();
            }
            Cut::Hang(_) => {
                let mut rest = [0; 64];
                while self.stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
            }
        }
    }
}

fn length(steps: &[Step]) -> usize {
    let bytes = |step: &Step| if let Step::Send(bytes, ..) = step { bytes.len() } else { 0 };
    steps.iter().map(bytes).sum()
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
    framed.extend_from_slice(bytes);
    framed.extend_from_slice(b"\r\n");
    framed
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        409 => "Conflict",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Answer",
    }
}
