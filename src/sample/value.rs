//! The typed values that fetches give and converters change, and the casts between them (manual 7.1).

use std::borrow::Cow;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A sample: what a fetch or a converter returned. Bytes are borrowed from the message or the configuration
/// where they stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// True or false.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An IPv4 address.
    Ipv4(Ipv4Addr),
    /// An IPv6 address.
    Ipv6(Ipv6Addr),
    /// Text, of no particular encoding.
    Str(Cow<'a, [u8]>),
    /// Bytes.
    Bin(Cow<'a, [u8]>),
    /// An HTTP method, as written.
    Method(Cow<'a, [u8]>),
}

/// The type of a sample, as rows declare it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// Known at run time only; a converter that takes it takes all, one that gives it gives what it took.
    Any,
    /// `bool`
    Bool,
    /// `sint`
    Int,
    /// `addr`: IPv4 or IPv6.
    Addr,
    /// `ipv4`
    Ipv4,
    /// `ipv6`
    Ipv6,
    /// `str`
    Str,
    /// `bin`
    Bin,
    /// `meth`
    Method,
}

impl Type {
    /// HAProxy's name of the type.
    pub fn name(self) -> &'static str {
        match self {
            Type::Any => "any",
            Type::Bool => "bool",
            Type::Int => "sint",
            Type::Addr => "addr",
            Type::Ipv4 => "ipv4",
            Type::Ipv6 => "ipv6",
            Type::Str => "str",
            Type::Bin => "bin",
            Type::Method => "meth",
        }
    }

    /// Whether a value of this type may become one of type `to`; the value itself may still not.
    pub fn casts_to(self, to: Type) -> bool {
        use Type::{Addr, Any, Bin, Bool, Int, Ipv4, Ipv6, Method, Str};
        match (self, to) {
            (Any, _) | (_, Any) => true,
            (from, to) if from == to => true,
            (_, Str | Bin) => true,
            (Str, _) => true,
            (Bin, Method) => true,
            (Bool, Int) => true,
            (Int, Bool | Addr | Ipv4 | Ipv6) => true,
            (Addr | Ipv4, Bool | Int | Addr | Ipv4 | Ipv6) => true,
            (Ipv6, Addr | Ipv4) => true,
            _ => false,
        }
    }
}

impl<'a> Value<'a> {
    /// Text borrowed from somewhere.
    pub fn str(text: &'a [u8]) -> Value<'a> {
        Value::Str(Cow::Borrowed(text))
    }

    /// Text made here.
    pub fn string(text: Vec<u8>) -> Value<'static> {
        Value::Str(Cow::Owned(text))
    }

