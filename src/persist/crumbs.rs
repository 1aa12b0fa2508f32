//! Cookies in a line, one after the other, and changes to them that leave the rest of the line as it was
//! (RFC 6265 4.2.1, RFC 2109; the blanks that go and stay are HAProxy's).

use std::ops::Range;

/// What is to become of a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment<'a> {
    /// It stays.
    Keep,
    /// It goes, with the `$` attributes that follow it.
    Remove,
    /// The first octets of its value go.
    CutFront(usize),
    /// This stands before its value.
    Prefix(&'a [u8]),
    /// This replaces its value.
    Replace(&'a [u8]),
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Nothing.
    Same,
    /// It is another one.
    Changed,
    /// Nothing of it is left.
    Gone,
}

/// How a line is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of a client: any number of cookies.
    Cookie,
    /// Of a server: one, and its attributes.
    SetCookie,
    /// Of a server: any number, each with attributes, between commas.
    SetCookie2,
}

/// A cookie in its line, as offsets.
#[derive(Clone, Debug)]
struct Crumb {
    name: Range<usize>,
    /// Where the `=` stands, if there is one.
    equal: Option<usize>,
    value: Range<usize>,
    /// The delimiter after it, or the end of the line.
    next: usize,
}

impl Crumb {
    fn at(line: &[u8], from: usize, kind: Kind) -> Crumb {
        let start = skip_blanks(line, from);
        let (mut equal, mut name_end) = (start, start);
        while equal < line.len() && !matches!(line[equal], b'=' | b',' | b';') {
            equal += 1;
            if !is_blank(line[equal - 1]) {
                name_end = equal;
            }
        }
        let name = start..name_end;
        if line.get(equal) != Some(&b'=') {
            let next = if kind == Kind::Cookie { equal } else { attributes_end(line, equal, kind) };
            return Crumb { name, equal: None, value: equal..equal, next };
        }
        let begin = skip_blanks(line, equal + 1);
        let end = unquoted(line, begin, |c| c == b',' || c == b';');
        let blanks = line[begin..end].iter().rev().take_while(|c| is_blank(**c)).count();
        let next = if kind == Kind::Cookie { end } else { attributes_end(line, end, kind) };
        Crumb { name, equal: Some(equal), value: begin..end - blanks, next }
    }

    /// Takes blanks around the `=` out of the line; says how many.
    fn tighten(&mut self, line: &mut Vec<u8>) -> usize {
        let Some(equal) = self.equal else { return 0 };
        let before = equal - self.name.end;
        let after = self.value.start - equal - 1;
        line.drain(equal + 1..self.value.start);
        line.drain(self.name.end..equal);
        self.equal = Some(equal - before);
        self.moved(-((before + after) as isize));
        before + after
    }

    /// Notes that the line changed its length before the value.
    fn moved(&mut self, by: isize) {
        let to = |at: usize| at.saturating_add_signed(by);
        (self.value, self.next) = (to(self.value.start)..to(self.value.end), to(self.next));
    }
}

/// Shows the cookies of a line to `treat` by name and value, and does what it says. Names that begin with `$`
/// are attributes of the cookie before (RFC 2109 4.4).
pub fn edit<'a>(line: &mut Vec<u8>, kind: Kind, mut treat: impl FnMut(&[u8], &[u8]) -> Treatment<'a>) -> Line {
    let (mut changed, mut others) = (false, false);
    // From where on everything up to the next cookie that stays is to go.
    let mut doomed: Option<usize> = None;
    // The delimiter before the cookie that is looked at; the beginning of the line for the first.
    let (mut at, mut from) = (0, 0);
    loop {
        let mut crumb = Crumb::at(line, from, kind);
        if line.get(crumb.name.start) != Some(&b'$') {
            let mut treatment = Treatment::Keep;
            if crumb.equal.is_some() {
                changed |= crumb.tighten(line) > 0;
                treatment = treat(&line[crumb.name.clone()], &line[crumb.value.clone()]);
            }
            changed |= change(line, &mut crumb, treatment);
            if treatment == Treatment::Remove {
                doomed = doomed.or(Some(at));
            } else {
                others = true;
                if let Some(begin) = doomed.take() {
                    crumb.moved(-(remove(line, begin, at) as isize));
                    changed = true;
                }
            }
        }
        at = crumb.next;
        from = at + 1;
        if at >= line.len() || kind == Kind::SetCookie {
            break;
        }
    }
    if let Some(begin) = doomed {
        changed = true;
        if others {
            remove(line, begin, line.len());
        } else {
            line.clear();
        }
    }
    match changed {
        true if line.is_empty() => Line::Gone,
        true => Line::Changed,
        false => Line::Same,
    }
}

