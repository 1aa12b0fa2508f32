//! Bad lines: each directive with a missing, superfluous, malformed or contradictory argument (`lines/*.lines`).
//!
//! `@ CONTEXT` says where the lines below stand (see [`CONTEXTS`]); ` ;; ` parts several of them. Each begins with the
//! verdict, which HAProxy and epoxy must share: `ok`, `warning`, `complaint` (an alert that is not fatal) or `error`.
//! Guillemets mark the word at fault: a message must name it, or details must point at it; where none is marked
//! something is missing, and the keyword is meant. Behind the verdict may stand
//! - `~`: the words of the messages differ, the verdict does not. The reasons: regular expressions are another
//!   library's and their mistakes its words; HAProxy prints memory that is not there, or stops in mid-sentence; it
//!   gives up where epoxy goes on to tell the rest; it speaks of one mistake where a line has two, and epoxy of the
//!   other; it suggests a keyword that epoxy lacks; or the keyword is not built yet and refused by name (then the line
//!   is counted as ignored, and its verdict is compared as soon as it is built);
//! - `!`: this is epoxy's own verdict, HAProxy's is another; the comment above has the reason;
//! - `-`: HAProxy 2.6 has dropped the directive and refuses all of its lines; so this is epoxy's own verdict, as the
//!   manual of 1.5 has it.

use std::path::Path;

use epoxy::config::{Finding, Loaded, load_detailed};
use libtest_mimic::{Failed, Trial};

use crate::{FILE, ask_oracle, messages};

/// What surrounds a line: before and behind it.
const CONTEXTS: &[(&str, &str, &str)] = &[
    ("listen", "listen l\n bind 127.0.0.1:1\n acl a always_true\n server s1 127.0.0.1:2\n", ""),
    ("frontend", "frontend f\n bind 127.0.0.1:1\n acl a always_true\n", ""),
    ("tcp", "listen t\n mode tcp\n bind 127.0.0.1:1\n acl a always_true\n server s1 127.0.0.1:2\n", ""),
    ("sections", "frontend f\n bind 127.0.0.1:1\nlisten l\n bind 127.0.0.1:2\n", ""),
    ("userlist", "userlist u\n group ops\n user ann insecure-password x\n", "listen l\n bind 127.0.0.1:1\n"),
    ("resolvers", "resolvers r\n nameserver a 127.0.0.1:53\n", DEMO),
    ("http-errors", "http-errors e\n", "listen l\n bind 127.0.0.1:1\n"),
    ("defaults", "defaults\n mode http\n timeout client 1s\n timeout server 1s\n timeout connect 1s\n", DEMO),
    ("global", "global\n", DEMO),
];

/// What lines may refer to; stands before the context.
const NAMES: &str = "defaults base\n mode http\n timeout client 1s\n timeout server 1s\n timeout connect 1s\n\
                     userlist staff\n group ops\n user ann insecure-password x groups ops\n\
                     http-errors pages\n errorfile 503 /dev/null\n\
                     backend web\n server w1 127.0.0.1:1\n\
                     backend tcpbe\n mode tcp\n server t1 127.0.0.1:1\n";

const DEMO: &str = "listen l\n bind 127.0.0.1:1\n timeout client 1s\n timeout server 1s\n timeout connect 1s\n";

/// Fewest lines that there are to be.
const LINES_MIN: usize = 500;

#[derive(Clone, Debug)]
struct Line {
    context: &'static (&'static str, &'static str, &'static str),
    verdict: &'static str,
    /// What stands behind the verdict; a blank where nothing does.
    flag: char,
    reasoned: bool,
    /// The line or lines without their marks.
    texts: Vec<String>,
    /// The marked word.
    marked: Option<String>,
}

pub fn trials(oracle: bool) -> Vec<Trial> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/lines");
    let mut trials = Vec::new();
    let mut files: Vec<_> =
        std::fs::read_dir(&directory).expect("the lines").filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    for file in files {
        let subject = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).expect("a readable file");
        for line in lines(&text).unwrap_or_else(|what| panic!("{}: {what}", file.display())) {
            let name = format!("line, {subject}, {}: {}", line.context.0, line.texts.join(" ;; "));
            // Refused by name; the words of others come to be compared once it is built.
            let unbuilt = line.load().findings.iter().any(|found| is_unbuilt(&found.text));
            let trial = Trial::test(name, move || line.check(oracle));
            trials.push(if unbuilt { trial.with_ignored_flag(true).with_kind("not built yet") } else { trial });
        }
    }
    let count = trials.len();
    trials.push(Trial::test("there are many bad lines", move || match count >= LINES_MIN {
        true => Ok(()),
        false => Err(format!("only {count}").into()),
    }));
    trials
}

