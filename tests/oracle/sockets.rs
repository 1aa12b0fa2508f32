//! The TCP sockets of a running proxy, and the options that they have: copies of its descriptors are asked.

use std::fs;
use std::net::SocketAddr;

use epoxy::sys::pidfd::Process;
use socket2::SockRef;

/// A line for each listening socket and each connection, sorted; equal ones once, for how many idle connections
/// there are depends on time. `name` says what a port is called.
///
/// # Errors
/// The process is gone, or may not be looked into.
pub fn describe(pid: u32, name: impl Fn(u16) -> Option<&'static str>) -> Result<Vec<String>, String> {
    let pid = i32::try_from(pid).map_err(|error| error.to_string())?;
    let process = Process::open(pid).map_err(|error| error.to_string())?;
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).map_err(|error| error.to_string())?;
    let mut lines = Vec::new();
    for entry in entries.flatten() {
        let is_socket = fs::read_link(entry.path()).is_ok_and(|link| link.to_string_lossy().starts_with("socket:"));
        let Some(number) = entry.file_name().to_str().and_then(|number| number.parse().ok()).filter(|_| is_socket)
        else {
            continue;
        };
        // One that was closed in between is not there any more.
        let Ok(copy) = process.copy_descriptor(number) else { continue };
        lines.extend(line(&SockRef::from(&copy), &name));
    }
    lines.sort();
    lines.dedup();
    Ok(lines)
}

fn line(socket: &SockRef<'_>, name: impl Fn(u16) -> Option<&'static str>) -> Option<String> {
    let port = |address: SocketAddr| name(address.port());
    let local = socket.local_addr().ok()?.as_socket()?;
    if socket.is_listener().ok()? {
        let who = port(local)?;
        let lingers = lingers(socket);
        let quick = if socket.tcp_quickack().ok()? { "acknowledges at once" } else { "acknowledges with data" };
        return Some(format!("listener {who}: {lingers}, {quick}"));
    }
    let peer = socket.peer_addr().ok()?.as_socket()?;
    let who = port(local).map(|name| format!("client of {name}")).or(port(peer).map(str::to_owned))?;
    let delays = if socket.tcp_nodelay().ok()? { "sends at once" } else { "waits for full segments" };
    Some(format!("{who}: {}, {delays}, {}{}", lingers(socket), keepalive(socket)?, patience(socket)?))
}

/// What a close does to what is not sent yet.
fn lingers(socket: &SockRef<'_>) -> &'static str {
    match socket.linger() {
        Ok(Some(_)) => "resets on close",
        _ => "closes",
    }
}

/// How long it waits for acknowledgements, where that is not the system's choice.
fn patience(socket: &SockRef<'_>) -> Option<String> {
    let wait = socket.tcp_user_timeout().ok()?;
    Some(wait.map_or_else(String::new, |wait| format!(", waits {} ms for acknowledgements", wait.as_millis())))
}

/// TCP keep-alives; the system's figures are not of interest.
fn keepalive(socket: &SockRef<'_>) -> Option<String> {
    if !socket.keepalive().ok()? {
        return Some("no keep-alives".to_owned());
    }
    let count = socket.tcp_keepalive_retries().ok()?;
    let (idle, interval) = (socket.tcp_keepalive_time().ok()?, socket.tcp_keepalive_interval().ok()?);
    Some(format!("{count} keep-alives after {} s, every {} s", idle.as_secs(), interval.as_secs()))
}