    /// The value without what it borrows.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Bool(b) => Value::Bool(b),
            Value::Int(i) => Value::Int(i),
            Value::Ipv4(a) => Value::Ipv4(a),
            Value::Ipv6(a) => Value::Ipv6(a),
            Value::Str(text) => Value::Str(Cow::Owned(text.into_owned())),
            Value::Bin(bytes) => Value::Bin(Cow::Owned(bytes.into_owned())),
            Value::Method(token) => Value::Method(Cow::Owned(token.into_owned())),
        }
    }

    /// An address of either family.
    pub fn ip(address: IpAddr) -> Value<'a> {
        match address {
            IpAddr::V4(v4) => Value::Ipv4(v4),
            IpAddr::V6(v6) => Value::Ipv6(v6),
        }
    }

    /// Its type.
    pub fn ty(&self) -> Type {
        match self {
            Value::Bool(_) => Type::Bool,
            Value::Int(_) => Type::Int,
            Value::Ipv4(_) => Type::Ipv4,
            Value::Ipv6(_) => Type::Ipv6,
            Value::Str(_) => Type::Str,
            Value::Bin(_) => Type::Bin,
            Value::Method(_) => Type::Method,
        }
    }

    /// The value as type `to`; `None` when it has no meaning there (an address of `x`).
    pub fn cast(self, to: Type) -> Option<Value<'a>> {
        match to {
            Type::Any => Some(self),
            Type::Bool => self.int_if_castable(Type::Bool).map(|i| Value::Bool(i != 0)),
            Type::Int => self.int_if_castable(Type::Int).map(Value::Int),
            Type::Addr => self.address().map(Value::ip),
            Type::Ipv4 => self.address().and_then(to_v4).map(Value::Ipv4),
            Type::Ipv6 => self.address().map(|a| Value::Ipv6(to_v6(a))),
            Type::Str => Some(Value::Str(self.into_text())),
            Type::Bin => Some(Value::Bin(self.into_binary())),
            Type::Method => match self {
                Value::Method(m) | Value::Str(m) | Value::Bin(m) => Some(Value::Method(m)),
                _ => None,
            },
        }
    }

    fn int_if_castable(&self, to: Type) -> Option<i64> {
        if self.ty().casts_to(to) { self.integer() } else { None }
    }

    fn integer(&self) -> Option<i64> {
        match self {
            Value::Bool(b) => Some(i64::from(*b)),
            Value::Int(i) => Some(*i),
            Value::Ipv4(a) => Some(i64::from(u32::from(*a))),
            // An empty text is no number; any other is the number it begins with, 0 without digits.
            Value::Str(text) if text.is_empty() => None,
            Value::Str(text) => Some(leading_int(text)),
            _ => None,
        }
    }

    /// The value as an address; integers are IPv4 addresses.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Value::Ipv4(a) => Some(IpAddr::V4(*a)),
            Value::Ipv6(a) => Some(IpAddr::V6(*a)),
            Value::Int(i) => Some(IpAddr::V4(Ipv4Addr::from(*i as u32))),
            Value::Str(text) => match leading_v4(text) {
                Some((address, _)) => Some(IpAddr::V4(address)),
                None => std::str::from_utf8(text).ok()?.parse().ok().map(IpAddr::V6),
            },
            _ => None,
        }
    }

    /// The value as text; binary data ends at its first NUL there.
    pub fn into_text(self) -> Cow<'a, [u8]> {
        match self {
            Value::Str(text) | Value::Method(text) => text,
            Value::Bin(bytes) => match memchr::memchr(0, &bytes) {
                None => bytes,
                Some(end) => match bytes {
                    Cow::Borrowed(b) => Cow::Borrowed(&b[..end]),
                    Cow::Owned(mut b) => {
                        b.truncate(end);
                        Cow::Owned(b)
                    }
                },
            },
            other => {
                let mut out = Vec::new();
                other.write_text(&mut out);
                Cow::Owned(out)
            }
        }
    }

    /// Appends the value as text, without the cut at NUL that comparisons make.
    pub fn write_text(&self, out: &mut Vec<u8>) {
        match self {
            Value::Str(b) | Value::Method(b) | Value::Bin(b) => out.extend_from_slice(b),
            Value::Bool(b) => out.push(b'0' + u8::from(*b)),
            Value::Int(i) => out.extend_from_slice(itoa::Buffer::new().format(*i).as_bytes()),
            // Writing to a vector cannot fail.
            Value::Ipv4(a) => drop(write!(out, "{a}")),
            Value::Ipv6(a) => drop(write!(out, "{a}")),
        }
    }

    fn into_binary(self) -> Cow<'a, [u8]> {
        match self {
            Value::Str(b) | Value::Method(b) | Value::Bin(b) => b,
            Value::Bool(b) => Cow::Owned(i64::from(b).to_be_bytes().to_vec()),
            Value::Int(i) => Cow::Owned(i.to_be_bytes().to_vec()),
            Value::Ipv4(a) => Cow::Owned(a.octets().to_vec()),
            Value::Ipv6(a) => Cow::Owned(a.octets().to_vec()),
        }
    }
}

/// The integer that `text` begins with, saturated; 0 when it begins with none.
pub fn leading_int(text: &[u8]) -> i64 {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let mut value: i64 = 0;
    for digit in digits.iter().take_while(|c| c.is_ascii_digit()) {
        let digit = i64::from(digit - b'0');
        value = value.saturating_mul(10);
        value = if negative { value.saturating_sub(digit) } else { value.saturating_add(digit) };
    }
    value
}

