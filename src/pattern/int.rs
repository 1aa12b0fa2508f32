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

/// Reads `5`, `1:5`, `:5` or `5:`; a `-` does for the colon, so that there are no negative values: `-5` is `:5`.
/// Operators apply to single values only. Nothing lies beyond the largest integer.
pub(super) fn parse(pattern: &[u8], operator: Operator) -> Result<Option<Range>, String> {
    let text = String::from_utf8_lossy(pattern);
    if let Some((min, max)) = text.split_once([':', '-']) {
        let bound = |text: &str, open: i64| if text.is_empty() { Some(open) } else { integer(text) };
        let range = match (bound(min, i64::MIN), bound(max, i64::MAX)) {
            (Some(min), Some(max)) if min <= max && text.len() > 1 => Range { min, max },
            _ => return Err(format!("'{text}' is not a valid number range")),
        };
        return Ok(Some(range));
    }
    let Some(value) = integer(&text) else { return Err(format!("'{text}' is not a number")) };
    Ok(compared(value, operator))
}

/// The values that compare so with `value`.
fn compared(value: i64, operator: Operator) -> Option<Range> {
    let between = |min, max| Some(Range { min, max });
    match operator {
        Operator::Eq => between(value, value),
        Operator::Ge => between(value, i64::MAX),
        Operator::Le => between(i64::MIN, value),
        Operator::Gt => value.checked_add(1).and_then(|min| between(min, i64::MAX)),
        Operator::Lt => value.checked_sub(1).and_then(|max| between(i64::MIN, max)),
    }
}

/// As [`parse`], of versions such as `3.1`, which stand for their first number times 65536 and the second.
pub(super) fn parse_dotted(pattern: &[u8], operator: Operator) -> Result<Option<Range>, String> {
    let text = String::from_utf8_lossy(pattern);
    let wrong = || format!("'{text}' is not a dotted number");
    let (min, max) = text.split_once(':').unwrap_or((&text, &text));
    let bound = |text: &str, open: i64| if text.is_empty() { Some(open) } else { dotted(text) };
    let (min, max) = (bound(min, i64::MIN).ok_or_else(wrong)?, bound(max, i64::MAX).ok_or_else(wrong)?);
    if text.contains(':') { Ok(Some(Range { min, max })) } else { Ok(compared(min, operator)) }
}

fn dotted(text: &str) -> Option<i64> {
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    let number = |text: &str| text.parse::<u16>().ok().filter(|_| !text.starts_with('+'));
    Some(i64::from(number(major)?) << 16 | i64::from(number(minor)?))
}

fn integer(text: &str) -> Option<i64> {
    if text.starts_with(['+', '-']) { None } else { text.parse().ok() }
}
