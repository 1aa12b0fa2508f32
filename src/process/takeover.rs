//! Listening sockets taken over from an old process (`-x`; management manual, section 3): the new one uses
//! them instead of binding, so that no connection that waits in their queues is lost. Without `-x` they come
//! by [`super::pull`].
//!
//! The old process is asked on its `stats socket` (which has `expose-fd listeners`) with `_getsocks`. It
//! answers with the number of sockets, a native 32-bit integer, and then with messages that carry them, each
//! to be acknowledged by an integer. Their text describes each socket: length and name of its namespace,
//! length and name of its interface, and an integer of options.

use super::{Stop, notice};
use crate::proxy::bind::{BindOptions, ListenAddress};
use crate::sys::fds::{FDS_PER_MESSAGE_MAX, recv_fds};
use crate::sys::netns::cookie_here;
use crate::sys::socket::netns_cookie;
use socket2::{SockAddr, SockRef};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A socket of the old process.
#[derive(Debug)]
pub struct Taken {
    socket: OwnedFd,
    /// What its network namespace is known by.
    network: Option<u64>,
    interface: Vec<u8>,
}

impl Taken {
    /// A socket and the interface that it is bound to.
    pub fn new(socket: OwnedFd, interface: Vec<u8>) -> Taken {
        let network = netns_cookie(&socket).ok();
        Taken { socket, network, interface }
    }

    /// Whether it is in the network that `options` mean.
    fn is_in_network_of(&self, options: &BindOptions) -> bool {
        match &options.namespace {
            Some(namespace) => self.network.is_some() && self.network == namespace.cookie(),
            None => self.network == cookie_here().ok().flatten(),
        }
    }

    /// Whether it listens as `address` and `options` want it.
    pub fn fits(&self, address: &ListenAddress, options: &BindOptions) -> bool {
        let interface = options.interface.as_deref().unwrap_or_default().as_bytes();
        let socket = SockRef::from(&self.socket);
        self.interface == interface
            && socket.local_addr().is_ok_and(|local| is_at(&local, address))
            && (!is_v6_wildcard(address) || socket.only_v6().is_ok_and(|only| only == options.v6only))
            && self.is_in_network_of(options)
    }

    /// Whether it listens on a part of what `address` and `options` mean: one address of all, or one interface of
    /// all. The kernel prefers it to the whole as long as anybody has it.
    pub fn is_part_of(&self, address: &ListenAddress, options: &BindOptions) -> bool {
        let socket = SockRef::from(&self.socket);
        let local = socket.local_addr().ok().and_then(|local| local.as_socket());
        let (Some(local), ListenAddress::Ip(wanted)) = (local, address) else { return false };
        // A wildcard of IPv6 may mean IPv4, too.
        let takes_v4 = local.is_ipv4() || local.ip().is_unspecified() && !socket.only_v6().unwrap_or(false);
        let is_within = match wanted.ip() {
            IpAddr::V4(all) => local.is_ipv4() && (all.is_unspecified() || local.ip() == all),
            IpAddr::V6(all) if all.is_unspecified() => options.v4v6 || !takes_v4,
            IpAddr::V6(one) => local.ip() == one,
        };
        let interface = options.interface.as_deref().unwrap_or_default().as_bytes();
        local.port() == wanted.port()
            && is_within
            && !options.transparent
            && (interface.is_empty() || self.interface == interface)
            && self.is_in_network_of(options)
    }

    /// Whether it may keep a socket for `address` from being bound beside it.
    pub fn is_in_the_way_of(&self, address: &ListenAddress) -> bool {
        let local = SockRef::from(&self.socket).local_addr().ok().and_then(|local| local.as_socket());
        matches!((local, address), (Some(local), ListenAddress::Ip(wanted)) if local.port() == wanted.port())
    }
}

/// How long the old process may take for an answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Octets that a socket's description may have: two names of up to 255 with their lengths, and the options.
const DESCRIPTION_BYTES_MAX: usize = 2 * 256 + size_of::<u32>();

/// More sockets than any process can have: the answer is nonsense.
const SOCKETS_MAX: u32 = 1 << 20;

/// Asks the process behind the socket at `path` for its listening sockets. On failure the messages are
/// printed.
pub fn take(path: &Path) -> Result<Vec<Taken>, Stop> {
    let stream = UnixStream::connect(path).inspect_err(|_| {
        notice::warning(format!("Failed to connect to the old process socket '{}'", path.display()));
    });
    stream.and_then(ask).map_err(|_| {
        notice::alert("Failed to get the sockets from the old process!");
        Stop
    })
}

