//! A smoke run of fuzzing: every parser that a peer or an operator's text reaches gets the stored corpus
//! (`tests/corpus/SUBJECT`), each file whole, cut short, and changed at random in a way that is the same at
//! every run. Nothing may panic, and what comes in pieces means what it means whole.
//!
//! An input that once did harm belongs into the corpus, under a name that says what it is.
//! `FUZZ_ROUNDS=100000 cargo test --test fuzz_smoke` runs longer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use epoxy::check::expect::{Judgement, Texts, judge_bytes, judge_http};
use epoxy::check::http::Answer;
use epoxy::cli::line;
use epoxy::config::{self, Severity};
use epoxy::dns::{Engine, Name, Requester, Wanted, message, message::Kind};
use epoxy::h1::{self, Body, BodyDecoder, Limits, Parsed, framing, persistence};
use epoxy::http::{Head, Version, uri};
use epoxy::proxy::check::{Data, Expect, FieldPattern, Match, Pattern};
use epoxy::proxy::resolvers::{Family, ResolversId};
use epoxy::time::{Millis, Tick};

/// Changed inputs a subject, unless `FUZZ_ROUNDS` says otherwise: about a second without optimisation.
const ROUNDS: usize = 3000;
/// At how many places the files of a subject are cut for each of these rounds, if that is as many as are wanted of one.
const CUTS_A_ROUND: usize = 8;
/// At how many places a file is cut at least and at most.
const CUTS: (usize, usize) = (10, 300);
/// Longest input that is made.
const INPUT_BYTES_MAX: usize = 4096;
/// Pieces in which a split input arrives.
const PIECE_BYTES: [usize; 3] = [1, 7, 64];

#[test]
fn requests() {
    run("requests", |raw| {
        for limits in both_limits() {
            let mut head = Head::new();
            let Ok(Parsed::Complete { head_bytes }) = h1::parse_request(raw, &mut head, &limits) else { continue };
            assert!(head_bytes <= raw.len());
            let _ = (head.path(), head.query(), uri::authority(head.uri()), uri::scheme(head.uri()));
            let Ok(framing) = framing::request(&mut head) else { continue };
            let asked = persistence::take(&mut head);
            let keep = asked.keeps(head.version());
            persistence::to_server(&mut head, keep);
            let mut out = Vec::new();
            head.write_request_to(&mut out);
            body(framing.body, &raw[head_bytes..]);
        }
    });
}

#[test]
fn responses() {
    run("responses", |raw| {
        for limits in both_limits() {
            let mut head = Head::new();
            let Ok(Parsed::Complete { head_bytes }) = h1::parse_response(raw, &mut head, &limits) else { continue };
            assert!(head_bytes <= raw.len());
            let Ok(framing) = framing::response(&mut head, &framing::Asked::default()) else { continue };
            let asked = persistence::take(&mut head);
            let keep = asked.keeps(head.version());
            persistence::to_client(&mut head, keep, Version::Http11);
            let mut out = Vec::new();
            head.write_response_to(&mut out);
            body(framing.body, &raw[head_bytes..]);
        }
    });
}

#[test]
fn chunked_bodies() {
    run("chunked", |raw| body(Body::Chunked, raw));
}

/// Bytes of steps, which here have no formats.
struct Plain;

impl Texts for Plain {
    fn text(&self, data: &Data) -> Option<Vec<u8>> {
        match data {
            Data::Bytes(bytes) => Some(bytes.to_vec()),
            Data::Format(_) | Data::Hex(_) | Data::ToAgent => None,
        }
    }
}

#[test]
fn answers_to_health_checks() {
    let text = |text: &[u8]| Data::Bytes(text.into());
    let unwanted = Expect { negate: true, ..Expect::new(Pattern::Status(vec![(200, 299), (404, 404)])) };
    let field = FieldPattern { name: Match::Begin(text(b"x-")), value: Some(Match::End(text(b"1"))), full: false };
    let expects = [Expect::new(Pattern::Text(text(b"ok"))), unwanted, Expect::new(Pattern::Field(Box::new(field)))];
    run("checks", |raw| {
        for expect in &expects {
            let mut whole = Answer::to(b"GET", 16_384);
            whole.receive(raw);
            assert_ne!(
                judge_http(expect, &whole, true, &Plain),
                Judgement::Open,
                "the server closed: there is a verdict"
            );
            let mut answer = Answer::to(b"GET", 16_384);
            for piece in raw.chunks(5) {
                answer.receive(piece);
                if judge_http(expect, &answer, false, &Plain) != Judgement::Open {
                    break;
                }
            }
        }
        let bytes = &expects[0];
        assert_ne!(judge_bytes(bytes, raw, true, &Plain, 1), Judgement::Open, "the server closed: there is a verdict");
    });
}

