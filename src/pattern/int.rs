//! Integer patterns: values, ranges and operators (manual 7.1.2).

/// `eq`, `ge` and the like; holds for all patterns after it, until the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Operator {
    /// `eq`
    #[default]
    Eq,
    /// `ge`
    Ge,
    /// `gt`
    Gt,
    /// `le`
    Le,
    /// `lt`
    Lt,
    /// `ne`, which HAProxy knows, but compares as `eq`.
    Ne,
}

impl Operator {
    /// The operator of this name.
    pub fn named(name: &str) -> Option<Operator> {
        match name {
            "eq" => Some(Operator::Eq),
            "ge" => Some(Operator::Ge),
            "gt" => Some(Operator::Gt),
            "le" => Some(Operator::Le),
            "lt" => Some(Operator::Lt),
            "ne" => Some(Operator::Ne),
            _ => None,
        }
    }
}

/// An inclusive range of integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    min: i64,
    max: i64,
}

impl Range {
    /// Whether the integer lies in it.
    pub fn contains(self, i: i64) -> bool {
        self.min <= i && i <= self.max
    }
}

/// Reads `5`, `1:5`, `:5` or `5:`. A minus is read as a colon, so that single values are never negative.
pub(super) fn parse(pattern: &[u8]) -> Result<Range, String> {
    let text = String::from_utf8_lossy(pattern);
    let Some((min, max)) = text.split_once([':', '-']) else {
        let value = integer(&text).ok_or_else(|| format!("'{text}' is not a number"))?;
        return Ok(Range { min: value, max: value });
    };
    let bound = |text: &str, open: i64| if text.is_empty() { Some(open) } else { integer(text) };
    match (bound(min, i64::MIN), bound(max, i64::MAX)) {
        (Some(min), Some(max)) if min <= max && text.len() > 1 => Ok(Range { min, max }),
        _ => Err(format!("'{text}' is not a valid number range")),
    }
}

/// What follows an operator: a whole number, of a decimal one that before the dot. Ranges are read as if there
/// were no operator, and so is all that follows `eq` or `ne`.
pub(super) fn compared(pattern: &[u8], operator: Operator) -> Result<Range, String> {
    if operator == Operator::Eq || pattern.iter().any(|c| b":-".contains(c)) {
        return parse(pattern);
    }
    let text = String::from_utf8_lossy(pattern);
    let whole = text.split('.').next().and_then(integer);
    let Some(value) = whole else {
        return Err(format!("'{text}' is neither a number nor a supported operator"));
    };
    match operator {
        Operator::Eq | Operator::Ne => parse(pattern),
        _ => by(operator, value).ok_or_else(|| format!("'{}:' is not a valid number range", i64::MIN)),
    }
}

/// The values that compare so with `value`; nothing lies beyond the largest and the smallest.
fn by(operator: Operator, value: i64) -> Option<Range> {
    let (min, max) = match operator {
        Operator::Eq | Operator::Ne => (value, value),
        Operator::Ge => (value, i64::MAX),
        Operator::Le => (i64::MIN, value),
        Operator::Gt => (value.checked_add(1)?, i64::MAX),
        Operator::Lt => (i64::MIN, value.checked_sub(1)?),
    };
    Some(Range { min, max })
}

/// As [`compared`], of versions such as `3.1`, which stand for their first number times 65536 and the second.
pub(super) fn parse_dotted(pattern: &[u8], operator: Operator) -> Result<Option<Range>, String> {
    let text = String::from_utf8_lossy(pattern);
    let wrong = || format!("'{text}' is not a dotted number");
    let (min, max) = text.split_once(':').unwrap_or((&text, &text));
    let bound = |text: &str, open: i64| if text.is_empty() { Some(open) } else { dotted(text) };
    let (min, max) = (bound(min, i64::MIN).ok_or_else(wrong)?, bound(max, i64::MAX).ok_or_else(wrong)?);
    if text.contains(':') { Ok(Some(Range { min, max })) } else { Ok(by(operator, min)) }
}

fn dotted(text: &str) -> Option<i64> {
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    let number = |text: &str| text.parse::<u16>().ok().filter(|_| !text.starts_with('+'));
    Some(i64::from(number(major)?) << 16 | i64::from(number(minor)?))
}

fn integer(text: &str) -> Option<i64> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}
