//! Log servers: sockets that collect the datagrams a proxy sends.

use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{io, str};

use super::place::bind_patiently;

/// How long a receiving thread sleeps before it looks whether it shall stop.
const POLL: Duration = Duration::from_millis(20);

/// A datagram socket and the datagrams it got, one string each.
pub struct Receiver {
    lines: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Binds a UDP socket.
    pub fn udp(address: SocketAddr) -> io::Result<Self> {
        let socket = bind_patiently(|| UdpSocket::bind(address))?;
        socket.set_read_timeout(Some(POLL))?;
        Ok(Self::spawn(move |buffer| socket.recv(buffer)))
    }

    /// Binds a UNIX datagram socket.
    pub fn unix(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::bind(path)?;
        socket.set_read_timeout(Some(POLL))?;
        Ok(Self::spawn(move |buffer| socket.recv(buffer)))
    }

    /// What came so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    fn spawn(mut receive: impl FnMut(&mut [u8]) -> io::Result<usize> + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (sink, stopped) = (Arc::clone(&lines), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut buffer = vec![0; 65536];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok(count) = receive(&mut buffer) {
                    let text = match str::from_utf8(&buffer[..count]) {
                        Ok(text) => text.to_owned(),
                        Err(_) => buffer[..count].escape_ascii().to_string(),
                    };
                    sink.lock().unwrap().push(text);
                }
            }
        });
        Self { lines, stop, thread: Some(thread) }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
