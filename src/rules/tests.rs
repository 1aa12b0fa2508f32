//! Rules as HAProxy 2.6 reads them and carries them out.

use std::rc::Rc;
use std::sync::Arc;

use proptest::prelude::*;

use super::parse::{Parser, Proxy};
use super::*;
use crate::http::Head;
use crate::proxy::{BackendId, Mode};
use crate::sample::arg::Names;
use crate::sample::fixture::{head, with};
use crate::text::finding::Findings;
use crate::text::{Severity, Word};

fn names() -> Arc<Names> {
    let mut names = Names::default();
    names.backends.insert("b".into(), BackendId(0));
    Arc::new(names)
}

/// The rules of a frontend `f` and the messages about them, warnings marked.
fn parse(lines: &[&str]) -> (Rules, Vec<String>) {
    let frontend = Proxy {
        name: "f",
        noun: "frontend",
        is_frontend: true,
        is_backend: false,
        mode: Mode::Http,
        sections: &[],
        resolvers: &[],
        page_bytes_max: 16384,
        captures: [2, 1],
    };
    let mut parser = Parser::new(frontend);
    let mut findings = Findings::default();
    let file: Rc<str> = "t".into();
    for (index, line) in lines.iter().enumerate() {
        let words: Vec<Word> = line.split(' ').map(Word::from).collect();
        parser.line(&words[0].text, &words, &file, index as u32 + 1, &mut findings);
    }
    let names = names();
    let (rules, references) = parser.finish(&names, |_, name| names.backends.get(name).copied());
    super::parse::resolve(&references, &names, "f", &mut findings);
    let texts = findings.iter().map(|f| match f.severity {
        Severity::Warning => format!("W {}", f.message().replace("config : ", "")),
        _ => f.message().replace("config : ", ""),
    });
    (rules, texts.collect())
}

fn error(line: &str) -> String {
    let (_, texts) = parse(&[line]);
    texts.first().cloned().unwrap_or_else(|| panic!("{line} is valid"))
}

fn sound(lines: &[&str]) -> Rules {
    let (rules, texts) = parse(lines);
    assert!(texts.is_empty(), "{texts:?}");
    rules
}

/// The request as `http-request` lines leave it, or the answer given.
fn run(lines: &[&str], request: &str) -> String {
    let (rules, _) = parse(lines);
    let mut message = head(request);
    let mut out = Vec::new();
    with(None, None, |ctx| match rules.on_request(&mut Run::new(16384, 0), ctx, &mut message, &mut Vec::new()) {
        Verdict::Continue => message.write_request_to(&mut out),
        Verdict::Auth(reply) | Verdict::Deny(reply) | Verdict::Answer(reply) | Verdict::Tarpit(reply) => {
            write(&reply, &mut out)
        }
        Verdict::Reject => out.extend_from_slice(b"rejected"),
        Verdict::SilentDrop | Verdict::Failed | Verdict::Errand(_) => out.extend_from_slice(b"left to the session"),
    });
    String::from_utf8_lossy(&out).replace("\r\n", "|")
}

fn write(reply: &Reply, out: &mut Vec<u8>) {
    reply.head.write_response_to(out);
    out.extend_from_slice(&reply.body);
}

fn holds(condition: &str, request: &str) -> bool {
    let rules = sound(&[&format!("http-request deny {condition}")]);
    let message = head(request);
    with(Some(&message), None, |ctx| rules.request[0].applies(&rules.acls, ctx))
}

const GET: &str = "GET /a/b?q=1 HTTP/1.1\nHost: ex.com\nx: a, b ,c";

#[test]
fn conditions_are_ors_of_ands() {
    assert!(holds("if TRUE", GET) && !holds("unless TRUE", GET) && !holds("if FALSE", GET));
    assert!(holds("if FALSE or TRUE", GET) && holds("if FALSE || METH_GET HTTP_1.1", GET));
    assert!(holds("if ! FALSE", GET) && holds("if !FALSE", GET) && holds("if !!TRUE", GET));
    assert!(holds("if or TRUE", GET) && holds("if TRUE or", GET));
    assert!(!holds("if METH_GET !HTTP", GET) && holds("if { path_beg /a } !{ hdr(x) -m beg z }", GET));
    assert!(holds("if { hdr(x) b }", GET) && !holds("if { req.fhdr(x) b }", GET));
    assert!(!holds("if", GET) && holds("unless", GET), "a condition without terms is false");
    assert!(holds("if { hdr_dom(host) -i EX }", GET) && holds("if { path_reg ^/a/.$ }", GET));
    assert!(holds("if { path_len lt 5 } { path,length 4 }", GET));
    assert!(holds("if !LOCALHOST { src 192.0.2.0/24 }", GET));
    assert!(holds("if HTTP_URL_SLASH !HTTP_URL_ABS !HTTP_CONTENT !HTTP_URL_STAR", GET));
    assert!(holds("if { hdr(nope) -m found } or { hdr(x) -m found }", GET));
}