/// Whatever name servers say, no more is found than they said, and whoever asked hears in the end.
#[test]
fn answers_of_name_servers() {
    let asked = [("www.example", Kind::A), ("www.example", Kind::Aaaa), ("_http._tcp.example", Kind::Srv)];
    let config = config::load_text(
        "dns.cfg",
        "resolvers r\n nameserver a 127.0.0.1:1\n nameserver b 127.0.0.1:2\n accepted_payload_size 4096\n\
         listen l\n bind 127.0.0.1:1\n",
    );
    let config = config.config.expect("valid");
    run("dns", |raw| {
        for (host, kind) in asked {
            let name = Name::parse(host.as_bytes()).expect("a name");
            if let Ok(found) = message::judge(raw, &name, kind) {
                assert!((found.addresses.len() + found.services.len()) * 12 <= raw.len());
            }
        }
        let mut engine = Engine::new(&config.resolvers, raw.len() as u64);
        let (name, who) = (Name::parse(b"www.example").expect("a name"), Requester::Service(0));
        let (section, wanted, mut now) = (ResolversId(0), Wanted::Addresses(Family::V4), Tick(1));
        assert!(engine.ask(section, name, wanted, who, now).is_none());
        let report = (0..100).find_map(|_| {
            while let Some(question) = engine.outgoing() {
                engine.sent(&question, true, now);
                let id = question.bytes.iter().take(2).copied();
                let answer: Vec<u8> = id.chain(raw.iter().skip(2).copied()).collect();
                engine.received(section, question.nameserver, &answer, now);
            }
            now = now + Millis(1000);
            engine.expire(now);
            engine.report()
        });
        assert!(report.is_some() && engine.is_idle());
    });
}

#[test]
fn lines_of_the_runtime_socket() {
    run("commands", |raw| {
        let mut rest = raw;
        while let Some(end) = line::command_end(rest) {
            assert!(line::words(&rest[..end]).len() <= 64);
            rest = &rest[end + 1..];
        }
        let _ = line::words(rest);
    });
}

#[test]
fn configurations() {
    let loads = |raw: &[u8]| {
        let loaded = config::load_text("corpus.cfg", &String::from_utf8_lossy(raw));
        assert!(loaded.config.is_some() || loaded.findings.fatal(), "what is refused has a reason");
    };
    run("configurations", loads);
}

/// The configurations of the field are accepted; one names pages of its machine, for which another stands in.
#[test]
fn configurations_of_the_field() {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder("fixtures/mission")).expect("the configurations") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let page = folder("fixtures/pages").join("crlf.http").display().to_string();
        let text = ["403", "500", "502", "503", "504"]
            .iter()
            .fold(text, |text, status| text.replace(&format!("/etc/haproxy/errorfiles/{status}.http"), &page));
        let loaded = config::load_text(&name, &text);
        let messages: Vec<String> = loaded.findings.iter().map(|finding| finding.message()).collect();
        assert!(loaded.config.is_some() && !loaded.findings.fatal(), "{name}: {messages:#?}");
        names.push(name);
    }
    assert_eq!(names.len(), 7, "{names:?}");
}

/// One changed line in a configuration that works: nothing panics, and what is refused tells a line.
#[test]
fn changed_lines_of_configurations() {
    let configurations = working_configurations();
    let lines: Vec<Vec<u8>> =
        configurations.iter().flat_map(|text| text.lines().map(|line| line.as_bytes().to_vec())).collect();
    let mut chance = Chance(0x2545_f491_4f6c_dd1d);
    for _ in 0..rounds() {
        let text = &configurations[chance.below(configurations.len())];
        let at = chance.below(text.lines().count());
        let mut changed = String::new();
        for (index, line) in text.lines().enumerate() {
            let mut raw = line.as_bytes().to_vec();
            if index == at {
                // Addresses stay: others may be names, and asking for these takes long.
                let mut behind = raw.split_off(address_end(line));
                change(&mut behind, &lines, &mut chance);
                raw.extend(behind);
            }
            changed.push_str(&String::from_utf8_lossy(&raw));
            changed.push('\n');
        }
        let loaded = catch_unwind(|| config::load_detailed("changed.cfg", &changed));
        let Ok(loaded) = loaded else { panic!("harmed by {changed:?}") };
        let told = |finding: &config::Finding| finding.severity == Severity::Alert && finding.line > 0;
        let refused = loaded.config.is_none();
        assert!(!refused || loaded.findings.iter().any(told), "no line: {changed}\n{:?}", loaded.findings);
        for finding in loaded.findings.iter() {
            let _ = finding.explain(true);
        }
        let report: Result<serde_json::Value, _> = serde_json::from_str(&config::report::report(&loaded));
        assert!(report.is_ok_and(|report| report["valid"] == !refused), "{changed}");
    }
}

