//! Matches as HAProxy 2.6 answers them.

use std::borrow::Cow;

use proptest::prelude::*;

use super::*;

/// The verdict of a test written as in a condition: flags, operators and patterns.
fn matches(method: Method, words: &str, value: Value<'_>) -> bool {
    let mut patterns = Patterns::new(method);
    let mut reading = Reading::default();
    for word in words.split(' ').filter(|w| !w.is_empty()) {
        match Operator::named(word).filter(|_| method.takes_operators()) {
            Some(operator) => reading.operator = operator,
            None if word == "-i" => reading.ignore_case = true,
            None => patterns.add(word.as_bytes(), reading).unwrap(),
        }
    }
    patterns.finish();
    patterns.matches(value)
}

fn text(method: Method, words: &str, value: &str) -> bool {
    matches(method, words, Value::str(value.as_bytes()))
}

#[test]
fn directories_lie_between_slashes_and_question_marks() {
    let path = "/images/png/logo/32x32.png";
    for pattern in ["/images", "images/png", "/images/png/", "//images/png//", "32x32.png", "png"] {
        assert!(text(Method::Dir, pattern, path), "{pattern}");
    }
    assert!(!text(Method::Dir, "32x32", path));
    assert!(text(Method::Dir, "x=1", "/images/png?x=1"));
    assert!(text(Method::Dir, "a//b", "/a//b"));
    assert!(!text(Method::Dir, "a/b", "/a//b"));
    assert!(!text(Method::Dir, "ab", "abc"));
    for (value, verdict) in [("", true), ("a/", true), ("a", false), ("/a//b", false)] {
        assert_eq!(text(Method::Dir, "/", value), verdict, "{value}");
    }
}

#[test]
fn domains_lie_between_url_delimiters() {
    let url = "http://www1.dc-eu.example.com:80/blah";
    for pattern in ["http", "www1", ".www1", ":www1:", "example.com:80", "blah"] {
        assert!(text(Method::Dom, pattern, url), "{pattern}");
    }
    for pattern in ["eu", "dc-eu.example:80", "."] {
        assert!(!text(Method::Dom, pattern, url), "{pattern}");
    }
    assert!(!text(Method::Dom, "blah", "http://a/blah#x"));
    assert!(text(Method::Dom, "-i A/B", "/a/b.c"));
    assert!(!text(Method::Dom, "A/B", "/a/b.c"));
    assert!(!text(Method::Dom, "a.b", "aa.b"));
    assert!(text(Method::Dom, "a.b", "a.a.b"));
    assert!(!text(Method::Dom, "b", "a@b"));
}

#[test]
fn texts_compare_with_and_without_case() {
    use Method::{Beg, End, Str, Sub};
    for (method, pattern) in [(Str, "abcdef"), (Beg, "abc"), (End, "def"), (Sub, "cd")] {
        assert!(text(method, pattern, "abcdef"));
        assert!(!text(method, &pattern.to_uppercase(), "abcdef"));
        assert!(text(method, &format!("-i {}", pattern.to_uppercase()), "abcdef"));
        assert!(text(method, &format!("-i x {}", pattern.to_uppercase()), &format!("abcdef{}", &"abcdef"[6..])));
        assert!(!text(method, "abcdefg", "abcdef"));
        assert!(!text(method, pattern, ""));
    }
    let long = "x".repeat(1000) + "Y";
    assert!(text(End, "-i xy", &long));
}

#[test]
fn prefixes_of_prefixes_do_not_hide_each_other() {
    assert!(text(Method::Beg, "b a", "a"));
    assert!(text(Method::Beg, "ab abcd", "abc"));
    assert!(text(Method::Beg, "/static /images /img /css", "/images/x"));
    assert!(!text(Method::Beg, "/static /images", "/imag"));
    assert!(text(Method::End, ".gif .png .jpg g", "xg"));
    assert!(text(Method::End, ".gif .png .jpg", "x.png"));
    assert!(!text(Method::End, ".gif .png .jpg", "png"));
}

#[test]
fn integers_match_ranges_and_operators() {
    let int = |words: &str, i: i64| matches(Method::Int, words, Value::Int(i));
    assert!(int("1:10", 5) && int(":10", -5) && int("5:", 5) && !int("6:", 5));
    assert!(int("ge 5 4", 5) && !int("gt 5", 5) && int("le 5", 5) && !int("lt 5", 5));
    assert!(int("gt 5 6 lt 7", 5) && int("gt 7 5", 6) && int("gt 3 lt 4", 5));
    assert!(int("eq 5 gt 9 8", 9), "an operator holds until the next");
    assert!(int("lt 1:3", 3) && int("gt 1:3", 1) && !int("gt 1:3", 4), "operators do not touch ranges");
    assert!(int("gt 9223372036854775806", i64::MAX));
    assert!(int("1-3", 2) && int("-3", -9) && int("-3", 3) && !int("-3", 4), "a minus is a colon");
    assert!(int("lt -3", 3) && int("ge 1.9", 1) && !int("gt 1.9", 1), "whole numbers are compared");
    assert!(int("ne 5", 5) && !int("ne 5", 4), "HAProxy knows no other meaning");
    let compared = |text: &str, operator| {
        let reading = Reading { operator, ..Reading::default() };
        Patterns::new(Method::Int).add(text.as_bytes(), reading).unwrap_err()
    };
    assert_eq!(compared("1x", Operator::Gt), "'1x' is neither a number nor a supported operator");
    assert_eq!(compared("1.0", Operator::Ne), "'1.0' is not a number");
    assert_eq!(compared("9223372036854775807", Operator::Gt), "'-9223372036854775808:' is not a valid number range");
    let wrong = |text: &str| Patterns::new(Method::Int).add(text.as_bytes(), Reading::default()).unwrap_err();
    assert_eq!(wrong("foo"), "'foo' is not a number");
    assert_eq!(wrong("5:3"), "'5:3' is not a valid number range");
    assert_eq!(wrong(":"), "':' is not a valid number range");
    assert_eq!(wrong("+5"), "'+5' is not a number");
}

