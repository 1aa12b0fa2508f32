//! What HAProxy 1.5 accepts and 2.6 refuses, one line at a time: accepted, with the warnings of 1.5 and 1.8 where
//! they had any, and with a note about the present.

use std::path::Path;
use std::process::Command;

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::support::place::TempDir;
use crate::text_of;

/// Lines of the recordings that later versions have dropped.
const DROPPED: usize = 38;

/// One trial for each such line.
pub fn trials() -> Vec<Trial> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/legacy-verdicts.json");
    let text = std::fs::read_to_string(file).expect("the verdicts");
    let verdicts: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let exit = |verdict: &Value, version: &str| verdict["verdicts"][version]["exit"].as_i64();
    let dropped = verdicts.into_iter().filter(|v| exit(v, "1.5.0") == Some(0) && exit(v, "2.6.12") == Some(1));
    let trials = dropped.map(|verdict| {
        let line = text_of(&verdict, "line");
        Trial::test(format!("{}: {line}", text_of(&verdict, "section")), move || check(&verdict))
    });
    let trials: Vec<Trial> = trials.collect();
    assert_eq!(trials.len(), DROPPED, "lines that 1.5.0 takes and 2.6.12 refuses");
    trials
}

/// The configuration of the verdicts: lines stand where their messages say.
fn configuration(section: &str, line: &str) -> String {
    let at = |name: &str| if name == section { line } else { "" };
    format!(
        "global\n {}\ndefaults\n {}\n mode http\n timeout connect 1s\n timeout client 1s\nlisten l\n {}\n \
         timeout server 1s\n bind 127.0.0.1:1\n",
        at("global"),
        at("defaults"),
        at("listen")
    )
}

fn check(verdict: &Value) -> Result<(), Failed> {
    let (section, line) = (text_of(verdict, "section"), text_of(verdict, "line"));
    let dir = TempDir::new("verdicts").map_err(|e| e.to_string())?;
    std::fs::write(dir.path().join("m.cfg"), configuration(&section, &line)).map_err(|e| e.to_string())?;
    let mut epoxy = Command::new(env!("CARGO_BIN_EXE_epoxy"));
    let output = epoxy.args(["-c", "-V", "-f", "m.cfg"]).current_dir(dir.path()).output();
    let output = output.map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("refused:\n{said}").into());
    }
    let dated = "is refused by HAProxy since version ";
    if !said.lines().any(|line| line.starts_with("[NOTICE]") && line.contains(dated)) {
        return Err(format!("no note about the present:\n{said}").into());
    }
    for version in ["1.5.0", "1.8.0"] {
        let messages = verdict["verdicts"][version]["messages"].as_array().cloned().unwrap_or_default();
        for message in messages.iter().filter_map(Value::as_str).filter_map(|text| text.strip_prefix("[WARNING] ")) {
            // This one is about servers, of which there are none here.
            if !said.contains(message) && !message.starts_with("servers will be ignored") {
                return Err(format!("{version} warned: {message}\n{said}").into());
            }
        }
    }
    Ok(())
}
