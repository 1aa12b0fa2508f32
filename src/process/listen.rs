//! Listening sockets: opened here while the process still may, then handed to the workers
//! (configuration manual 4.2 `bind` and 5.1).

use super::plan::{ListenOwner, ListenSpec};
use super::pull::Pulled;
use super::takeover::{self, Taken};
use super::{Stop, notice, old};
use crate::proxy::NumberSet;
use crate::proxy::bind::{BindOptions, ListenAddress};
use crate::proxy::namespace::within;
use crate::sys::{fds, socket as sys};
use nix::sys::signal::Signal;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An open listening socket, non-blocking and closed on exec.
#[derive(Debug)]
pub struct Listener {
    /// Who accepts on it.
    pub owner: ListenOwner,
    /// Where it listens, as configured.
    pub address: ListenAddress,
    /// The socket.
    pub socket: OwnedFd,
    /// The workers that accept on it.
    pub workers: NumberSet,
    /// The interface that it is bound to.
    pub interface: Option<String>,
    /// The name of its network namespace.
    pub namespace: Option<String>,
}

/// How often old processes are asked to make room, and how long they get each time: HAProxy's figures.
const RETRIES: u32 = 200;
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// How long a connection may stay silent under `defer-accept` before it is reported all the same.
const DEFER_ACCEPT_WAIT: Duration = Duration::from_secs(1);

/// Why an address cannot be listened on.
#[derive(Debug)]
struct Fault {
    /// `Binding` or `Starting`: HAProxy's two phases.
    phase: &'static str,
    text: String,
    in_use: bool,
}

/// What all sockets have in common.
pub struct Common {
    /// Set SO_REUSEPORT, so that other processes may listen on the same address.
    pub reuse_port: bool,
    /// Length of the queue where nothing names one.
    pub backlog: u32,
    /// Only bind, so that no connection comes: a trial.
    pub trial: bool,
}

/// The sockets that addresses need: one a worker, so that the kernel spreads connections, where several may be
/// bound to one address; otherwise one that all workers share.
pub fn spread(specs: &[ListenSpec], workers: u32, reuse_port: bool) -> Vec<ListenSpec> {
    let mut spread = Vec::with_capacity(specs.len());
    for spec in specs {
        if workers > 1 && reuse_port && spec.is_ip() {
            let each = |number| ListenSpec { workers: NumberSet::only(number), ..spec.clone() };
            spread.extend(spec.workers.iter().map(each));
        } else {
            spread.push(spec.clone());
        }
    }
    spread
}

/// Opens a socket for each of `specs`, or finds it among those `taken` from an old process; further sockets taken
/// for the same addresses are kept, because connections wait in their queues. Addresses that old processes hold
/// are asked of them. On failure the messages are printed, and old processes listen again.
pub fn bind_all(specs: &[ListenSpec], common: &Common, taken: Pulled, old_pids: &[i32]) -> Result<Vec<Listener>, Stop> {
    let Pulled { sockets: mut taken, complete } = taken;
    let found = specs.iter().map(|spec| {
        let socket = takeover::matching(&mut taken, &spec.address, &spec.options)?;
        if let ListenAddress::Unix(path) = &spec.address {
            // The socket may have outlived its name, and another may have it now.
            path.metadata().ok().filter(|file| file.file_type().is_socket() && is_bound_to(&socket, file))?;
            if !common.trial {
                own(path, &spec.options).ok()?;
            }
        }
        finish(Socket::from(socket), spec, common, Vec::new()).ok()
    });
    let sockets: Vec<Option<Opened>> = found.collect();
    let surplus = surplus(specs, &mut taken, common, |taken, spec| taken.fits(&spec.address, &spec.options));
    // Old processes that are known to have nothing in the way are not troubled: while they make room, nobody
    // is served.
    let theirs = |spec: &ListenSpec| !complete || taken.iter().any(|taken| taken.is_in_the_way_of(&spec.address));
    let mut pids = old_pids.to_vec();
    let mut ask = |signal| {
        pids = old::tell(&pids, signal);
        std::thread::sleep(RETRY_PAUSE);
        !pids.is_empty()
    };
    let mut old = OldOnes { are_left: !old_pids.is_empty(), may_have: &theirs, ask: &mut ask };
    let mut listeners = bind_or_ask(specs, common, sockets, &mut old)?;
    listeners.extend(surplus);
    // Where an address was named that is one of all now, its clients would be sent away when the old process closes
    // what the kernel prefers until then.
    let parts = |taken: &Taken, spec: &ListenSpec| taken.is_part_of(&spec.address, &spec.options);
    listeners.extend(self::surplus(specs, &mut taken, common, parts));
    Ok(listeners)
}