#[test]
fn several_lines_complete_one_list_even_after_its_use() {
    let lines = ["acl a path /x", "http-request deny if a", "acl a path /a/b"];
    let rules = sound(&lines);
    let message = head(GET);
    assert!(with(Some(&message), None, |ctx| rules.request[0].applies(&rules.acls, ctx)));
}

#[test]
fn answers_are_rendered_as_haproxys() {
    let answer = |line: &str| run(&[line], GET);
    assert_eq!(
        answer("http-request deny"),
        "HTTP/1.1 403 Forbidden|content-length: 93|cache-control: no-cache|content-type: text/html||\
         <html><body><h1>403 Forbidden</h1>\nRequest forbidden by administrative rules.\n</body></html>\n"
    );
    assert_eq!(answer("http-request deny status 418"), "HTTP/1.1 418 I'm a teapot|content-length: 0||");
    assert_eq!(
        answer("http-request deny content-type text/plain string hi"),
        "HTTP/1.1 403 Forbidden|content-length: 2|content-type: text/plain||hi"
    );
    assert_eq!(
        answer("http-request deny hdr X-A b hdr X-B %[src] hdr X-C %[hdr(nope)]"),
        "HTTP/1.1 403 Forbidden|x-a: b|x-b: 192.0.2.7|content-length: 0||"
    );
    assert_eq!(answer("http-request return status 204"), "HTTP/1.1 204 No Content|content-length: 0||");
    assert_eq!(
        answer("http-request return status 299 content-type text/plain lf-string %[src]%[path] hdr X-Y z"),
        "HTTP/1.1 299 Success|x-y: z|content-length: 13|content-type: text/plain||192.0.2.7/a/b"
    );
    assert_eq!(answer("http-request reject"), "rejected");
    assert!(answer("http-request tarpit").starts_with("HTTP/1.1 500 Internal Server Error|"));
}

#[test]
fn redirections_are_haproxys() {
    let to = |line: &str, request: &str| run(&[&format!("http-request redirect {line}")], request);
    assert_eq!(to("location /a", GET), "HTTP/1.1 302 Found|content-length: 0|location: /a|cache-control: no-cache||");
    assert_eq!(
        to("location http://x/%[path] code 301", GET),
        "HTTP/1.1 301 Moved Permanently|content-length: 0|location: http://x//a/b||"
    );
    let location = |line: &str, request: &str| {
        let text = to(line, request);
        text.split("location: ").nth(1).unwrap().split('|').next().unwrap().to_owned()
    };
    assert_eq!(location("prefix http://y", GET), "http://y/a/b?q=1");
    assert_eq!(location("prefix /", GET), "/a/b?q=1");
    assert_eq!(location("prefix http://y drop-query append-slash", GET), "http://y/a/b/");
    assert_eq!(location("prefix /q append-slash", GET), "/q/a/b?q=1/");
    assert_eq!(location("scheme https", GET), "https://ex.com/a/b?q=1");
    assert_eq!(location("scheme https", "OPTIONS * HTTP/1.1\nHost: h"), "https://h/");
    assert_eq!(location("scheme https", "GET /s HTTP/1.0"), "https:///s");
    assert_eq!(location("prefix http://p/", "GET http://abs.com/p?y HTTP/1.1\nHost: abs.com"), "http://p//p?y");
    assert!(to("location /a set-cookie A=1", GET).ends_with("|set-cookie: A=1; path=/;||"));
    assert!(to("location /a clear-cookie A=", GET).ends_with("|set-cookie: A=; path=/; Max-Age=0;||"));
    assert!(to("location %[hdr(nope)] ignore-empty", GET).starts_with("GET /a/b"), "the rule is skipped");
    let rules = sound(&["redirect location %[src] code 303 if METH_GET"]);
    let message = head(GET);
    let reply = with(Some(&message), None, |ctx| rules.redirect(ctx)).unwrap();
    assert_eq!((reply.head.status(), reply.head.get(b"location")), (303, Some(&b"%[src]"[..])));
    assert_eq!(reply.ending, Ending::CloseAfterBody);
}

