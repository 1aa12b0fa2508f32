//! The service manager's side of `-Ws`, played by the test.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::service::{PATIENCE, program};
use crate::support::place::{TempDir, loopback_address};

/// Waits for a message with this line.
fn hear(socket: &UnixDatagram, line: &str) -> String {
    let mut heard = Vec::new();
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let mut room = [0; 4096];
        let Ok(got) = socket.recv(&mut room) else { break };
        let text = String::from_utf8_lossy(&room[..got]).into_owned();
        if text.lines().any(|said| said == line) {
            return text;
        }
        heard.push(text);
    }
    panic!("no {line} in {heard:?}")
}

#[test]
fn the_service_manager_is_told() {
    let dir = TempDir::new("notify").expect("directory");
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("bind");
    socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let config = |global: &str| {
        let address = loopback_address();
        let text =
            format!("global\n {global}\ndefaults\n mode http\nfrontend f\n bind {address}:8001\n http-request deny\n");
        std::fs::write(dir.path().join("a.cfg"), text).expect("configuration");
    };
    config("");
    let start = Instant::now();
    // The manager names the process that it watches.
    let mut master = Command::new("sh")
        .args(["-c", "WATCHDOG_PID=$$ exec \"$0\" -Ws -f a.cfg"])
        .arg(program())
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "400000")
        .current_dir(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a start");
    let pid = master.id();
    assert!(hear(&socket, "READY=1").contains(&format!("MAINPID={pid}\n")));
    (0..4).for_each(|_| drop(hear(&socket, "WATCHDOG=1")));
    // One each half of the time that is allowed.
    assert!(start.elapsed() >= Duration::from_millis(600), "{:?}", start.elapsed());
    let tell = |signal| kill(Pid::from_raw(pid as i32), signal).expect("signal");
    for (global, status) in [("", "STATUS=Ready: 1 workers, 1 reloads"), ("bogus", "STATUS=The last reload failed")] {
        config(global);
        tell(Signal::SIGUSR2);
        let reloading = hear(&socket, "RELOADING=1");
        let us = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).and_then(|us| us.parse().ok());
        assert!(us.is_some_and(|us: u64| us > 0), "{reloading}");
        let ready = hear(&socket, "READY=1");
        assert!(ready.contains(status), "{ready}");
        hear(&socket, "WATCHDOG=1");
    }
    tell(Signal::SIGTERM);
    hear(&socket, "STOPPING=1");
    std::thread::sleep(Duration::from_millis(10));
    assert_eq!(master.wait().expect("end").code(), Some(0));
}

#[test]
fn a_manager_that_does_not_listen_holds_nobody_up() {
    let dir = TempDir::new("notify").expect("directory");
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("bind");
    let filler = UnixDatagram::unbound().expect("socket");
    filler.set_nonblocking(true).expect("flags");
    while filler.send_to(b"x", &path).is_ok() {}
    let address = loopback_address();
    let text = format!("defaults\n mode http\nfrontend f\n bind {address}:8001\n http-request deny\n");
    std::fs::write(dir.path().join("a.cfg"), text).expect("configuration");
    let mut master = Command::new(program())
        .args(["-Ws", "-f", "a.cfg"])
        .env("NOTIFY_SOCKET", &path)
        .current_dir(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a start");
    let serves = || std::net::TcpStream::connect((address, 8001)).is_ok();
    assert!(crate::support::place::wait_until(PATIENCE, serves));
    socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
    // It is told when it listens again.
    hear(&socket, "READY=1");
    kill(Pid::from_raw(master.id() as i32), Signal::SIGTERM).expect("signal");
    assert_eq!(master.wait().expect("end").code(), Some(0));
}
