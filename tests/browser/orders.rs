//! Orders by the statistics page where two workers share the service, and what its settings show.

use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};

use serde_json::Value;

use crate::driver::{Browser, Screen};
use crate::proxy::{PATIENCE, Proxy, SESSIONS, STATUS, column};
use crate::support::place::wait_until;

/// Most connections that it takes until each worker has some on each server.
const CONNECTIONS_MAX: usize = 200;

struct Site {
    proxy: Proxy,
    browser: Browser,
}

impl Site {
    fn start() -> Result<Site, String> {
        let proxy = Proxy::start(include_str!("orders.cfg"))?;
        Ok(Site { proxy, browser: Browser::start(Screen::Desktop)? })
    }

    /// Ticks servers, chooses an action, sends the form, and waits until the page tells of success.
    fn order(&self, action: &str, servers: &[&str]) -> Result<(), String> {
        self.browser.open(&self.proxy.url())?;
        for server in servers {
            self.browser.click(&format!("input[type=checkbox][value=\"{server}\"]"))?;
        }
        let form = format!("form:has(input[value=\"{}\"])", servers[0]);
        self.browser.run(&format!("document.querySelector('{form} option[value={action}]').selected = true"))?;
        self.browser.click(&format!("{form} input[type=submit]"))?;
        let told = || self.browser.run("return location.href.includes(';st=') && document.body.innerText");
        let success = |text: Value| text.as_str().is_some_and(|text| text.contains("processed successfully"));
        let done = wait_until(PATIENCE, || told().is_ok_and(success));
        if done { Ok(()) } else { Err(format!("{action} of {servers:?}: {:?}", told()?)) }
    }

    /// A column of a server's row as each of the two workers has it.
    fn columns(&self, proxy: &str, server: &str, number: usize) -> Result<[String; 2], String> {
        let of = |worker: u32| {
            let csv = self.proxy.runtime(&format!("@{worker} show stat"))?;
            column(&csv, proxy, server, number).map(str::to_owned).ok_or(format!("no {server} in {csv}"))
        };
        Ok([of(1)?, of(2)?])
    }

    fn sessions(&self, server: &str) -> [usize; 2] {
        let columns = self.columns("held", server, SESSIONS).unwrap_or_default();
        columns.map(|column| column.parse().unwrap_or_default())
    }

    /// Opens connections until each worker has some on each server.
    fn connections(&self) -> Result<Vec<TcpStream>, String> {
        let mut connections = Vec::new();
        let enough = || ["first", "second"].iter().all(|server| self.sessions(server).iter().all(|count| *count > 0));
        while connections.len() < CONNECTIONS_MAX && !enough() {
            let connection = TcpStream::connect((self.proxy.address, 8082)).and_then(|stream| {
                stream.set_nonblocking(true)?;
                Ok(stream)
            });
            connections.push(connection.map_err(|error| error.to_string())?);
        }
        let total = || ["first", "second"].iter().flat_map(|server| self.sessions(server)).sum::<usize>();
        match wait_until(PATIENCE, || enough() && total() == connections.len()) {
            true => Ok(connections),
            false => Err(format!("{} connections, of which {} arrived", connections.len(), total())),
        }
    }
}

/// An action for several servers holds on all workers.
pub fn hold_on_all_workers() -> Result<(), String> {
    let site = Site::start()?;
    for (action, status) in [("maint", "MAINT"), ("drain", "DRAIN"), ("ready", "no check")] {
        site.order(action, &["one", "two"])?;
        for (server, status) in [("one", status), ("two", status), ("three", "no check")] {
            // The other worker follows; nobody waits for it here.
            let got = || site.columns("nodes", server, STATUS).unwrap_or_default();
            if !wait_until(PATIENCE, || got() == [status, status]) {
                return Err(format!("{action}: {server} is {:?}, not {status}", got()));
            }
        }
    }
    Ok(())
}

/// Kill Sessions ends the sessions that all workers have on a server, and no others.
pub fn kill_sessions_of_all_workers() -> Result<(), String> {
    let site = Site::start()?;
    // It accepts nobody: the system completes connections by itself.
    let _node = TcpListener::bind((site.proxy.address, 8090)).map_err(|error| error.to_string())?;
    let mut connections = site.connections()?;
    let (first, second) = (site.sessions("first"), site.sessions("second"));
    site.order("shutdown", &["first"])?;
    let mut over = 0;
    let mut count = || {
        connections.retain_mut(|stream| {
            let open = stream.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
            over += usize::from(!open);
            open
        });
        over
    };
    let killed: usize = first.iter().sum();
    if !wait_until(PATIENCE, || count() == killed) {
        return Err(format!("{} of {killed} sessions ended", count()));
    }
    let left = || (site.sessions("first"), site.sessions("second"));
    match wait_until(PATIENCE, || left() == ([0, 0], second)) {
        true => Ok(()),
        false => Err(format!("sessions left on the servers: {:?}, not only {second:?}", left())),
    }
}

/// Who does not fulfil the condition sees no form, and changes nothing by sending one.
pub fn are_for_some_only() -> Result<(), String> {
    let site = Site::start()?;
    site.browser.open(&site.proxy.url_at(8081))?;
    let boxes = site.browser.run("return document.querySelectorAll('input[type=checkbox], select').length")?;
    if boxes != 0 {
        return Err(format!("{boxes} parts of a form are shown to a visitor"));
    }
    let sent = site.browser.run(
        "const form = new URLSearchParams({s: 'one', action: 'maint', b: 'nodes'});
        return fetch('/stats', {method: 'POST', body: form}).then(answer => answer.url)",
    )?;
    if !sent.as_str().is_some_and(|url| url.ends_with("/stats;st=DENY")) {
        return Err(format!("the answer to a form: {sent}"));
    }
    let status = site.columns("nodes", "one", STATUS)?;
    if status != ["no check", "no check"] {
        return Err(format!("a visitor has changed the server: {status:?}"));
    }
    Ok(())
}

/// Node, description, legends and protocols are shown, the version is not.
pub fn settings_show() -> Result<(), String> {
    let site = Site::start()?;
    site.browser.open(&site.proxy.url())?;
    let head = site.browser.run(
        "return [document.title, document.querySelector('h1').innerText, document.querySelector('h2').innerText]",
    )?;
    let texts: Vec<&str> = (0..3).filter_map(|index| head[index].as_str()).collect();
    let [title, name, about] = texts[..] else { return Err(format!("the page's head: {head}")) };
    if !title.ends_with(" on director-1") || name != "HAProxy" || !about.ends_with(" on director-1: The service") {
        return Err(format!("the page's head: {head}"));
    }
    let page = site.browser.run("return document.body.innerText")?;
    for part in ["Extra modules", "cap: backend, mode: http", "cap: proxy, mode: tcp"] {
        if !page.as_str().is_some_and(|page| page.contains(part)) {
            return Err(format!("no '{part}' in {page}"));
        }
    }
    let widths = site.browser.run(
        "return [...document.querySelectorAll('table')].map(table => {
            const count = row => [...row.cells].reduce((sum, cell) => sum + cell.colSpan, 0);
            return new Set([...table.tBodies[0].rows, table.tHead.rows[0], table.tHead.rows[1]].map(count)).size
        })",
    )?;
    match widths.as_array().is_some_and(|widths| !widths.is_empty() && widths.iter().all(|width| *width == 1)) {
        true => Ok(()),
        false => Err(format!("rows of a table have different widths: {widths}")),
    }
}