fn is_unbuilt(message: &str) -> bool {
    message.contains("is not supported by this build") || message.contains("is not supported yet")
}

fn lines(text: &str) -> Result<Vec<Line>, String> {
    let mut found = Vec::new();
    let (mut context, mut reasoned) = (None, false);
    for text in text.lines().filter(|line| !line.is_empty()) {
        if let Some(name) = text.strip_prefix("@ ") {
            context = CONTEXTS.iter().find(|(known, ..)| *known == name);
            reasoned = false;
            continue;
        }
        if text.starts_with('#') {
            reasoned = true;
            continue;
        }
        let (verdict, line) = text.split_once(' ').ok_or(text)?;
        let flag = verdict.chars().last().filter(|flag| "~!-".contains(*flag)).unwrap_or(' ');
        let verdict = verdict.trim_end_matches(flag);
        let known = ["ok", "warning", "complaint", "error"].into_iter().find(|known| *known == verdict);
        let marked = line.split_once('«').and_then(|(_, rest)| rest.split_once('»')).map(|(word, _)| word.to_owned());
        let plain = line.replace(['«', '»'], "");
        found.push(Line {
            context: context.ok_or("no such context")?,
            verdict: known.ok_or(text)?,
            flag,
            reasoned,
            texts: plain.trim_start().split(" ;; ").map(str::to_owned).collect(),
            marked,
        });
        reasoned = false;
    }
    Ok(found)
}

impl Line {
    fn config(&self) -> String {
        let (name, before, behind) = self.context;
        let names = if *name == "defaults" { "" } else { NAMES };
        let blank = if *name == "sections" { "" } else { " " };
        let lines: String = self.texts.iter().map(|line| format!("{blank}{line}\n")).collect();
        // `global` stands before all that uses it.
        match *name {
            "global" => format!("{before}{lines}{names}{behind}"),
            _ => format!("{names}{before}{lines}{behind}"),
        }
    }

    fn load(&self) -> Loaded {
        load_detailed(FILE, &self.config())
    }

    fn check(&self, oracle: bool) -> Result<(), Failed> {
        let loaded = self.load();
        let ours = messages(&loaded.findings);
        let own = verdict(&ours, loaded.config.is_none());
        let said = ours.join("\n");
        if own != self.verdict {
            return Err(format!("epoxy's verdict is {own}:\n{said}").into());
        }
        if oracle {
            let (theirs, refused) = ask_oracle(&self.config())?;
            let verdict = verdict(&theirs, refused);
            let words = theirs.join("\n");
            match self.flag {
                '!' if !self.reasoned => return Err("no reason given".into()),
                '!' if verdict == own => return Err(format!("no difference any more:\n{words}").into()),
                '-' if verdict != "error" => return Err(format!("HAProxy knows it:\n{words}").into()),
                ' ' | '~' if verdict != own => return Err(format!("HAProxy's verdict is {verdict}:\n{words}").into()),
                ' ' if theirs != ours => return Err(format!("HAProxy:\n{words}\nepoxy:\n{said}").into()),
                _ => {}
            }
        }
        match own == "ok" || self.names_the_word(&loaded) {
            true => Ok(()),
            false => Err(format!("the word at fault is not named:\n{said}\n{}", explained(&loaded)).into()),
        }
    }

    /// Whether a message names the word at fault or points at it; the keyword, if a word is missing.
    fn names_the_word(&self, loaded: &Loaded) -> bool {
        let first = self.texts.last().and_then(|line| line.split_whitespace().next()).unwrap_or_default();
        let word = self.marked.as_deref().unwrap_or(first);
        let bare = word.trim_matches(['"', '\'']);
        let pointed = |finding: &Finding| {
            let source = finding.source.as_deref().unwrap_or_default();
            let shown = source.get(finding.column as usize..finding.end as usize);
            // Nobody has marked the word of what was not built when the line was written.
            let any = self.flag == '~' && self.marked.is_none();
            (any || shown == Some(word.as_bytes()))
                && self.texts.iter().any(|line| line.trim().as_bytes() == source.trim_ascii())
        };
        let own_words = |finding: &Finding| !bare.is_empty() && finding.text.contains(bare);
        loaded.findings.iter().any(|finding| pointed(finding) || own_words(finding))
    }
}

fn verdict(messages: &[String], refused: bool) -> &'static str {
    let has = |label: &str| messages.iter().any(|message| message.starts_with(label));
    match () {
        () if refused => "error",
        () if has("[WARNING]") => "warning",
        () if has("[ALERT]") => "complaint",
        () => "ok",
    }
}

fn explained(loaded: &Loaded) -> String {
    loaded.findings.iter().filter_map(|finding| finding.explain(false)).collect::<Vec<_>>().join("\n")
}
