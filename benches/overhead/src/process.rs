//! What a process has cost so far, from /proc.

use crate::Outcome;

/// Clock ticks a second: Linux reports process times in hundredths.
const TICKS: f64 = 100.0;

/// Milliseconds of processor time, user and system, all threads.
pub fn cpu_ms(pid: u32) -> Outcome<f64> {
    let text = read(pid, "stat")?;
    // The name in brackets may hold spaces: count from behind it.
    let fields: Vec<&str> = text.rsplit(") ").next().unwrap_or("").split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    let (user, system) = ticks(11).zip(ticks(12)).ok_or("no times in /proc")?;
    Ok((user + system) * 1000.0 / TICKS)
}

/// Resident memory now and at its peak, in KiB.
pub fn memory_kib(pid: u32) -> Outcome<(u64, u64)> {
    let text = read(pid, "status")?;
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
    };
    Ok((field("VmRSS:"), field("VmHWM:")))
}

fn read(pid: u32, file: &str) -> Outcome<String> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
}
