//! Many checks keep their pace: 2,000 servers are checked once a second by one worker. How late checks are is printed.

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use support::place::{TempDir, loopback_address, wait_until};
use support::process::Running;

const SERVERS: usize = 2_000;
const INTER: Duration = Duration::from_secs(1);
/// Checks that each server must have seen.
const CHECKS: usize = 4;
/// Longer than anything takes on the slowest machine.
const LIMIT: Duration = Duration::from_secs(90);
/// Connections that wait: a machine that stands still for a moment should not lose any.
const BACKLOG: i32 = 4096;

/// When each server was asked.
type Asked = Arc<Mutex<Vec<Vec<Instant>>>>;

/// The address of a server. All of them are one listener, which tells them apart by where a client came to.
fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 201, (number >> 8) as u8, number as u8)
}

fn listen() -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into()).expect("bind");
    socket.listen(BACKLOG).expect("listen");
    socket.into()
}

fn answer(mut stream: TcpStream, asked: &Asked) -> Option<()> {
    let begun = Instant::now();
    let SocketAddr::V4(at) = stream.local_addr().ok()? else { return None };
    let [_, _, high, low] = at.ip().octets();
    let number = usize::from(high) << 8 | usize::from(low);
    stream.set_read_timeout(Some(INTER)).ok()?;
    let (mut request, mut room) = (Vec::new(), [0; 512]);
    while !request.ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut room).ok().filter(|count| *count > 0)?;
        request.extend_from_slice(&room[..count]);
    }
    asked.lock().ok()?.get_mut(number)?.push(begun);
    stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").ok()
}

/// What this share of the times is not above.
fn within(times: &mut [Duration], share: f64) -> Duration {
    times.sort();
    times[((times.len() as f64 * share) as usize).min(times.len() - 1)]
}

/// How late a sleeper wakes on this machine, until it is told to stop: whatever is measured beside it has that, too.
fn lateness(stop: Arc<AtomicBool>) -> Vec<Duration> {
    const NAP: Duration = Duration::from_millis(10);
    let mut late = Vec::new();
    while !stop.load(Relaxed) || late.is_empty() {
        let begun = Instant::now();
        sleep(NAP);
        late.push(begun.elapsed().saturating_sub(NAP));
    }
    late
}

#[test]
fn two_thousand_servers_are_checked_every_second() {
    let dir = TempDir::new("pace").expect("temporary");
    let listener = listen();
    let port = listener.local_addr().expect("address").port();
    let asked: Asked = Arc::new(Mutex::new(vec![Vec::new(); SERVERS]));
    let nodes = Arc::clone(&asked);
    spawn(move || listener.incoming().flatten().for_each(|stream| _ = answer(stream, &nodes)));
    let mut config = format!(
        "global
    nbthread 1
defaults
    mode http
    timeout connect 20s
    timeout client 20s
    timeout server 20s
    timeout check 20s
frontend f
    bind {}:8001
    default_backend b
backend b
    option httpchk GET /
    default-server check inter {}s
",
        loopback_address(),
        INTER.as_secs()
    );
    for number in 0..SERVERS {
        config += &format!("    server s{number} {}:{port}\n", address(number));
    }
    let file = dir.path().join("pace.cfg");
    std::fs::write(&file, config).expect("write");
    let args = ["-db".to_owned(), "-f".to_owned(), file.display().to_string()];
    let stop = Arc::new(AtomicBool::new(false));
    let sleeper = spawn({
        let stop = Arc::clone(&stop);
        move || lateness(stop)
    });
    let binary = std::env::var_os("EPOXY_BIN").unwrap_or(env!("CARGO_BIN_EXE_epoxy").into());
    let process = Running::start(Path::new(&binary), "epoxy", &args, dir.path()).expect("start");
    let fewest = || asked.lock().expect("times").iter().map(Vec::len).min().unwrap_or_default();
    assert!(
        wait_until(LIMIT, || fewest() >= CHECKS),
        "a server was asked {} times only; {}",
        fewest(),
        process.stderr()
    );
    stop.store(true, Relaxed);
    let mut late = sleeper.join().expect("the sleeper");
    let asked = asked.lock().expect("times").clone();
    // The next check begins `inter` after the end of the one before.
    let pauses = asked.iter().flat_map(|times| times.windows(2).map(|two| two[1] - two[0]));
    let mut delays: Vec<Duration> = pauses.map(|pause| pause.saturating_sub(INTER)).collect();
    let [median, most, all] = [0.5, 0.99, 1.0].map(|share| within(&mut delays, share));
    let machine = within(&mut late, 1.0);
    // Past the test's own output, which nobody sees when it passes.
    let told = format!(
        "{} checks of {SERVERS} servers: late by {median:.1?}, 99 % no more than {most:.1?}, at worst {all:.1?}; \
         a sleeper on this machine at worst {machine:.1?}\n",
        delays.len()
    );
    let _ = std::io::stderr().write_all(told.as_bytes());
    assert!(most < Duration::from_millis(250) + 10 * machine, "{told}");
}
