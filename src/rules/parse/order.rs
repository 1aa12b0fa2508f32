//! The arguments of actions that the session carries out (manual 4.2, `http-request set-nice`, `capture` and others).

use super::Input;
use crate::log::format::Format;
use crate::proxy::ResolversId;
use crate::proxy::resolvers::Family;
use crate::rules::address::{Part, SetAddress};
use crate::rules::errand::{Order, Side};
use crate::rules::lookup::Lookup;
use crate::sample::{Expr, Place, Type, Variable};
use crate::text::finding::Severity;
use crate::text::unit::{self, TimeUnit, UnitError, atoi};
use crate::time::Millis;

/// The extremes of `set-nice`.
const NICE: std::ops::RangeInclusive<i32> = -1024..=1024;

/// `set-nice`
pub(super) fn nice(input: &mut Input<'_, '_>) -> Result<Order, String> {
    let text = input.cursor.next();
    if text.is_empty() {
        return Err("expects exactly 1 argument (integer value)".to_owned());
    }
    let nice = atoi(text).clamp(*NICE.start(), *NICE.end());
    Ok(Order::Nice(i16::try_from(nice).unwrap_or(0)))
}

/// `set-tos`
pub(super) fn tos(input: &mut Input<'_, '_>) -> Result<Order, String> {
    number(input).map(|number| Order::Tos(number as u8))
}

/// `set-mark`
pub(super) fn mark(input: &mut Input<'_, '_>) -> Result<Order, String> {
    number(input).map(|number| Order::Mark(number as u32))
}

/// A number as strtoul(3) reads it, of whose bits the lowest count: decimal, hexadecimal or octal.
fn number(input: &mut Input<'_, '_>) -> Result<u64, String> {
    let text = input.cursor.next();
    if text.is_empty() {
        return Err("expects exactly 1 argument (integer/hex value)".to_owned());
    }
    let plain = text.trim_start();
    let (negative, plain) = match plain.strip_prefix('-') {
        Some(plain) => (true, plain),
        None => (false, plain.strip_prefix('+').unwrap_or(plain)),
    };
    let hex = plain.strip_prefix("0x").or_else(|| plain.strip_prefix("0X"));
    let hex = hex.filter(|digits| digits.starts_with(|c: char| c.is_ascii_hexdigit()));
    let (digits, radix) = match hex {
        Some(digits) => (digits, 16),
        None => (plain, if plain.starts_with('0') { 8 } else { 10 }),
    };
    let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    let rest = if end == 0 { text } else { &digits[end..] };
    if !rest.is_empty() {
        return Err(format!("invalid character starting at '{rest}' (integer/hex value expected)"));
    }
    let value = u64::from_str_radix(&digits[..end], radix).unwrap_or(u64::MAX);
    Ok(if negative { value.wrapping_neg() } else { value })
}

/// `strict-mode`
pub(super) fn strict_mode(input: &mut Input<'_, '_>) -> Result<bool, String> {
    match input.cursor.next() {
        "" => Err("expects exactly 1 arguments".to_owned()),
        "on" => Ok(true),
        "off" => Ok(false),
        other => Err(format!("Unexpected value '{other}'. Only 'on' and 'off' are supported")),
    }
}

/// `early-hint`: the field's name and value.
pub(super) fn hint(input: &mut Input<'_, '_>) -> Result<(Box<[u8]>, Format), String> {
    super::action::name_and_format(input)
}

/// `wait-for-body`
pub(super) fn wait_for_body(input: &mut Input<'_, '_>) -> Result<Order, String> {
    let (mut time, mut octets) = (None, 0);
    loop {
        let option = input.cursor.peek();
        if !matches!(option, "time" | "at-least") {
            break;
        }
        input.cursor.next();
        let text = input.cursor.next();
        if text.is_empty() {
            return Err(format!("missing argument for '{option}'"));
        }
        if option == "time" {
            let ms = unit::time_ms(text, TimeUnit::Ms).map_err(|error| match error {
                UnitError::Unexpected(c) => format!("unexpected character '{c}'"),
                UnitError::Overflow => {
                    format!("time overflow (maximum value is {} ms or ~24.8 days)", unit::TIME_MS_MAX)
                }
                UnitError::Underflow => "time underflow (minimum non-null value is 1 ms)".to_owned(),
            })?;
            time = Some(Millis(u64::from(ms)));
        } else {
            octets = unit::size(text).map_err(|error| match error {
                UnitError::Unexpected(c) => format!("unexpected character '{c}'"),
                _ => format!("size overflow in '{text}'"),
            })?;
        }
    }
    let time = time.ok_or("expects time <time> [ at-least <bytes> ]")?;
    Ok(Order::WaitForBody(time, octets))
}

/// `http-request capture`: into a slot of its own, which was made when the line was read, or into another.
pub(super) fn capture(input: &mut Input<'_, '_>) -> Result<Order, String> {
    let expr = expression(input)?.filter(|_| has_argument(input));
    let expr = expr.ok_or("expects <expression> [ 'len' <length> | id <idx> ]")?;
    match input.cursor.next() {
        "id" => slot(input, Side::Request, expr),
        "len" => {
            if !input.is_frontend {
                return Err(format!("proxy '{}' has no frontend capability", input.proxy_name));
            }
            if atoi(input.cursor.next()) <= 0 {
                return Err("length must be > 0".to_owned());
            }
            Ok(Order::Capture(Side::Request, input.capture_slot, expr))
        }
        other => Err(format!("expects 'len' or 'id', found '{other}'")),
    }
}

