//! Finding a command, and telling which there are.

use std::fmt::Write;

use super::inquiry::{self, Answer, Merge, Question, together};
use super::{Call, Client, Command, Scope};
use crate::shm::{Slot, SlotState};
use crate::text::suggest;

/// Commands offered when none was meant exactly.
const SUGGESTIONS_MAX: usize = 5;

/// Width of the left column of help.
const USAGE_WIDTH: usize = 40;

/// The rows of all files.
static TABLES: &[&[Command]] = &[
    super::added::ROWS,
    super::clear::ROWS,
    super::cookies::ROWS,
    super::frontends::ROWS,
    super::handover::ROWS,
    super::resolvers::ROWS,
    super::servers::ROWS,
    super::agents::ROWS,
    super::session::ROWS,
    super::sessions::ROWS,
    super::show::ROWS,
    super::show_stat::ROWS,
];

/// Those that belong to the conversation, which every list ends with.
const LAST: [(&str, &str); 3] = [
    ("help [<command>]", "list matching or all commands"),
    ("prompt", "toggle interactive mode with prompt"),
    ("quit", "disconnect"),
];

/// Runs one command and appends its answer with what frames it, unless others are to be asked before.
pub fn run(mut call: Call<'_>) -> Option<Question> {
    let words = call.words;
    let outcome = match worker_prefix(words) {
        None => ask_or_answer(&mut call, words),
        Some(number) => {
            let mesh = &call.core.services.mesh;
            let nobody = format!("Can't find the target PID matching the prefix '{}'\n", call.word(0));
            match number.and_then(|number| mesh.numbered(number)) {
                Some(slot) if slot == mesh.own() => {
                    call.alone = true;
                    call.words = &call.words[1..];
                    let answer = answer(&mut call);
                    let merge = find(call.words).map_or(together as Merge, |command| command.merge());
                    Ok(merge(vec![answer]))
                }
                Some(slot) => {
                    let text = inquiry::question(call.client.level, true, &call.words[1..]);
                    Err(Question { to: vec![slot], text, own: None, merge: together, nobody })
                }
                None => Ok(nobody.into_bytes()),
            }
        }
    };
    match outcome {
        Err(question) => Some(question),
        Ok(text) => {
            call.say(text);
            if !call.client.quit {
                frame(call.client, call.out);
            }
            None
        }
    }
}

/// Answers another worker.
pub fn run_asked(mut call: Call<'_>) {
    call.client.quit = true;
    let Some((level, alone)) = inquiry::asker(call.words) else { return };
    call.client.level = level;
    call.words = &call.words[2..];
    call.alone = alone;
    let mut answer = answer(&mut call);
    if let (true, Some(command)) = (alone, find(call.words)) {
        answer = Ok(command.merge()(vec![answer]));
    }
    call.say(inquiry::close(answer));
}

/// What ends an answer.
pub fn frame(client: &Client, out: &mut Vec<u8>) {
    out.extend_from_slice(if client.prompt { b"\n> " } else { b"\n" });
}

/// The number of the worker that `@N` names: none if it is no number.
fn worker_prefix(words: &[String]) -> Option<Option<usize>> {
    words.first()?.strip_prefix('@').map(|number| number.parse().ok())
}

/// The answer to a command, or the question to the workers whose answers it needs.
fn ask_or_answer(call: &mut Call<'_>, words: &[String]) -> Result<Vec<u8>, Question> {
    let own = answer(call);
    let Some(command) = find(words).filter(|command| call.need(command.level).is_ok()) else {
        return Ok(together(vec![own]));
    };
    let (segment, mesh) = (call.core.services.counters.segment(), &call.core.services.mesh);
    let to: Vec<Slot> = match command.scope {
        Scope::Here => Vec::new(),
        // Who is not there yet has nothing to tell.
        Scope::Each(_) => mesh.others().filter(|slot| segment.state(*slot) != SlotState::Starting).collect(),
        Scope::Everywhere => mesh.others().collect(),
    };
    if to.is_empty() {
        return Ok(command.merge()(vec![own]));
    }
    let text = inquiry::question(call.client.level, false, words);
    Err(Question { to, text, own: Some((mesh.own(), own)), merge: command.merge(), nobody: String::new() })
}

