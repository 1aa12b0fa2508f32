//! Where a test happens: a loopback address that no other test uses, so that its ports can be fixed,
//! and a temporary directory that goes away with it.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{fs, io, process, thread};

static NEXT_SLOT: AtomicU32 = AtomicU32::new(0);

/// An address in 127.0.0.0/8 for one test: the process id picks a /24, a counter the host.
///
/// All of 127.0.0.0/8 is local on Linux, so each test can use the ports it likes on an address of its
/// own, without the races of asking the system for free ports.
pub fn loopback_address() -> Ipv4Addr {
    loop {
        let slot = NEXT_SLOT.fetch_add(1, Ordering::Relaxed);
        let block = process::id().wrapping_add(slot / 250 * 7919) % (120 * 256);
        let address = Ipv4Addr::new(127, 8 + (block / 256) as u8, (block % 256) as u8, 1 + (slot % 250) as u8);
        // Another test process may have chosen the same block: its proxies or nodes would be in the way.
        if TcpListener::bind((address, 1)).is_ok() && !anything_listens(address) {
            return address;
        }
    }
}

/// A free TCP port of 127.0.0.1, for a test that cannot use an address of its own.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// Addresses and ports of the machine that are in state LISTEN, seen without touching them.
fn listening() -> Vec<SocketAddrV4> {
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let sockets = table.lines().skip(1).filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (address, port) = words.next()?.split_once(':')?;
        let state = words.nth(1)?;
        let address = u32::from_str_radix(address, 16).ok()?;
        let port = u16::from_str_radix(port, 16).ok()?;
        (state == "0A").then(|| SocketAddrV4::new(Ipv4Addr::from(address.to_be()), port))
    });
    sockets.collect()
}

fn anything_listens(address: Ipv4Addr) -> bool {
    listening().iter().any(|socket| *socket.ip() == address)
}

/// True as soon as something listens on `address`, or on its port for every address. A connection
/// would be counted and logged by the proxy under test, hence no connection.
pub fn listens(address: SocketAddrV4) -> bool {
    listening()
        .iter()
        .any(|socket| socket.port() == address.port() && (socket.ip() == address.ip() || socket.ip().is_unspecified()))
}

/// Waits until something listens on `address`; false when `limit` has passed.
pub fn wait_listening(address: SocketAddr, limit: Duration) -> bool {
    let SocketAddr::V4(address) = address else {
        return false;
    };
    wait_until(limit, || listens(address))
}

/// The sandbox as a line of `global`, where this kernel has all of it.
#[allow(dead_code)]
pub fn sandbox_line() -> &'static str {
    use epoxy::process::sandbox::{has_landlock, has_seccomp};
    if has_landlock() && has_seccomp() { "    sandbox landlock seccomp\n" } else { "" }
}

/// Asks `done` every few milliseconds; false when `limit` has passed without a yes.
pub fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !done() {
        if start.elapsed() > limit {
            return false;
        }
        thread::sleep(Duration::from_millis(3));
    }
    true
}

/// Binds with `bind`, again and again while the address is in use: a process that is just being started
/// by another test holds copies of this one's closed sockets until it executes its program.
pub fn bind_patiently<T>(bind: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let limit = Instant::now() + Duration::from_secs(2);
    loop {
        match bind() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < limit => {
                thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}

/// A directory that is removed when the value is dropped.
pub struct TempDir(PathBuf);

impl TempDir {
    /// Creates `/tmp/epoxy-NAME-PID-N`; short, because UNIX socket paths are limited to 107 bytes.
    pub fn new(name: &str) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("epoxy-{name}-{}-{count}", process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