/// `http-response capture`
pub(super) fn capture_response(input: &mut Input<'_, '_>) -> Result<Order, String> {
    let expr = expression(input)?.filter(|_| has_argument(input) || !matches!(input.cursor.peek(), "" | "id"));
    let expr = expr.ok_or("expects <expression> id <idx>")?;
    match input.cursor.next() {
        "id" => slot(input, Side::Response, expr),
        other => Err(format!("expects 'id', found '{other}'")),
    }
}

/// `set-src` and others
pub(super) fn address(input: &mut Input<'_, '_>, part: Part) -> Result<SetAddress, String> {
    let expr = Expr::parse(input.cursor.peek(), input.scope)?;
    // HAProxy does not look here whether connections have what the fetch needs: it finds nothing then.
    let early = Place::FrontConnection.only().union(Place::FrontSession.only());
    let looks = input.scope.places.intersection(early).is_empty();
    if looks && expr.needs().places().intersection(input.scope.places).is_empty() {
        return Err(unavailable(input.cursor.peek(), &expr));
    }
    input.cursor.next();
    Ok(SetAddress { part, expr: Box::new(expr) })
}

/// `do-resolve`: the action's own word has the variable, the section and the kind of addresses in it.
pub(super) fn lookup(input: &mut Input<'_, '_>) -> Result<Order, String> {
    let word = input.cursor.words.get(input.cursor.at.wrapping_sub(1)).map_or("", |word| word.text.as_str());
    let wrong = |text: &str| {
        format!(
            "Can't parse '{text}'. Expects 'do-resolve(<varname>,<resolvers>[,<options>]) <expr>'. \
             Available options are 'ipv4' and 'ipv6'"
        )
    };
    let inside = word.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    let (variable, rest) = inside.and_then(|(inside, _)| inside.split_once(',')).ok_or_else(|| wrong(word))?;
    let (section, options) = rest.split_once(',').unwrap_or((rest, ""));
    let mut family = Family::V6;
    for option in options.split(',') {
        family = match option {
            "ipv4" => Family::V4,
            "ipv6" => Family::V6,
            "" => family,
            _ => return Err(wrong(word)),
        };
    }
    let text = input.cursor.next();
    let name = Expr::parse(text, input.scope).map_err(|_| wrong(text))?;
    if name.needs().places().intersection(input.scope.places).is_empty() {
        return Err(unavailable(text, &name));
    }
    let number = input.resolvers.iter().position(|known| known.name == section);
    if number.is_none() {
        let text = format!("Can't find resolvers section '{section}' for do-resolve action.");
        input.scope.late.push((Severity::Alert, text));
    }
    // HAProxy takes any name for the variable, and never sets one that cannot be.
    let variable = Variable::parse(variable).ok();
    let section = ResolversId(u32::try_from(number.unwrap_or(0)).unwrap_or(0));
    Ok(Order::Resolve(Lookup { section, family, name: Box::new(name), variable }))
}

/// What is said of a fetch, or of an expression, that finds nothing where it stands.
pub(super) fn unavailable(text: &str, expr: &Expr) -> String {
    let needs = expr.needs().name();
    format!("fetch method '{text}' extracts information from '{needs}', none of which is available here")
}

/// Whether two words follow.
fn has_argument(input: &Input<'_, '_>) -> bool {
    !input.cursor.peek().is_empty() && !input.cursor.peek_at(1).is_empty()
}

/// The expression at the cursor, if there is one.
fn expression(input: &mut Input<'_, '_>) -> Result<Option<Expr>, String> {
    let text = input.cursor.next();
    if text.is_empty() {
        return Ok(None);
    }
    // Text is not always there for what an expression yields.
    let expr = Expr::parse(text, input.scope)?;
    if expr.needs().places().intersection(input.scope.places).is_empty() {
        return Err(unavailable(text.split([',', '(']).next().unwrap_or_default(), &expr));
    }
    debug_assert!(expr.output().casts_to(Type::Str));
    Ok(Some(expr))
}

/// The slot of an `id`. One that the frontend lacks is an error there; a backend may serve others that have it.
fn slot(input: &mut Input<'_, '_>, side: Side, expr: Expr) -> Result<Order, String> {
    let text = input.cursor.next();
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("cannot parse id '{text}'"));
    }
    let slot = usize::try_from(atoi(text)).ok();
    let (keyword, count) = match side {
        Side::Request => ("http-request", input.captures[0]),
        Side::Response => ("http-response", input.captures[1]),
    };
    if input.is_frontend && slot.is_some_and(|slot| slot >= count) {
        let text = format!("unable to find capture id '{text}' referenced by {keyword} capture rule.");
        input.scope.late.push((Severity::Alert, text));
    }
    Ok(Order::Capture(side, slot, expr))
}
