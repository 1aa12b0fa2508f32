//! One view of the service: whichever worker is asked answers for all, or for one where that is wanted.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::service::{PATIENCE, Program, Service};
use crate::support::place::wait_until;
use crate::support::service;
use crate::turn;

/// The answer of the runtime socket.
fn ask(dir: &Path, command: &str) -> String {
    service::ask(&dir.join("cli.sock"), &format!("{command}\n"))
}

/// A column of an object in the statistics.
fn column(dir: &Path, prefix: &str, object: &str, column: &str) -> u64 {
    let table = ask(dir, &format!("{prefix}show stat"));
    let mut lines = table.lines();
    let names = lines.next().expect("names").trim_start_matches("# ");
    let at = names.split(',').position(|name| name == column).expect("the column");
    let line = lines.find(|line| line.starts_with(object)).expect("the object");
    line.split(',').nth(at).expect("the value").parse().expect("a number")
}

fn info(dir: &Path, prefix: &str, name: &str) -> u64 {
    service::info(&dir.join("cli.sock"), prefix, name).parse().expect("a number")
}

/// A connection on which a request waits for its answer.
fn busy(service: &Service) -> TcpStream {
    let mut stream = TcpStream::connect(service.address).expect("connect");
    stream.write_all(b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf").expect("send");
    stream
}

fn get(service: &Service, path: &str) -> String {
    let mut stream = TcpStream::connect(service.address).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("send");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answer");
    answer
}

fn sessions(dir: &Path, prefix: &str) -> Vec<String> {
    let text = ask(dir, &format!("{prefix}show sess"));
    text.lines().filter_map(|line| Some(line.split_once(": proto=tcp")?.0.to_owned())).collect()
}

fn start(workers: u32) -> Service {
    Service::start(Program::Epoxy, &format!("    nbproc {workers}"))
}

#[test]
fn totals_are_those_of_all_workers() {
    let _turn = turn();
    let service = start(2);
    let dir = service.dir();
    for _ in 0..60 {
        assert!(get(&service, "/").starts_with("HTTP/1.1 200"));
    }
    let all = || ["@1 ", "@2 "].map(|prefix| column(dir, prefix, "f,FRONTEND", "req_tot"));
    // The last answer is counted behind the client's back.
    assert!(wait_until(PATIENCE, || column(dir, "", "f,FRONTEND", "req_tot") == 60));
    assert_eq!(all().iter().sum::<u64>(), 60);
    assert!(all().iter().all(|share| *share > 0), "{:?}", all());
    for _ in 0..8 {
        // Whoever answers.
        assert_eq!(column(dir, "", "f,FRONTEND", "req_tot"), 60);
        assert_eq!(column(dir, "", "quick,s,", "stot"), 60);
        assert_eq!((info(dir, "", "Nbproc"), info(dir, "", "CurrConns")), (2, 0));
    }
    let numbers = ["", "@1 ", "@2 "].map(|prefix| column(dir, prefix, "f,FRONTEND", "pid"));
    assert_eq!(numbers, [1, 1, 2]);
    assert_ne!(info(dir, "@1 ", "Pid"), info(dir, "@2 ", "Pid"));
    assert_eq!([1, 2].map(|n| info(dir, &format!("@{n} "), "Process_num")), [1, 2]);
    let nobody = "Can't find the target PID matching the prefix '@3'\n\n";
    assert_eq!(ask(dir, "@3 show info"), nobody);
    // One worker's counters are its own business.
    let first = column(dir, "@1 ", "f,FRONTEND", "req_tot");
    ask(dir, "@2 clear counters all");
    assert_eq!(all(), [first, 0]);
    ask(dir, "clear counters all");
    assert_eq!((column(dir, "", "f,FRONTEND", "req_tot"), all()), (0, [0, 0]));
}

#[test]
fn sessions_of_all_workers_are_listed_and_ended_from_any() {
    let _turn = turn();
    let service = start(2);
    let dir = service.dir();
    let clients: Vec<TcpStream> = (0..24).map(|_| busy(&service)).collect();
    assert!(wait_until(PATIENCE, || sessions(dir, "").len() == clients.len()));
    let all = sessions(dir, "");
    let mut names = all.clone();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), clients.len(), "each has a name of its own");
    let shares = ["@1 ", "@2 "].map(|prefix| sessions(dir, prefix));
    assert!(shares.iter().all(|share| !share.is_empty()));
    assert_eq!(shares.concat(), all);
    for name in shares.iter().filter_map(|share| share.first()) {
        for _ in 0..4 {
            assert!(ask(dir, &format!("show sess {name}")).starts_with(&format!("{name}: ")));
        }
        assert_eq!(ask(dir, &format!("shutdown session {name}")), "\n");
        assert_eq!(ask(dir, &format!("shutdown session {name}")), "No such session (use 'show sess').\n\n");
    }
    assert_eq!(sessions(dir, "").len(), clients.len() - 2);
}

