//! Expressions as HAProxy 2.6 evaluates them.

use proptest::prelude::*;

use super::fixture::{head, with};
use super::*;

fn scope() -> Scope {
    Scope::new(Place::FrontRequest.only(), "t.cfg".into(), 1)
}

fn error(text: &str) -> String {
    Expr::parse(text, &mut scope()).err().unwrap_or_else(|| panic!("{text} is valid"))
}

/// The expression's value as text, or `-` for none.
fn value(text: &str, request: &str) -> String {
    let expr = Expr::parse(text, &mut scope()).unwrap_or_else(|e| panic!("{text}: {e}"));
    let head = head(request);
    with(Some(&head), None, |ctx| match expr.eval(ctx) {
        Some(value) => String::from_utf8_lossy(&value.into_text()).into_owned(),
        None => "-".to_owned(),
    })
}

fn check(cases: &[(&str, &str)], request: &str) {
    for (text, expected) in cases {
        assert_eq!(value(text, request), *expected, "{text}");
    }
}

#[test]
fn converters_give_what_haproxys_give() {
    check(
        &[
            ("str(abc),upper", "ABC"),
            ("str(AbC),lower,,length", "3"),
            ("str(abc),bytes(1)", "bc"),
            ("str(abc),bytes(1,1)", "b"),
            ("str(abc),bytes(5)", ""),
            ("str(f1_f2_f3__f5),field(5,_)", "f5"),
            ("str(f1_f2_f3__f5),field(2,_,0)", "f2_f3__f5"),
            ("str(f1_f2_f3__f5),field(2,_,2)", "f2_f3"),
            ("str(f1_f2_f3__f5),field(-2,_,3)", "f2_f3_"),
            ("str(f1_f2_f3__f5),field(-3,_,0)", "f1_f2_f3"),
            ("str(f1_f2_f3__f5),field(4,_)", ""),
            ("str(f1_f2_f3__f5),field(-6,_)", ""),
            ("str(f1_f2_f3__f5),word(4,_)", "f5"),
            ("str(f1_f2_f3__f5),word(3,_,2)", "f3__f5"),
            ("str(f1_f2_f3__f5),word(-2,_,3)", "f1_f2_f3"),
            ("str(f1_f2_f3__f5),word(-3,_,0)", "f1_f2"),
            ("str(__f1_f2__),word(1,_,0)", "f1_f2__"),
            ("str(__f1_f2__),word(-1,_)", "f2"),
            ("int(50),div(0)", "9223372036854775807"),
            ("int(-50),mod(8)", "-2"),
            ("int(9223372036854775807),add(1)", "9223372036854775807"),
            ("int(-9223372036854775807),sub(5)", "-9223372036854775808"),
            ("int(5),cpl", "-6"),
            ("int(5),odd", "1"),
            ("str(x),add(3)", "3"),
            ("bool(true),hex", "0000000000000001"),
            ("str(ff),hex2i", "255"),
            ("str(xyz),hex2i", "-"),
            ("str(ab),base64", "YWI="),
            ("str(YWI),b64dec", "-"),
            ("str(YWI),ub64dec", "ab"),
            ("bin(01020304050607),be2dec(:,2)", "258:772:1286:7"),
            ("bin(01020304050607),be2dec(-,2,1)", "258-772-1286"),
            ("bin(01020304050607),be2hex(:,2)", "0102:0304:0506:07"),
            ("bin(0102030405060708),be2hex(,3,1)", "010203040506"),
            ("str(a/b/c),regsub(/,-,g)", "a-b-c"),
            ("str(ABC),regsub([ab],x,gi)", "xxC"),
            ("str(abc),concat(x,,y)", "abcxy"),
            ("str(abc),ltrim(ab)", "c"),
            ("str(abccc),rtrim(c)", "ab"),
            ("str(abc),crc32(1)", "930845320"),
            ("str(a%20b+c?x=a+b),url_dec", "a b+c?x=a b"),
            ("str(a b/c?d),url_enc", "a%20b%2Fc%3Fd"),
            ("str(Host.COM:80),host_only", "host.com"),
            ("str([::1]:80),host_only", "[::1]"),
            ("str([::1]),host_only", "[::1]"),
            ("str(Host.COM:80),port_only", "80"),
            ("str(Host.COM),port_only", "0"),
            ("int(1577836800),http_date(10)", "Wed, 01 Jan 2020 00:00:10 GMT"),
            ("int(1577836800000),http_date(0,ms)", "Wed, 01 Jan 2020 00:00:00.0 GMT"),
            ("str(a),iif(a,b)", "b"),
            ("ipv4(1.2.3.4),ipmask(24)", "1.2.3.0"),
            ("ipv6(2001:db8:1::1),ipmask(24,32)", "2001:db8::"),
            ("ipv6(2001:db8:1::1),ipmask(24)", "-"),
            ("int(16909060),ipmask(32)", "1.2.3.4"),
            ("int(3),htonl,hex", "00000003"),
            ("str(\"fr;q=0.5,en\"),language(en;fr)", "en"),
            ("str(\"fr;q=0.5,en\"),language(de;es,xx)", "xx"),
            ("ipv4(1.2.3.4),length", "7"),
            ("bin(0061),lower,hex", ""),
        ],
        "GET / HTTP/1.1",
    );
}

