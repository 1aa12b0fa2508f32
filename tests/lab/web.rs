//! A node that needs no program: a thread in a host's network that answers every request with its name.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use crate::host::Host;
use crate::support::message::{Kind, Progress, progress};

/// How often threads look whether they shall end.
const LOOK: Duration = Duration::from_millis(20);

/// A running node; ends when dropped.
pub struct Web {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Web {
    /// Serves `address:port` in the host's network.
    pub fn start(host: &Host, address: Ipv4Addr, port: u16) -> Result<Web, String> {
        let name = host.name;
        let listening = host.thread(move || TcpListener::bind(SocketAddrV4::new(address, port)));
        let listener = listening.join().map_err(|_| "a node's thread died")?;
        let listener = listener.map_err(|error| format!("{name}: {error}"))?;
        listener.set_nonblocking(true).map_err(|error| format!("{name}: {error}"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        let stopped = Arc::clone(&stopped);
                        spawn(move || serve(stream, name, &stopped));
                    }
                    Err(_) => sleep(Duration::from_millis(1)),
                }
            }
        });
        Ok(Web { stop, thread: Some(thread) })
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Answers until the peer has closed or the node ends.
fn serve(mut stream: TcpStream, name: &str, stop: &AtomicBool) {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}\n", name.len() + 1);
    let mut bytes = Vec::new();
    let mut room = [0; 4096];
    if stream.set_nonblocking(false).and_then(|()| stream.set_read_timeout(Some(LOOK))).is_err() {
        return;
    }
    while !stop.load(Ordering::Relaxed) {
        while let Progress::Complete(length) = progress(&bytes, Kind::Request) {
            bytes.drain(..length);
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
        match stream.read(&mut room) {
            Ok(count @ 1..) => bytes.extend_from_slice(&room[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            _ => return,
        }
    }
}
