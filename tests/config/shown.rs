//! What people and editors see: findings on a terminal, and the report of `-cj`.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use libtest_mimic::{Failed, Trial};
use nix::pty::openpty;
use serde_json::Value;

#[path = "../support/place.rs"]
#[allow(dead_code)]
mod place;
use place::TempDir;

/// A name of each kind that is nearly right.
const SLIPS: &str = "userlist staff\n user ann password x\nfrontend web\n bind 127.0.0.1:1\n mode http\n \
                     acl is_local src 127.0.0.1\n http-request deny if is_loacl\n \
                     http-request auth unless { http_auth(stfaf) }\n use_backend appps if is_local\n \
                     timout client 5s\n";

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("on a terminal, line, word and suggestion are shown", on_a_terminal),
        Trial::test("NO_COLOR and TERM=dumb take the colours away", without_colours),
        Trial::test("elsewhere, only the messages", elsewhere),
        Trial::test("-cj writes JSON that says what the exit code says", as_json),
        Trial::test("-cj writes JSON whatever the bytes", hostile_bytes_as_json),
        Trial::test("-cj tells what could not be read", unreadable_as_json),
    ]
}

fn epoxy() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_epoxy"));
    command.env_remove("NO_COLOR").env("TERM", "xterm");
    command
}

fn file(text: &[u8]) -> Result<(TempDir, String), Failed> {
    let dir = TempDir::new("shown").map_err(|e| e.to_string())?;
    let path = dir.path().join("a.cfg");
    std::fs::write(&path, text).map_err(|e| e.to_string())?;
    Ok((dir, path.to_string_lossy().into_owned()))
}

/// What `epoxy -c` writes to a terminal.
fn seen(command: &mut Command, config: &str) -> Result<String, Failed> {
    let (dir, _) = file(config.as_bytes())?;
    let pty = openpty(None, None).map_err(|e| e.to_string())?;
    let command = command.args(["-c", "-f", "a.cfg"]).current_dir(dir.path());
    let mut child =
        command.stderr(pty.slave).stdin(Stdio::null()).stdout(Stdio::null()).spawn().map_err(|e| e.to_string())?;
    // The command keeps its end of the terminal open, and reading would not end.
    *command = epoxy();
    let mut text = Vec::new();
    let mut master = File::from(pty.master);
    let mut buffer = [0; 4096];
    // Once nobody has the other end, reading fails (EIO).
    while let Ok(length @ 1..) = master.read(&mut buffer) {
        text.extend_from_slice(&buffer[..length]);
    }
    child.wait().map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&text).replace("\r\n", "\n"))
}

fn has(text: &str, part: &str) -> Result<(), Failed> {
    if text.contains(part) { Ok(()) } else { Err(format!("missing:\n{part}\nin:\n{text}").into()) }
}

fn on_a_terminal() -> Result<(), Failed> {
    let text = seen(&mut epoxy(), SLIPS)?;
    let caret =
        |blanks: usize, length: usize| format!("{}\x1b[1;31m^{}\x1b[0m\n", " ".repeat(blanks), "~".repeat(length - 1));
    has(&text, &format!("\n   http-request deny if is_loacl\n{}", caret(24, 8)))?;
    has(&text, "   = did you mean '\x1b[1;32mis_local\x1b[0m' [a.cfg:6]?\n")?;
    has(&text, "; did you mean 'timeout' maybe ?\n   timout client 5s\n")?;
    let mended = SLIPS.replace("is_loacl", "is_local").replace("timout", "timeout");
    let text = seen(&mut epoxy(), &mended)?;
    has(&text, "unable to find required use_backend: 'appps'.\n  [a.cfg:9]\n   use_backend appps if is_local\n")?;
    has(&text, "   = did you mean '\x1b[1;32mstaff\x1b[0m' [a.cfg:1]?\n")
}

fn without_colours() -> Result<(), Failed> {
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let text = seen(epoxy().env(name, value), SLIPS)?;
        has(
            &text,
            "   http-request deny if is_loacl\n                        ^~~~~~~~\n   = did you mean 'is_local' [a.cfg:6]?\n",
        )?;
        if text.contains('\x1b') {
            return Err(format!("{name}: {text:?}").into());
        }
    }
    Ok(())
}

fn elsewhere() -> Result<(), Failed> {
    let (_dir, path) = file(SLIPS.as_bytes())?;
    let output = epoxy().args(["-c", "-f", &path]).output().map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    match text.lines().find(|line| !line.starts_with('[')) {
        Some(line) => Err(format!("a line that is no message: {line}").into()),
        None => has(&text, "no such ACL : 'is_loacl'."),
    }
}

