//! A receiver of webhooks: takes what is posted, answers what it was told to, and remembers all of it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// The status it was answered with; none where it was left waiting.
    pub(crate) status: Option<u16>,
}

#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    posted: Arc<Mutex<Vec<Posted>>>,
    next: Arc<Mutex<VecDeque<Option<u16>>>>,
}

impl Receiver {
    pub(crate) async fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let receiver = Receiver { url, posted: Arc::default(), next: Arc::default() };
        let server = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(stream));
            }
        });
        receiver
    }

    /// The statuses of the next answers, `None` for none at all; after them it is 204.
    pub(crate) fn answer(&self, statuses: &[Option<u16>]) {
        self.next.lock().unwrap().extend(statuses);
    }

    pub(crate) fn posted(&self) -> Vec<Posted> {
        self.posted.lock().unwrap().clone()
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut raw = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&raw).into_owned();
            let whole = text.split_once("\r\n\r\n").and_then(|(head, body)| {
                let headers: Vec<(String, String)> = head
                    .lines()
                    .filter_map(|line| line.split_once(": "))
                    .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                    .collect();
                let length = headers.iter().find(|(name, _)| name == "content-length")?;
                (body.len() == length.1.parse::<usize>().ok()?).then(|| (headers, body.to_owned()))
            });
            if let Some((headers, body)) = whole {
                let status = self.next.lock().unwrap().pop_front().unwrap_or(Some(204));
                self.posted.lock().unwrap().push(Posted { headers, body, status });
                let Some(status) = status else { return std::future::pending().await };
                let answer = format!("HTTP/1.1 {status} Said\r\ncontent-length: 0\r\n\r\n");
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
                raw.clear();
            }
            if stream.read_buf(&mut raw).await.unwrap_or(0) == 0 {
                return;
            }
        }
    }
}

impl Posted {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(have, _)| have == name);
        found.map_or("", |(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}
