//! What a reload costs: the time until the new process answers, and the longest request of those that meet it.

use std::fmt::Write;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use memchr::memmem;

use crate::client::{Clients, Seen, ask};
use crate::options::Row;
use crate::peers::{Bench, Running, free_port};
use crate::progress;

/// The two that know `-sf`.
pub const PROGRAMS: [&str; 2] = ["haproxy", "epoxy"];
/// Sizes of the configuration.
const BACKENDS: [u32; 3] = [10, 1_000, 30_000];
/// How long a new process may take to answer, and the old one to leave.
const PATIENCE: Duration = Duration::from_secs(60);
/// Clients of the row of the longest request, and reloads that they meet.
const CLIENTS: usize = 32;
const RELOADS: u32 = 20;
/// How long each process serves before it is replaced.
const SERVICE_TIME: Duration = Duration::from_millis(200);
/// All of them: clients, origin and both processes share the machine.
const CPUS: &str = "0,1";

/// From the start of the new process, with `-sf` and nothing else, to the first answer that bears its mark.
pub fn first_answer(bench: &Bench, row: Row, rounds: usize) -> Result<String, String> {
    let (_origin, origin) = bench.origin(CPUS)?;
    let mut text =
        format!("\n### {} (`{row}`)\n\n| | backends | median ms | longest ms |\n|---|---|---|---|\n", row.title());
    for backends in BACKENDS {
        for program in PROGRAMS.into_iter().filter(|program| bench.wants(program)) {
            let mut service = Service::start(bench, program, origin, backends)?;
            let mut times = Vec::new();
            for round in 0..rounds {
                progress(&format!("{row}: {program}, {backends} backends, round {}/{rounds}", round + 1));
                times.push(service.reload(bench)?);
            }
            times.sort();
            let ms = |time: &Duration| format!("{:.1}", time.as_secs_f64() * 1000.0);
            let (median, longest) = (ms(&times[times.len() / 2]), ms(&times[times.len() - 1]));
            let _ = writeln!(text, "| {program} | {backends} | {median} | {longest} |");
        }
    }
    progress("");
    Ok(text)
}

/// The same clients for the same time, without reloads and with them.
pub fn longest_request(bench: &Bench, row: Row) -> Result<String, String> {
    let (_origin, origin) = bench.origin(CPUS)?;
    let mut text = format!("\n### {} (`{row}`)\n\n", row.title());
    text += "| | reloads | requests | failed | 99.9 % ms | longest ms |\n|---|---|---|---|---|---|\n";
    for program in PROGRAMS.into_iter().filter(|program| bench.wants(program)) {
        let mut service = Service::start(bench, program, origin, BACKENDS[0])?;
        progress(&format!("{row}: {program}, {RELOADS} reloads"));
        let (begun, clients) = (Instant::now(), Clients::start(service.port, CLIENTS));
        for _ in 0..RELOADS {
            sleep(SERVICE_TIME);
            service.reload(bench)?;
        }
        sleep(SERVICE_TIME);
        let (met, span) = (clients.finish(), begun.elapsed());
        progress(&format!("{row}: {program}, no reload"));
        let clients = Clients::start(service.port, CLIENTS);
        sleep(span);
        line(&mut text, program, 0, clients.finish());
        line(&mut text, program, RELOADS, met);
    }
    progress("");
    Ok(text)
}

fn line(text: &mut String, program: &str, reloads: u32, mut seen: Seen) {
    seen.times.sort();
    let (requests, failed) = (seen.times.len(), seen.failed);
    let [most, all] = [0.999, 1.0].map(|share| seen.within_ms(share));
    let _ = writeln!(text, "| {program} | {reloads} | {requests} | {failed} | {most:.2} | {all:.2} |");
}

/// A proxy whose process is replaced; each one marks its answers.
struct Service {
    program: &'static str,
    port: u16,
    origin: u16,
    backends: u32,
    generation: u32,
    current: Running,
}

impl Service {
    fn start(bench: &Bench, program: &'static str, origin: u16, backends: u32) -> Result<Service, String> {
        let port = free_port()?;
        let arguments = configure(bench, port, origin, backends, 0)?;
        let current = Running::start(CPUS, &bench.binary(program), &arguments, port)
            .map_err(|error| format!("{program} with {backends} backends: {error}"))?;
        Ok(Service { program, port, origin, backends, generation: 0, current })
    }

    /// Replaces the process; how long it took until the new one answered.
    fn reload(&mut self, bench: &Bench) -> Result<Duration, String> {
        self.generation += 1;
        let mut arguments = configure(bench, self.port, self.origin, self.backends, self.generation)?;
        arguments.extend(["-sf".into(), self.current.id().to_string()]);
        let mark = format!("generation: {}\r\n", self.generation);
        let begun = Instant::now();
        let new = Running::spawn(CPUS, &bench.binary(self.program), &arguments)?;
        let mut old = std::mem::replace(&mut self.current, new);
        let answers = || ask(self.port).is_some_and(|bytes| memmem::find(&bytes, mark.as_bytes()).is_some());
        while !answers() {
            if begun.elapsed() > PATIENCE {
                return Err(format!("{}: the new process does not answer", self.program));
            }
            sleep(Duration::from_millis(1));
        }
        let time = begun.elapsed();
        if !old.wait(PATIENCE) {
            return Err(format!("{}: the old process does not leave", self.program));
        }
        Ok(time)
    }
}

/// Writes the configuration; gives the arguments to run it.
fn configure(bench: &Bench, port: u16, origin: u16, backends: u32, generation: u32) -> Result<Vec<String>, String> {
    let mut text = format!(
        "global
    maxconn 1000
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
frontend web
    bind 127.0.0.1:{port}
    http-response set-header generation {generation}
    default_backend b0
"
    );
    for backend in 0..backends {
        let _ = write!(text, "backend b{backend}\n    server s 127.0.0.1:{origin}\n");
    }
    let path = bench.directory().join("reload.cfg");
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(vec!["-db".into(), "-f".into(), path.display().to_string()])
}