fn report(arguments: &[&str], path: &str) -> Result<(Output, Value), Failed> {
    let output = epoxy().args(arguments).args(["-f", path]).output().map_err(|e| e.to_string())?;
    if !output.stderr.is_empty() {
        return Err(format!("said beside the report: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let report = serde_json::from_slice(&output.stdout)
        .map_err(|e| format!("{e}: {}", String::from_utf8_lossy(&output.stdout)))?;
    Ok((output, report))
}

fn as_json() -> Result<(), Failed> {
    let good = "listen l\n bind 127.0.0.1:1\n timeout client 1s\n timeout server 1s\n timeout connect 1s\n";
    let warned = "listen l\n bind 127.0.0.1:1\n";
    let legacy = good.replace("timeout connect 1s", "contimeout 1s");
    for (config, arguments, exit, valid, codes) in [
        (good, &["-cj"][..], 0, true, &[][..]),
        ("global\n", &["-cj"], 2, true, &[]),
        (warned, &["-cj"], 0, true, &["missing-argument"]),
        (warned, &["-cj", "-dW", "-V"], 1, true, &["missing-argument"]),
        (&legacy, &["-cj"], 0, true, &["deprecated", "legacy"]),
        (SLIPS, &["-cj"], 1, false, &["unknown-acl", "unknown-keyword"]),
        // HAProxy's own lenience: anything else behind `-c` is `-c`.
        (good, &["-c", "-cj", "-q"], 0, true, &[]),
    ] {
        let (_dir, path) = file(config.as_bytes())?;
        let (output, report) = report(arguments, &path)?;
        let plain: Vec<&str> = arguments.iter().map(|word| if *word == "-cj" { "-c" } else { word }).collect();
        let same = epoxy().args(plain).args(["-f", &path]).output().map_err(|e| e.to_string())?;
        let findings = report["findings"].as_array().cloned().unwrap_or_default();
        let found: Vec<&str> = findings.iter().filter_map(|finding| finding["code"].as_str()).collect();
        let actual = (output.status.code(), same.status.code(), report["valid"].as_bool(), &found[..]);
        if actual != (Some(exit), Some(exit), Some(valid), codes) {
            return Err(format!("{config}{arguments:?}: {actual:?}\n{report}").into());
        }
        fields(&findings)?;
    }
    Ok(())
}

/// A field, and whether a value may stand in it.
type Field = (&'static str, fn(&Value) -> bool);

/// Each finding has all fields, of these types.
fn fields(findings: &[Value]) -> Result<(), Failed> {
    let types: [Field; 12] = [
        ("file", |v| v.is_string() || v.is_null()),
        ("line", |v| v.is_u64() || v.is_null()),
        ("column", |v| v.is_u64() || v.is_null()),
        ("end_column", |v| v.is_u64() || v.is_null()),
        ("severity", |v| matches!(v.as_str(), Some("error" | "warning" | "notice" | "diagnostic"))),
        ("code", Value::is_string),
        ("message", Value::is_string),
        ("suggestion", |v| v.is_string() || v.is_null()),
        ("defined_in", |v| v.is_string() || v.is_null()),
        ("defined_at", |v| v.is_u64() || v.is_null()),
        ("refused_since", |v| v.is_string() || v.is_null()),
        ("source", |v| v.is_string() || v.is_null()),
    ];
    for finding in findings {
        for (name, fits) in types {
            if finding.get(name).is_none_or(|value| !fits(value)) {
                return Err(format!("{name}: {finding}").into());
            }
        }
        if finding.as_object().map(serde_json::Map::len) != Some(types.len()) {
            return Err(format!("another field: {finding}").into());
        }
    }
    Ok(())
}

fn hostile_bytes_as_json() -> Result<(), Failed> {
    for config in [
        &b"listen \xff\xfe\n bind \x01:\"\n \xc3(\n"[..],
        b"\x00\n\x1b[31m\n\"\\\n",
        b"listen l\n acl \"\xe2\x80\xa8 path if \xf0\x9f\x98\xb8\n use_backend \\\"x\\\\ if {",
        b"listen l\n http-request deny if \xff\n",
    ] {
        let (_dir, path) = file(config)?;
        let (output, report) = report(&["-cj"], &path)?;
        if output.status.code() != Some(1) || report["valid"] != false || report["errors"] == 0 {
            return Err(format!("{}: {report}", config.escape_ascii()).into());
        }
    }
    Ok(())
}

fn unreadable_as_json() -> Result<(), Failed> {
    let (dir, _) = file(b"")?;
    let absent: &Path = &dir.path().join("absent.cfg");
    let (output, report) = report(&["-cj"], &absent.to_string_lossy())?;
    let code = &report["findings"][0]["code"];
    if output.status.code() == Some(1) && code == "unreadable-file" { Ok(()) } else { Err(report.to_string().into()) }
}