/// Where the address of a line ends that has one; 0 for others.
fn address_end(line: &str) -> usize {
    let mut words = line.split_ascii_whitespace();
    let nth = match words.next() {
        Some("server" | "nameserver") => 2,
        Some("bind" | "log" | "dispatch" | "source" | "peer") => 1,
        _ => return 0,
    };
    let word = line.split_ascii_whitespace().nth(nth).unwrap_or_default();
    word.as_ptr() as usize - line.as_ptr() as usize + word.len()
}

/// The configurations of the field and those of the conversations with the oracle, addresses filled in.
fn working_configurations() -> Vec<String> {
    let read = |path: PathBuf| std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let files = |folder: PathBuf| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort();
        files
    };
    let mut texts: Vec<String> = files(folder("fixtures/mission")).into_iter().map(read).collect();
    assert_eq!(texts.len(), 7);
    for script in files(folder("oracle/scripts")).into_iter().filter(|path| path.is_dir()).flat_map(files) {
        let script = read(script);
        let begin = script.lines().skip_while(|line| line.trim_end() != "config").skip(1);
        let indented = begin.take_while(|line| line.starts_with([' ', '\t']) || line.is_empty());
        let text: String = indented.map(|line| format!("{line}\n")).collect();
        if text.trim().is_empty() {
            continue;
        }
        let prologue = "defaults\n mode http\n timeout client 2s\n timeout server 2s\n timeout connect 1s\n";
        texts.push(with_addresses(&format!("{prologue}{text}")));
    }
    texts.retain(|text| config::load_text("whole.cfg", text).config.is_some());
    assert!(texts.len() > 300, "only {} configurations work", texts.len());
    texts
}

/// Fills in what stands for addresses and places.
fn with_addresses(text: &str) -> String {
    let names = [
        "fe", "fe2", "fe3", "fe4", "node1", "node2", "node3", "node4", "node5", "node6", "node7", "node8", "node9",
        "node10", "node11", "node12", "node13", "node14", "log", "log2", "dns1", "dns2", "dns3",
    ];
    let filled = names
        .iter()
        .zip(20001..)
        .fold(text.to_owned(), |text, (name, port)| text.replace(&format!("{{{name}}}"), &format!("127.0.0.1:{port}")));
    let fixtures = folder("fixtures");
    filled.replace("{ip}", "127.0.0.1").replace("{fixtures}", &fixtures.to_string_lossy())
}

/// The ways to read a body: forwarded as it is, and piece by piece. Both must agree on where it ends.
fn body(kind: Body, raw: &[u8]) {
    let whole = scanned(kind, raw, raw.len().max(1));
    for size in PIECE_BYTES {
        assert_eq!(scanned(kind, raw, size), whole, "forwarded in pieces of {size}");
    }
    let mut decoder = BodyDecoder::new(kind);
    let mut rest = raw;
    while let Ok(piece) = decoder.next(rest) {
        let trailers = &rest[piece.framing + piece.payload..piece.consumed()];
        let _ = h1::parse_trailers(trailers, &mut Head::new(), &Limits::default());
        rest = &rest[piece.consumed()..];
        if piece.done || piece.consumed() == 0 {
            break;
        }
    }
}