/// Asks the process behind the socket at `path` for the memory that its workers share. One that does not know
/// the question has none that could be used.
pub fn segment(path: &Path) -> Option<OwnedFd> {
    let (mut files, _) = receive(UnixStream::connect(path).ok()?, b"_getsegment\n").ok()?;
    files.pop().filter(|_| files.is_empty())
}

fn ask(stream: UnixStream) -> io::Result<Vec<Taken>> {
    let (sockets, text) = receive(stream, b"_getsocks\n")?;
    describe(sockets, &text)
}

/// Asks for descriptors; gives them and the text that came with them.
fn receive(mut stream: UnixStream, question: &[u8]) -> io::Result<(Vec<OwnedFd>, Vec<u8>)> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(question)?;
    let mut count = [0; 4];
    stream.read_exact(&mut count)?;
    let count = u32::from_ne_bytes(count);
    if count > SOCKETS_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let (mut sockets, mut text) = (Vec::new(), Vec::new());
    let mut room = vec![0; FDS_PER_MESSAGE_MAX * DESCRIPTION_BYTES_MAX];
    while sockets.len() < count as usize {
        let (got, mut fds) = recv_fds(&stream, &mut room)?;
        if got == 0 || fds.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        text.extend_from_slice(&room[..got]);
        sockets.append(&mut fds);
        // After the last message nobody may be there to read this.
        let _ = stream.write_all(&0u32.to_ne_bytes());
    }
    Ok((sockets, text))
}

/// Joins sockets and their descriptions.
fn describe(sockets: Vec<OwnedFd>, mut text: &[u8]) -> io::Result<Vec<Taken>> {
    let mut taken = Vec::new();
    for socket in sockets {
        let namespace = name(&mut text)?;
        let interface = name(&mut text)?;
        // The options tell what was configured; the socket itself tells what holds.
        text = text.get(size_of::<u32>()..).ok_or(io::ErrorKind::InvalidData)?;
        let found = Taken::new(socket, interface);
        // An old kernel does not tell networks apart: what has a name is not in ours.
        taken.extend(Some(found).filter(|found| namespace.is_empty() || found.network.is_some()));
    }
    Ok(taken)
}

/// A name with its length before it.
fn name(text: &mut &[u8]) -> io::Result<Vec<u8>> {
    let (len, rest) = text.split_first().ok_or(io::ErrorKind::InvalidData)?;
    let (name, rest) = rest.split_at_checked(usize::from(*len)).ok_or(io::ErrorKind::InvalidData)?;
    *text = rest;
    Ok(name.to_vec())
}

/// Removes from `taken` the socket that listens as `address` and `options` want it.
pub fn matching(taken: &mut Vec<Taken>, address: &ListenAddress, options: &BindOptions) -> Option<OwnedFd> {
    remove(taken, |taken| taken.fits(address, options))
}

/// Removes the first socket that is `wanted`.
pub fn remove(taken: &mut Vec<Taken>, wanted: impl FnMut(&Taken) -> bool) -> Option<OwnedFd> {
    let index = taken.iter().position(wanted)?;
    Some(taken.swap_remove(index).socket)
}

/// The addresses for which it matters whether IPv4 is taken too; the kernel sets the option on all others.
fn is_v6_wildcard(address: &ListenAddress) -> bool {
    matches!(address, ListenAddress::Ip(address) if address.is_ipv6() && address.ip().is_unspecified())
}

/// True if a socket bound to `local` is the one for `wanted`.
fn is_at(local: &SockAddr, wanted: &ListenAddress) -> bool {
    match wanted {
        ListenAddress::Ip(address) => local.as_socket() == Some(*address),
        ListenAddress::Unix(path) => local.as_pathname().is_some_and(|bound| {
            let bound = bound.as_os_str().as_bytes();
            bound == path.as_os_str().as_bytes() || final_name(bound) == path.as_os_str().as_bytes()
        }),
        ListenAddress::Abstract(name) => {
            local.as_abstract_namespace().is_some_and(|bound| without_padding(bound) == name.as_slice())
        }
        ListenAddress::Fd(_) => false,
    }
}

/// An abstract name less the NULs that fill its field.
fn without_padding(name: &[u8]) -> &[u8] {
    let len = name.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    &name[..len]
}

