//! The measurements: CPU of the proxy from /proc, a bounded load by wrk, system calls by strace.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::options::Load;

/// What one run of wrk showed.
#[derive(Clone, Debug)]
pub struct Sample {
    pub user_us: f64,
    pub total_us: f64,
    pub requests_per_second: f64,
}

/// System calls per request.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// Those that move bytes: the recv, send, read, write and splice families.
    pub data: f64,
    pub all: f64,
    /// The most frequent ones, by name.
    pub by_name: Vec<(String, f64)>,
}

/// Loads `port` and gives the CPU that `pid` and its children spent on each request.
pub fn cpu_under_load(pid: u32, port: u16, load: &Load) -> Result<Sample, String> {
    let before = Cpu::of_tree(pid)?;
    let answered = wrk(port, load)?;
    let after = Cpu::of_tree(pid)?;
    let total_ns = (after.total_ns - before.total_ns) as f64;
    let ticks = (after.user_ticks + after.system_ticks - before.user_ticks - before.system_ticks).max(1) as f64;
    let user_ns = total_ns * (after.user_ticks - before.user_ticks) as f64 / ticks;
    let requests = answered.requests as f64;
    Ok(Sample {
        user_us: user_ns / 1000.0 / requests,
        total_us: total_ns / 1000.0 / requests,
        requests_per_second: answered.per_second,
    })
}

/// Nanoseconds of CPU that `pid` and its children have had.
pub fn cpu_ns(pid: u32) -> Result<u64, String> {
    Cpu::of_tree(pid).map(|cpu| cpu.total_ns)
}

/// Loads `port` while strace counts what `pid` and its children ask of the kernel.
pub fn calls_under_load(pid: u32, port: u16, load: &Load) -> Result<Calls, String> {
    let counts = std::env::temp_dir().join(format!("epoxy-bench-strace-{}", std::process::id()));
    let mut strace = Command::new("strace");
    strace.args(["-q", "-f", "-c", "-o"]).arg(&counts);
    for member in tree(pid) {
        strace.args(["-p", &member.to_string()]);
    }
    let mut strace =
        strace.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(|error| format!("strace: {error}"))?;
    sleep(Duration::from_millis(300));
    let answered = wrk(port, load);
    // strace prints its table when it is interrupted.
    let _ = kill(Pid::from_raw(strace.id() as i32), Signal::SIGINT);
    strace.wait().map_err(|error| format!("strace: {error}"))?;
    let table = fs::read_to_string(&counts).map_err(|error| format!("strace: {error}"))?;
    let _ = fs::remove_file(&counts);
    Ok(calls(&table, answered?.requests))
}

/// Reads strace's summary: `% time, seconds, usecs/call, calls, [errors,] syscall`.
fn calls(table: &str, requests: u64) -> Calls {
    const DATA: [&str; 11] = [
        "read", "readv", "write", "writev", "recvfrom", "recvmsg", "recvmmsg", "sendto", "sendmsg", "splice",
        "sendfile",
    ];
    let mut counts: BTreeMap<&str, f64> = BTreeMap::new();
    for line in table.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (Some(name), Some(count)) = (words.last(), words.get(3)) else {
            continue;
        };
        if let (Ok(count), false) = (count.parse::<f64>(), *name == "total") {
            *counts.entry(name).or_default() += count / requests.max(1) as f64;
        }
    }
    let mut by_name: Vec<(String, f64)> = counts.iter().map(|(name, count)| (name.to_string(), *count)).collect();
    by_name.sort_by(|a, b| b.1.total_cmp(&a.1));
    by_name.retain(|(_, count)| *count >= 0.01);
    Calls {
        data: counts.iter().filter(|(name, _)| DATA.contains(name)).map(|(_, count)| count).sum(),
        all: counts.values().sum(),
        by_name,
    }
}

/// What wrk counted.
struct Answered {
    requests: u64,
    per_second: f64,
}

fn wrk(port: u16, load: &Load) -> Result<Answered, String> {
    let mut wrk = Command::new("taskset");
    wrk.args(["-c", load.cpus, "wrk", "-t1", "--timeout", "10s"])
        .arg(format!("-c{}", load.connections))
        .arg(format!("-d{}s", load.duration.as_secs()));
    if load.close {
        wrk.args(["-H", "Connection: close"]);
    }
    wrk.arg(format!("http://127.0.0.1:{port}{}", load.path));
    let output = wrk.output().map_err(|error| format!("wrk: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    for line in text.lines() {
        if line.contains("Non-2xx") || line.contains("Socket errors") {
            return Err(line.trim().to_string());
        }
    }
    let requests = text
        .lines()
        .find_map(|line| line.trim().split_once(" requests in "))
        .and_then(|(count, _)| count.parse().ok())
        .filter(|count| *count > 0);
    let per_second =
        text.lines().find_map(|line| line.strip_prefix("Requests/sec:")).and_then(|rate| rate.trim().parse().ok());
    match (requests, per_second) {
        (Some(requests), Some(per_second)) => Ok(Answered { requests, per_second }),
        _ => Err(format!("wrk said: {text}{}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// CPU spent so far.
struct Cpu {
    /// Nanoseconds, from the scheduler's own account.
    total_ns: u64,
    /// Only for the share of user and system: ticks are too coarse for more.
    user_ticks: u64,
    system_ticks: u64,
}

impl Cpu {
    fn of_tree(pid: u32) -> Result<Cpu, String> {
        let mut sum = Cpu { total_ns: 0, user_ticks: 0, system_ticks: 0 };
        for member in tree(pid) {
            let tasks =
                fs::read_dir(format!("/proc/{member}/task")).map_err(|_| format!("process {member} is gone"))?;
            for task in tasks.flatten() {
                let word = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
                sum.total_ns += number(word.split_whitespace().next());
                let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
                // The name in parentheses may hold anything; fields are counted after it.
                let fields: Vec<&str> = after_name(&stat).split_whitespace().collect();
                sum.user_ticks += number(fields.get(11).copied());
                sum.system_ticks += number(fields.get(12).copied());
            }
        }
        Ok(sum)
    }
}

/// `pid` and all its descendants.
pub fn tree(pid: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let process = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let parent = after_name(&stat).split_whitespace().nth(1)?.parse().ok()?;
            Some((process, parent))
        })
        .collect();
    let mut members = vec![pid];
    let mut next = 0;
    while let Some(&parent) = members.get(next) {
        members.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        next += 1;
    }
    members
}

fn after_name(stat: &str) -> &str {
    stat.rsplit_once(')').map_or("", |(_, fields)| fields)
}

fn number(word: Option<&str>) -> u64 {
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}
