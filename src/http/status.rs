//! Statuses: reason phrases, and the answers that the proxy gives of its own accord. All words are
//! what HAProxy 2.6 sends; tools match some of them.

use super::head::Head;
use super::line::Version;

/// The reason phrase that HAProxy gives with a status set by a rule (`http-response set-status`,
/// section 4.2); statuses it does not know get a word for their class.
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        210 => "Content Different",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        310 => "Too many Redirects",
        400.. => error_reason(status),
        _ => class_word(status),
    }
}

fn error_reason(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Time-out",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Requested range unsatisfiable",
        417 => "Expectation failed",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Method failure",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        449 => "Retry With",
        450 => "Blocked by Windows Parental Controls",
        451 => "Unavailable For Legal Reasons",
        456 => "Unrecoverable Error",
        499 => "client has closed connection",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway or Proxy Error",
        503 => "Service Unavailable",
        504 => "Gateway Time-out",
        505 => "HTTP Version not supported",
        506 => "Variant also negotiate",
        507 => "Insufficient storage",
        508 => "Loop detected",
        509 => "Bandwidth Limit Exceeded",
        510 => "Not extended",
        511 => "Network authentication required",
        520 => "Web server is returning an unknown error",
        _ => class_word(status),
    }
}

fn class_word(status: u16) -> &'static str {
    match status / 100 {
        1 => "Informational",
        2 => "Success",
        3 => "Redirection",
        4 => "Client Error",
        5 => "Server Error",
        _ => "Other",
    }
}

/// A built-in answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    /// Not always the phrase of [`reason`]: the built-in pages have their own (`400 Bad request`).
    reason: &'static str,
    body: &'static str,
}

macro_rules! answers {
    ($($status:literal $reason:literal $text:literal)*) => {
        &[$(Answer {
            status: $status,
            reason: $reason,
            body: concat!(
                "<html><body><h1>", $status, " ", $reason, "</h1>\n", $text, "\n</body></html>\n"
            ),
        }),*]
    };
}

/// The answers that HAProxy has built in (`errorfile`, section 4.2, replaces them).
static ANSWERS: &[Answer] = answers! {
    200 "OK"
        "Service ready."
    400 "Bad request"
        "Your browser sent an invalid request."
    401 "Unauthorized"
        "You need a valid user and password to access this content."
    403 "Forbidden"
        "Request forbidden by administrative rules."
    404 "Not Found"
        "The resource could not be found."
    405 "Method Not Allowed"
        "A request was made of a resource using a request method not supported by that resource"
    407 "Unauthorized"
        "You need a valid user and password to access this content."
    408 "Request Time-out"
        "Your browser didn't send a complete request in time."
    410 "Gone"
        "The resource is no longer available and will not be available again."
    413 "Payload Too Large"
        "The request entity exceeds the maximum allowed."
    421 "Misdirected Request"
        "Request sent to a non-authoritative server."
    422 "Unprocessable Content"
        "The server cannot process the contained instructions."
    425 "Too Early"
        "Your browser sent early data."
    429 "Too Many Requests"
        "You have sent too many requests in a given amount of time."
    500 "Internal Server Error"
        "An internal server error occurred."
    501 "Not Implemented"
        ".The server does not support the functionality required to fulfill the request."
    502 "Bad Gateway"
        "The server returned an invalid or incomplete response."
    503 "Service Unavailable"
        "No server is available to handle this request."
    504 "Gateway Time-out"
        "The server didn't respond in time."
};

fn find(status: u16) -> Option<&'static Answer> {
    ANSWERS.iter().find(|answer| answer.status == status)
}

/// Fills `head` with the built-in answer for `status` and gives its body; `None` (and an untouched
/// head) for a status that has none. Only a page that [`closes`] has a `Connection` field; else `h1::persistence` adds it.
pub fn answer(status: u16, head: &mut Head) -> Option<&'static [u8]> {
    let answer = find(status)?;
    let mut length = itoa::Buffer::new();
    head.start_response(Version::Http11, status, answer.reason.as_bytes());
    head.add(b"content-length", length.format(answer.body.len()).as_bytes());
    head.add(b"cache-control", b"no-cache");
    head.add(b"content-type", b"text/html");
    if closes(status) {
        head.add(b"connection", b"close");
    }
    Some(answer.body.as_bytes())
}

/// Whether this status has a built-in answer.
pub fn has_page(status: u16) -> bool {
    find(status).is_some()
}

/// Whether the built-in answer for this status closes the client's connection whatever gives it, a
/// rule included: HAProxy's pages for 400 and 408 say so themselves.
pub fn closes(status: u16) -> bool {
    matches!(status, 400 | 408)
}

/// Appends the whole built-in answer, closing the connection, to `out`: what a client gets whose
/// message could not be parsed, or did not come in time. It is written as HAProxy's protocol layer
/// does, which differs from [`answer`] in the case and order of the fields. An unknown status is
/// answered as 500. The connection is to be closed after it, though only 400 and 408 say so.
pub fn write_closing_answer(status: u16, out: &mut Vec<u8>) {
    let Some(answer) = find(status).or_else(|| find(500)) else {
        return;
    };
    let mut head = Head::new();
    head.start_response(Version::Http11, answer.status, answer.reason.as_bytes());
    let mut length = itoa::Buffer::new();
    let length = length.format(answer.body.len());
    head.add(b"Content-length", length.as_bytes());
    head.add(b"Cache-Control", b"no-cache");
    if closes(answer.status) {
        head.add(b"Connection", b"close");
    }
    head.add(b"Content-Type", b"text/html");
    head.write_response_to(out);
    out.extend_from_slice(answer.body.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_request_is_answered_as_haproxy_does() {
        let mut out = Vec::new();
        write_closing_answer(400, &mut out);
        assert_eq!(
            String::from_utf8_lossy(&out),
            "HTTP/1.1 400 Bad request\r\nContent-length: 90\r\nCache-Control: no-cache\r\n\
             Connection: close\r\nContent-Type: text/html\r\n\r\n\
             <html><body><h1>400 Bad request</h1>\nYour browser sent an invalid request.\n</body></html>\n"
        );
    }

    #[test]
    fn bodies_have_the_lengths_of_the_reference() {
        let lengths = [
            (200, 58),
            (401, 112),
            (403, 93),
            (404, 83),
            (405, 146),
            (407, 112),
            (408, 110),
            (410, 114),
            (413, 106),
            (421, 104),
            (422, 116),
            (425, 80),
            (429, 117),
            (500, 97),
            (501, 136),
            (502, 107),
            (503, 107),
            (504, 92),
        ];
        for (status, length) in lengths {
            let mut head = Head::new();
            assert_eq!(answer(status, &mut head).map(<[u8]>::len), Some(length));
            assert_eq!(head.get(b"Content-Length"), Some(length.to_string().as_bytes()));
        }
        assert!(answer(418, &mut Head::new()).is_none());
    }

    #[test]
    fn an_unknown_status_gets_the_word_of_its_class() {
        assert_eq!(reason(302), "Moved Temporarily");
        assert_eq!(reason(299), "Success");
        assert_eq!(reason(999), "Other");
    }
}