/// What old processes had for an address beyond what is needed now (there were more workers): the queues go to
/// the workers in turn.
fn surplus(
    specs: &[ListenSpec],
    taken: &mut Vec<Taken>,
    common: &Common,
    is_for: impl Fn(&Taken, &ListenSpec) -> bool,
) -> Vec<Listener> {
    let mut listeners = Vec::new();
    for spec in specs.iter().filter(|spec| spec.is_ip()) {
        if taken.is_empty() {
            break;
        }
        // All that fit are taken at the first of the address's workers; the others find none left.
        let mut users = specs.iter().filter(|other| other.address == spec.address).cycle();
        while let Some(socket) = takeover::remove(taken, |taken| is_for(taken, spec)) {
            let Some(user) = users.next() else { break };
            if let Ok(opened) = finish(Socket::from(socket), user, common, Vec::new()) {
                listeners.push(opened.into_listener(user));
            }
        }
    }
    listeners
}

/// Old processes, as far as they may be in the way.
struct OldOnes<'a> {
    /// There are any.
    are_left: bool,
    /// Whether it may be them who have an address.
    may_have: &'a dyn Fn(&ListenSpec) -> bool,
    /// Sends them a signal and tells whether any is left.
    ask: &'a mut dyn FnMut(Signal) -> bool,
}

/// Opens the sockets that are missing.
fn bind_or_ask(
    specs: &[ListenSpec],
    common: &Common,
    mut sockets: Vec<Option<Opened>>,
    old: &mut OldOnes<'_>,
) -> Result<Vec<Listener>, Stop> {
    let mut attempt = 0;
    loop {
        let mut faults = Vec::new();
        for (slot, spec) in sockets.iter_mut().zip(specs).filter(|(slot, _)| slot.is_none()) {
            match open(spec, common) {
                Ok(opened) => *slot = Some(opened),
                Err(fault) => faults.push((spec, fault)),
            }
        }
        faults.retain(|(spec, fault)| !fault.in_use || !share(spec, &mut sockets, specs));
        if faults.is_empty() {
            break;
        }
        let would_help = faults.iter().all(|(spec, fault)| fault.in_use && (old.may_have)(spec));
        if old.are_left && attempt < RETRIES && would_help {
            attempt += 1;
            old.are_left = (old.ask)(Signal::SIGTTOU);
            continue;
        }
        // Its workers need not all say it.
        faults.dedup_by(|(a, _), (b, _)| a.is_same_line(b));
        for (spec, fault) in &faults {
            notice::alert(spec.message(fault.phase, &fault.text));
        }
        // What was bound here would keep them from listening again.
        drop(sockets);
        if attempt > 0 {
            (old.ask)(Signal::SIGTTIN);
        }
        return Err(Stop);
    }
    if attempt > 0 {
        listen_again(&sockets, specs, common);
    }
    let opened = sockets.into_iter().zip(specs).filter_map(|(opened, spec)| Some(opened?.into_listener(spec)));
    Ok(opened.collect())
}