/// What this worker answers to a command.
fn answer(call: &mut Call<'_>) -> Answer {
    let before = call.out.len();
    match call.word(0) {
        "quit" => call.client.quit = true,
        "prompt" => call.client.prompt = !call.client.prompt,
        "help" => return Ok(help(&call.words[1..]).into_bytes()),
        _ => {
            let Some(command) = find(call.words) else { return Ok(unknown(call.words).into_bytes()) };
            if let Err(message) = call.need(command.level).and_then(|()| (command.run)(call)) {
                // What it said before it failed stands.
                let mut text = call.out.split_off(before);
                text.extend_from_slice(message.as_bytes());
                return Err(text);
            }
        }
    }
    Ok(call.out.split_off(before))
}

impl Command {
    fn merge(&self) -> Merge {
        match self.scope {
            Scope::Each(merge) => merge,
            Scope::Here | Scope::Everywhere => together,
        }
    }
}

/// All commands that lists show.
fn all() -> Vec<&'static Command> {
    let mut all: Vec<&Command> =
        TABLES.iter().flat_map(|rows| rows.iter()).filter(|command| !command.usage.is_empty()).collect();
    all.sort_by_key(|command| command.words);
    all
}

fn find(words: &[String]) -> Option<&'static Command> {
    let starts = |command: &&Command| {
        command.words.len() <= words.len() && command.words.iter().zip(words).all(|(known, word)| known == word)
    };
    TABLES.iter().flat_map(|rows| rows.iter()).filter(starts).max_by_key(|command| command.words.len())
}

/// What `help` says: all commands, or those that begin with the words or look like them.
fn help(words: &[String]) -> String {
    let commands = if words.is_empty() { all() } else { nearest(words) };
    list("The following commands are valid at this level:", &commands)
}

fn unknown(words: &[String]) -> String {
    if words.is_empty() {
        return list("Unknown command. Please enter one of the following commands only:", &all());
    }
    let title = "Unknown command, but maybe one of the following ones is a better match:";
    list(title, &nearest(words))
}

/// The commands that go on where `words` end; if there is none, those that look most like them.
fn nearest(words: &[String]) -> Vec<&'static Command> {
    let shared = |command: &Command| command.words.iter().zip(words).take_while(|(known, word)| known == word).count();
    let exact: Vec<_> = all().into_iter().filter(|command| shared(command) == words.len()).collect();
    if !exact.is_empty() {
        return exact;
    }
    let most = all().into_iter().map(shared).max().unwrap_or(0);
    let wanted = words.join(" ");
    let mut near: Vec<_> = all().into_iter().filter(|command| shared(command) == most).collect();
    near.sort_by_key(|command| {
        let known = command.words[..command.words.len().min(words.len())].join(" ");
        suggest::distance(&known, &wanted)
    });
    near.truncate(SUGGESTIONS_MAX);
    near.sort_by_key(|command| command.words);
    near
}

fn list(title: &str, commands: &[&Command]) -> String {
    let mut text = format!("{title}\n");
    let rows = commands.iter().map(|command| (command.usage, command.help)).chain(LAST);
    for (usage, help) in rows {
        // Writes into strings do not fail.
        let _ = writeln!(text, "  {usage:<width$}: {help}", width = USAGE_WIDTH);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn commands_are_found_by_their_first_words() {
        assert_eq!(find(&words("show stat 1 2 3")).map(|c| c.words), Some(&["show", "stat"][..]));
        assert!(find(&words("show")).is_none());
        assert!(find(&words("SHOW stat")).is_none());
    }

    #[test]
    fn the_lists_are_aligned_and_end_alike() {
        let text = help(&[]);
        assert!(text.starts_with("The following commands are valid at this level:\n"), "{text}");
        assert!(text.contains("\n  clear counters [all]                    : clear max statistics"), "{text}");
        assert!(text.ends_with("  quit                                    : disconnect\n"), "{text}");
    }

    #[test]
    fn what_is_meant_is_offered() {
        let offered = |text: &str| nearest(&words(text)).iter().map(|c| c.words.join(" ")).collect::<Vec<_>>();
        assert_eq!(offered("show cli"), ["show cli level", "show cli sockets"]);
        assert!(offered("show stta").contains(&"show stat".to_owned()));
        assert!(offered("clear").contains(&"clear counters".to_owned()));
    }
}
