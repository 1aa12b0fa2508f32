//! Keys: requests that differ in what algorithms look at, the same ones at each run.

use std::net::Ipv4Addr;

/// What differs from request to request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// The client's address: a connection each.
    Sources,
    /// The URI.
    Paths,
    /// Headers.
    Headers,
    /// The body of a form.
    Forms,
    /// What an RDP client says first: a connection each, in TCP mode.
    Cookies,
}

impl Keys {
    /// Whether each key needs a connection of its own.
    pub fn is_per_connection(self) -> bool {
        matches!(self, Keys::Sources | Keys::Cookies)
    }

    /// Whether they are no HTTP.
    pub fn is_tcp(self) -> bool {
        self == Keys::Cookies
    }

    /// The client's address for the `n`-th key, if it matters.
    pub fn source(self, n: usize) -> Option<Ipv4Addr> {
        let [a, b, ..] = mixed(n).to_be_bytes();
        (self == Keys::Sources).then(|| Ipv4Addr::new(127, 200 + a % 50, b, n as u8 | 1))
    }

    /// The bytes of the `n`-th key.
    pub fn request(self, n: usize) -> Vec<u8> {
        let m = mixed(n);
        let host = [format!("www.site{m}.example"), format!("h{m}"), format!("a.b{m}.org"), format!("x{m}.")];
        let host = &host[n % 4];
        match self {
            Keys::Sources => get(&format!("/{n}"), ""),
            Keys::Paths => get(&path(n, m), ""),
            Keys::Headers => {
                let user = match n % 10 {
                    0 => String::new(),
                    1 => "X-User: \r\n".to_owned(),
                    2 => format!("X-User: u{m}, second\r\n"),
                    _ => format!("x-user: Someone {m}\r\n"),
                };
                format!("GET / HTTP/1.1\r\nHost: {host}\r\n{user}\r\n").into_bytes()
            }
            Keys::Forms => form(n, m),
            Keys::Cookies => {
                let name = if n.is_multiple_of(3) { "mstshash" } else { "User" };
                let end = if n % 10 == 7 { "" } else { "\r\n" };
                let line = format!("Cookie: {name}=u{m}{end}");
                [&[3, 0, 0, 43, 38, 0xe0, 0, 0, 0, 0, 0], line.as_bytes(), b"\x01\0\x08\0"].concat()
            }
        }
    }
}

fn path(n: usize, m: u32) -> String {
    let query = ["", "?id=", "?x=1&id=7", "?kid=3&n="][n % 4];
    let query = if query.is_empty() { String::new() } else { format!("{query}{m}&n={n}") };
    match n % 7 {
        0 => format!("/img/{m}/a.gif{query}"),
        1 => format!("/{n}/{}/{m}{query}", m % 17),
        2 => format!("http://t/abs/{m}{query}"),
        3 => format!("/?id={m}"),
        4 => format!("//{m}/{n}?/a/b/c/{n}"),
        _ => format!("/some/longer/path/to/number-{m}.html{query}"),
    }
}

fn form(n: usize, m: u32) -> Vec<u8> {
    let body = match n % 6 {
        0 => format!("id={m}"),
        1 => format!("a=b&id=u{m}&c=d"),
        2 => format!("a=b&id=/{m}"),
        3 => format!("a=b&id= {m}"),
        4 => format!("nothing={m}"),
        _ => format!("kid=1&id={m}\r\n"),
    };
    let target = if n.is_multiple_of(9) { format!("/?id=q{m}") } else { "/".to_owned() };
    let method = if n.is_multiple_of(11) { "PUT" } else { "POST" };
    let head = format!("{method} {target} HTTP/1.1\r\nHost: t\r\n");
    if n.is_multiple_of(5) {
        let (first, second) = body.split_at(body.len() / 2);
        let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
        return format!("{head}Transfer-Encoding: chunked\r\n\r\n{}{}0\r\n\r\n", chunk(first), chunk(second))
            .into_bytes();
    }
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn get(target: &str, headers: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: t\r\n{headers}\r\n").into_bytes()
}

/// A number that looks random, the same for the same `n`.
fn mixed(n: usize) -> u32 {
    let mut m = (n as u32).wrapping_add(1).wrapping_mul(0x9e37_79b1);
    m ^= m >> 15;
    m.wrapping_mul(0x85eb_ca77) ^ (m >> 13)
}