/// Has a worker use another worker's socket for an address which takes no second one: it was bound without
/// SO_REUSEPORT. False if there is none yet.
fn share(spec: &ListenSpec, sockets: &mut [Option<Opened>], specs: &[ListenSpec]) -> bool {
    let mut pairs = sockets.iter_mut().zip(specs).filter(|(_, other)| other.is_same_line(spec));
    let Some((opened, other)) = pairs.find_map(|(opened, other)| Some((opened.as_mut()?, other))) else { return false };
    let users = opened.shared_with.unwrap_or(other.workers);
    opened.shared_with = Some(NumberSet(users.0 | spec.workers.0));
    true
}

/// Undoes that an old process which made room stopped listening on a socket that both have.
fn listen_again(sockets: &[Option<Opened>], specs: &[ListenSpec], common: &Common) {
    for (opened, spec) in sockets.iter().zip(specs).filter_map(|(opened, spec)| Some((opened.as_ref()?, spec))) {
        // One that cannot listen any more has been closed by nobody: there is nothing to say of it.
        let _ = listen(&SockRef::from(&opened.socket), spec, common);
    }
}

/// Listens unless the socket does so already.
fn listen(socket: &Socket, spec: &ListenSpec, common: &Common) -> io::Result<()> {
    if common.trial || socket.is_listener()? {
        return Ok(());
    }
    let backlog = spec.backlog(common);
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))
}