#[test]
fn requests_are_edited_one_rule_after_the_other() {
    assert_eq!(
        run(&["http-request set-header X-Src %[src]", "http-request add-header X-Src %[hdr(x-src)]2"], GET),
        "GET /a/b?q=1 HTTP/1.1|Host: ex.com|x: a, b ,c|x-src: 192.0.2.7|x-src: 192.0.2.72||"
    );
    assert_eq!(run(&["http-request set-header X %[hdr(x)]d"], GET), "GET /a/b?q=1 HTTP/1.1|Host: ex.com|x: cd||");
    assert_eq!(run(&["http-request del-header X"], GET), "GET /a/b?q=1 HTTP/1.1|Host: ex.com||");
    assert_eq!(run(&["http-request del-header os -m sub"], GET), "GET /a/b?q=1 HTTP/1.1|x: a, b ,c||");
    let x = |line: &str| run(&[line], GET).split("|x: ").nth(1).unwrap().trim_end_matches('|').to_owned();
    assert_eq!(x("http-request replace-value x b y"), "a,y,c");
    assert_eq!(x("http-request replace-value x ^(.)$ [\\1]"), "[a],[b],[c]");
    assert_eq!(x("http-request replace-value x z y"), "a, b ,c");
    assert_eq!(x("http-request replace-header x ,.* \\0\\0"), ", b ,c, b ,c");
    let line = |rule: &str, request: &str| run(&[rule], request).split('|').next().unwrap().to_owned();
    assert_eq!(line("http-request set-path /n", GET), "GET /n?q=1 HTTP/1.1");
    assert_eq!(line("http-request set-pathq /n", GET), "GET /n HTTP/1.1");
    assert_eq!(line("http-request set-query z=2", GET), "GET /a/b?z=2 HTTP/1.1");
    assert_eq!(line("http-request set-query z=2", "GET /a HTTP/1.1"), "GET /a?z=2 HTTP/1.1");
    assert_eq!(line("http-request set-uri /u", "GET http://h/a HTTP/1.1"), "GET /u HTTP/1.1");
    assert_eq!(line("http-request set-path /n", "GET http://h/a?b HTTP/1.1"), "GET http://h/n?b HTTP/1.1");
    assert_eq!(line("http-request replace-path /a(/.*) \\1", GET), "GET /b?q=1 HTTP/1.1");
    assert_eq!(line("http-request set-method PUT if METH_GET", GET), "PUT /a/b?q=1 HTTP/1.1");
    assert_eq!(line("http-request set-method PUT if METH_POST", GET), "GET /a/b?q=1 HTTP/1.1");
}

#[test]
fn allow_ends_the_section() {
    assert!(run(&["http-request allow if METH_GET", "http-request deny"], GET).starts_with("GET "));
    assert!(run(&["http-request allow if METH_PUT", "http-request deny"], GET).starts_with("HTTP/1.1 403"));
}

fn answer(line: &str) -> Head {
    let rules = sound(&[line]);
    let request = head(GET);
    let mut message = head("HTTP/1.1 200 OK\nServer: one\na: xyz");
    with(Some(&request), None, |ctx| {
        match rules.on_response(&mut Run::new(16384, 0), ctx, &mut message, &mut Vec::new()) {
            Verdict::Auth(reply) | Verdict::Deny(reply) | Verdict::Answer(reply) => reply.head,
            _ => message.clone(),
        }
    })
}

#[test]
fn responses_are_judged_and_edited() {
    assert_eq!(answer("http-response deny if { status 200 }").status(), 502);
    assert_eq!(answer("http-response deny if { status 300: }").status(), 200);
    let changed = answer("http-response set-status 404");
    assert_eq!((changed.status(), changed.reason()), (404, &b"Not Found"[..]));
    assert_eq!(answer("http-response set-status 404 reason Gone-ish").reason(), b"Gone-ish");
    assert_eq!(answer("http-response set-header X %[hdr(a)]").get(b"x"), Some(&b"xyz"[..]));
    assert_eq!(answer("http-response set-header Server two").count(b"server"), 1);
    assert_eq!(answer("http-response add-header Server two").count(b"server"), 2);
    assert_eq!(answer("http-response del-header s -m beg").get(b"server"), None);
}