/// What a body that arrives in pieces of `size` is forwarded as, and whether it ended; nothing when it is bad.
fn scanned(kind: Body, raw: &[u8], size: usize) -> Option<(Vec<u8>, bool)> {
    let mut decoder = BodyDecoder::new(kind);
    let (mut out, mut done) = (Vec::new(), decoder.is_done());
    let (mut start, mut end) = (0, size.min(raw.len()));
    while !done && start < raw.len() {
        let scan = decoder.scan(&raw[start..end]).ok()?;
        out.extend_from_slice(&raw[start..start + scan.forward]);
        out.extend_from_slice(scan.insert);
        let trailers = start + scan.forward + scan.dropped;
        out.extend_from_slice(&raw[trailers..trailers + scan.trailers]);
        start += scan.consumed();
        done = scan.done;
        if start == end || scan.consumed() == 0 {
            if end == raw.len() {
                break;
            }
            end = (end + size).min(raw.len());
        }
    }
    Some((out, done))
}

fn both_limits() -> [Limits; 2] {
    let small = Limits { head_bytes_max: 200, fields_max: 4, lenient: true, target_is_host: true };
    [Limits::default(), small]
}

/// Gives `target` everything that the corpus of `subject` leads to; an input that does harm is shown.
fn run(subject: &str, target: impl Fn(&[u8])) {
    let attempt = |raw: &[u8]| {
        if catch_unwind(AssertUnwindSafe(|| target(raw))).is_err() {
            panic!("{subject}: harmed by b\"{}\"", raw.escape_ascii());
        }
    };
    let corpus = corpus(subject);
    // Long files are cut at fewer places, and so are many; which ones differs from file to file.
    let cuts = (rounds() * CUTS_A_ROUND / corpus.len()).clamp(CUTS.0, CUTS.1);
    for (index, seed) in corpus.iter().enumerate() {
        let step = seed.len().div_ceil(cuts).max(1);
        (index % step..=seed.len()).step_by(step).for_each(|end| attempt(&seed[..end]));
        attempt(seed);
    }
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    for _ in 0..rounds() {
        let mut raw = corpus[chance.below(corpus.len())].clone();
        for _ in 0..=chance.below(4) {
            change(&mut raw, &corpus, &mut chance);
        }
        raw.truncate(INPUT_BYTES_MAX);
        attempt(&raw);
    }
}

/// How many changed inputs a subject gets.
fn rounds() -> usize {
    std::env::var("FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS)
}

/// One change at random: an octet, a piece taken out, doubled or moved in from another file, a hostile word.
fn change(raw: &mut Vec<u8>, corpus: &[Vec<u8>], chance: &mut Chance) {
    const HOSTILE: [&[u8]; 16] = [
        b"\0",
        b"\r",
        b"\n",
        b"\r\n\r\n",
        b":",
        b" ",
        b"\t",
        b"\xff",
        b"%00",
        b"\\",
        b"\"",
        b"'",
        b"-1",
        b"18446744073709551616",
        b"ffffffffffffffff",
        b"${X",
    ];
    let at = chance.below(raw.len() + 1);
    let end = (at + chance.below(16)).min(raw.len());
    match chance.below(5) {
        0 if at < raw.len() => raw[at] ^= 1 << chance.below(8),
        1 => drop(raw.drain(at..end)),
        2 => {
            let piece = raw[at..end].to_vec();
            raw.splice(at..at, piece);
        }
        3 => {
            let other = &corpus[chance.below(corpus.len())];
            let from = chance.below(other.len() + 1);
            let to = (from + chance.below(64)).min(other.len());
            raw.splice(at..end, other[from..to].iter().copied());
        }
        _ => drop(raw.splice(at..at, HOSTILE[chance.below(HOSTILE.len())].iter().copied())),
    }
}

/// The files of a subject; configurations are also taken from where other tests keep theirs.
fn corpus(subject: &str) -> Vec<Vec<u8>> {
    let mut folders = vec![folder("corpus").join(subject)];
    if subject == "configurations" {
        folders.push(folder("fixtures/mission"));
        folders.push(folder("config"));
    }
    let mut files: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())))
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file() && path.extension().is_none_or(|ending| ending != "rs"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no corpus for {subject}");
    files.iter().flat_map(|path| pieces(&std::fs::read(path).expect("a readable file"))).collect()
}

/// A file of cases is as many inputs; other files are one.
fn pieces(bytes: &[u8]) -> Vec<Vec<u8>> {
    if !bytes.starts_with(b"=== ") && !bytes.starts_with(b"# ") {
        return vec![bytes.to_vec()];
    }
    String::from_utf8_lossy(bytes).split("\n=== ").map(|case| case.as_bytes().to_vec()).collect()
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// Numbers that look random and are the same at every run (xorshift64*).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let end = end.max(1) as u64;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32).wrapping_rem(end) as usize
    }
}
