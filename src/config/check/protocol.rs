//! Options that check servers in the server's own protocol: `option smtpchk`, `option mysql-check` and the like.
//! Each stands for steps that nobody writes.

use super::line::{Line, ready};
use super::{StepDraft, row};
use crate::config::scope::{Scope, arg, no_more_than};
use crate::config::word::Word;
use crate::proxy::check::{Action, Connect, Data, Expect, Message, Pattern, Speech};
use crate::proxy::status::Status;
use crate::registry::Keyword;
use crate::text::regex::compile;

/// The rows of this module.
pub static ROWS: &[Keyword] = &[
    row("option smtpchk", smtp, "check servers by a greeting and a farewell to a mail server"),
    row("option mysql-check", mysql, "check servers by the greeting of MySQL, and a login"),
    row("option pgsql-check", pgsql, "check servers by what PostgreSQL asks of a user"),
    row("option redis-check", redis, "check servers by a ping to Redis"),
    row("option ldap-check", ldap, "check servers by an anonymous bind to LDAP"),
    row("option spop-check", spop, "check servers by the hello of stream processing agents"),
    row("option ssl-hello-chk", ssl_hello, "check servers by their answer to an SSLv3 hello"),
];

/// All that a server said, to the end of its first line.
const FIRST_LINE: &str = "%[res.payload(0,0),cut_crlf]";
/// The words behind the code of an SMTP reply.
const SMTP_WORDS: &str = "%[res.payload(4,0),ltrim(' '),cut_crlf]";
const SMTP_CODE: &str = "res.payload(0,3)";
/// The bind of nobody to LDAP version 3, message 1.
const LDAP_BIND: &[u8] = b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00";
/// A hello that names one version, the largest frame, no capabilities, and that it is a check.
const SPOP_HELLO: &[u8] = b"\x00\x00\x00\x4e\x01\x00\x00\x00\x01\x00\x00\x12supported-versions\x08\x032.0\
    \x0emax-frame-size\x03\xfc\xf0\x06\x0ccapabilities\x08\x00\x0bhealthcheck\x11";

/// Begins the steps of an option, which all have its numbers.
struct Preset<'w> {
    line: Line<'w>,
    steps: Vec<StepDraft>,
}

impl<'w> Preset<'w> {
    fn new(scope: &Scope<'_>, words: &'w [Word]) -> Preset<'w> {
        Preset { line: Line::new(scope, words, Speech::Fixed), steps: Vec::new() }
    }

    fn add(mut self, action: Action) -> Self {
        let mut step = ready(action, None);
        step.finish(self.steps.len() as u32 + 1, &mut None);
        self.steps.push(step);
        self
    }

    /// A connection that ends in order; without this it ends by a reset.
    fn lingering(self) -> Self {
        self.add(Action::Connect(Connect { linger: true, ..Connect::default() }))
    }

    fn send(self, bytes: &[u8]) -> Self {
        self.add(Action::Send(Data::Bytes(bytes.into())))
    }

    /// An answer that matches, once there are `bytes_min` of it.
    fn regex(self, regex: &str, bytes_min: Option<usize>, failed: Status) -> Result<Self, String> {
        let pattern = Pattern::Regex(compile(regex, false)?);
        Ok(self.expect(Expect { bytes_min, failed: Some(failed), ..Expect::new(pattern) }))
    }

    fn message(self, message: Message) -> Self {
        self.expect(Expect::new(Pattern::Message(message)))
    }

    fn expect(self, expect: Expect) -> Self {
        self.add(Action::Expect(Box::new(expect)))
    }

    /// Changes what the last step expects.
    fn with(mut self, change: impl FnOnce(&mut Expect, &mut Line<'w>) -> Result<(), String>) -> Result<Self, String> {
        if let Some(expect) = self.steps.last_mut().and_then(StepDraft::expect_mut) {
            change(expect, &mut self.line)?;
        }
        Ok(self)
    }

    /// The words when the last step is what fails.
    fn fails_with(self, format: &str) -> Result<Self, String> {
        self.with(|expect, line| line.format(format).map(|format| expect.on_error = Some(format)))
    }

    /// The words when the last step is the end.
    fn passes_with(self, format: &str) -> Result<Self, String> {
        self.with(|expect, line| line.format(format).map(|format| expect.on_success = Some(format)))
    }

    /// A reply of SMTP.
    fn reply(self, regex: &str, bytes_min: Option<usize>) -> Result<Self, String> {
        let preset = self.regex(regex, bytes_min, Status::L7Status)?.fails_with(SMTP_WORDS)?;
        preset.with(|expect, line| line.expression("status-code", SMTP_CODE).map(|code| expect.code = Some(code)))
    }

    fn finish(self, scope: &mut Scope<'_>) {
        let check = &mut scope.settings().check;
        (check.speech, check.fixed) = (Speech::Fixed, self.steps);
    }
}

