//! The statistics page, for people: every proxy with its servers, coloured by state.
//!
//! Whoever knows HAProxy's page finds the same groups of columns, classes of rows, anchors and links; the
//! markup is epoxy's own and fits a phone: tables scroll inside their frame, names stay in view.

use std::fmt::Write;

use super::column::Column as C;
use super::info::Process;
use super::record::{Kind, Record, Value};
use super::tips;
use super::wish::{SCOPE_BYTES_MAX, Wish};
use crate::proxy::StatsPage;
use crate::version::{RELEASE_DATE, VERSION};

/// One proxy on the page.
pub struct Section<'a> {
    /// Its name.
    pub name: &'a str,
    /// `description`.
    pub description: Option<&'a str>,
    /// What it is, for `stats show-legends`.
    pub legend: String,
    /// Its records.
    pub records: Vec<Record>,
    /// The number of the proxy, where the visitor may change its servers.
    pub form: Option<u32>,
}

/// Everything on the page.
pub struct Page<'a> {
    /// How the page was configured.
    pub settings: &'a StatsPage,
    /// What was asked for.
    pub wish: &'a Wish,
    /// The process.
    pub process: &'a Process,
    /// The proxies.
    pub sections: &'a [Section<'a>],
}

impl Page<'_> {
    /// The page as HTML.
    pub fn html(&self) -> String {
        let mut out = String::with_capacity(16 * 1024);
        self.head(&mut out);
        out.push_str("<div class=\"top\">");
        self.about(&mut out);
        legend(&mut out);
        self.links(&mut out);
        out.push_str("</div>\n");
        self.outcome(&mut out);
        for section in self.sections {
            self.section(section, &mut out);
        }
        out.push_str("</body></html>\n");
        out
    }

    fn head(&self, out: &mut String) {
        let node = self.settings.show_node.as_ref().map(|name| name.as_ref().unwrap_or(&self.process.node));
        let on = node.map_or(String::new(), |node| format!(" on {}", escape(node)));
        let global = self.process.description.as_deref();
        let description = self.settings.show_desc.as_ref().and_then(|text| text.as_deref().or(global));
        let description = description.map_or(String::new(), |text| format!(": {}", escape(text)));
        let version = match self.settings.hide_version {
            true => String::new(),
            false => format!(" version {VERSION}, released {RELEASE_DATE}"),
        };
        let pid = self.process.pid;
        // Writes into strings do not fail.
        let _ = write!(
            out,
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>Statistics Report for HAProxy{on}</title>\n<link rel=\"icon\" href=\"data:,\">\n\
             <style>\n{}</style></head>\n<body><h1>HAProxy{version}</h1>\n\
             <h2>Statistics Report for pid {pid}{on}{description}</h2>\n",
            include_str!("page.css")
        );
    }

    fn about(&self, out: &mut String) {
        let p = self.process;
        let _ = write!(
            out,
            "<div><p><b>pid =</b> {} (process #{}, nbproc = {}, nbthread = {})<br>\n<b>uptime =</b> {}<br>\n\
             <b>system limits:</b> memmax = unlimited; ulimit-n = {}<br>\n\
             <b>maxsock =</b> {}; <b>maxconn =</b> {}; <b>maxpipes =</b> {}<br>\n\
             current conns = {}; current pipes = {}/{}; conn rate = {}/sec<br>\n\
             Running tasks: 0/{}; idle = {} %</p></div>\n",
            p.pid,
            p.number,
            p.processes(),
            p.threads(),
            p.uptime(),
            p.descriptors_max,
            p.sockets_max,
            p.maxconn,
            p.pipes_max,
            p.connections,
            p.pipes_used,
            p.pipes_used + p.pipes_free,
            p.connection_rate,
            p.tasks,
            p.idle_pct
        );
    }

    fn links(&self, out: &mut String) {
        let refreshes = self.settings.refresh.is_some();
        let up = if self.wish.only_up { ";up" } else { "" };
        let still = if self.wish.no_refresh { ";norefresh" } else { "" };
        out.push_str("<div><b>Display option:</b><ul>\n");
        let mut item = |words: String, text: &str| {
            let _ = writeln!(out, "<li><a href=\"{}\">{text}</a></li>", self.link(&words));
        };
        match self.wish.only_up {
            true => item(still.to_owned(), "Show all servers"),
            false => item(format!(";up{still}"), "Hide 'DOWN' servers"),
        }
        match (refreshes, self.wish.no_refresh) {
            (false, _) => {}
            (true, true) => item(up.to_owned(), "Enable refresh"),
            (true, false) => item(format!("{up};norefresh"), "Disable refresh"),
        }
        item(format!("{up}{still}"), "Refresh now");
        self.worker_links(&format!("{up}{still}"), out);
        let mut item = |words: String, text: &str| {
            let _ = writeln!(out, "<li><a href=\"{}\">{text}</a></li>", self.link(&words));
        };
        let once = if refreshes { ";norefresh" } else { "" };
        item(format!("{once};json"), "JSON export");
        item(format!("{once};csv"), "CSV export");
        let _ = write!(
            out,
            "<li><form method=\"GET\"><label>Scope: <input name=\"scope\" size=\"8\" maxlength=\"{SCOPE_BYTES_MAX}\" \
             value=\"{}\"></label></form></li></ul></div>",
            escape(&self.wish.scope)
        );
    }

    /// Where there are several workers: what each has by itself.
    fn worker_links(&self, words: &str, out: &mut String) {
        if self.process.workers < 2 {
            return;
        }
        out.push_str("<li>Worker:");
        for number in std::iter::once(None).chain((1..=self.process.workers as usize).map(Some)) {
            let text = number.map_or("all".to_owned(), |number| number.to_string());
            let _ = match number == self.wish.worker {
                true => write!(out, " <b>{text}</b>"),
                false => write!(out, " <a href=\"{}\">{text}</a>", self.link_to(number, words)),
            };
        }
        out.push_str("</li>\n");
    }

    fn link(&self, words: &str) -> String {
        self.link_to(self.wish.worker, words)
    }

    fn link_to(&self, worker: Option<usize>, words: &str) -> String {
        let uri = String::from_utf8_lossy(&self.settings.uri);
        let worker = worker.map_or(String::new(), |number| format!(";worker={number}"));
        let scope = if self.wish.scope.is_empty() { String::new() } else { format!("?scope={}", self.wish.scope) };
        // What ends in `;csv` is what scripts look for: no scope behind it.
        let scope = if words.ends_with(";csv") || words.ends_with(";json") { String::new() } else { scope };
        escape(&format!("{uri}{worker}{words}{scope}"))
    }

    /// What became of an action, when the visitor comes back from one.
    fn outcome(&self, out: &mut String) {
        let text = match self.wish.status.as_str() {
            "" => return,
            "DONE" => "Action processed successfully.",
            "NONE" => "Nothing has changed.",
            "PART" => "Action partially processed. Some servers were not changed.",
            "ERRP" => "Action not processed because of invalid parameters.",
            "EXCD" => "Action not processed: the request is too large.",
            "DENY" => "Action denied.",
            _ => "Unexpected result.",
        };
        let link = self.link("");
        let _ =
            writeln!(out, "<div class=\"note\"><a href=\"{link}\" title=\"Remove this message\">[X]</a> {text}</div>");
    }

    fn section(&self, section: &Section<'_>, out: &mut String) {
        let name = escape(section.name);
        let description = section.description.map_or(String::new(), |text| format!(" {}", escape(text)));
        let legend = match self.settings.show_legends {
            true => format!(" <small>{}</small>", escape(&section.legend)),
            false => String::new(),
        };
        let (columns, heading) = match self.settings.show_modules {
            true => (COLUMNS + 1, "<th rowspan=\"2\">Extra modules</th>"),
            false => (COLUMNS, ""),
        };
        if section.form.is_some() {
            out.push_str("<form method=\"post\">");
        }
        let _ = write!(
            out,
            "<div class=\"px\"><div class=\"wide\"><table><thead><tr class=\"titre\"><th colspan=\"{columns}\">\
             <span class=\"in\"><a name=\"{name}\" href=\"#{name}\">{name}</a>{legend}{description}</span></th></tr>\n\
             {GROUPS}{heading}{HEADINGS}</thead><tbody>\n"
        );
        for record in &section.records {
            row(record, section.form.is_some(), out);
            if self.settings.show_modules {
                modules(record, out);
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody></table></div></div>\n");
        if let Some(number) = section.form {
            actions(number, out);
        }
    }
}

/// Columns of a table.
const COLUMNS: usize = 31;

const GROUPS: &str = "<tr><th rowspan=\"2\"></th><th colspan=\"3\">Queue</th><th colspan=\"3\">Session rate</th>\
    <th colspan=\"6\">Sessions</th><th colspan=\"2\">Bytes</th><th colspan=\"2\">Denied</th><th colspan=\"3\">Errors</th>\
    <th colspan=\"2\">Warnings</th><th colspan=\"9\">Server</th>";

const HEADINGS: &str = "</tr>\n\
    <tr><th>Cur</th><th>Max</th><th>Limit</th><th>Cur</th><th>Max</th><th>Limit</th><th>Cur</th><th>Max</th>\
    <th>Limit</th><th>Total</th><th>LbTot</th><th>Last</th><th>In</th><th>Out</th><th>Req</th><th>Resp</th>\
    <th>Req</th><th>Conn</th><th>Resp</th><th>Retr</th><th>Redis</th><th>Status</th><th>LastChk</th><th>Wght</th>\
    <th>Act</th><th>Bck</th><th>Chk</th><th>Dwn</th><th>Dwntme</th><th>Thrtle</th></tr>\n";

fn legend(out: &mut String) {
    out.push_str("<div class=\"legend\">");
    for (class, text) in [
        ("active_up", "active UP"),
        ("backup_up", "backup UP"),
        ("active_going_down", "active UP, going down"),
        ("backup_going_down", "backup UP, going down"),
        ("active_going_up", "active DOWN, going up"),
        ("backup_going_up", "backup DOWN, going up"),
        ("active_down", "active or backup DOWN"),
        ("active_no_check", "not checked"),
        ("maintain", "in maintenance (MAINT)"),
        ("active_draining", "draining (DRAIN, NOLB): UP, but no new load"),
    ] {
        let _ = write!(out, "<span class=\"{class}\">{text}</span>");
    }
    out.push_str("</div>\n");
}

/// The class of a row, by which it is coloured; the names are HAProxy's.
fn class(record: &Record) -> String {
    let side = if record.get_number(C::Bck) > 0 { "backup" } else { "active" };
    let status = record.get_text(C::Status);
    let state = match record.kind {
        Kind::Frontend => return "frontend".to_owned(),
        Kind::Backend => return "backend".to_owned(),
        Kind::Listener => return "socket".to_owned(),
        Kind::Server if status.starts_with("MAINT") => return "maintain".to_owned(),
        Kind::Server => match status.split_once(' ') {
            Some(("DOWN", part)) if part.starts_with(|c: char| c.is_ascii_digit()) => "going_up",
            Some(("UP" | "NOLB", _)) => "going_down",
            Some(("DOWN", _)) => "down",
            Some(("no", _)) => "no_check",
            Some(("DRAIN", _)) => "draining",
            _ if status == "DOWN" => "down",
            _ if status == "NOLB" => "nolb",
            _ if status == "DRAIN" => "draining",
            _ => "up",
        },
    };
    format!("{side}_{state}")
}

/// The actions of the form: value and text.
const ACTIONS: [(&str, &str); 14] = [
    ("", ""),
    ("ready", "Set state to READY"),
    ("drain", "Set state to DRAIN"),
    ("maint", "Set state to MAINT"),
    ("dhlth", "Health: disable checks"),
    ("ehlth", "Health: enable checks"),
    ("hrunn", "Health: force UP"),
    ("hnolb", "Health: force NOLB"),
    ("hdown", "Health: force DOWN"),
    ("dagent", "Agent: disable checks"),
    ("eagent", "Agent: enable checks"),
    ("arunn", "Agent: force UP"),
    ("adown", "Agent: force DOWN"),
    ("shutdown", "Kill Sessions"),
];

/// The end of a proxy's form: what to do with the servers that are checked.
fn actions(number: u32, out: &mut String) {
    out.push_str(
        "<p class=\"orders\"><label>Choose the action to perform on the checked servers: <select name=\"action\">",
    );
    for (value, text) in ACTIONS {
        let _ = write!(out, "<option value=\"{value}\">{text}</option>");
    }
    let _ = writeln!(
        out,
        "</select></label><input type=\"hidden\" name=\"b\" value=\"#{number}\"> \
         <input type=\"submit\" value=\"Apply\"></p></form>"
    );
}

fn row(record: &Record, form: bool, out: &mut String) {
    let (proxy, name) = (escape(record.get_text(C::Pxname)), escape(record.get_text(C::Svname)));
    let (anchor, shown) = match record.kind {
        Kind::Frontend => (format!("{proxy}/Frontend"), "Frontend".to_owned()),
        Kind::Backend => (format!("{proxy}/Backend"), "Backend".to_owned()),
        Kind::Listener => (format!("{proxy}/+{name}"), name),
        Kind::Server => (format!("{proxy}/{name}"), name),
    };
    let tick = match form && record.kind == Kind::Server {
        true => format!("<input type=\"checkbox\" name=\"s\" value=\"{shown}\" aria-label=\"{shown}\"> "),
        false => String::new(),
    };
    let class = class(record);
    let _ = write!(out, "<tr class=\"{class}\"><th>{tick}<a name=\"{anchor}\" href=\"#{anchor}\">{shown}</a>");
    let about = tips::name(record);
    if !about.is_empty() {
        let _ = write!(out, " <u tabindex=\"0\">?<span class=\"tip\">{}</span></u>", escape(&about));
    }
    out.push_str("</th>");
    let plain = |column: C| shown_value(record.get(column));
    let limit = |column: C| match record.get(column) {
        Value::Empty | Value::Number(0) => "-".to_owned(),
        value => shown_value(value),
    };
    let last = match record.get(C::Lastsess) {
        Value::Number(seconds) if *seconds >= 0 => tips::span(*seconds as u64),
        Value::Number(_) => "?".to_owned(),
        _ => String::new(),
    };
    let with_queue = matches!(record.kind, Kind::Server | Kind::Backend);
    let queue_limit = if with_queue { limit(C::Qlimit) } else { String::new() };
    cells(out, &[plain(C::Qcur), plain(C::Qmax), queue_limit]);
    tipped(out, plain(C::Rate), &tips::rates(record));
    tipped(out, plain(C::RateMax), &tips::rate_maxima(record));
    let rate_limit = if record.kind == Kind::Frontend { limit(C::RateLim) } else { String::new() };
    cells(out, &[rate_limit]);
    tipped(out, plain(C::Scur), &tips::connections(record));
    cells(out, &[plain(C::Smax), limit(C::Slim)]);
    tipped(out, plain(C::Stot), &tips::totals(record));
    cells(out, &[plain(C::Lbtot), last, plain(C::Bin), plain(C::Bout), plain(C::Dreq), plain(C::Dresp)]);
    cells(out, &[plain(C::Ereq), plain(C::Econ)]);
    tipped(out, plain(C::Eresp), &tips::resets(record));
    cells(out, &[plain(C::Wretr), plain(C::Wredis)]);
    server_side(record, out);
}

/// The cell of the protocols, each of which tells its numbers when it is pointed at.
fn modules(record: &Record, out: &mut String) {
    out.push_str("<td>");
    for (name, tip) in tips::modules(record) {
        let _ = write!(out, " <u tabindex=\"0\">{name}<span class=\"tip\">{}</span></u>", escape(&tip));
    }
    out.push_str("</td>");
}

/// The columns from the status on.
fn server_side(record: &Record, out: &mut String) {
    let plain = |column: C| shown_value(record.get(column));
    let age = |column: C| match record.get(column) {
        Value::Number(seconds) => tips::span(*seconds as u64),
        _ => String::new(),
    };
    let changes = matches!(record.kind, Kind::Server | Kind::Backend) && record.get_text(C::Status) != "no check";
    let since = if changes { format!("{} ", age(C::Lastchg)) } else { String::new() };
    let status = format!("{since}{}", escape(record.get_text(C::Status)));
    let _ = write!(out, "<td class=\"c\">{status}</td>");
    tipped_in_markup(out, escape(&tips::last_check(record)), &escape_octets(&tips::check(record)));
    let weight = match record.get(C::Weight) {
        Value::Empty => String::new(),
        weight => format!("{}/{}", shown_value(weight), plain(C::Uweight)),
    };
    let mark = |column: C| match (record.kind, record.get(column)) {
        (Kind::Server, Value::Number(1)) => "Y".to_owned(),
        (Kind::Server, _) => "-".to_owned(),
        (_, value) => shown_value(value),
    };
    cells(out, &[weight, mark(C::Act), mark(C::Bck)]);
    cells(out, &[plain(C::Chkfail), plain(C::Chkdown), age(C::Downtime)]);
    let throttle = match record.get(C::Throttle) {
        Value::Number(percent) => format!("{percent} %"),
        _ if record.kind == Kind::Server => "-".to_owned(),
        _ => String::new(),
    };
    cells(out, &[throttle]);
}

fn cells(out: &mut String, texts: &[String]) {
    for text in texts {
        let _ = write!(out, "<td>{text}</td>");
    }
}

/// A cell that tells more when it is pointed at.
fn tipped(out: &mut String, text: String, tip: &str) {
    tipped_in_markup(out, text, &escape(tip));
}

/// The same with a text that is fit for markup.
fn tipped_in_markup(out: &mut String, text: String, tip: &str) {
    if tip.is_empty() || text.is_empty() {
        return cells(out, &[text]);
    }
    let _ = write!(out, "<td><u tabindex=\"0\">{text}<span class=\"tip\">{tip}</span></u></td>");
}

fn shown_value(value: &Value) -> String {
    match value {
        Value::Empty => String::new(),
        Value::Number(number) => number.to_string(),
        Value::Text(text) => escape(text),
        Value::Octets(octets) => escape_octets(octets),
    }
}

/// A text within markup.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

/// Octets within markup: by their number where nobody knows what letters they are, as on HAProxy's page.
fn escape_octets(octets: &[u8]) -> String {
    let mut out = String::with_capacity(octets.len());
    for &octet in octets {
        match octet {
            b' '..=b'~' if !b"&<>\"'".contains(&octet) => out.push(char::from(octet)),
            // Writes into strings do not fail.
            _ => _ = write!(out, "&#{octet};"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_haproxys_classes() {
        let of = |status: &str, backup: u64| {
            let mut record = Record::new(Kind::Server);
            record.text(C::Status, status);
            record.number(C::Bck, backup);
            class(&record)
        };
        for (status, expected) in [
            ("UP", "active_up"),
            ("UP 1/3", "active_going_down"),
            ("DOWN", "active_down"),
            ("DOWN 1/2", "active_going_up"),
            ("no check", "active_no_check"),
            ("DRAIN", "active_draining"),
            ("NOLB", "active_nolb"),
            ("MAINT", "maintain"),
            ("MAINT (via a/b)", "maintain"),
        ] {
            assert_eq!(of(status, 0), expected, "{status}");
        }
        assert_eq!(of("UP", 1), "backup_up");
    }

    #[test]
    fn names_cannot_break_out_of_the_markup() {
        let settings = StatsPage { show_desc: Some(Some("<b>".into())), ..StatsPage::default() };
        let mut record = Record::new(Kind::Server);
        record.text(C::Svname, "<script>");
        let section = Section {
            name: "a&b",
            description: Some("\"<i>"),
            legend: String::new(),
            records: vec![record],
            form: Some(2),
        };
        let (wish, process) = (Wish::parse(b"?scope=\"><x"), Process::default());
        let page = Page { settings: &settings, wish: &wish, process: &process, sections: &[section] }.html();
        assert!(!page.contains("<script>") && !page.contains("<i>") && !page.contains("<x"), "{page}");
        assert!(page.contains("a&amp;b") && page.contains(": &lt;b&gt;</h2>"), "{page}");
    }

    #[test]
    fn octets_of_servers_are_told_by_their_numbers() {
        let mut record = Record::new(Kind::Server);
        record.text(C::CheckStatus, "L7STS");
        record.octets(C::LastChk, b"no <b>'\xff\"\xc3\x1f");
        let mut out = String::new();
        row(&record, false, &mut out);
        assert!(out.contains(": no &#60;b&#62;&#39;&#255;&#34;&#195;&#31;</span>"), "{out}");
    }
}
