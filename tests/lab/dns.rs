//! A real name server, dnsmasq, and a line to it that loses every fourth datagram.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::cluster::PATIENCE;
use crate::host::Host;
use crate::support::place::{TempDir, wait_until};

/// What the lossy line loses: one of so many.
const LOST: usize = 4;

/// dnsmasq on a host of its own: what it does not know below `lab` does not exist.
pub struct NameServer {
    pub host: Host,
    directory: TempDir,
    address: Ipv4Addr,
}

impl NameServer {
    /// Makes the folder; [`NameServer::serve`] starts it.
    pub fn new(host: Host, address: Ipv4Addr) -> Result<NameServer, String> {
        let directory = TempDir::new("dns").map_err(|error| format!("temporary: {error}"))?;
        Ok(NameServer { host, directory, address })
    }

    /// Starts it anew with these names: `(www.lab, addresses)`, and services `(_http._tcp.lab, host, port, weight)`.
    pub fn serve(&self, names: &[(&str, &[Ipv4Addr])], services: &[(&str, &str, u16, u16)]) -> Result<(), String> {
        self.die()?;
        let hosts: String = names
            .iter()
            .flat_map(|(name, addresses)| addresses.iter().map(move |address| format!("{address} {name}\n")))
            .collect();
        let services: String = services
            .iter()
            .map(|(service, host, port, weight)| format!("srv-host={service},{host},{port},0,{weight}\n"))
            .collect();
        let folder = self.directory.path().display().to_string();
        let write = |name: &str, text: String| {
            fs::write(self.directory.path().join(name), text).map_err(|error| format!("{name}: {error}"))
        };
        write("hosts", hosts)?;
        let address = self.address;
        write(
            "conf",
            format!(
                "no-resolv\nno-hosts\naddn-hosts={folder}/hosts\nlocal=/lab/\nuser=root\nlisten-address={address}\n\
                 bind-interfaces\npid-file={folder}/pid\nlog-facility={folder}/log\n{services}"
            ),
        )?;
        self.host.shell(&format!("dnsmasq --conf-file={folder}/conf")).map(drop)
    }

    /// Kills it, if it runs.
    pub fn die(&self) -> Result<(), String> {
        let file = self.directory.path().join("pid");
        let Ok(pid) = fs::read_to_string(&file) else { return Ok(()) };
        let pid = pid.trim();
        // Its number is one of the host's own.
        self.host.shell(&format!("kill -KILL {pid}"))?;
        let _ = fs::remove_file(&file);
        // Nobody reaps it there.
        let stat = || self.host.shell(&format!("cat /proc/{pid}/stat"));
        let gone = || stat().map_or(true, |stat| stat.contains(") Z "));
        if wait_until(PATIENCE, gone) { Ok(()) } else { Err("dnsmasq does not die".into()) }
    }
}

/// A line to the name server that loses every fourth datagram, in whichever direction it goes.
pub struct LossyLine {
    stop: Arc<AtomicBool>,
    /// Datagrams so far.
    passed: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl LossyLine {
    /// Listens at `from` on the host and passes on to `to`.
    pub fn start(host: &Host, from: SocketAddrV4, to: SocketAddrV4) -> Result<LossyLine, String> {
        let stop = Arc::new(AtomicBool::new(false));
        let passed = Arc::new(AtomicUsize::new(0));
        let (stopped, counter) = (Arc::clone(&stop), Arc::clone(&passed));
        let (told, ready) = std::sync::mpsc::channel();
        let thread = host.thread(move || {
            let socket = UdpSocket::bind(from).and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
            let _ = told.send(socket.as_ref().map(drop).map_err(|error| error.to_string()));
            if let Ok(socket) = socket {
                pass_on(&socket, to, &stopped, &counter);
            }
        });
        ready.recv().map_err(|error| error.to_string())??;
        Ok(LossyLine { stop, passed, thread: Some(thread) })
    }

    /// How many datagrams were lost.
    pub fn lost(&self) -> usize {
        self.passed.load(Ordering::Relaxed) / LOST
    }
}

impl Drop for LossyLine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn pass_on(socket: &UdpSocket, to: SocketAddrV4, stop: &AtomicBool, passed: &AtomicUsize) {
    let mut ways: HashMap<SocketAddr, UdpSocket> = HashMap::new();
    let mut room = [0; 4096];
    let is_lost = || (passed.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(LOST);
    while !stop.load(Ordering::Relaxed) {
        let mut idle = true;
        while let Ok((count, client)) = socket.recv_from(&mut room) {
            idle = false;
            if !ways.contains_key(&client)
                && let Ok(way) = UdpSocket::bind((*to.ip(), 0))
                && way.set_nonblocking(true).and_then(|()| way.connect(to)).is_ok()
            {
                ways.insert(client, way);
            }
            if let Some(way) = ways.get(&client).filter(|_| !is_lost()) {
                // A name server that has died refuses; that is not this line's concern.
                let _ = way.send(&room[..count]);
            }
        }
        for (client, way) in &ways {
            loop {
                match way.recv(&mut room) {
                    Ok(count) if !is_lost() => drop(socket.send_to(&room[..count], client)),
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                    Err(_) => break,
                }
                idle = false;
            }
        }
        if idle {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