#[test]
fn backends_are_chosen_by_name_or_by_format() {
    let choose = |line: &str| {
        let rules = sound(&[line]);
        let message = head("GET /b HTTP/1.1\nHost: b");
        with(Some(&message), None, |ctx| rules.backend(ctx))
    };
    assert_eq!(choose("use_backend b if { hdr(host) b }"), Some(BackendId(0)));
    assert_eq!(choose("use_backend b if { hdr(host) c }"), None);
    assert_eq!(choose("use_backend %[hdr(host)]"), Some(BackendId(0)));
    assert_eq!(choose("use_backend x%[hdr(host)]"), None);
}

#[test]
fn mistakes_are_worded_as_haproxys() {
    for (line, expected) in [
        ("acl x,y src 1.2.3.4", "parsing [t:1] : character ',' is not permitted in acl name 'x,y'."),
        ("acl x", "parsing [t:1] : error detected while parsing ACL 'x' : missing fetch method in ACL expression ''."),
        (
            "acl x hdr(host,z) a",
            "parsing [t:1] : error detected while parsing ACL 'x' : ACL keyword 'hdr' : failed to parse 'z' as type \
             'integer' at position 2.",
        ),
        (
            "acl x hdr(host),foo a",
            "parsing [t:1] : error detected while parsing ACL 'x' : ACL keyword 'hdr' : unknown converter 'foo'..",
        ),
        (
            "acl x src,ipmask a",
            "parsing [t:1] : error detected while parsing ACL 'x' : invalid arg 1 in converter 'ipmask' : expected \
             type 'IPv4 mask' at position 1, but got nothing in ACL expression 'src,ipmask'.",
        ),
        (
            "acl x path -z a",
            "parsing [t:1] : error detected while parsing ACL 'x' : '-z' is not a valid ACL option. Please use '--' \
             before any pattern beginning with a '-'.",
        ),
        (
            "acl x always_true -m ip 1.2.3.4",
            "parsing [t:1] : error detected while parsing ACL 'x' : matching method 'ip' cannot be used with fetch \
             keyword 'always_true'.",
        ),
        (
            "acl x path -f /nonexistent",
            "parsing [t:1] : error detected while parsing ACL 'x' : failed to open pattern file </nonexistent>.",
        ),
        (
            "use_backend b if nope",
            "parsing [t:1] : error detected while parsing switching rule : no such ACL : 'nope'.",
        ),
        (
            "use_backend b if { path /a",
            "parsing [t:1] : error detected while parsing switching rule : missing closing '}' in condition.",
        ),
        (
            "use_backend b foo",
            "parsing [t:1] : unexpected keyword 'foo' after switching rule, only 'if' and 'unless' are allowed.",
        ),
        (
            "use_backend %[foo]",
            "Parsing [t:1]: failed to parse use_backend rule '%[foo]' : failed to parse sample expression <foo]> : \
             unknown fetch method 'foo'.",
        ),
        (
            "redirect location /a code 200",
            "parsing [t:1] : error detected in frontend 'f' while parsing redirect rule : 'code': unsupported HTTP \
             code '200' (must be one of 301, 302, 303, 307 or 308).",
        ),
        (
            "redirect location /a if nope",
            "parsing [t:1] : error detected in frontend 'f' while parsing redirect rule : error in condition: no such \
             ACL : 'nope'.",
        ),
        (
            "http-request deny foo",
            "parsing [t:1]: 'http-request deny' expects either 'if' or 'unless' followed by a condition but found \
             'foo'.",
        ),
        (
            "http-request deny if nope",
            "parsing [t:1] : error detected while parsing an 'http-request deny' condition : no such ACL : 'nope'.",
        ),
        (
            "http-request deny deny_status 418",
            "parsing [t:1] : error detected in frontend 'f' while parsing 'http-request deny' rule : status code '418' \
             not handled by default with 'default-errorfiles' argument..",
        ),
        (
            "http-request deny status 600",
            "parsing [t:1] : error detected in frontend 'f' while parsing 'http-request deny' rule : Unexpected status \
             code '600'.",
        ),
        (
            "http-request return string hi",
            "parsing [t:1] : error detected in frontend 'f' while parsing 'http-request return' rule : a content type \
             must be defined when non-empty payload is configured.",
        ),
        (
            "http-request set-header X %[res.hdr(a)]",
            "parsing [t:1] : error detected in frontend 'f' while parsing 'http-request set-header' rule : sample fetch \
             <res.hdr(a)]> may not be reliably used here because it needs 'HTTP response headers' which is not \
             available here.",
        ),
        (
            "http-request deny if { nbsrv(nope) 1 }",
            "parsing [t:1]: unable to find backend 'nope' referenced in arg 1 of ACL keyword 'nbsrv' in proxy 'f'.",
        ),
        (
            "http-request deny if { be_conn(nope) 1 }",
            "parsing [t:1]: unable to find backend 'nope' referenced in arg 1 of ACL keyword 'be_conn' in proxy 'f'.",
        ),
        (
            "http-request set-header X %[be_conn(nope)]",
            "parsing [t:1]: unable to find backend 'nope' referenced in arg 1 of sample fetch keyword 'be_conn' in \
             http-request expression in proxy 'f'.",
        ),
        (
            "http-request deny if { res.hdr(a) b }",
            "W parsing [t:1] : anonymous acl will never match because it uses keyword 'res.hdr' which is incompatible \
             with 'frontend http-request header rule'",
        ),
        (
            "http-request return content-type text/plain",
            "W parsing [t:1] : content-type 'text/plain' ignored by the http reply because neither errorfile nor \
             payload defined.",
        ),
    ] {
        assert_eq!(error(line), expected, "{line}");
    }
    assert!(error("http-request denny").ends_with("but got 'denny'. Did you mean 'deny' maybe ?"));
    assert!(error("acl x hdr(host)").starts_with("W parsing acl keyword 'hdr(host)' :\n  no pattern"));
}

