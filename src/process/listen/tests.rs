//! Tests of the listening sockets.

use super::*;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;

const ALONE: Common = Common { reuse_port: false, backlog: 10, trial: false };

fn spec(address: ListenAddress) -> ListenSpec {
    ListenSpec {
        owner: ListenOwner::Cli(0),
        label: "proxy f".to_owned(),
        place: "a.cfg:8".to_owned(),
        address,
        options: BindOptions::default(),
        backlog: None,
        workers: NumberSet::ALL,
        smart_accept: true,
        no_linger: false,
    }
}

fn ip(port: u16) -> ListenAddress {
    ListenAddress::Ip(([127, 0, 0, 1], port).into())
}

/// Opens all of them; with `old`, old processes that may have any address hear of it.
fn open_all(
    specs: &[ListenSpec],
    common: &Common,
    old: Option<&mut dyn FnMut(Signal) -> bool>,
) -> Result<Vec<Listener>, Stop> {
    let are_left = old.is_some();
    let mut nobody = |_| false;
    let mut old = OldOnes { are_left, may_have: &|_| true, ask: old.unwrap_or(&mut nobody) };
    bind_or_ask(specs, common, specs.iter().map(|_| None).collect(), &mut old)
}

fn open_one(spec: ListenSpec) -> Listener {
    open_all(&[spec], &ALONE, None).expect("open").remove(0)
}

fn fault_of(spec: &ListenSpec) -> String {
    let fault = open(spec, &ALONE).err().expect("a fault");
    spec.message(fault.phase, &fault.text)
}

#[test]
fn a_tcp_socket_listens_with_its_options() {
    let mut wanted = spec(ip(0));
    wanted.options = BindOptions {
        backlog: Some(5),
        defer_accept: true,
        fast_open: true,
        mss: Some(1000),
        tcp_user_timeout: Some(crate::time::Millis(5000)),
        ..BindOptions::default()
    };
    let listener = TcpListener::from(open_one(wanted).socket);
    let address = listener.local_addr().expect("address");
    assert!(listener.accept().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
    TcpStream::connect(address).expect("somebody listens");
}

#[test]
fn two_processes_share_an_address_unless_told_not_to() {
    let common = Common { reuse_port: true, backlog: 10, trial: false };
    let open_shared = |address| open_all(&[spec(address)], &common, None);
    let first = TcpListener::from(open_shared(ip(0)).expect("first").remove(0).socket);
    let port = first.local_addr().expect("address").port();
    assert!(open_shared(ip(port)).is_ok());
    assert!(open(&spec(ip(port)), &ALONE).is_err());
}

#[test]
fn messages_are_haproxys() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = taken.local_addr().expect("address").port();
    let expected =
        format!("Binding [a.cfg:8] for proxy f: cannot bind socket (Address already in use) for [127.0.0.1:{port}]");
    assert_eq!(fault_of(&spec(ip(port))), expected);
    assert_eq!(
        fault_of(&spec(ListenAddress::Unix("/nonexist/dir/sock".into()))),
        "Binding [a.cfg:8] for proxy f: cannot bind UNIX socket (No such file or directory) [/nonexist/dir/sock]"
    );
    let foreign = ListenAddress::Ip("192.0.2.1:80".parse().expect("address"));
    assert_eq!(
        fault_of(&spec(foreign)),
        "Binding [a.cfg:8] for proxy f: cannot bind socket (Cannot assign requested address) for [192.0.2.1:80]"
    );
    assert!(fault_of(&spec(ListenAddress::Fd(1_000_000))).contains("'1000000' (Bad file descriptor)"));
    let v6 = spec(ListenAddress::Ip("[::]:80".parse().expect("address")));
    assert_eq!(v6.message(BINDING, "x"), "Binding [a.cfg:8] for proxy f: x for [:::80]");
}

#[test]
fn an_unknown_device_is_only_warned_about() {
    let mut wanted = spec(ip(0));
    wanted.options.interface = Some("nope0".to_owned());
    let opened = open(&wanted, &ALONE).unwrap_or_else(|fault| panic!("{fault:?}"));
    assert_eq!(opened.warnings, [(BINDING, "cannot bind receiver to device 'nope0' (No such device)".to_owned())]);
}