/// `option smtpchk [{ HELO | EHLO } <domain>]`
fn smtp(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    no_more_than(words, 2, 2, "option smtpchk")?;
    let hello = match (arg(words, 2), arg(words, 3)) {
        (hello @ ("HELO" | "EHLO"), domain) if !domain.is_empty() => format!("{hello} {domain}\r\n"),
        _ => "HELO localhost\r\n".to_owned(),
    };
    let preset = Preset::new(scope, words).lingering();
    let preset = preset.regex("^[0-9]{3}[ \r]", Some(4), Status::L7Invalid)?.fails_with(FIRST_LINE)?;
    let preset = preset.reply("^2[0-9]{2}[ \r]", Some(4))?.send(hello.as_bytes());
    // Only this reply may have several lines; one that is no success is waited for until the end.
    let preset = preset.reply("^(2[0-9]{2}-[^\r]*\r\n)*2[0-9]{2}[ \r]", None)?.send(b"QUIT\r\n");
    preset.reply("^2[0-9]{2}[- \r]", Some(4))?.passes_with(SMTP_WORDS)?.finish(scope);
    Ok(())
}

/// `option mysql-check [user <name> [post-41 | pre-41]]`
fn mysql(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    no_more_than(words, 2, 3, "option mysql-check")?;
    let preset = Preset::new(scope, words).lingering();
    let preset = match (arg(words, 2), words.get(3).map(Word::bytes).filter(|user| !user.is_empty())) {
        ("", _) => preset.message(Message::MysqlGreeting),
        ("user", Some(user)) => {
            let login = mysql_login(user, arg(words, 4))?;
            preset.send(&login).message(Message::MysqlGreeting).message(Message::MysqlResult)
        }
        ("user", None) => return Err("'option mysql-check user' expects <username> as argument.".into()),
        (other, _) => {
            return Err(format!("'option mysql-check' only supports optional values: 'user' (got '{other}')."));
        }
    };
    // The version in the greeting.
    preset.passes_with("%[res.payload(5,0)]")?.finish(scope);
    Ok(())
}

/// The packets of a login without a password and of a farewell, sent before the greeting is read.
fn mysql_login(user: &[u8], version: &str) -> Result<Vec<u8>, String> {
    let fixed: &[u8] = match version {
        // Capabilities with the 4.1 protocol, the largest packet, UTF-8, and what is reserved.
        "" | "post-41" => b"\x00\x82\x00\x00\x00\x80\x00\x01\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        // Capabilities and the largest packet.
        "pre-41" => b"\x00\x80\x00\x00\x01",
        other => {
            return Err(format!("keyword 'user' only supports 'post-41' and 'pre-41' (got '{other}')."));
        }
    };
    // The user's name and an empty password.
    let login = [fixed, user, b"\0\0"].concat();
    let length = (login.len() as u32).to_le_bytes();
    Ok([&length[..3], b"\x01", &login, b"\x01\0\0\0\x01"].concat())
}

