//! Dates in cookies: a 30-bit count of four seconds since 1970 in five characters of base64 (manual 4.2,
//! `maxidle`), so that several proxies understand each other's.

/// Characters of a date.
pub const BYTES: usize = 5;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const STEP_BITS: u32 = 2;

/// The Unix second that begins `text`; 0 if it says none.
pub fn read(text: &[u8]) -> i64 {
    let Some(text) = text.get(..BYTES) else { return 0 };
    let digit = |c: &u8| ALPHABET.iter().position(|other| other == c).map(|at| at as i64);
    let steps = text.iter().try_fold(0, |sum, c| Some(sum << 6 | digit(c)?));
    steps.unwrap_or(0) << STEP_BITS
}

/// Writes a Unix second.
pub fn write(second: i64, out: &mut Vec<u8>) {
    let steps = second >> STEP_BITS;
    let digits = (0..BYTES as u32).rev().map(|at| ALPHABET[(steps >> (6 * at) & 63) as usize]);
    out.extend(digits);
}

/// The date that stands for now: the next full step, so that no cookie is older than it is.
pub fn rounded(now_s: i64) -> i64 {
    ((now_s + 3) >> STEP_BITS) << STEP_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_come_back() {
        let mut text = Vec::new();
        write(1_795_240_660, &mut text);
        assert_eq!((text.len(), read(&text)), (BYTES, 1_795_240_660));
        assert_eq!((read(b"AAAA"), read(b"!!!!!"), read(b"AAAAB+")), (0, 0, 4));
        assert_eq!((rounded(8), rounded(9), rounded(12)), (8, 12, 12));
    }
}