#[test]
fn a_unix_socket_replaces_its_predecessor() {
    let dir = std::env::temp_dir().join(format!("epoxy-listen-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("directory");
    let path = dir.join("s.sock");
    let mut wanted = spec(ListenAddress::Unix(path.clone()));
    wanted.options.mode = Some(0o640);
    let first = open_one(wanted.clone());
    UnixStream::connect(&path).expect("the first listens");
    let second = open_one(wanted);
    drop(first);
    UnixStream::connect(&path).expect("the second listens");
    drop(second);
    assert_eq!(std::fs::metadata(&path).expect("metadata").mode() & 0o777, 0o640);
    let names: Vec<_> = std::fs::read_dir(&dir).expect("list").flatten().map(|entry| entry.file_name()).collect();
    std::fs::remove_dir_all(&dir).expect("clean up");
    assert_eq!(names, ["s.sock"], "nothing is left beside it");
}

#[test]
fn an_abstract_name_has_one_owner() {
    let wanted = spec(ListenAddress::Abstract(format!("epoxy-{}", std::process::id()).into_bytes()));
    let _first = open_one(wanted.clone());
    assert_eq!(fault_of(&wanted), "Binding [a.cfg:8] for proxy f: cannot bind UNIX socket (already in use) []");
}

#[test]
fn an_inherited_socket_is_used() {
    let inherited = TcpListener::bind("127.0.0.1:0").expect("bind");
    let listener = open_one(spec(ListenAddress::Fd(inherited.as_raw_fd())));
    let ours = TcpListener::from(listener.socket);
    assert_eq!(ours.local_addr().expect("address"), inherited.local_addr().expect("address"));
}

#[test]
fn an_old_process_is_asked_to_make_room() {
    let mut taken = Some(TcpListener::bind("127.0.0.1:0").expect("bind"));
    let port = taken.as_ref().and_then(|listener| listener.local_addr().ok()).expect("address").port();
    let mut asked = Vec::new();
    let mut ask = |signal| {
        asked.push(signal);
        if asked.len() == 3 {
            taken = None;
        }
        std::thread::sleep(RETRY_PAUSE);
        true
    };
    let opened = open_all(&[spec(ip(0)), spec(ip(port))], &ALONE, Some(&mut ask));
    assert_eq!(opened.map(|listeners| listeners.len()), Ok(2));
    assert!(asked.len() >= 3 && asked.iter().all(|signal| *signal == Signal::SIGTTOU));
}

#[test]
fn an_old_process_that_makes_no_room_goes_on() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = taken.local_addr().expect("address").port();
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("address").port();
    let mut asked = Vec::new();
    let mut listens_again = false;
    let mut ask = |signal| {
        asked.push(signal);
        if signal == Signal::SIGTTIN {
            listens_again = TcpListener::bind(("127.0.0.1", free)).is_ok();
        }
        true
    };
    assert!(open_all(&[spec(ip(free)), spec(ip(port))], &ALONE, Some(&mut ask)).is_err());
    assert!(listens_again, "nothing of the new process is in the way any more");
    assert_eq!((asked.len(), asked.last()), (RETRIES as usize + 1, Some(&Signal::SIGTTIN)));
}

#[test]
fn an_old_process_is_not_asked_for_what_it_has_not() {
    let [theirs, another] = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").expect("bind"));
    let [a, b] = [&theirs, &another].map(|taken| spec(ip(taken.local_addr().expect("address").port())));
    let mut asked = Vec::new();
    let mut ask = |signal| {
        asked.push(signal);
        true
    };
    let address = a.address.clone();
    let mut old = OldOnes { are_left: true, may_have: &|spec| spec.address == address, ask: &mut ask };
    assert!(bind_or_ask(&[a, b], &ALONE, vec![None, None], &mut old).is_err());
    assert!(asked.is_empty(), "{asked:?}");
}
