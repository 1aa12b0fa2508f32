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

/// Configurations that are recorded.
const CONFIGURATIONS: usize = 34;

/// Something that may differ from the recordings.
struct Difference {
    /// Why.
    why: &'static str,
    /// Makes the recorded exchange and epoxy's alike in this respect, and in nothing else.
    forgive: fn(&mut Seen, &mut Seen),
}

/// All that may differ, besides the ports, for each test has its own: nothing in these answers bears a date, and none
/// names the product. What is left must be the same to the byte.
const DIFFERENCES: &[Difference] = &[
    Difference { why: "RFC 9110 5.1: the case of names means nothing; HAProxy 2.x writes lower case", forgive: cases },
    Difference { why: "the words of page 500 are those that HAProxy 2.x corrected", forgive: words_of_500 },
    Difference {
        why: "RFC 9112 2.3 and 9.3: a page of the proxy's own bears the proxy's version and a length, not the HTTP/1.0 of \
              old, and so the connection persists unless the client said otherwise",
        forgive: own_pages,
    },
    Difference {
        why: "RFC 9110 5.3: the order of fields of different names means nothing",
        forgive: order_of_own_fields,
    },
    Difference { why: "RFC 9112 9.6: who has sent `close` must close after the message", forgive: closing },
    Difference {
        why: "RFC 9112 3.2.2: the Host that is passed on is that of an absolute target, whatever the client wrote",
        forgive: host_of_absolute_targets,
    },
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
    let count = trials.len();
    trials.push(Trial::test("all configurations are held again", move || match count {
        CONFIGURATIONS => Ok(()),
        other => Err(format!("{other} of {CONFIGURATIONS}").into()),
    }));
    trials.push(Trial::test("each difference has its reason", || {
        let reasoned = DIFFERENCES.iter().all(|difference| !difference.why.is_empty());
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
    /// What the client sent.
    sent: String,
    /// What the nodes saw, each with its name.
    nodes: Vec<(String, String)>,
    answer: String,
    closed: bool,
}

/// Holds the conversations of one configuration and compares them with what either version did.
fn replay(versions: &[Value]) -> Result<(), Failed> {
    let Some(first) = versions.first() else { return Err("no version has exchanges".into()) };
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
    if versions.iter().any(|version| version["configuration"] != first["configuration"]) {
        return Err("the versions have different configurations".into());
    }
    let exchanges: Vec<&Vec<Value>> = versions.iter().map(|v| v["exchanges"].as_array().unwrap_or(&none)).collect();
    if exchanges.iter().any(|list| list.is_empty() || list.len() != exchanges[0].len()) {
        return Err("the versions have different numbers of exchanges".into());
    }
    for (index, exchange) in exchanges[0].iter().enumerate() {
        journal.lock().expect("no panic").clear();
        let sent = here(&text_of(exchange, "client_sends"));
        let (answer, closed) = ask(ports[0], &sent).map_err(|e| e.to_string())?;
        let nodes = journal.lock().expect("no panic").clone();
        let actual = Seen { sent, nodes, answer, closed };
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
        sent: here(&text_of(exchange, "client_sends")),
        nodes: nodes.collect(),
        answer: here(&text_of(exchange, "client_gets")),
        closed: exchange["connection_closed_by_proxy"] == true,
    }
}

/// Whether epoxy did what was recorded, [`DIFFERENCES`] aside.
fn allowed(recorded: &Seen, actual: &Seen) -> bool {
    let (mut recorded, mut actual) = (recorded.clone(), actual.clone());
    for difference in DIFFERENCES {
        (difference.forgive)(&mut recorded, &mut actual);
    }
    recorded == actual
}

fn cases(recorded: &mut Seen, actual: &mut Seen) {
    for seen in [recorded, actual] {
        seen.answer = lower_names(&seen.answer);
        seen.nodes.iter_mut().for_each(|(_, request)| *request = lower_names(request));
    }
}

fn words_of_500(recorded: &mut Seen, _: &mut Seen) {
    let words = [("500 Server Error", "500 Internal Server Error"), ("occured", "occurred")];
    if recorded.answer.starts_with("HTTP/1.0 500 ") {
        recorded.answer = words.iter().fold(recorded.answer.clone(), |text, (old, new)| text.replace(old, new));
    }
}

/// Whether the proxy itself made the answer: no node was asked, or the node's was not fit to be passed on.
fn is_own(seen: &Seen) -> bool {
    !seen.answer.is_empty() && (seen.nodes.is_empty() || seen.answer.starts_with("HTTP/1.0 502 "))
}

fn own_pages(recorded: &mut Seen, actual: &mut Seen) {
    if !is_own(recorded) {
        return;
    }
    let about_connection = ["connection:", "content-length:"];
    for seen in [recorded, actual] {
        let (head, body) = seen.answer.split_once("\r\n\r\n").unwrap_or((&seen.answer, ""));
        let mut lines: Vec<&str> = head.split("\r\n").collect();
        lines.retain(|line| !about_connection.iter().any(|name| line.starts_with(name)));
        let head = lines.join("\r\n").replacen("HTTP/1.0 ", "HTTP/1.1 ", 1);
        (seen.answer, seen.closed) = (format!("{head}\r\n\r\n{body}"), false);
    }
}

fn order_of_own_fields(recorded: &mut Seen, actual: &mut Seen) {
    if !recorded.nodes.is_empty() {
        return;
    }
    for seen in [recorded, actual] {
        let (head, body) = seen.answer.split_once("\r\n\r\n").unwrap_or((&seen.answer, ""));
        let mut lines: Vec<&str> = head.split("\r\n").collect();
        lines[1..].sort_unstable();
        seen.answer = format!("{}\r\n\r\n{body}", lines.join("\r\n"));
    }
}

fn closing(recorded: &mut Seen, actual: &mut Seen) {
    if actual.closed && recorded.answer.contains("\r\nconnection: close\r\n") {
        recorded.closed = true;
    }
}

fn host_of_absolute_targets(recorded: &mut Seen, actual: &mut Seen) {
    let target = actual.sent.split(' ').nth(1).and_then(|target| target.strip_prefix("http://"));
    let Some(host) = target.and_then(|target| target.split('/').next()) else { return };
    for (_, request) in &mut recorded.nodes {
        let Some(old) = request.split("\r\n").find(|line| line.starts_with("host: ")).map(str::to_owned) else {
            continue;
        };
        *request = request.replacen(&old, &format!("host: {host}"), 1);
    }
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
