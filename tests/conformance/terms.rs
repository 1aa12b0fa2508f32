//! The directives in a line of a configuration: its keyword, and its words that mean something by themselves.

/// Parameters of `server` lines that take a value.
const SERVER_VALUES: [&str; 6] = ["inter", "rise", "fall", "weight", "cookie", "maxconn"];
const SECTIONS: [&str; 5] = ["global", "defaults", "frontend", "backend", "listen"];
/// Keywords of which the next word is a part.
const FAMILIES: [&str; 9] =
    ["option", "timeout", "stats", "errorfile", "http-request", "http-response", "monitor", "redirect", "mode"];
/// Keywords that a condition may follow.
const CONDITIONAL: [&str; 8] =
    ["use_backend", "block", "redirect", "monitor", "http-request", "http-response", "stats", "acl"];

/// The directives of a line, as the table writes them.
pub fn of(line: &str) -> Vec<String> {
    let line = line.split('#').next().unwrap_or_default();
    let words: Vec<&str> = line.split_whitespace().collect();
    let Some((&first, rest)) = words.split_first() else { return Vec::new() };
    let second = rest.first().copied().unwrap_or_default();
    let mut terms = match first {
        "frontend" if rest.len() > 1 => vec!["frontend NAME ADDRESS".to_owned()],
        _ if SECTIONS.contains(&first) => vec![first.to_owned()],
        "option" | "stats" => family(first, rest),
        "capture" => vec![format!("capture {second} header")],
        "balance" => vec![format!("balance {}", name(second))],
        "log" => log(rest),
        "server" => server(rest),
        "acl" => acl(rest),
        "cookie" | "appsession" => options(first, rest),
        _ if FAMILIES.contains(&first) => vec![format!("{first} {second}")],
        _ => vec![first.to_owned()],
    };
    if first == "redirect" && rest.contains(&"code") {
        terms.push("redirect code".to_owned());
    }
    if CONDITIONAL.contains(&first) {
        terms.extend(condition(rest));
    }
    terms
}

/// `option` and `stats` with their own words.
fn family(first: &str, rest: &[&str]) -> Vec<String> {
    let second = rest.first().copied().unwrap_or_default();
    let inner = rest.iter().skip(1).filter(|word| ["except", "header", "mode", "level"].contains(word));
    let mut terms = vec![format!("{first} {second}")];
    terms.extend(inner.map(|word| format!("{first} {second} {word}")));
    terms
}

fn log(rest: &[&str]) -> Vec<String> {
    match rest {
        ["global"] => vec!["log global".to_owned()],
        [_, _, _level] => vec!["log".to_owned(), "log level".to_owned()],
        _ => vec!["log".to_owned()],
    }
}

fn server(rest: &[&str]) -> Vec<String> {
    let mut terms = vec!["server".to_owned()];
    let mut words = rest.iter().skip(2);
    while let Some(word) = words.next() {
        terms.push(format!("server {word}"));
        if SERVER_VALUES.contains(word) {
            words.next();
        }
    }
    terms
}

fn acl(rest: &[&str]) -> Vec<String> {
    let mut terms = vec!["acl".to_owned(), name(rest.get(1).copied().unwrap_or_default())];
    let inner = rest.iter().skip(2).filter(|word| word.starts_with('-') || ["lt", "eq"].contains(word));
    terms.extend(inner.map(|word| format!("acl {word}")));
    terms
}

/// `cookie` and `appsession`: the words behind the name, but for values.
fn options(first: &str, rest: &[&str]) -> Vec<String> {
    let words = rest.iter().skip(1).filter(|word| !word.starts_with(|c: char| c.is_ascii_digit()));
    std::iter::once(first.to_owned()).chain(words.map(|word| format!("{first} {word}"))).collect()
}

/// What stands behind `if`.
fn condition(rest: &[&str]) -> Vec<String> {
    let Some(at) = rest.iter().position(|word| *word == "if") else { return Vec::new() };
    let mut terms = vec!["if".to_owned()];
    let mut words = rest[at + 1..].iter();
    while let Some(word) = words.next() {
        match *word {
            "||" => terms.push("||".to_owned()),
            "{" => {
                terms.push("{ }".to_owned());
                terms.extend(words.next().map(|fetch| name(fetch)));
            }
            "METH_POST" | "TRUE" => terms.push((*word).to_owned()),
            _ if word.starts_with('!') => terms.push("!".to_owned()),
            _ => {}
        }
    }
    terms
}

/// A fetch or an algorithm without its arguments.
fn name(word: &str) -> String {
    word.split('(').next().unwrap_or_default().to_owned()
}