/// A UNIX socket keeps the name that it was bound under, `PATH.PID.tmp`, when it is renamed to PATH.
fn final_name(bound: &[u8]) -> &[u8] {
    let stem = bound.strip_suffix(b".tmp").unwrap_or(bound);
    let digits = stem.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    match stem[..stem.len() - digits].split_last() {
        Some((b'.', path)) if digits > 0 && stem.len() < bound.len() => path,
        _ => bound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fds::send_fds;
    use std::net::TcpListener;
    use std::os::fd::AsFd;

    #[test]
    fn sockets_are_asked_for_and_matched() {
        let (ours, mut theirs) = UnixStream::pair().expect("pair");
        let (a, b) = (TcpListener::bind("127.0.0.1:0").expect("bind"), TcpListener::bind("[::1]:0").expect("bind"));
        let addresses = [&a, &b].map(|listener| ListenAddress::Ip(listener.local_addr().expect("address")));
        let old = std::thread::spawn(move || {
            let mut line = [0; 10];
            theirs.read_exact(&mut line).expect("request");
            assert_eq!(&line, b"_getsocks\n");
            theirs.write_all(&2u32.to_ne_bytes()).expect("count");
            for (listener, text) in [(&a, &b"\0\x02lo\0\0\0\0"[..]), (&b, b"\0\0\0\0\0\0")] {
                send_fds(&theirs, text, &[listener.as_fd()]).expect("socket");
                theirs.read_exact(&mut [0; 4]).expect("acknowledgement");
            }
        });
        let mut taken = ask(ours).expect("sockets");
        old.join().expect("the old process is content");
        let plain = BindOptions::default();
        let on_lo = BindOptions { interface: Some("lo".to_owned()), ..BindOptions::default() };
        assert!(matching(&mut taken, &addresses[0], &plain).is_none(), "the interface differs");
        assert!(matching(&mut taken, &addresses[0], &on_lo).is_some());
        assert!(matching(&mut taken, &addresses[0], &on_lo).is_none(), "it is taken once");
        assert!(matching(&mut taken, &addresses[1], &plain).is_some());
    }

    #[test]
    fn one_address_is_a_part_of_all() {
        let taken = |address: &str| {
            let listener = TcpListener::bind(address).expect("bind");
            let port = listener.local_addr().expect("address").port();
            (Taken::new(listener.into(), Vec::new()), port)
        };
        let part_of = |(taken, port): &(Taken, u16), ip: &str, options: &BindOptions| {
            let wanted = ListenAddress::Ip((ip.parse::<IpAddr>().expect("an address"), *port).into());
            taken.is_part_of(&wanted, options)
        };
        let plain = BindOptions::default();
        let both = BindOptions { v4v6: true, ..plain.clone() };
        let on_lo = BindOptions { interface: Some("lo".to_owned()), ..plain.clone() };
        let one = taken("127.0.0.1:0");
        assert!(part_of(&one, "0.0.0.0", &plain) && part_of(&one, "::", &both) && part_of(&one, "127.0.0.1", &plain));
        assert!(!part_of(&one, "::", &plain) && !part_of(&one, "127.0.0.2", &plain));
        assert!(!part_of(&one, "0.0.0.0", &on_lo) && !part_of(&(one.0, one.1 ^ 1), "0.0.0.0", &plain));
        let six = taken("[::1]:0");
        assert!(part_of(&six, "::", &plain) && !part_of(&six, "0.0.0.0", &plain));
        let all = taken("[::]:0");
        assert!(!part_of(&all, "::", &plain) && part_of(&all, "::", &both) && !part_of(&all, "::1", &both));
    }

    #[test]
    fn nonsense_is_an_error() {
        for answer in [&b""[..], b"\x01\0", b"\xff\xff\xff\xff", b"\x01\0\0\0"] {
            let (ours, mut theirs) = UnixStream::pair().expect("pair");
            theirs.write_all(answer).expect("answer");
            theirs.shutdown(std::net::Shutdown::Write).expect("end");
            assert!(ask(ours).is_err());
        }
        let socket = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").expect("bind"));
        assert!(describe(vec![socket()], b"\0\x09lo").is_err());
        assert!(describe(vec![socket()], b"\0\0\0").is_err());
        notice::set_modes(true, false);
        assert_eq!(take(Path::new("/nonexistent")).map(drop), Err(Stop));
        notice::set_modes(false, false);
    }

    #[test]
    fn a_renamed_socket_is_known_by_its_final_name() {
        assert_eq!(final_name(b"/run/a.sock.123.tmp"), b"/run/a.sock");
        for name in [&b"/run/a.tmp"[..], b"/run/a.12", b"/run/a12.tmp", b".tmp", b""] {
            assert_eq!(final_name(name), name);
        }
    }
}