#[test]
fn the_last_invalid_request_is_shown_whoever_got_it() {
    let _turn = turn();
    let service = start(2);
    for number in 0..10 {
        let mut stream = TcpStream::connect(service.address).expect("connect");
        write!(stream, "GET /{number} \x01 HTTP/1.1\r\n\r\n").expect("send");
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer);
        assert!(answer.starts_with(b"HTTP/1.1 400"));
    }
    for _ in 0..6 {
        let text = ask(service.dir(), "show errors");
        assert!(text.contains(" : 10\n") && text.contains("event #9,") && text.contains("GET /9 "), "{text}");
        assert_eq!(text.matches("invalid request").count(), 1, "{text}");
    }
}

#[test]
fn a_worker_that_says_nothing_holds_nobody_up() {
    let _turn = turn();
    let service = start(2);
    let stopped = info(service.dir(), "@2 ", "Pid") as i32;
    let _clients: Vec<TcpStream> = (0..16).map(|_| busy(&service)).collect();
    assert!(wait_until(PATIENCE, || sessions(service.dir(), "").len() == 16));
    crate::crew::tell(stopped, nix::sys::signal::Signal::SIGSTOP);
    let free = || crate::crew::tell(stopped, nix::sys::signal::Signal::SIGCONT);
    // The runtime socket is one for both: only the first can take the question now.
    let heard = std::time::Instant::now();
    let listed = sessions(service.dir(), "").len();
    let took = heard.elapsed();
    free();
    assert!(took < PATIENCE / 2, "{took:?}");
    assert!((1..16).contains(&listed), "{listed}");
    assert!(wait_until(PATIENCE, || sessions(service.dir(), "").len() == 16));
}

#[test]
fn sessions_of_an_old_process_stay_visible_until_they_end() {
    let _turn = turn();
    let mut service = start(2);
    let old: Vec<TcpStream> = (0..6).map(|_| busy(&service)).collect();
    let dir = service.dir().to_owned();
    assert!(wait_until(PATIENCE, || sessions(&dir, "").len() == 6));
    let pid = service.current.pid().to_string();
    let new = service.beside(Program::Epoxy, &["-sf", &pid]);
    let mut gone = std::mem::replace(&mut service.current, new);
    // So called when its workers are up; the old ones are told then.
    let is_new = || crate::crew::title(service.current.pid() as i32).contains("[supervisor]");
    assert!(wait_until(PATIENCE, is_new), "{}", service.current.stderr());
    assert!(wait_until(PATIENCE, || gone.stderr().matches("Proxy f stopped").count() == 2), "{}", gone.stderr());
    let _young = busy(&service);
    assert!(wait_until(PATIENCE, || sessions(&dir, "").len() == 7), "{:?}", sessions(&dir, ""));
    assert_eq!(info(&dir, "", "CurrConns"), 7);
    let name = sessions(&dir, "").into_iter().next().expect("a session");
    assert_eq!(ask(&dir, &format!("shutdown session {name}")), "\n");
    drop(old);
    assert!(gone.wait(PATIENCE).is_some_and(|status| status.success()), "{}", gone.stderr());
    assert_eq!(sessions(&dir, "").len(), 1);
}

#[test]
fn the_page_shows_all_or_one_worker() {
    let _turn = turn();
    let listen = "listen st\n    mode http\n    timeout client 5s\n    bind unix@DIR/st.sock\n    stats enable\n    stats uri /st";
    let crew = crate::crew::Crew::start(&format!("    nbproc 2\n{listen}"), "");
    let page = |words: &str| {
        let mut stream = UnixStream::connect(crew.dir.path().join("st.sock")).expect("connect");
        write!(stream, "GET /st{words} HTTP/1.0\r\n\r\n").expect("send");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answer");
        answer
    };
    assert!(page("").contains("<a href=\"/st;worker=2\">2</a>"));
    let one = page(";worker=2");
    assert!(one.contains("(process #2, nbproc = 2,") && one.contains("<b>2</b>"), "{one}");
    // Whoever shows it, an own answer may be among what is counted.
    let sessions = |words: &str| -> u64 {
        let table = page(words);
        let line = table.lines().find(|line| line.starts_with("st,FRONTEND")).expect("the frontend").to_owned();
        line.split(',').nth(7).expect("stot").parse().expect("a number")
    };
    let [before, first, second, after] = [";csv", ";worker=1;csv", ";worker=2;csv", ";csv"].map(sessions);
    assert!((before..=after).contains(&(first + second)), "{before} {first} {second} {after}");
    assert!(first < after && second < after, "{first} {second} {after}");
}

#[test]
fn a_sandbox_lets_workers_answer() {
    let _turn = turn();
    let service = Service::start(Program::Epoxy, "    nbproc 2\n    sandbox landlock seccomp");
    let dir = service.dir();
    let workers = crate::crew::workers_of(service.current.pid());
    let pids = [1, 2].map(|number| info(dir, &format!("@{number} "), "Pid") as i32);
    assert_eq!(workers, [(1, pids[0]), (2, pids[1])]);
    for command in ["show sess", "show stat", "show errors", "show servers conn", "clear counters all"] {
        assert!(ask(dir, command).ends_with('\n'), "{command}: {}", service.current.stderr());
    }
    assert_eq!(crate::crew::workers_of(service.current.pid()), workers, "{}", service.current.stderr());
}