/// A socket with the complaints that did not keep it from opening.
struct Opened {
    socket: OwnedFd,
    warnings: Vec<(&'static str, String)>,
    /// Workers that could have no socket of their own for the address use this one, too.
    shared_with: Option<NumberSet>,
}

impl Opened {
    fn into_listener(self, spec: &ListenSpec) -> Listener {
        for (phase, text) in &self.warnings {
            notice::warning(spec.message(phase, text));
        }
        Listener {
            owner: spec.owner,
            address: spec.address.clone(),
            socket: self.socket,
            workers: self.shared_with.unwrap_or(spec.workers),
            interface: spec.options.interface.clone(),
            namespace: spec.options.namespace.as_ref().map(|namespace| namespace.name.clone()),
        }
    }
}

impl ListenSpec {
    fn message(&self, phase: &str, text: &str) -> String {
        let place = if self.place.is_empty() { String::new() } else { format!(" [{}]", self.place) };
        match &self.address {
            ListenAddress::Ip(address) => {
                format!("{phase}{place} for {}: {text} for [{}:{}]", self.label, address.ip(), address.port())
            }
            ListenAddress::Unix(path) => format!("{phase}{place} for {}: {text} [{}]", self.label, path.display()),
            ListenAddress::Abstract(_) => format!("{phase}{place} for {}: {text} []", self.label),
            ListenAddress::Fd(number) => format!("{phase}{place} for {}: {text} for [fd@{number}]", self.label),
        }
    }
}

const BINDING: &str = "Binding";
const STARTING: &str = "Starting";

fn fault(phase: &'static str, what: &str, error: &io::Error) -> Fault {
    let in_use = error.kind() == io::ErrorKind::AddrInUse;
    Fault { phase, text: format!("{what} ({})", notice::reason(error)), in_use }
}

/// Opens, binds and listens.
fn open(spec: &ListenSpec, common: &Common) -> Result<Opened, Fault> {
    let mut warnings = Vec::new();
    let socket = match &spec.address {
        ListenAddress::Ip(address) => bind_ip(*address, &spec.options, common.reuse_port, &mut warnings)?,
        ListenAddress::Unix(path) => bind_unix(path, &spec.options, common.trial)?,
        ListenAddress::Abstract(name) => bind_abstract(name, &spec.options)?,
        ListenAddress::Fd(number) => adopt(*number)?,
    };
    finish(socket, spec, common, warnings)
}

/// What is done to a bound socket, whoever bound it.
fn finish(
    socket: Socket,
    spec: &ListenSpec,
    common: &Common,
    mut warnings: Vec<(&'static str, String)>,
) -> Result<Opened, Fault> {
    if spec.is_ip() {
        tune_ip(&socket, &spec.options, spec.backlog(common), &mut warnings);
    }
    let flags = socket.set_nonblocking(true).and_then(|()| socket.set_cloexec(true));
    let what = if spec.is_ip() { "cannot listen to socket" } else { "cannot listen to UNIX socket" };
    flags.and_then(|()| listen(&socket, spec, common)).map_err(|error| fault(STARTING, what, &error))?;
    if spec.is_ip() {
        // Connections have what their listener has. A socket that was taken over may have it otherwise.
        let _only_packets_are_saved = socket.set_tcp_quickack(!spec.smart_accept);
        let _only_lingers = socket.set_linger(spec.no_linger.then_some(Duration::ZERO));
    }
    Ok(Opened { socket: socket.into(), warnings, shared_with: None })
}

impl ListenSpec {
    fn backlog(&self, common: &Common) -> u32 {
        self.options.backlog.or(self.backlog).unwrap_or(common.backlog)
    }

    /// Whether both are of one address of one line, for different workers.
    fn is_same_line(&self, other: &ListenSpec) -> bool {
        self.owner == other.owner && self.address == other.address
    }

    fn is_ip(&self) -> bool {
        matches!(self.address, ListenAddress::Ip(_))
    }
}

/// Who lacks the right to enter namespaces that it may have had.
const GIVEN_UP: &str = "a master that started without addresses in namespaces has given that right up: start it anew";

/// A socket that cannot be made. A master keeps what its first configuration needs, which who reloads has to be told.
fn no_socket(options: &BindOptions, error: &io::Error) -> Fault {
    let mut fault = fault(BINDING, "cannot create receiving socket", error);
    if let (Some(namespace), io::ErrorKind::PermissionDenied) = (&options.namespace, error.kind()) {
        let name = &namespace.name;
        fault.text += &format!(", namespace '{name}' may not be entered ({GIVEN_UP})");
    }
    fault
}

fn bind_ip(
    address: SocketAddr,
    options: &BindOptions,
    reuse_port: bool,
    warnings: &mut Vec<(&'static str, String)>,
) -> Result<Socket, Fault> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let make = || Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP));
    let socket = within(options.namespace.as_ref(), make).map_err(|error| no_socket(options, &error))?;
    let _ = socket.set_reuse_address(true);
    if reuse_port {
        let _ = socket.set_reuse_port(true);
    }
    if options.transparent {
        sys::set_transparent(&socket, address.is_ipv6())
            .map_err(|error| fault(BINDING, "cannot do transparent binding", &error))?;
    }
    if let Some(device) = &options.interface
        && let Err(error) = socket.bind_device(Some(device.as_bytes()))
    {
        let reason = notice::reason(&error);
        warnings.push((BINDING, format!("cannot bind receiver to device '{device}' ({reason})")));
    }
    if address.is_ipv6() && (options.v6only || options.v4v6) {
        let _ = socket.set_only_v6(options.v6only);
    }
    socket.bind(&SockAddr::from(address)).map_err(|error| fault(BINDING, "cannot bind socket", &error))?;
    Ok(socket)
}