#[test]
fn lengths_and_bytes() {
    assert!(text(Method::Len, "6", "abcdef") && text(Method::Len, "lt 7", "abcdef"));
    assert!(!text(Method::Len, "1:5", "abcdef"));
    assert!(text(Method::Bin, "616263", "abc") && !text(Method::Bin, "6162", "abc"));
    assert!(matches(Method::Str, "a", Value::Bin(Cow::Borrowed(b"a\0"))), "text ends at NUL");
    assert_eq!(hex_bytes(b"123"), Err("an even number of hex digit is expected".into()));
    assert_eq!(hex_bytes(b"zz"), Err("an hex digit is expected (found 'z')".into()));
}

#[test]
fn addresses_match_networks_of_both_families() {
    let ip = |words: &str, a: &str| matches(Method::Ip, words, Value::ip(a.parse().unwrap()));
    assert!(ip("10.0.0.0/8", "10.1.2.3") && !ip("10/8", "10.1.2.3"));
    assert!(ip("10.3", "10.0.0.3"));
    assert!(ip("10.1.9.9/255.255.0.0", "10.1.2.3") && ip("10.2.9.3/255.0.0.255", "10.1.2.3"));
    assert!(ip("::ffff:10.0.0.0/104", "10.1.2.3") && ip("::/0", "10.1.2.3"));
    for v6 in ["::ffff:10.1.2.3", "::10.1.2.3", "2002:a01:203::1"] {
        assert!(ip("10.0.0.0/8", v6), "{v6}");
    }
    assert!(ip("2001:db8::/32", "2001:db8::1") && !ip("2001:db8::2", "2001:db8::1"));
    assert!(ip("0.0.0.1", "::1") && !ip("0.0.0.0/0", "2001::1"));
    assert!(!ip("10.1.2.4/31", "10.1.2.3"));
    assert!(ip("10.0.0.0/8 10.1.0.0/16 9.0.0.0/8", "10.200.0.1"));
    assert!(text(Method::Ip, "10.0.0.0/8", "10.1.2.3") && !text(Method::Ip, "10.0.0.0/8", "foo"));
    let wrong = |text: &str| Patterns::new(Method::Ip).add(text.as_bytes(), Reading::default()).unwrap_err();
    assert_eq!(wrong("1.2.3.4/33"), "'1.2.3.4/33' is not a valid IPv4 or IPv6 address");
    assert_eq!(wrong("foo"), "'foo' is not a valid IPv4 or IPv6 address");
}

#[test]
fn known_methods_compare_with_case() {
    let verb = |words: &str, m: &'static str| matches(Method::Verb, words, Value::Method(m.as_bytes().into()));
    assert!(verb("POST GET", "GET") && !verb("get", "GET") && !verb("-i get", "GET"));
    assert!(verb("-i foo", "FOO") && !verb("foo", "FOO"));
}

proptest! {
    #[test]
    fn no_pattern_and_no_text_panics(pattern in any::<Vec<u8>>(), text in any::<Vec<u8>>(), fold: bool) {
        for method in Method::NAMED.map(|(_, m)| m).into_iter().chain([Method::Verb]) {
            let mut patterns = Patterns::new(method);
            // No names are resolved here.
            let reading = Reading { ignore_case: fold, ..Reading::default() };
            let _ = patterns.add(&pattern, reading);
            let _ = patterns.add(&text, reading);
            patterns.finish();
            patterns.matches(Value::str(&text));
            patterns.matches(Value::Bin(Cow::Borrowed(&text)));
            patterns.matches(Value::Int(text.len() as i64));
        }
    }

    #[test]
    fn sorted_prefixes_find_what_a_scan_finds(list in prop::collection::vec("[ab]{0,4}", 1..6), value in "[ab]{0,6}") {
        let nonempty: Vec<_> = list.iter().filter(|p| !p.is_empty()).cloned().collect();
        let words = nonempty.join(" ");
        prop_assert_eq!(text(Method::Beg, &words, &value), nonempty.iter().any(|p| value.starts_with(p)));
        prop_assert_eq!(text(Method::End, &words, &value), nonempty.iter().any(|p| value.ends_with(p)));
    }
}
