//! Conversations recorded of HAProxy 1.5.0 and 1.8.0 with directives that 2.6 has dropped, held again with the
//! built program: what the nodes see and what the client gets must be the same, to the byte.
//!
//! What may differ is listed in [`DIFFERENCES`], each with its reason; anything else fails. Where the two versions
//! differ from each other, either will do.

#[path = "../support/mod.rs"]
mod support;
mod verdicts;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use support::place::{TempDir, free_port, wait_listening};
use support::process::Running;

/// Recorded: the proxy's port and the nodes'.
const RECORDED_PORTS: [u16; 3] = [15001, 15002, 15003];
/// How long the proxy is given to close a connection after its answer.
const CLOSE_WAIT: Duration = Duration::from_millis(150);
/// Longer than any timeout of the configurations.
const LIMIT: Duration = Duration::from_secs(5);

/// What may differ from the recordings, and why.
const DIFFERENCES: &[(&str, &str)] = &[
    ("ports", "each test has its own"),
    ("the case of names of fields", "RFC 9110 5.1: it means nothing; HAProxy 2.x writes lower case"),
    (
        "HTTP/1.0 pages of the proxy's own",
        "RFC 9112 2.3: an answer bears the version of its sender; HAProxy 2.x says HTTP/1.1 and the length",
    ),
    ("the connection after such a page", "RFC 9112 9.3: with a length it persists unless the client said otherwise"),
    ("the order of fields that the proxy makes", "RFC 9110 5.3: it means nothing between names"),
    ("option httpclose closes", "RFC 9112 9.6: who sends `close` must close after the message"),
    ("Host of a forwarded absolute target", "RFC 9112 3.2.2: it is that of the target, whatever the client wrote"),
    ("the words of page 500", "HAProxy 2.x corrected them"),
];

fn main() {
    let arguments = Arguments::from_args();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/legacy-observed.json");
    let text = std::fs::read_to_string(file).expect("the recordings");
    let recordings: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let mut names: Vec<String> = recordings.iter().map(|recording| text_of(recording, "name")).collect();
    names.dedup();
    let trials = names.into_iter().map(|name| {
        let versions: Vec<Value> = recordings
            .iter()
            .filter(|recording| text_of(recording, "name") == name && recording["exchanges"].is_array())
            .cloned()
            .collect();
        Trial::test(name, move || replay(&versions))
    });
    let mut trials: Vec<Trial> = trials.collect();
    trials.push(Trial::test("each difference has its reason", || {
        let reasoned = DIFFERENCES.iter().all(|(what, why)| !what.is_empty() && !why.is_empty());
        if reasoned { Ok(()) } else { Err("an empty entry".into()) }
    }));
    trials.extend(verdicts::trials());
    libtest_mimic::run(&arguments, trials).exit();
}

fn text_of(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

/// What was seen of one conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    nodes: Vec<(String, String)>,
    answer: String,
    closed: bool,
}

/// Holds the conversations of one configuration and compares them with what either version did.
fn replay(versions: &[Value]) -> Result<(), Failed> {
    let Some(first) = versions.first() else { return Ok(()) };
    let ports: Vec<u16> = RECORDED_PORTS.iter().map(|_| free_port()).collect();
    let here = |text: &str| {
        let pairs = RECORDED_PORTS.iter().zip(&ports);
        pairs.fold(text.to_owned(), |text, (old, new)| text.replace(&format!(":{old}"), &format!(":{new}")))
    };
    let journal = Arc::new(Mutex::new(Vec::new()));
    for (name, port) in ["n1", "n2"].into_iter().zip(&ports[1..]) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).map_err(|e| e.to_string())?;
        let headers = first["node_headers"][name].as_str().unwrap_or_default().to_owned();
        let journal = journal.clone();
        thread::spawn(move || serve(&listener, name, &headers, &journal));
    }
    let dir = TempDir::new("legacy").map_err(|e| e.to_string())?;
    let config = dir.path().join("t.cfg");
    std::fs::write(&config, here(&text_of(first, "configuration"))).map_err(|e| e.to_string())?;
    let program = Path::new(env!("CARGO_BIN_EXE_epoxy"));
    let args = ["-db", "-f", &config.to_string_lossy()].map(str::to_owned);
    let proxy = Running::start(program, "epoxy", &args, dir.path()).map_err(|e| e.to_string())?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports[0]));
    if !wait_listening(address, LIMIT) {
        return Err(format!("epoxy does not start: {}", proxy.stderr()).into());
    }
    let none = Vec::new();
    let exchanges: Vec<&Vec<Value>> = versions.iter().map(|v| v["exchanges"].as_array().unwrap_or(&none)).collect();
    for (index, exchange) in exchanges[0].iter().enumerate() {
        journal.lock().expect("no panic").clear();
        let (answer, closed) = ask(ports[0], &here(&text_of(exchange, "client_sends"))).map_err(|e| e.to_string())?;
        let nodes = journal.lock().expect("no panic").clone();
        let actual = Seen { nodes, answer, closed };
        let recorded: Vec<Seen> = exchanges.iter().filter_map(|list| Some(seen(list.get(index)?, &here))).collect();
        if !recorded.iter().any(|recorded| allowed(recorded, &actual)) {
            return Err(format!("exchange {index}\nrecorded {recorded:#?}\nepoxy {actual:#?}").into());
        }
    }
    Ok(())
}