/// Options that do no harm where they cannot be had.
fn tune_ip(socket: &Socket, options: &BindOptions, backlog: u32, warnings: &mut Vec<(&'static str, String)>) {
    if let Some(mss) = options.mss
        && sys::set_int(socket, libc::IPPROTO_TCP, libc::TCP_MAXSEG, mss).is_err()
    {
        warnings.push((STARTING, format!("cannot set MSS to {mss}")));
    }
    if let Some(timeout) = options.tcp_user_timeout {
        let timeout = Duration::from_millis(timeout.0);
        if socket.set_tcp_user_timeout(Some(timeout)).is_err() {
            warnings.push((STARTING, "cannot set TCP User Timeout".to_owned()));
        }
    }
    if options.defer_accept && sys::set_defer_accept(socket, DEFER_ACCEPT_WAIT).is_err() {
        warnings.push((STARTING, "cannot enable DEFER_ACCEPT".to_owned()));
    }
    if options.fast_open && sys::set_fast_open(socket, backlog).is_err() {
        warnings.push((STARTING, "cannot enable TCP_FASTOPEN".to_owned()));
    }
}

/// Binds a path: under a temporary name first, so that the final name always leads to a working socket with
/// the right owner, the old process's or ours. A trial leaves the final name to whoever has it.
fn bind_unix(path: &Path, options: &BindOptions, trial: bool) -> Result<Socket, Fault> {
    let (temporary, backup) = (beside(path, "tmp"), beside(path, "bak"));
    for name in [&temporary, &backup] {
        let gone = unless_missing(std::fs::remove_file(name));
        gone.map_err(|error| fault(BINDING, "error when trying to unlink previous UNIX socket", &error))?;
    }
    unless_missing(std::fs::hard_link(path, &backup))
        .map_err(|error| fault(BINDING, "error when trying to preserve previous UNIX socket", &error))?;
    let switch = || match trial {
        // What rename would complain of.
        true if path.is_dir() => Err(io::Error::from_raw_os_error(libc::EISDIR)),
        true => Ok(()),
        false => std::fs::rename(&temporary, path),
    };
    let socket = bind_under(&temporary, options).and_then(|socket| {
        switch().map_err(|error| fault(BINDING, "cannot switch final and temporary UNIX sockets", &error))?;
        Ok(socket)
    });
    if trial || socket.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    let _ = std::fs::remove_file(&backup);
    socket
}

fn bind_under(name: &Path, options: &BindOptions) -> Result<Socket, Fault> {
    let socket = unix_socket(name.as_os_str().as_bytes(), options)?;
    own(name, options).map_err(|error| fault(BINDING, "cannot change UNIX socket ownership", &error))?;
    Ok(socket)
}

/// Whether a UNIX socket is the one that `file` leads to, as far as the kernel tells.
fn is_bound_to(socket: &OwnedFd, file: &std::fs::Metadata) -> bool {
    let bound = sys::bound_file(socket).and_then(|bound| std::fs::File::from(bound).metadata());
    bound.map_or(true, |bound| (bound.dev(), bound.ino()) == (file.dev(), file.ino()))
}

/// Gives a UNIX socket's file its owner and mode.
fn own(name: &Path, options: &BindOptions) -> io::Result<()> {
    let chown = match (options.uid, options.gid) {
        (None, None) => Ok(()),
        (uid, gid) => std::os::unix::fs::chown(name, uid, gid),
    };
    let chmod = |()| match options.mode {
        Some(mode) => std::fs::set_permissions(name, std::fs::Permissions::from_mode(mode)),
        None => Ok(()),
    };
    chown.and_then(chmod)
}

fn bind_abstract(name: &[u8], options: &BindOptions) -> Result<Socket, Fault> {
    let full = [&[0], name].concat();
    unix_socket(&full, options).map_err(|fault| match fault.in_use {
        true => Fault { text: "cannot bind UNIX socket (already in use)".to_owned(), ..fault },
        false => fault,
    })
}

fn unix_socket(name: &[u8], options: &BindOptions) -> Result<Socket, Fault> {
    let what = "cannot bind UNIX socket";
    let address = sys::unix_address(name).map_err(|error| fault(BINDING, what, &error))?;
    let socket = within(options.namespace.as_ref(), || sys::stream_socket(&address))
        .map_err(|error| no_socket(options, &error))?;
    socket.bind(&address).map_err(|error| fault(BINDING, what, &error))?;
    Ok(socket)
}

/// Takes over an inherited descriptor.
fn adopt(number: i32) -> Result<Socket, Fault> {
    let what = format!("cannot use file descriptor '{number}'");
    let copy = fds::duplicate_inherited(number).map_err(|error| fault(BINDING, &what, &error))?;
    let socket = Socket::from(copy);
    socket.r#type().map_err(|error| fault(BINDING, &what, &error))?;
    Ok(socket)
}

/// `path` with this process's pid and an ending behind it.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{}.{ending}", std::process::id()));
    name.into()
}

fn unless_missing(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

#[cfg(test)]
mod tests;