/// `option pgsql-check user <name>`
fn pgsql(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    no_more_than(words, 2, 2, "option pgsql-check")?;
    let user = words.get(3).map(Word::bytes).filter(|user| !user.is_empty());
    let user = match (arg(words, 2), user) {
        ("", _) | (_, None) => return Err("'option pgsql-check' expects 'user <username>' as argument.".into()),
        ("user", Some(user)) => user,
        _ => return Err("'option pgsql-check' only supports optional values: 'user'.".into()),
    };
    // A start of protocol 3.0 as this user.
    let start = [b"\0\x03\0\0user\0", user, b"\0\0"].concat();
    let length = (start.len() as u32 + 4).to_be_bytes();
    let preset = Preset::new(scope, words).lingering().send(&[&length, &start[..]].concat());
    // An error, then any request for a login that is known.
    let preset = preset.regex("^E", Some(5), Status::L7Invalid)?.fails_with("%[res.payload(6,0)]")?;
    let preset = preset.with(|expect, _| {
        expect.negate = true;
        Ok(())
    })?;
    let known = r"^R\x00\x00\x00(?s:.)\x00\x00\x00[\x00\x02-\x07\x09\x0a]";
    let preset = preset.regex(known, Some(9), Status::L7Status)?;
    preset.passes_with("PostgreSQL server is ok")?.fails_with("PostgreSQL unknown error")?.finish(scope);
    Ok(())
}

fn redis(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    no_more_than(words, 2, 0, "option redis-check")?;
    let pong = Pattern::Text(Data::Bytes(b"+PONG\r\n".as_slice().into()));
    let preset = Preset::new(scope, words).send(b"*1\r\n$4\r\nPING\r\n");
    let preset = preset.expect(Expect { failed: Some(Status::L7Status), ..Expect::new(pong) });
    preset.passes_with("Redis server is ok")?.fails_with(FIRST_LINE)?.finish(scope);
    Ok(())
}

fn ldap(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    no_more_than(words, 2, 0, "option ldap-check")?;
    let preset = Preset::new(scope, words).send(LDAP_BIND).message(Message::LdapBind);
    preset.passes_with("Success")?.finish(scope);
    Ok(())
}

fn spop(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    no_more_than(words, 2, 0, "option spop-check")?;
    let preset = Preset::new(scope, words).send(SPOP_HELLO).message(Message::SpopHello);
    preset.passes_with("SPOA server is ok")?.finish(scope);
    Ok(())
}

fn ssl_hello(scope: &mut Scope<'_>, words: &[Word]) -> Result<(), String> {
    no_more_than(words, 2, 0, "option ssl-hello-chk")?;
    let mut preset = Preset::new(scope, words);
    let hello = preset.line.format(&ssl_hello_digits())?;
    let preset = preset.add(Action::Send(Data::Hex(hello)));
    // The beginning of a handshake or of an alert.
    let preset = preset.regex(r"^[\x15\x16]", Some(5), Status::L6Invalid)?;
    let preset = preset.with(|expect, _| {
        (expect.passed, expect.late) = (Some(Status::L6Passed), Some(Status::L6Timeout));
        Ok(())
    })?;
    preset.finish(scope);
    Ok(())
}

/// A hello of SSL 3.0 as a log format of hexadecimal digits: the time and 28 octets that should be random, no
/// session, the suites that there were, no compression.
fn ssl_hello_digits() -> String {
    let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02X}")).collect::<String>();
    let suites: String = (0x01..=0x1b).chain(0x2f..=0x3a).map(|suite| format!("{suite:04X}")).collect();
    let random = hex(b"HAPROXYSSLCHK\nHAPROXYSSLCHK\n");
    format!("1603000079010000750300%[date(),htonl,hex]{random}00004E{suites}0100")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_logins_count_the_name() {
        let old = mysql_login(b"bob", "pre-41").expect("known");
        assert_eq!(old, b"\x0a\0\0\x01\0\x80\0\0\x01bob\0\0\x01\0\0\0\x01");
        let new = mysql_login(b"bob", "").expect("known");
        assert_eq!((&new[..4], new.len()), (&b"\x25\0\0\x01"[..], 4 + 37 + 5));
        assert_eq!(mysql_login(&[b'x'; 100], "post-41").expect("known")[0], 134);
    }
}
