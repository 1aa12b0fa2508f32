//! What a visitor must find on the statistics page.

use serde_json::Value;

use crate::driver::{Browser, Screen};
use crate::proxy::{PATIENCE, Proxy, STATUS, column};
use crate::support::place::wait_until;

/// Each server of `stats.cfg` with the class of its row, which HAProxy's own page gives it too.
const STATES: &[(&str, &[&str])] = &[
    ("healthy", &["active_up"]),
    ("broken", &["active_down"]),
    ("resting", &["maintain"]),
    ("unwatched", &["active_no_check"]),
    ("drained", &["active_draining", "active_nolb"]),
    ("spare", &["backup_up"]),
];

/// Proxies, listeners and servers, by the anchors that links to the page use.
const ANCHORS: &[&str] = &[
    "visitors",
    "visitors/Frontend",
    "states",
    "states/healthy",
    "states/broken",
    "states/resting",
    "states/unwatched",
    "states/drained",
    "states/spare",
    "states/Backend",
    "node/Frontend",
    "a-listen-section-with-a-rather-long-name/a-server-with-a-rather-long-name.example.test",
];

/// In the page: the row of an anchor. Anchors are `name`s in HAProxy's page.
const ROW: &str = "const row = anchor => {
    const found = document.getElementsByName(anchor)[0] || document.getElementById(anchor);
    return found ? found.closest('tr') : null;
};";

/// The program with one server in each state, once all of them are known.
fn start() -> Result<Proxy, String> {
    let proxy = Proxy::start(include_str!("stats.cfg"))?;
    proxy.runtime("set server states/drained state drain")?;
    let settled = wait_until(PATIENCE, || {
        let csv = proxy.runtime("show stat").unwrap_or_default();
        let status = |server: &str, status: &str| column(&csv, "states", server, STATUS) == Some(status);
        status("broken", "DOWN") && status("healthy", "UP") && status("spare", "UP")
    });
    if settled { Ok(proxy) } else { Err(format!("states never settled: {}", proxy.runtime("show stat")?)) }
}

/// Title, every proxy and every server, and links to the other forms; seen at a desktop's width.
pub fn lists_everything() -> Result<(), String> {
    let proxy = start()?;
    let browser = Browser::start(Screen::Desktop)?;
    browser.open(&proxy.url())?;
    browser.screenshot("statistics-desktop")?;
    let title = browser.run("return document.title")?;
    if !title.as_str().is_some_and(|title| title.starts_with("Statistics Report for HAProxy")) {
        return Err(format!("title: {title}"));
    }
    for anchor in ANCHORS {
        let name = anchor.rsplit('/').next().unwrap_or(anchor);
        let script = format!("{ROW} const r = row('{anchor}'); return r ? r.innerText : null");
        let text = browser.run(&script)?;
        if !text.as_str().is_some_and(|text| text.contains(name)) {
            return Err(format!("the row of {anchor} says {text}"));
        }
    }
    let csv = browser.run("return [...document.links].some(link => link.href.endsWith(';csv'))")?;
    if csv != Value::Bool(true) {
        return Err("no link to the CSV form".into());
    }
    Ok(())
}

/// HAProxy's class on each server's row, and no two states of the same colour.
pub fn colours() -> Result<(), String> {
    let proxy = start()?;
    let browser = Browser::start(Screen::Desktop)?;
    browser.open(&proxy.url())?;
    let mut colours: Vec<(String, &str)> = Vec::new();
    for (server, classes) in STATES {
        let script = format!(
            "{ROW} const r = row('states/{server}');
            return r ? [r.className, getComputedStyle(r).backgroundColor] : null"
        );
        let found = browser.run(&script)?;
        let class = found[0].as_str().unwrap_or_default();
        if !class.split(' ').any(|class| classes.contains(&class)) {
            return Err(format!("{server}: class '{class}', expected one of {classes:?}"));
        }
        let colour = found[1].as_str().unwrap_or_default().to_string();
        if let Some((_, other)) = colours.iter().find(|(seen, _)| *seen == colour) {
            return Err(format!("{server} and {other} have the same colour, {colour}"));
        }
        colours.push((colour, server));
    }
    // What everybody expects of a statistics page: green is well, red is not.
    let parts = |server: &str| -> Vec<i32> {
        let colour = colours.iter().find(|(_, of)| *of == server).map_or("", |(colour, _)| colour);
        colour.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
    };
    match (&parts("healthy")[..], &parts("broken")[..]) {
        (&[red, green, _, ..], &[bad_red, bad_green, _, ..]) if green > red && bad_red > bad_green => Ok(()),
        other => Err(format!("red, green and blue of healthy and broken: {other:?}")),
    }
}

