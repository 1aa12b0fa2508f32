//! The master's socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::service::{PATIENCE, Service};

/// A client that types and waits.
struct Client(UnixStream);

impl Client {
    fn new(service: &Service) -> Client {
        let stream = UnixStream::connect(service.dir.path().join("m.sock")).expect("the socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        Client(stream)
    }

    /// What comes up to `end`, which is cut off.
    fn say(&mut self, line: &str, end: &str) -> String {
        self.0.write_all(format!("{line}\n").as_bytes()).expect("question");
        let mut answer = String::new();
        while !answer.ends_with(end) {
            let mut room = [0; 4096];
            let got = self.0.read(&mut room).expect("answer");
            assert!(got > 0, "{line}: {answer:?}");
            answer.push_str(&String::from_utf8_lossy(&room[..got]));
        }
        answer.truncate(answer.len() - end.len());
        answer
    }
}

#[test]
fn commands_go_where_their_prefix_says() {
    let service = Service::start("nbproc 2", "");
    let workers = service.workers();
    let pid_in = |answer: String| {
        let line = answer.lines().find_map(|line| line.strip_prefix("Pid: ").map(str::to_owned));
        line.and_then(|pid| pid.parse::<i32>().ok())
    };
    for (index, worker) in workers.iter().enumerate() {
        assert_eq!(pid_in(service.ask(&format!("@{} show info\n", index + 1))), Some(*worker));
        assert_eq!(pid_in(service.ask(&format!("@!{worker} show info\n"))), Some(*worker));
    }
    let both = service.ask("@1; show info; @2; show info; @; show version\n");
    let pids: Vec<_> = both.lines().filter_map(|line| line.strip_prefix("Pid: ")).collect();
    assert_eq!(pids, workers.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert!(both.ends_with(&service.ask("show version\n")), "{both}");
    assert_eq!(service.ask("@9 show info\nshow version\n"), "Can't find the target PID matching the prefix '@9'\n");
    assert!(service.ask("show info\n").starts_with("Unknown command, but maybe"));
    assert_eq!(service.ask("show cli level\n@1 show cli level\n"), "admin\n\nadmin\n\n");
    assert_eq!(service.ask("operator\nshow cli level\n@1 show cli level\n"), "operator\n\noperator\n\n");
    assert_eq!(service.ask("user\nreload\noperator\n"), "Permission denied\n\nPermission denied!\n");
}

#[test]
fn an_interactive_client_sees_whom_it_speaks_to() {
    let service = Service::start("", "");
    let worker = service.workers()[0];
    let mut client = Client::new(&service);
    assert_eq!(client.say("prompt", "master> "), "");
    assert_eq!(client.say("expert-mode on", "master(e)> "), "");
    assert_eq!(client.say("@1", &format!("{worker}(e)> ")), "");
    assert!(client.say("show info", &format!("\n\n{worker}(e)> ")).contains("Name: HAProxy\n"));
    assert_eq!(client.say("@master", "master(e)> "), "");
    // Others are served meanwhile, and one that leaves in mid-command does no harm.
    let mut others: Vec<Client> = (0..20).map(|_| Client::new(&service)).collect();
    for other in &mut others {
        assert!(other.say("@1 show info", "\n\n").contains("Pid: "));
    }
    others[0].0.write_all(b"@1 show info").expect("half a command");
    drop(others);
    assert!(client.say("show proc", "\n\nmaster(e)> ").contains("# workers\n"));
    client.0.write_all(b"quit\n").expect("quit");
    assert_eq!(client.0.read(&mut [0; 16]).expect("end"), 0);
}

#[test]
fn endless_commands_end_and_waiting_clients_get_their_turn() {
    let service = Service::start("", "");
    let mut flood = Client::new(&service);
    flood.0.set_write_timeout(Some(Duration::from_secs(2))).expect("timeout");
    let _refused = flood.0.write_all(&[b'x'; 1 << 20]);
    let mut rest = Vec::new();
    let _reset = flood.0.read_to_end(&mut rest);
    let mut crowd: Vec<Client> = (0..70).map(|_| Client::new(&service)).collect();
    assert!(crowd[0].say("show version", "\n\n").starts_with("2."));
    crowd.drain(1..40);
    let last = crowd.last_mut().expect("a client");
    assert!(last.say("show version", "\n\n").starts_with("2."));
}
