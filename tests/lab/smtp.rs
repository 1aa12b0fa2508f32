//! A mail server that keeps what it is sent (RFC 5321), and asks its first visitor to come again later.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use crate::host::Host;

/// Longest wait for a client's next line.
const PATIENCE: Duration = Duration::from_secs(10);

/// The running server; ends when dropped.
pub struct Sink {
    mails: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sink {
    /// Listens at port 25 of the host's loopback.
    pub fn start(host: &Host) -> Result<Sink, String> {
        let listening = host.thread(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 25)));
        let listener = listening.join().map_err(|_| "the mail server's thread died")?;
        let listener = listener.map_err(|error| format!("port 25: {error}"))?;
        listener.set_nonblocking(true).map_err(|error| format!("port 25: {error}"))?;
        let (mails, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (kept, stopped) = (Arc::clone(&mails), Arc::clone(&stop));
        let thread = spawn(move || {
            let mut visitors = 0;
            while !stopped.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((mut stream, _)) => {
                        visitors += 1;
                        let later = visitors == 1;
                        if later {
                            let _ = stream.write_all(b"421 come again later\r\n");
                        } else if let Some(mail) = receive(stream) {
                            kept.lock().expect("nobody panics with it").push(mail);
                        }
                    }
                    Err(_) => sleep(Duration::from_millis(5)),
                }
            }
        });
        Ok(Sink { mails, stop, thread: Some(thread) })
    }

    /// What came so far: each mail with its envelope, line by line.
    pub fn mails(&self) -> Vec<String> {
        self.mails.lock().expect("nobody panics with it").clone()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One conversation; nothing if it ends before the mail was taken.
fn receive(mut stream: TcpStream) -> Option<String> {
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut say = |text: &str| stream.write_all(text.as_bytes()).ok();
    say("220 sink\r\n")?;
    let (mut mail, mut in_data, mut taken) = (String::new(), false, false);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return taken.then_some(mail);
        }
        if in_data {
            in_data = line != ".\r\n";
            if !in_data {
                taken = true;
                say("250 taken\r\n")?;
            }
        } else if line.starts_with("DATA") || line.starts_with("data") {
            in_data = true;
            say("354 go on\r\n")?;
        } else if line.to_ascii_uppercase().starts_with("QUIT") {
            let _ = say("221 bye\r\n");
            return taken.then_some(mail);
        } else {
            line.insert_str(0, "");
            say("250 well\r\n")?;
        }
        // Python writes the verbs in lower case.
        let verb = line.split(':').next().unwrap_or_default();
        let upper = if taken || in_data { line.clone() } else { line.replacen(verb, &verb.to_ascii_uppercase(), 1) };
        mail.push_str(&upper);
    }
}
