//! A keep-alive HTTP/1.1 client connection that allocates nothing per call once it is warm.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const ANSWER_LIMIT: Duration = Duration::from_secs(60);

pub struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// How the body ends.
enum Framing {
    Length(usize),
    Chunked(Chunks),
}

/// Where a reader of chunks is.
enum Chunks {
    Size(usize),
    Data(usize),
    Tail(usize),
    Last(usize),
    Done,
}

impl Connection {
    pub fn new(address: SocketAddr) -> Self {
        Connection { address, stream: None, buffer: Vec::with_capacity(64 << 10) }
    }

    /// Sends the request and hands the body's pieces to `sink`; gives the status.
    pub async fn call(&mut self, request: &[u8], sink: &mut impl FnMut(&[u8])) -> io::Result<u16> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            self.stream = Some(stream);
        }
        let answer = timeout(ANSWER_LIMIT, self.exchange(request, sink)).await;
        let answer = answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if answer.is_err() {
            self.stream = None;
        }
        answer
    }

    async fn exchange(&mut self, request: &[u8], sink: &mut impl FnMut(&[u8])) -> io::Result<u16> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        stream.write_all(request).await?;
        self.buffer.clear();
        let end = loop {
            read_some(stream, &mut self.buffer).await?;
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let (status, mut framing) = head(&self.buffer[..end])?;
        let mut done = framing.feed(&self.buffer[end..], sink)?;
        while !done {
            self.buffer.clear();
            read_some(stream, &mut self.buffer).await?;
            done = framing.feed(&self.buffer, sink)?;
        }
        Ok(status)
    }
}

async fn read_some(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<()> {
    match stream.read_buf(buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

fn bad(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn head(bytes: &[u8]) -> io::Result<(u16, Framing)> {
    let text = std::str::from_utf8(bytes).map_err(|_| bad("head"))?;
    let status = text.get(9..12).and_then(|digits| digits.parse().ok());
    let mut framing = Framing::Length(0);
    for line in text.split("\r\n").skip(1) {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            framing = Framing::Length(value.trim().parse().map_err(|_| bad("content-length"))?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Framing::Chunked(Chunks::Size(0));
        }
    }
    Ok((status.ok_or_else(|| bad("status"))?, framing))
}

impl Framing {
    /// Takes the next bytes; true at the body's end.
    fn feed(&mut self, bytes: &[u8], sink: &mut impl FnMut(&[u8])) -> io::Result<bool> {
        match self {
            Framing::Length(left) => {
                let here = bytes.len().min(*left);
                sink(&bytes[..here]);
                *left -= here;
                Ok(*left == 0)
            }
            Framing::Chunked(chunks) => chunks.feed(bytes, sink),
        }
    }
}

impl Chunks {
    fn feed(&mut self, mut bytes: &[u8], sink: &mut impl FnMut(&[u8])) -> io::Result<bool> {
        while let Some(&first) = bytes.first() {
            match *self {
                Chunks::Size(size) => {
                    bytes = &bytes[1..];
                    *self = match (first, size) {
                        (b'\n', 0) => Chunks::Last(2),
                        (b'\n', size) => Chunks::Data(size),
                        (b'\r', size) => Chunks::Size(size),
                        (digit, size) => {
                            let digit =
                                char::from(digit).to_digit(16).ok_or_else(|| bad("chunk"))?;
                            Chunks::Size(size * 16 + digit as usize)
                        }
                    };
                }
                Chunks::Data(left) => {
                    let here = left.min(bytes.len());
                    sink(&bytes[..here]);
                    bytes = &bytes[here..];
                    *self = if here == left { Chunks::Tail(2) } else { Chunks::Data(left - here) };
                }
                Chunks::Tail(left) => {
                    bytes = &bytes[1..];
                    *self = if left == 1 { Chunks::Size(0) } else { Chunks::Tail(left - 1) };
                }
                Chunks::Last(left) => {
                    bytes = &bytes[1..];
                    *self = if left == 1 { Chunks::Done } else { Chunks::Last(left - 1) };
                }
                Chunks::Done => return Err(bad("bytes after the end")),
            }
        }
        Ok(matches!(self, Chunks::Done))
    }
}
