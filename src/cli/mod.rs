//! The runtime socket (`stats socket`; management manual 9.3).
//!
//! [`engine`] keeps the connections, [`mod@line`] cuts what they send into commands, [`table`] finds a command
//! and gives help, and each file after that holds the commands of one subject, a row and a function each.
//! A runtime command sees the whole worker: the one place above the sessions that may.

mod added;
mod agents;
mod clear;
mod cookies;
pub mod engine;
mod frontends;
mod handover;
mod inquiry;
pub mod line;
mod place;
mod resolvers;
mod servers;
mod session;
mod sessions;
mod show;
mod show_stat;
mod table;

pub use engine::Cli;

use std::borrow::Cow;

use crate::event::Core;
use crate::event::accept::Listeners;
use crate::proxy::{CliLevel, Config, ServerId, is_called};
use crate::stats::Counters;
use crate::time::Millis;
use inquiry::Merge;

/// One command under way: its words and all that it may look at and change.
pub struct Call<'a> {
    /// Sessions and services.
    pub core: &'a mut Core,
    /// Listening sockets.
    pub listeners: &'a mut Listeners,
    /// All words of the command.
    pub words: &'a [String],
    /// What the connection is, and what its commands may change of it.
    pub client: &'a mut Client,
    /// Shows this worker and nothing of the service.
    pub alone: bool,
    /// The answer.
    pub out: &'a mut Vec<u8>,
}

/// What a command may change of its connection.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// Rights.
    pub level: CliLevel,
    /// Interactive mode.
    pub prompt: bool,
    /// Inactivity after which the connection is closed.
    pub timeout: Millis,
    /// The connection ends now.
    pub quit: bool,
    /// It is another worker.
    pub internal: bool,
    /// Its socket has `expose-fd listeners`.
    pub exposes_listeners: bool,
    /// `expert-mode`: this build has no command that asks for it.
    pub is_expert: bool,
    /// `experimental-mode`, likewise.
    pub is_experimental: bool,
    /// Descriptors are the answer.
    pub hands_over: Option<handover::Gift>,
}

/// What a command comes to: the answer is in [`Call::out`], or this is what went wrong, said as it is (most
/// messages end a line, some of HAProxy's do not).
pub type Outcome = Result<(), Cow<'static, str>>;

/// One command.
pub struct Command {
    /// The words that call it.
    pub words: &'static [&'static str],
    /// The words with their arguments, as help shows them.
    pub usage: &'static str,
    /// What it does, as help shows it.
    pub help: &'static str,
    /// Rights that it needs.
    pub level: CliLevel,
    /// Whom it concerns.
    pub scope: Scope,
    /// Runs it.
    pub run: fn(&mut Call<'_>) -> Outcome,
}

/// Which workers a command concerns.
#[derive(Clone, Copy)]
pub enum Scope {
    /// The one that was asked can answer for all, by what they share.
    Here,
    /// Each has something to tell.
    Each(Merge),
    /// Each has something to do, and has done it before the command is answered.
    Everywhere,
}

/// What a client without the rights is told.
const DENIED: Cow<'static, str> = Cow::Borrowed("Permission denied\n");

impl Call<'_> {
    /// A word by its position, empty where there is none.
    pub fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }

    /// What was counted: by all, or by this worker.
    pub fn counters(&self) -> Counters {
        let counters = &self.core.services.counters;
        if self.alone { counters.only(counters.slot()) } else { counters.clone() }
    }

    /// The configuration.
    pub fn config(&self) -> &'static Config {
        self.core.services.config
    }

    /// Appends a text to the answer.
    pub fn say(&mut self, text: impl AsRef<[u8]>) {
        self.out.extend_from_slice(text.as_ref());
    }

    /// Refuses clients with fewer rights.
    pub fn need(&self, level: CliLevel) -> Outcome {
        if self.client.level < level { Err(DENIED) } else { Ok(()) }
    }

    /// The server that `backend/server` names.
    pub fn server(&self, word: &str) -> Result<ServerId, Cow<'static, str>> {
        let Some((backend, server)) = word.split_once('/').filter(|(_, server)| !server.is_empty()) else {
            return Err("Require 'backend/server'.\n".into());
        };
        let id = self.config().find_backend(backend).ok_or("No such backend.\n")?;
        let config = self.config();
        let found = config.servers_of(id).find(|(_, known)| is_called(server, &known.name, known.uuid));
        found.map(|(id, _)| id).ok_or(Cow::Borrowed("No such server.\n"))
    }
}
