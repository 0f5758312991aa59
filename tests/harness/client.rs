//! An HTTP/1.1 client of a few lines, for tests that must choose where an exchange is cut.
//!
//! Each call has its own connection, so a count of bytes is a count from the start of the answer.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

const BOUNDARY: &str = "------boundary-of-the-tests";

/// A form (RFC 7578) of these fields, and a file with its name.
pub(crate) fn form(fields: &[(&str, &str)], file: Option<(&str, &[u8])>) -> Vec<u8> {
    let part = |name: &str, more: &str| {
        format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"{more}\r\n\r\n")
    };
    let mut form = Vec::new();
    for (name, value) in fields {
        form.extend_from_slice(part(name, "").as_bytes());
        form.extend_from_slice(value.as_bytes());
        form.extend_from_slice(b"\r\n");
    }
    if let Some((name, contents)) = file {
        let more = format!("; filename=\"{name}\"\r\ncontent-type: application/octet-stream");
        form.extend_from_slice(part("file", &more).as_bytes());
        form.extend_from_slice(contents);
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    form
}

/// Where to call and with which key.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    headers: Vec<(String, String)>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// False where the connection ended before the body's own framing did.
    pub(crate) whole: bool,
}

/// An answer under way: its raw bytes so far.
pub(crate) struct Exchange {
    stream: TcpStream,
    pub(crate) raw: Vec<u8>,
}

impl Client {
    /// `url` is `http://IP:PORT`, with or without a path.
    pub(crate) fn new(url: &str) -> Self {
        let rest = url.strip_prefix("http://").unwrap();
        let host = rest.split('/').next().unwrap();
        Client { address: host.parse().unwrap(), headers: Vec::new() }
    }

    pub(crate) fn with_key(url: &str, key: &str) -> Self {
        Client::new(url).and_header("authorization", &format!("Bearer {key}"))
    }

    /// The same credentials towards a gateway that has another address now.
    pub(crate) fn moved(&self, url: &str) -> Self {
        Client { address: Client::new(url).address, ..self.clone() }
    }

    pub(crate) fn and_header(&self, name: &str, value: &str) -> Self {
        let mut copy = self.clone();
        copy.headers.push((name.to_owned(), value.to_owned()));
        copy
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.send("GET", path, b"").await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        self.send("POST", path, body.to_string().as_bytes()).await.unwrap()
    }

    pub(crate) async fn post_bytes(&self, path: &str, body: &[u8]) -> Response {
        self.send("POST", path, body).await.unwrap()
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: &[u8]) -> io::Result<Response> {
        self.open(method, path, body).await?.finish().await
    }

    /// Sends a file for a batch, as OpenAI's clients do.
    pub(crate) async fn upload(&self, contents: &[u8]) -> Response {
        let form = form(&[("purpose", "batch")], Some(("lines.jsonl", contents)));
        self.form("/v1/files", &form).await
    }

    /// Posts a form that `form` made.
    pub(crate) async fn form(&self, path: &str, body: &[u8]) -> Response {
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        self.and_header("content-type", &kind).post_bytes(path, body).await
    }

    /// Sends the request and reads nothing yet.
    pub(crate) async fn open(&self, method: &str, path: &str, body: &[u8]) -> io::Result<Exchange> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.address);
        head.push_str("connection: close\r\n");
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            let length = body.len();
            head.push_str(&format!("content-length: {length}\r\n"));
            if !self.headers.iter().any(|(name, _)| name == "content-type") {
                head.push_str("content-type: application/json\r\n");
            }
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.raw(&bytes).await
    }

    /// Sends exactly these bytes.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> io::Result<Exchange> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        // A server that refuses early may close before it has read all: its answer still counts.
        if let Err(error) = stream.write_all(bytes).await
            && !matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
        {
            return Err(error);
        }
        Ok(Exchange { stream, raw: Vec::new() })
    }
}

impl Exchange {
    /// Reads once more; 0 at the end.
    pub(crate) async fn more(&mut self) -> io::Result<usize> {
        match timeout(PATIENCE, self.stream.read_buf(&mut self.raw)).await {
            Ok(read) => read,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Reads until `n` bytes of the answer are here or it ends.
    pub(crate) async fn until(&mut self, n: usize) -> io::Result<()> {
        while self.raw.len() < n && self.more().await? > 0 {}
        Ok(())
    }

    /// Reads until the answer holds `text`; false where it ended first.
    pub(crate) async fn until_text(&mut self, text: &str) -> io::Result<bool> {
        let has = |raw: &[u8]| raw.windows(text.len()).any(|window| window == text.as_bytes());
        while !has(&self.raw) {
            if self.more().await? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads to the end of the answer.
    pub(crate) async fn finish(mut self) -> io::Result<Response> {
        loop {
            if let Some(response) = parse(&self.raw)
                && response.whole
            {
                return Ok(response);
            }
            match self.more().await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
                Err(error) => return Err(error),
            }
        }
        parse(&self.raw).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// What has come so far, if at least the head has.
    pub(crate) fn so_far(&self) -> Option<Response> {
        parse(&self.raw)
    }
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("not JSON ({error}): {} {}", self.status, self.text());
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The payload of each `data:` line of a stream.
    pub(crate) fn data(&self) -> Vec<String> {
        let text = self.text();
        let lines = text.lines().filter_map(|line| line.strip_prefix("data:"));
        lines.map(|payload| payload.trim_start().to_owned()).collect()
    }

    /// The stream's JSON frames, `[DONE]` left out.
    pub(crate) fn frames(&self) -> Vec<Value> {
        let payloads = self.data().into_iter().filter(|payload| payload != "[DONE]");
        payloads.map(|payload| serde_json::from_str(&payload).unwrap()).collect()
    }

    /// The text of the first choice, whole or streamed.
    pub(crate) fn content(&self) -> String {
        if self.header("content-type").is_some_and(|kind| kind.contains("event-stream")) {
            let frames = self.frames();
            let deltas = frames.iter().filter_map(|f| f["choices"][0]["delta"]["content"].as_str());
            return deltas.collect();
        }
        self.json()["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned()
    }
}

fn parse(raw: &[u8]) -> Option<Response> {
    let end = raw.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&raw[..end]);
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let find = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, v)| v.as_str());
    let rest = &raw[end + 4..];
    let (body, whole) = if find("transfer-encoding").is_some_and(|v| v.contains("chunked")) {
        unchunk(rest)
    } else if let Some(length) = find("content-length").and_then(|v| v.parse::<usize>().ok()) {
        (rest[..rest.len().min(length)].to_vec(), rest.len() >= length)
    } else {
        (rest.to_vec(), false)
    };
    Some(Response { status, headers, body, whole })
}

/// The bytes of all chunks that have come, and whether the last one has.
fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(line) = rest.windows(2).position(|window| window == b"\r\n") else {
            return (body, false);
        };
        let size = std::str::from_utf8(&rest[..line]).ok();
        let size = size.and_then(|text| usize::from_str_radix(text.trim(), 16).ok());
        let Some(size) = size else { return (body, false) };
        rest = &rest[line + 2..];
        if size == 0 {
            return (body, rest.starts_with(b"\r\n"));
        }
        body.extend_from_slice(&rest[..rest.len().min(size)]);
        if rest.len() < size + 2 {
            return (body, false);
        }
        rest = &rest[size + 2..];
    }
}