const REQUEST: &str = "GET /a;J=5;K=6/b.c?x=1&y=2;z=3&x=7&e=&noval&J=8 HTTP/1.1
Host: Ex.com:80
x: a, b ,c
n: 5,-6
ip: 1.2.3.4, 2001:db8::1, 5.6.7.8:99, foo
E:
q: \"a,b\", c
m: a,,b,
X: d
Cookie: a=1; b=2; a=3; c=; q=\"x;y\"
Cookie: a=4";

#[test]
fn headers_are_counted_from_both_ends() {
    check(
        &[
            ("hdr(x)", "d"),
            ("hdr(x,1)", "a"),
            ("hdr(x,2)", "b"),
            ("hdr(x,4)", "d"),
            ("hdr(x,-2)", "c"),
            ("hdr(x,0)", "d"),
            ("hdr(x,-9)", "-"),
            ("req.fhdr(x,1)", "a, b ,c"),
            ("hdr_cnt(x)", "4"),
            ("req.fhdr_cnt(x)", "2"),
            ("hdr_val(x)", "0"),
            ("hdr_val(n)", "-6"),
            ("hdr_ip(ip)", "-"),
            ("hdr_ip(ip,2)", "2001:db8::1"),
            ("hdr_ip(ip,3)", "5.6.7.8"),
            ("hdr(q,1)", "\"a,b\""),
            ("hdr(m,2)", ""),
            ("hdr_cnt(m)", "4"),
            ("hdr_cnt(e)", "1"),
            ("req.hdr_names(;)", "host;x;n;ip;e;q;m;x;cookie;cookie"),
        ],
        REQUEST,
    );
}

#[test]
fn the_parts_of_a_request() {
    check(
        &[
            ("path", "/a;J=5;K=6/b.c"),
            ("query", "x=1&y=2;z=3&x=7&e=&noval&J=8"),
            ("base", "Ex.com:80/a;J=5;K=6/b.c"),
            ("base32", "2036594092"),
            ("method", "GET"),
            ("req.ver", "1.1"),
            ("urlp(x)", "1"),
            ("urlp(z)", "3"),
            ("urlp", "1"),
            ("urlp(J)", "8"),
            ("urlp(J,;)", "5"),
            ("urlp(X)", "-"),
            ("url_ip", "-"),
            ("cook(a)", "4"),
            ("cook(b)", "2"),
            ("cook", "1"),
            ("cook(q)", "\"x;y\""),
            ("cook_cnt", "6"),
            ("cook_cnt(a)", "3"),
            ("req.cook(A)", "-"),
            ("src", "192.0.2.7"),
            ("dst_port", "80"),
            ("fe_name", "f"),
            ("fe_id", "2"),
            ("http_first_req", "1"),
            ("date", "1577836800"),
            ("date(0,ms)", "1577836800123"),
            ("rand(1)", "0"),
            ("env(EPOXY_NO_SUCH_VARIABLE)", "-"),
        ],
        REQUEST,
    );
    assert_eq!(value("query", "GET /a HTTP/1.1"), "-");
    assert_eq!(value("query", "GET /a? HTTP/1.1"), "");
    assert_eq!(value("url_port", "GET http://1.2.3.4/ HTTP/1.1"), "80");
    assert_eq!(value("url_ip", "GET http://1.2.3.4:8/ HTTP/1.1"), "1.2.3.4");
}