#[test]
fn the_order_of_rules_is_warned_of() {
    let (_, texts) = parse(&["use_backend b if TRUE", "redirect location /", "http-request deny", "http-request deny"]);
    assert_eq!(
        texts,
        [
            "W parsing [t:2] : a 'redirect' rule placed after a 'use_backend' rule will still be processed before.",
            "W parsing [t:3] : a 'http-request' rule placed after a 'redirect' rule will still be processed before.",
            "W parsing [t:4]: previous 'http-request' action is final and has no condition attached, further entries \
             are NOOP.",
            "W parsing [t:4] : a 'http-request' rule placed after a 'redirect' rule will still be processed before.",
        ]
    );
}

proptest! {
    #[test]
    fn no_line_of_rules_panics(words in prop::collection::vec(prop::sample::select(WORDS), 0..9), odd in "[ -~é]{0,8}") {
        for keyword in ["acl", "http-request", "http-response", "http-after-response", "redirect", "use_backend"] {
            let line = format!("{keyword} {} {odd}", words.join(" "));
            let (rules, _) = parse(&[&line, &format!("{keyword} {odd}")]);
            let mut message = head(GET);
            with(None, None, |ctx| {
                rules.on_request(&mut Run::new(16384, 0), ctx, &mut message, &mut Vec::new());
                rules.on_response(&mut Run::new(16384, 0), ctx, &mut head("HTTP/1.1 200 OK"), &mut Vec::new());
                rules.after_response(&mut Run::new(16384, 0), ctx, &mut head("HTTP/1.1 200 OK"), &mut Vec::new());
                rules.redirect(ctx);
                rules.backend(ctx);
            });
        }
    }
}

const WORDS: &[&str] = &[
    "capture",
    "early-hint",
    "set-nice",
    "set-tos",
    "strict-mode",
    "wait-for-body",
    "time",
    "len",
    "id",
    "5",
    "a",
    "if",
    "unless",
    "{",
    "}",
    "!",
    "or",
    "||",
    "TRUE",
    "METH_GET",
    "-m",
    "-i",
    "--",
    "-f",
    "reg",
    "str",
    "beg",
    "(",
    "path",
    "hdr(host)",
    "hdr_beg(x)",
    "src",
    "10.0.0.0/8",
    "5",
    "lt",
    "1:",
    "%[src]",
    "%[hdr(x),lower]",
    "deny",
    "allow",
    "return",
    "redirect",
    "status",
    "404",
    "string",
    "lf-string",
    "content-type",
    "hdr",
    "set-header",
    "replace-value",
    "set-path",
    "location",
    "prefix",
    "code",
    "301",
    "set-status",
    "reason",
    "\\\\1",
    "/",
    "",
    "b",
];