/// The four numbers and three dots that `text` begins with, as an address, and how many octets they take. What
/// follows does not matter; leading zeros neither.
pub fn leading_v4(text: &[u8]) -> Option<(Ipv4Addr, usize)> {
    let used = text.iter().position(|c| !c.is_ascii_digit() && *c != b'.').unwrap_or(text.len());
    let mut octets = [0; 4];
    let mut parts = text.get(..used)?.split(|c| *c == b'.');
    for octet in &mut octets {
        let digits = parts.next().filter(|digits| !digits.is_empty())?;
        *octet = u8::try_from(leading_int(digits)).ok()?;
    }
    parts.next().is_none().then_some((Ipv4Addr::from(octets), used))
}

/// The same as `hdr_val`, `urlp_val` and `cook_val` read it: in 32 bits that wrap, and with every octet below
/// `0` taken for a digit below zero.
pub fn wrapped_int(text: &[u8]) -> i64 {
    let (sign, digits) = text.strip_prefix(b"-").map_or((1, text), |digits| (-1, digits));
    let digits = digits.iter().map(|&byte| i32::from(byte as i8) - i32::from(b'0')).take_while(|&digit| digit <= 9);
    i64::from(digits.fold(0_i32, |value, digit| value.wrapping_mul(10).wrapping_add(sign * digit)))
}

/// The IPv4 address inside a mapped, compatible or 6to4 IPv6 address (manual 7.1.6).
pub fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0 | 0xffff) => Some(join(g, h)),
        (0x2002, high, low, ..) => Some(join(high, low)),
        _ => None,
    }
}

fn to_v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(v6) => embedded_v4(v6),
    }
}

fn to_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: Value<'_>) -> String {
        String::from_utf8(value.into_text().into_owned()).unwrap()
    }

    #[test]
    fn texts_of_all_types_are_haproxys() {
        assert_eq!(text(Value::Bool(true)), "1");
        assert_eq!(text(Value::Int(-3)), "-3");
        assert_eq!(text(Value::Ipv4(Ipv4Addr::new(1, 2, 3, 4))), "1.2.3.4");
        assert_eq!(text(Value::Ipv6(Ipv6Addr::LOCALHOST)), "::1");
        assert_eq!(text(Value::Bin(Cow::Borrowed(b"a\0b"))), "a");
    }

    #[test]
    fn strings_become_integers_as_far_as_they_go() {
        let int = |s: &'static str| Value::str(s.as_bytes()).cast(Type::Int);
        assert_eq!(int("5x"), Some(Value::Int(5)));
        assert_eq!(int("x"), Some(Value::Int(0)));
        assert_eq!(int(""), None);
        assert_eq!(int("-5"), Some(Value::Int(-5)));
        assert_eq!(int("99999999999999999999"), Some(Value::Int(i64::MAX)));
    }

    #[test]
    fn impossible_casts_are_known_before_run_time() {
        assert!(!Type::Bool.casts_to(Type::Addr));
        assert!(!Type::Ipv6.casts_to(Type::Int));
        assert!(!Type::Bin.casts_to(Type::Int));
        assert!(!Type::Method.casts_to(Type::Bool));
        assert!(Type::Int.casts_to(Type::Addr));
        assert_eq!(Value::str(b"foo").cast(Type::Addr), None);
        assert_eq!(Value::Bin(Cow::Borrowed(b"5")).cast(Type::Int), None);
    }

    #[test]
    fn ipv4_is_found_inside_ipv6() {
        let v4 = |s: &str| embedded_v4(s.parse().unwrap()).map(|a| a.to_string());
        assert_eq!(v4("::ffff:10.1.2.3").as_deref(), Some("10.1.2.3"));
        assert_eq!(v4("::10.1.2.3").as_deref(), Some("10.1.2.3"));
        assert_eq!(v4("2002:a01:203::1").as_deref(), Some("10.1.2.3"));
        assert_eq!(v4("2001:db8::1"), None);
    }
}