#[test]
fn all_occurrences_are_tried_until_one_fits() {
    let head = head(REQUEST);
    let seen = |text: &str| {
        let expr = Expr::parse(text, &mut scope()).unwrap();
        let mut list = Vec::new();
        with(Some(&head), None, |ctx| {
            expr.any(ctx, |value| {
                list.push(String::from_utf8_lossy(&value.into_text()).into_owned());
                false
            })
        });
        list.join("|")
    };
    assert_eq!(seen("hdr(x)"), "a|b|c|d");
    assert_eq!(seen("hdr(x,2)"), "b");
    assert_eq!(seen("hdr(x),upper"), "A|B|C|D");
    assert_eq!(seen("req.fhdr(x)"), "a, b ,c|d");
    assert_eq!(seen("cook(a)"), "1|3|4");
    assert_eq!(seen("urlp(x)"), "1|7");
    assert_eq!(seen("hdr_ip(ip)"), "1.2.3.4|2001:db8::1|5.6.7.8");
}

#[test]
fn mistakes_are_worded_as_haproxys() {
    assert_eq!(error("nope"), "unknown fetch method 'nope'");
    assert_eq!(error(""), "missing fetch method");
    assert_eq!(error("src,foo"), "unknown converter 'foo'");
    assert_eq!(error("str(a,b)"), "fetch method 'str' : expected ')' before ',b)'");
    assert_eq!(error("hdr(x,a)"), "fetch method 'hdr' : failed to parse 'a' as type 'integer' at position 2");
    assert_eq!(
        error("src,ipmask"),
        "invalid arg 1 in converter 'ipmask' : expected type 'IPv4 mask' at position 1, but got nothing"
    );
    assert_eq!(error("bool(yes)"), "invalid args in fetch method 'bool' : Expects 'true', 'false', '0' or '1'");
    assert_eq!(error("bin(zz)"), "invalid args in fetch method 'bin' : an hex digit is expected (found 'z')");
    assert_eq!(error("str(a),field(0,_)"), "invalid args in converter 'field' : Unexpected value 0 for index");
    assert_eq!(error("int(5),add(x)"), "invalid args in converter 'add' : expects an integer or a variable name");
    assert_eq!(error("ipv6(::1),add(1)"), "converter 'add' cannot be applied");
    assert_eq!(error("str(a),upper,"), "unknown converter ''");
}

#[test]
fn a_prefix_tells_how_far_it_goes() {
    let (_, used) = Expr::parse_prefix("str(a),upper]>", &mut scope()).unwrap();
    assert_eq!(used, 12);
    let (expr, used) = Expr::parse_prefix("src]", &mut scope()).unwrap();
    assert_eq!((used, expr.output(), expr.needs()), (3, Type::Ipv4, Needs::Client));
}

proptest! {
    #[test]
    fn no_expression_and_no_message_panics(
        fetch in "[a-z_.]{1,12}",
        args in "[a-z0-9,;'\"\\\\()é-]{0,12}",
        known in 0..200usize,
        rest in "(,(field|word|bytes|regsub|be2hex|url_dec|ipmask|http_date|language|host_only|hex2i)[(0-9,_)'-]{0,8}){0,3}",
        uri in "[ -~]{0,20}",
        values in prop::collection::vec(any::<Vec<u8>>(), 0..3),
    ) {
        let names: Vec<_> = fetch::all().map(|row| row.name).collect();
        let mut message = crate::http::Head::new();
        message.start_request(b"GET", uri.as_bytes(), crate::http::Version::Http11);
        for value in &values {
            message.add(b"cookie", value);
            message.add(b"x", value);
        }
        for name in [fetch.as_str(), names[known % names.len()]] {
            for text in [format!("{name}({args}){rest}"), format!("{name}(x){rest}"), format!("{name}{rest}")] {
                if let Ok(expr) = Expr::parse(&text, &mut scope()) {
                    with(Some(&message), None, |ctx| {
                        expr.eval(ctx);
                        expr.any(ctx, |_| false);
                    });
                }
            }
        }
    }
}
