//! A provider that costs as little as one can: fixed bytes, at once or chunk by chunk.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};

use crate::Outcome;

/// Tokens of a whole answer, chunks of a streamed one, and the time between chunks; a long one is
/// to be held open rather than read.
const TOKENS: usize = 200;
const CHUNKS: usize = 100;
const PACE: Duration = Duration::from_millis(10);
const LONG_PACE: Duration = Duration::from_secs(5);
const WORDS: [&str; 8] = [" the", " of", " and", " to", " in", " is", " for", " that"];

struct Answers {
    whole: Vec<u8>,
    head: Vec<u8>,
    chunks: Vec<Vec<u8>>,
    tail: Vec<u8>,
}

pub fn serve(address: &str) -> Outcome<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let answers: &'static Answers = Box::leak(Box::new(Answers::new()));
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await.map_err(|error| error.to_string())?;
        loop {
            let (stream, _) = listener.accept().await.map_err(|error| error.to_string())?;
            tokio::spawn(connection(stream, answers));
        }
    })
}

async fn connection(mut stream: TcpStream, answers: &'static Answers) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(16 << 10);
    loop {
        let end = loop {
            if let Some(end) = request_end(&buffer) {
                break end;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let request = &buffer[..end];
        let streamed = has(request, b"\"stream\":true");
        let pace = if has(request, b"\"user\":\"long\"") { LONG_PACE } else { PACE };
        buffer.drain(..end);
        match streamed {
            true => answers.stream(&mut stream, pace).await?,
            false => stream.write_all(&answers.whole).await?,
        }
    }
}

/// Where the first request in the buffer ends, once all of it is there.
fn request_end(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..head]).ok()?;
    let length = text.split("\r\n").filter_map(|line| line.split_once(':'));
    let mut length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.next().map_or(Some(0), |(_, value)| value.trim().parse().ok())?;
    (buffer.len() >= head + length).then_some(head + length)
}

fn has(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// The body of a whole answer.
pub fn reply() -> String {
    let text: String = (0..TOKENS).map(word).collect();
    format!(
        "{{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1790000000,\
         \"model\":\"gpt-4o-mini\",\"choices\":[{{\"index\":0,\"message\":{{\"role\":\
         \"assistant\",\"content\":\"{text}\",\"refusal\":null}},\"logprobs\":null,\
         \"finish_reason\":\"stop\"}}],\"usage\":{},\"service_tier\":\"default\"}}",
        usage(TOKENS)
    )
}

impl Answers {
    fn new() -> Self {
        let body = reply();
        let whole = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                    transfer-encoding: chunked\r\n\r\n";
        let delta = |at| format!("{{\"content\":\"{}\"}}", word(at));
        let mut tail = chunk(&event("{}", "\"stop\""));
        tail.extend(chunk(&frame("", &format!(",\"usage\":{}", usage(CHUNKS)))));
        tail.extend(chunk("data: [DONE]\n\n"));
        tail.extend_from_slice(b"0\r\n\r\n");
        Answers {
            whole: whole.into_bytes(),
            head: [head.as_bytes(), &chunk(&event("{\"role\":\"assistant\"}", "null"))].concat(),
            chunks: (0..CHUNKS).map(|at| chunk(&event(&delta(at), "null"))).collect(),
            tail,
        }
    }

    async fn stream(&self, stream: &mut TcpStream, pace: Duration) -> io::Result<()> {
        stream.write_all(&self.head).await?;
        let mut due = Instant::now();
        for chunk in &self.chunks {
            stream.write_all(chunk).await?;
            due += pace;
            sleep_until(due).await;
        }
        stream.write_all(&self.tail).await
    }
}

fn word(at: usize) -> &'static str {
    WORDS[at * 5 % WORDS.len()]
}

fn usage(tokens: usize) -> String {
    format!(
        "{{\"prompt_tokens\":300,\"completion_tokens\":{tokens},\"total_tokens\":{},\
         \"prompt_tokens_details\":{{\"cached_tokens\":0}},\
         \"completion_tokens_details\":{{\"reasoning_tokens\":0}}}}",
        300 + tokens
    )
}

fn event(delta: &str, finish: &str) -> String {
    let choice =
        format!("{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}");
    frame(&choice, "")
}

fn frame(choices: &str, rest: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\
         \"created\":1790000000,\"model\":\"gpt-4o-mini\",\"choices\":[{choices}]{rest}}}\n\n"
    )
}

fn chunk(bytes: &str) -> Vec<u8> {
    format!("{:x}\r\n{bytes}\r\n", bytes.len()).into_bytes()
}