/// Shows the cookies of a line by the places of their names and values, without a change.
pub fn each(line: &[u8], kind: Kind, mut show: impl FnMut(Range<usize>, Range<usize>)) {
    let mut from = 0;
    loop {
        let crumb = Crumb::at(line, from, kind);
        if crumb.equal.is_some() && line.get(crumb.name.start) != Some(&b'$') {
            show(crumb.name, crumb.value);
        }
        from = crumb.next + 1;
        if crumb.next >= line.len() || kind == Kind::SetCookie {
            return;
        }
    }
}

fn change(line: &mut Vec<u8>, crumb: &mut Crumb, treatment: Treatment<'_>) -> bool {
    let (range, new): (Range<usize>, &[u8]) = match treatment {
        Treatment::Keep | Treatment::Remove => return false,
        Treatment::CutFront(bytes) => (crumb.value.start..(crumb.value.start + bytes).min(crumb.value.end), b""),
        Treatment::Prefix(text) => (crumb.value.start..crumb.value.start, text),
        Treatment::Replace(text) => (crumb.value.clone(), text),
    };
    let by = new.len() as isize - range.len() as isize;
    line.splice(range, new.iter().copied());
    crumb.next = crumb.next.saturating_add_signed(by);
    true
}

/// Takes what stands from the delimiter at `begin` (or the beginning of the line) to the one at `end` out, so
/// that one delimiter and one blank remain. Says by how much the line is shorter.
fn remove(line: &mut Vec<u8>, begin: usize, end: usize) -> usize {
    let before = line.len();
    if begin == 0 {
        line.drain(..skip_blanks(line, (end + 1).min(line.len())));
        return before - line.len();
    }
    let begin = begin - line[..begin].iter().rev().take_while(|c| is_blank(**c)).count();
    if end >= line.len() {
        line.truncate(begin);
        return before - line.len();
    }
    let rest = skip_blanks(line, end + 1);
    let delimiter = [line[end], b' '];
    let kept = if begin + 2 < end + 1 { &delimiter[..] } else { &delimiter[..1] };
    line.splice(begin..rest, kept.iter().copied());
    before - line.len()
}

/// The end of the attributes that begin at `from`.
fn attributes_end(line: &[u8], from: usize, kind: Kind) -> usize {
    match kind {
        Kind::SetCookie2 => unquoted(line, from, |c| c == b','),
        Kind::Cookie | Kind::SetCookie => line.len(),
    }
}

/// The first octet from `from` on outside of quotes that `is_it`, or the end.
fn unquoted(line: &[u8], from: usize, is_it: impl Fn(u8) -> bool) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    let found = line[from..].iter().position(|c| {
        if escaped {
            escaped = false;
        } else if quoted && *c == b'\\' {
            escaped = true;
        } else if *c == b'"' {
            quoted = !quoted;
        } else {
            return !quoted && is_it(*c);
        }
        false
    });
    found.map_or(line.len(), |found| from + found)
}

fn skip_blanks(line: &[u8], from: usize) -> usize {
    from + line[from..].iter().take_while(|c| is_blank(**c)).count()
}