fn seen(exchange: &Value, here: &dyn Fn(&str) -> String) -> Seen {
    let nodes = exchange["nodes_see"].as_array().cloned().unwrap_or_default();
    let nodes = nodes.iter().map(|node| (text_of(node, "node"), here(&text_of(node, "bytes"))));
    Seen {
        nodes: nodes.collect(),
        answer: here(&text_of(exchange, "client_gets")),
        closed: exchange["connection_closed_by_proxy"] == true,
    }
}

/// Whether epoxy did what was recorded, [`DIFFERENCES`] aside.
fn allowed(recorded: &Seen, actual: &Seen) -> bool {
    let own_page = recorded.nodes.is_empty() && recorded.answer.starts_with("HTTP/1.") && recorded.answer.len() > 20
        || recorded.answer.starts_with("HTTP/1.0 502 ");
    let nodes_same = recorded.nodes.len() == actual.nodes.len()
        && recorded.nodes.iter().zip(&actual.nodes).all(|(old, new)| old.0 == new.0 && same_request(&old.1, &new.1));
    if own_page {
        return nodes_same && page(&recorded.answer) == page(&actual.answer);
    }
    let says_close = lower_names(&recorded.answer).contains("\r\nconnection: close\r\n");
    let closed_same = recorded.closed == actual.closed || (says_close && actual.closed);
    nodes_same && lower_names(&recorded.answer) == lower_names(&actual.answer) && closed_same
}

fn same_request(recorded: &str, actual: &str) -> bool {
    // The forward proxy's recordings are the only ones with this Host.
    let normal = |text: &str| {
        let text = lower_names(text);
        let host = text.split("\r\n").find(|line| line.starts_with("host: ")).unwrap_or_default().to_owned();
        (text.replace(&host, ""), host)
    };
    let ((old, old_host), (new, new_host)) = (normal(recorded), normal(actual));
    old == new && (old_host == new_host || old_host == "host: x")
}

/// A page of the proxy's own: status, fields that do not concern the connection or the length, and body.
fn page(answer: &str) -> (String, Vec<String>, String) {
    let answer = answer.replace("500 Server Error", "500 Internal Server Error").replace("occured", "occurred");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let mut lines = head.split("\r\n");
    let status: String = lines.next().unwrap_or_default().split(' ').skip(1).collect::<Vec<_>>().join(" ");
    let mut fields: Vec<String> = lines.map(lower_name).collect();
    fields.retain(|field| !field.starts_with("connection:") && !field.starts_with("content-length:"));
    fields.sort();
    (status, fields, body.to_owned())
}

fn lower_name(line: &str) -> String {
    match line.split_once(':') {
        Some((name, value)) => format!("{}:{value}", name.to_ascii_lowercase()),
        None => line.to_owned(),
    }
}

fn lower_names(message: &str) -> String {
    let (head, body) = message.split_once("\r\n\r\n").unwrap_or((message, ""));
    let (first, fields) = head.split_once("\r\n").unwrap_or((head, ""));
    let fields: Vec<String> = fields.split("\r\n").map(lower_name).collect();
    format!("{first}\r\n{}\r\n\r\n{body}", fields.join("\r\n"))
}

/// Sends a request on a connection of its own; gives the answer and whether the proxy closed after it.
fn ask(port: u16, request: &str) -> std::io::Result<(String, bool)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(request.as_bytes())?;
    let (mut answer, mut room) = (Vec::new(), [0; 4096]);
    loop {
        if is_whole(&answer) {
            stream.set_read_timeout(Some(CLOSE_WAIT))?;
        }
        match stream.read(&mut room) {
            Ok(0) => return Ok((String::from_utf8_lossy(&answer).into_owned(), true)),
            Ok(count) => answer.extend_from_slice(&room[..count]),
            Err(_) => return Ok((String::from_utf8_lossy(&answer).into_owned(), false)),
        }
    }
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    length.is_some_and(|length| body.len() >= length)
}

type Journal = Arc<Mutex<Vec<(String, String)>>>;

/// A node as it was when the recordings were made.
fn serve(listener: &TcpListener, name: &'static str, headers: &str, journal: &Journal) {
    for stream in listener.incoming().flatten() {
        let (headers, journal) = (headers.to_owned(), journal.clone());
        thread::spawn(move || {
            let _the_peer_may_leave = answer_all(stream, name, &headers, &journal);
        });
    }
}

fn answer_all(mut stream: TcpStream, name: &str, headers: &str, journal: &Journal) -> std::io::Result<()> {
    let (mut received, mut room) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut room)?;
        if count == 0 {
            return Ok(());
        }
        received.extend_from_slice(&room[..count]);
        if !received.ends_with(b"\r\n\r\n") {
            continue;
        }
        let request = String::from_utf8_lossy(&std::mem::take(&mut received)).into_owned();
        journal.lock().expect("no panic").push((name.to_owned(), request));
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nServer: {name}\r\nX-Powered-By: test\r\nLocation: http://internal.example/x\r\n\
             {headers}Content-Length: 3\r\n\r\n{name}\n"
        )?;
    }
}
