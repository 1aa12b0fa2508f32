//! Thousands of clients that keep an idle connection across reloads.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::fleet::{Fleet, Form, PATIENCE};
use crate::support::place::wait_until;
use crate::turn;

const RELOADS: usize = 20;

/// As many as the descriptors of one process allow for, ours and theirs.
fn clients() -> usize {
    let (soft, _) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).expect("limit");
    (soft as usize).saturating_sub(1000).min(10_000)
}

/// What a service uses.
#[derive(Debug)]
struct Usage {
    descriptors: usize,
    resident_kb: u64,
    processes: usize,
}

fn usage(fleet: &Fleet) -> Usage {
    let mut pids = fleet.workers();
    if !pids.contains(&fleet.current.pid()) {
        pids.push(fleet.current.pid());
    }
    let descriptors = pids.iter().map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)).sum();
    let resident = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    Usage { descriptors, resident_kb: pids.iter().map(resident).sum(), processes: pids.len() }
}

/// Connects and makes one request, so that the connection is an idle one.
fn idle_client(fleet: &Fleet) -> TcpStream {
    let mut stream = TcpStream::connect_timeout(&fleet.address.into(), PATIENCE).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    ask(&mut stream).expect("an answer");
    stream
}

fn ask(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: idle\r\n\r\n")?;
    let mut room = [0; 1024];
    match stream.read(&mut room)? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        got if room[..got].starts_with(b"HTTP/1.1 200 ") => Ok(()),
        got => Err(std::io::Error::other(String::from_utf8_lossy(&room[..got]).into_owned())),
    }
}

#[test]
fn ten_thousand_idle_clients_leave_nothing_behind_over_twenty_reloads() {
    let _turn = turn();
    let mut fleet = Fleet::start(Form::Finish, 2, "");
    // The second start is as the later ones are: with what it took over.
    fleet.reload(2);
    let before = usage(&fleet);
    let mut clients: Vec<TcpStream> = (0..clients()).map(|_| idle_client(&fleet)).collect();
    for _ in 0..RELOADS {
        fleet.reload(2);
        // Whoever was sent away comes back.
        for client in &mut clients {
            if ask(client).is_err() {
                *client = idle_client(&fleet);
            }
        }
    }
    assert_eq!(fleet.stat("f", "FRONTEND", "scur"), clients.len() as u64);
    drop(clients);
    let settled = |fleet: &Fleet| {
        let now = usage(fleet);
        now.processes == before.processes && now.descriptors <= before.descriptors + 2 * 3
    };
    assert!(wait_until(Duration::from_secs(5), || settled(&fleet)), "{before:?} {:?}", usage(&fleet));
    let after = usage(&fleet);
    eprintln!("{before:?} {after:?}");
    assert!(after.resident_kb < before.resident_kb * 2 + 4096, "{before:?} {after:?}");
    assert!(wait_until(PATIENCE, || fleet.stat("f", "FRONTEND", "scur") == 0));
}