fn is_blank(c: u8) -> bool {
    c == b' ' || c == b'\t'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(line: &str) -> String {
        let mut line = line.as_bytes().to_vec();
        let fate =
            edit(&mut line, Kind::Cookie, |name, _| if name == b"SRV" { Treatment::Remove } else { Treatment::Keep });
        if fate == Line::Gone { "gone".to_owned() } else { String::from_utf8(line).expect("text") }
    }

    #[test]
    fn a_cookie_goes_and_the_others_stay_as_they_were() {
        for (line, left) in [
            ("a=1; SRV=s2; b=2", "a=1; b=2"),
            ("SRV=s2;b=2", "b=2"),
            ("a=1;SRV=s2", "a=1"),
            ("a=1 ;  SRV = s2 ; b=2", "a=1; b=2"),
            ("a=\"x;SRV=s1\"; SRV=s2", "a=\"x;SRV=s1\""),
            ("a=1, SRV=s2, b=3", "a=1, b=3"),
            ("$Version=1; SRV=s2; $Path=/; b=1", "$Version=1; b=1"),
            ("SRV=s2; SRV=s1", "gone"),
            ("SRV=s2; $Path=/", "gone"),
            ("$Version=1; SRV=s2", "gone"),
            (";;SRV=s2;;", ";; ;"),
            ("x; SRV=s2; y", "x; y"),
            ("foo = bar; $x = y; SRV = s1", "foo=bar; $x = y"),
            ("SRV", "SRV"),
            ("=s2; SRV=s1", "=s2"),
            ("SRV=\"s\\\"2;\"; x=1", "x=1"),
            ("", ""),
            (";", ";"),
            ("SRV=\"", "gone"),
            ("a=1;SRV=2;", "a=1; "),
            ("SRV=2;", "gone"),
        ] {
            assert_eq!(without(line), left, "{line}");
        }
    }

    #[test]
    fn values_are_cut_and_completed() {
        let mut line = b"SRV=s2~abc; x=1; SRV=s1~d".to_vec();
        assert_eq!(
            edit(&mut line, Kind::Cookie, |name, _| {
                if name == b"SRV" { Treatment::CutFront(3) } else { Treatment::Keep }
            }),
            Line::Changed
        );
        assert_eq!(line, b"SRV=abc; x=1; SRV=d");
        let set = |line: &str, kind, treatment: Treatment<'_>| {
            let mut line = line.as_bytes().to_vec();
            edit(&mut line, kind, |name, _| if name == b"SRV" { treatment } else { Treatment::Keep });
            String::from_utf8(line).expect("text")
        };
        assert_eq!(set("SRV = zz ; path=/", Kind::SetCookie, Treatment::Replace(b"s2")), "SRV=s2 ; path=/");
        assert_eq!(set("SRV=\"zz;q\"; path=/", Kind::SetCookie, Treatment::Prefix(b"s2~")), "SRV=s2~\"zz;q\"; path=/");
        assert_eq!(set("SRV=a,b=c; path=/", Kind::SetCookie, Treatment::Replace(b"s1")), "SRV=s1,b=c; path=/");
        assert_eq!(set("a=1, SRV=zz", Kind::SetCookie, Treatment::Replace(b"s1")), "a=1, SRV=zz");
        assert_eq!(
            set("a=1; x, SRV=zz; y, b=2", Kind::SetCookie2, Treatment::Replace(b"s1")),
            "a=1; x, SRV=s1; y, b=2"
        );
        assert_eq!(set("a=1; x, SRV=zz; y, b=2", Kind::SetCookie2, Treatment::Remove), "a=1; x, b=2");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(proptest::sample::select(&b"a=;, \t\"\\$S\x00\xff"[..]), 0..40)) {
            for kind in [Kind::Cookie, Kind::SetCookie, Kind::SetCookie2] {
                for treatment in [Treatment::Keep, Treatment::Remove, Treatment::CutFront(1), Treatment::Prefix(b"xy"), Treatment::Replace(b"")] {
                    let mut line = bytes.clone();
                    edit(&mut line, kind, |name, _| if name == b"S" { treatment } else { Treatment::Keep });
                }
            }
        }
    }
}
