//! Heads: reading, editing, writing.

use super::*;

fn head(fields: &[(&str, &str)]) -> Head {
    let mut head = Head::new();
    head.start_request(b"GET", b"/", Version::Http11);
    for (name, value) in fields {
        head.add(name.as_bytes(), value.as_bytes());
    }
    head
}

fn written(head: &Head) -> String {
    let mut out = Vec::new();
    head.write_request_to(&mut out);
    assert_eq!(out.len(), head.wire_bytes());
    String::from_utf8_lossy(&out).into_owned()
}

fn text(value: Option<&[u8]>) -> Option<String> {
    value.map(|value| String::from_utf8_lossy(value).into_owned())
}

#[test]
fn values_are_counted_as_haproxy_does() {
    for (value, parts) in [
        ("a", &["a"][..]),
        ("a, b ,c", &["a", "b", "c"]),
        ("", &[""]),
        (",", &["", ""]),
        (",,a", &["", "", "a"]),
        ("a,", &["a", ""]),
        ("\"a,b\",c", &["\"a,b\"", "c"]),
        ("\"a\\\",b\",c", &["\"a\\\",b\"", "c"]),
        ("a\"b,c", &["a\"b,c"]),
        ("a\\,b", &["a\\", "b"]),
    ] {
        let head = head(&[("X", value)]);
        let found: Vec<_> = head.values(b"x").map(|part| text(Some(part)).unwrap()).collect();
        assert_eq!(found, parts, "{value:?}");
        assert_eq!(head.value_count(b"x"), parts.len());
    }
}

#[test]
fn occurrences_count_from_both_ends() {
    let head = head(&[("X", "a"), ("Y", "n"), ("x", "b,c")]);
    let value = |occurrence| text(head.nth_value(b"X", occurrence));
    assert_eq!(value(1).as_deref(), Some("a"));
    assert_eq!(value(3).as_deref(), Some("c"));
    assert_eq!(value(-1).as_deref(), Some("c"));
    assert_eq!(value(-3).as_deref(), Some("a"));
    assert_eq!((value(4), value(-4), value(0)), (None, None, None));
    let line = |occurrence| text(head.nth(b"X", occurrence));
    assert_eq!(line(1).as_deref(), Some("a"));
    assert_eq!(line(-1).as_deref(), Some("b,c"));
    assert_eq!((line(3), line(-3), line(0)), (None, None, None));
    assert_eq!((head.count(b"X"), head.value_count(b"X")), (2, 3));
    assert_eq!((head.count(b"Z"), head.value_count(b"Z")), (0, 0));
    assert_eq!((value(i32::MIN), line(i32::MIN)), (None, None));
}

#[test]
fn edits_show_in_what_is_written() {
    let mut head = head(&[("Host", "h"), ("A", "1"), ("B", "2"), ("a", "3")]);
    head.set_method(b"BREW");
    head.set_uri(b"/tea?x");
    assert_eq!((head.method(), head.path(), head.query()), (Method::Other, &b"/tea"[..], &b"x"[..]));
    head.set(b"a", b"4");
    head.add(b"C", b"5");
    assert_eq!(head.remove(b"host"), 1);
    assert_eq!(head.remove(b"host"), 0);
    assert_eq!(written(&head), "BREW /tea?x HTTP/1.1\r\nB: 2\r\na: 4\r\nC: 5\r\n\r\n");
    let place = head.fields_named(b"b").next().map(|field| field.index).unwrap();
    head.set_value(place, b"22");
    assert_eq!(head.remove_if(|_, _, value| value == b"5"), 1);
    assert_eq!(written(&head), "BREW /tea?x HTTP/1.1\r\nB: 22\r\na: 4\r\n\r\n");
    head.remove_at(place);
    head.remove_at(999);
    head.set_value(999, b"nothing");
    head.set_version(Version::Http10);
    assert_eq!(written(&head), "BREW /tea?x HTTP/1.0\r\na: 4\r\n\r\n");
}

#[test]
fn known_names_are_found_by_id_and_by_text() {
    let mut head = head(&[("HOST", "a"), ("Cookie", "b"), ("cookie", "c")]);
    assert_eq!(text(head.get(b"host")).as_deref(), Some("a"));
    assert_eq!(text(head.get_known(Known::Cookie)).as_deref(), Some("b"));
    assert_eq!(head.fields_known(Known::Cookie).count(), 2);
    assert!(head.has(Known::Host) && !head.has(Known::Te));
    assert_eq!(head.remove_known(Known::Cookie), 2);
    assert!(head.get(b"cookie").is_none());
}

#[test]
fn responses_are_written() {
    let mut head = Head::new();
    head.start_response(Version::Http10, 200, b"Fine");
    head.add(b"X", b"");
    head.set_status(404);
    let mut out = Vec::new();
    head.write_response_to(&mut out);
    assert_eq!(out, b"HTTP/1.0 404 Not Found\r\nX: \r\n\r\n");
    assert_eq!(out.len(), head.wire_bytes());
    head.set_reason(b"Gone fishing");
    assert_eq!((head.status(), head.reason()), (404, &b"Gone fishing"[..]));
}

#[test]
fn a_cleared_head_keeps_its_memory_and_nothing_else() {
    let mut head = head(&[("A", "1"), ("B", "2")]);
    let before = head.capacity();
    head.clear();
    assert!(head.is_empty());
    assert_eq!(head.fields().count(), 0);
    assert_eq!(head.uri(), b"");
    head.start_request(b"GET", b"/", Version::Http11);
    head.add(b"A", b"1");
    assert_eq!(head.capacity(), before);
}