/// The page's own link that leaves out what is DOWN.
pub fn hides_down_servers() -> Result<(), String> {
    let proxy = start()?;
    let browser = Browser::start(Screen::Desktop)?;
    browser.open(&proxy.url())?;
    browser.click_link("Hide 'DOWN' servers")?;
    let script = format!("{ROW} return [!!row('states/healthy'), !!row('states/broken')]");
    let shown = browser.run(&script)?;
    if shown != serde_json::json!([true, false]) {
        return Err(format!("after the click, healthy and broken are shown: {shown}"));
    }
    Ok(())
}

/// What each action of the page's form does to a server, in its order: action, server, status (none where checks
/// that are off hide it), message.
const ORDERS: &[(&str, &str, &str, &str)] = &[
    ("maint", "unwatched", "MAINT", "processed successfully"),
    ("ready", "unwatched", "no check", "processed successfully"),
    ("drain", "unwatched", "DRAIN", "processed successfully"),
    ("ready", "unwatched", "no check", "processed successfully"),
    ("ready", "resting", "UP", "processed successfully"),
    ("dhlth", "resting", "no check", "processed successfully"),
    ("hnolb", "resting", "", "processed successfully"),
    ("hdown", "resting", "", "processed successfully"),
    ("hrunn", "resting", "", "processed successfully"),
    ("ehlth", "resting", "UP", "processed successfully"),
    ("shutdown", "resting", "UP", "processed successfully"),
    ("dhlth", "unwatched", "no check", "Nothing has changed"),
    ("dagent", "resting", "UP", "Nothing has changed"),
    ("eagent", "resting", "UP", "Nothing has changed"),
    ("arunn", "resting", "UP", "Nothing has changed"),
    ("adown", "resting", "UP", "Nothing has changed"),
];

/// Servers are ticked, an action is chosen, the form is sent: the page tells the outcome, the server its state.
pub fn obeys_the_form() -> Result<(), String> {
    let proxy = start()?;
    let browser = Browser::start(Screen::Desktop)?;
    browser.open(&proxy.url())?;
    for (action, server, status, message) in ORDERS {
        let script = format!(
            "const form = document.querySelector('input[value=\"{server}\"]').form; \
             const choice = form.querySelector('option[value=\"{action}\"]'); \
             choice.selected = true; return choice !== null"
        );
        browser.run(&script)?;
        browser.click(&format!("input[type=checkbox][value=\"{server}\"]"))?;
        browser.click(&format!("form:has(input[value=\"{server}\"]) input[type=submit]"))?;
        let told = || browser.run("return location.href.includes(';st=') && document.body.innerText");
        let arrived =
            wait_until(PATIENCE, || told().is_ok_and(|text| text.as_str().is_some_and(|t| t.contains(message))));
        if !arrived {
            return Err(format!("{action} of {server}: no '{message}' in {:?}", told()?));
        }
        let row = |csv: &str| csv.lines().find(|row| row.starts_with(&format!("states,{server},"))).map(str::to_owned);
        let state = || row(&proxy.runtime("show stat").unwrap_or_default()).unwrap_or_default();
        let settled = wait_until(PATIENCE, || state().split(',').nth(17).is_some_and(|now| now.starts_with(status)));
        if !settled {
            return Err(format!("{action} of {server}: not {status}: {}", state()));
        }
        browser.open(&proxy.url())?;
    }
    browser.screenshot("statistics-orders")
}

/// At 390 pixels: laid out for that width, nothing beyond it, and each server's name to be seen.
pub fn fits_a_phone() -> Result<(), String> {
    let proxy = start()?;
    let browser = Browser::start(Screen::Phone)?;
    browser.open(&proxy.url())?;
    browser.screenshot("statistics-phone")?;
    let widths = browser.run(
        "const page = document.documentElement;
        return [page.clientWidth, page.scrollWidth, document.body.scrollWidth]",
    )?;
    if widths[0] != 390 {
        return Err(format!("the page is laid out for {} pixels, not for the phone's 390", widths[0]));
    }
    if widths[1].as_u64() > Some(390) || widths[2].as_u64() > Some(390) {
        return Err(format!("the page is wider than the phone: {widths}"));
    }
    for (server, _) in STATES {
        let script = format!(
            "{ROW} const r = row('states/{server}');
            const all = [...r.querySelectorAll('*')].filter(e => e.innerText == '{server}');
            const e = all[all.length - 1], box = e.getBoundingClientRect();
            return [box.left >= 0 && box.right <= 390, parseFloat(getComputedStyle(e).fontSize)]"
        );
        let found = browser.run(&script)?;
        if found[0] != Value::Bool(true) || found[1].as_f64() < Some(10.0) {
            return Err(format!("{server}: name in view, and its size in pixels: {found}"));
        }
    }
    Ok(())
}
