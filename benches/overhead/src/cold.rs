//! Time from exec to the first answered call.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::process::memory_kib;
use crate::{Options, Outcome};

const LIMIT: Duration = Duration::from_secs(60);

/// Starts the command, calls until an answer is 200, reads the idle memory, and ends it.
pub fn run(options: &Options) -> Outcome<String> {
    if answered(options) {
        return Err("something listens there already".into());
    }
    let (program, arguments) = options.command.split_first().ok_or("a command after --")?;
    let start = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log(options)?)
        .stderr(log(options)?)
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    let took = first_answer(options, &mut child, start);
    std::thread::sleep(Duration::from_millis(500));
    let memory = memory_kib(child.id());
    let _ = child.kill();
    let _ = child.wait();
    Ok(format!("start_ms={:.1} idle_kib={}", took?.as_secs_f64() * 1000.0, memory?.0))
}

fn first_answer(options: &Options, child: &mut Child, start: Instant) -> Outcome<Duration> {
    while start.elapsed() < LIMIT {
        if answered(options) {
            return Ok(start.elapsed());
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("the command ended: {status}"));
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    Err("no answer within a minute".into())
}

fn answered(options: &Options) -> bool {
    let call = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(options.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(&options.request)?;
        let mut start = [0; 12];
        stream.read_exact(&mut start)?;
        Ok(start.ends_with(b"200"))
    };
    call().unwrap_or(false)
}

fn log(options: &Options) -> Outcome<Stdio> {
    let Some(path) = &options.log else { return Ok(Stdio::null()) };
    let file = File::options().create(true).append(true).open(path);
    file.map(Stdio::from).map_err(|error| format!("{path}: {error}"))
}
