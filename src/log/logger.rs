//! The logger of a worker: what is logged, when, and to whom (manual 8.3).

use std::{fmt, io};

use super::format::Moment;
use super::settings::LogSettings;
use super::syslog::{About, Header, Level};
use super::target::{LogTarget, Senders};
use crate::facts::{Cause, Facts, LogOrder};
use crate::proxy::{Config, Mode};
use crate::sample::Ctx;
use crate::time::Now;

/// Sends log lines. Each worker owns one.
#[derive(Debug)]
pub struct Logger {
    senders: Senders,
    /// The global section's targets: those of messages that belong to no proxy.
    targets: Vec<LogTarget>,
    /// Global `log-tag`, or the program's name.
    tag: String,
    /// `log-send-hostname`.
    host: Option<String>,
    pid: u32,
    /// Bytes that a message may have, without header: the longest `len` of all targets less the byte that
    /// HAProxy keeps for the end of the string.
    message_bytes_max: usize,
    dropped: u64,
    /// Where the first failure is told; taken then, because a log that fails must not flood another one.
    complain: Option<fn(fmt::Arguments<'_>)>,
    // Scratch space, kept for its capacity.
    message: Vec<u8>,
    structured_data: Vec<u8>,
    packet: Vec<u8>,
}

impl Logger {
    /// A logger for the process that runs `config`. `program` is the name under which the program was started.
    ///
    /// To be made in the worker, after the fork and before connections are opened: it
    /// copies the descriptors that targets name. The time zone must be loaded before a chroot
    /// ([`crate::time::zone::zone`]).
    pub fn new(config: &Config, program: &str) -> Logger {
        let global = &config.global;
        let mut senders = Senders::default();
        senders.keep_descriptors(config.log_targets());
        Logger {
            senders,
            targets: global.log_targets.clone(),
            tag: global.log_tag.clone().unwrap_or_else(|| program.to_owned()),
            host: global
                .log_send_hostname
                .as_ref()
                .map(|name| name.clone().unwrap_or_else(|| super::host_name().to_owned())),
            pid: std::process::id(),
            message_bytes_max: config.log_targets().map(|target| target.bytes_max).max().unwrap_or(1).saturating_sub(1),
            dropped: 0,
            complain: None,
            message: Vec::new(),
            structured_data: Vec::new(),
            packet: Vec::new(),
        }
    }

    /// Has the first message that cannot be sent told to the operator, as HAProxy does. A target that is only
    /// busy is not worth a word.
    pub fn complain_to(&mut self, alert: fn(fmt::Arguments<'_>)) {
        self.complain = Some(alert);
    }

    /// Messages that could not be sent since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Logs an exchange, unless the settings say that such an exchange is not logged. The caller calls once,
    /// at the moment that [`LogSettings::moment`] gives or at the end, whichever comes first.
    pub fn exchange(&mut self, ctx: &Ctx<'_>, settings: &LogSettings) {
        let order = ctx.facts.log_order.get();
        if settings.targets.is_empty() || order == Some(LogOrder::Silent) {
            return;
        }
        let http = ctx.config[ctx.client.frontend].mode == Mode::Http;
        let mut level = Level::Info;
        if settings.format.moment() != Moment::Request {
            if settings.dontlognull && is_null(ctx.facts, http) {
                return;
            }
            let failed = failed(ctx.facts, http);
            if settings.dontlog_normal && !failed {
                return;
            }
            if settings.separate_errors && failed {
                level = Level::Err;
            }
        }
        if let Some(LogOrder::Level(number)) = order {
            level = Level::from_number(number);
        }
        let mut message = std::mem::take(&mut self.message);
        message.clear();
        let errors = settings.error_format.as_ref().filter(|_| ctx.facts.bad_request);
        errors.unwrap_or(&settings.format).write(ctx, &mut message);
        let mut structured_data = std::mem::take(&mut self.structured_data);
        structured_data.clear();
        if let Some(format) = &settings.structured_data {
            format.write(ctx, &mut structured_data);
        }
        self.send(ctx.now, level, &settings.targets, settings.tag.as_deref(), &message, &structured_data);
        self.message = message;
        self.structured_data = structured_data;
    }

    /// Logs a message about a proxy: a server's state, a stop, and so on. `message` has no line feed.
    pub fn message(&mut self, now: Now, level: Level, settings: &LogSettings, message: fmt::Arguments<'_>) {
        if !settings.targets.is_empty() {
            self.formatted(now, level, Some(settings), message);
        }
    }

    /// Logs a message that belongs to no proxy, to the global section's targets.
    pub fn global(&mut self, now: Now, level: Level, message: fmt::Arguments<'_>) {
        if !self.targets.is_empty() {
            self.formatted(now, level, None, message);
        }
    }

    fn formatted(&mut self, now: Now, level: Level, settings: Option<&LogSettings>, text: fmt::Arguments<'_>) {
        use std::io::Write;
        let mut message = std::mem::take(&mut self.message);
        message.clear();
        // Writes into vectors do not fail.
        let _ = message.write_fmt(text);
        match settings {
            Some(settings) => self.send(now, level, &settings.targets, settings.tag.as_deref(), &message, b""),
            None => {
                let targets = std::mem::take(&mut self.targets);
                self.send(now, level, &targets, None, &message, b"");
                self.targets = targets;
            }
        }
        self.message = message;
    }

    fn send(&mut self, at: Now, level: Level, targets: &[LogTarget], tag: Option<&str>, text: &[u8], data: &[u8]) {
        let text = &text[..text.len().min(self.message_bytes_max)];
        for (index, target) in targets.iter().enumerate() {
            let Some(level) = target.admits(level) else { continue };
            let default = if self.host.is_some() { Header::Rfc3164 } else { Header::Local };
            let about = About {
                at,
                facility: target.facility,
                level,
                host: self.host.as_deref(),
                tag: tag.unwrap_or(&self.tag),
                pid: self.pid,
                structured_data: data,
            };
            self.packet.clear();
            target.header.unwrap_or(default).write(&about, &mut self.packet);
            self.packet.extend_from_slice(text);
            self.packet.truncate(target.text_bytes_max());
            self.packet.push(b'\n');
            if let Err(error) = self.senders.send(&target.destination, &self.packet) {
                self.lost(index + 1, &error);
            }
        }
    }

    /// Counts a message that its target, the `number`-th of the list, did not take.
    #[cold]
    fn lost(&mut self, number: usize, error: &io::Error) {
        self.dropped += 1;
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) {
            return;
        }
        if let Some(complain) = self.complain.take() {
            let reason = nix::errno::Errno::from_raw(errno).desc();
            complain(format_args!("sendmsg()/writev() failed in logger #{number}: {reason} (errno={errno})"));
        }
    }
}

/// No data came from the client (manual 4, `option dontlognull`).
fn is_null(facts: &Facts, http: bool) -> bool {
    facts.bytes_in == 0 && (!http || (facts.first_byte.is_none() && facts.request_line.is_empty()))
}

/// An error, a timeout, a retry, a redispatch or a status of 500 and up (manual 4, `option dontlog-normal`).
fn failed(facts: &Facts, http: bool) -> bool {
    facts.redispatched
        || match facts.termination.cause {
            Cause::Normal => facts.retries > 0,
            Cause::Local => false,
            _ => true,
        }
        || (http && facts.status.is_some_and(|status| status >= 500))
}
