//! Timestamps (RFC 3339).

use super::decode::{Checked, Cursor};

/// A time such as `2026-11-20T09:00:00Z`, in Unix seconds.
pub(super) fn timestamp(cursor: Cursor<'_>) -> Checked<u64> {
    let text = cursor.string()?;
    match parse_timestamp(text) {
        Some(seconds) => Ok(seconds),
        None => cursor.fail(format!(
            "must be a time such as 2026-11-20T09:00:00Z or 2026-11-20T10:00:00+01:00, from 1970 on, is {text:?}"
        )),
    }
}

/// The Unix seconds of a time (RFC 3339 section 5.6) from 1970 on, in whole seconds. None for a
/// leap second.
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<u64> {
    let (date, rest) = text.split_once(['T', 't'])?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (time, offset) = rest.split_at_checked(8)?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_since_epoch(year, month, day)?;
    let local = days * 86_400 + hour * 3600 + minute * 60 + second;
    u64::try_from(local - offset_seconds(offset)?).ok()
}

/// The offset from UTC in seconds: `Z`, `+01:00`, `-05:30`.
fn offset_seconds(offset: &str) -> Option<i64> {
    if offset.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = match offset.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let [hours, minutes] = numbers(rest, ':', [2, 2])?;
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

/// The numbers of a text. Each number has the given count of digits.
fn numbers<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(separator);
    let mut found = [0; N];
    for (number, length) in found.iter_mut().zip(digits) {
        let part = parts.next()?;
        let plain = part.len() == length && part.bytes().all(|b| b.is_ascii_digit());
        *number = plain.then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(found)
}

/// The days from 1970-01-01 to a date of the Gregorian calendar. None if there is no such date.
fn days_since_epoch(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day < 1 || day > length {
        return None;
    }
    // Count years from March, so that the leap day is the last day.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some(year * 365 + leaps + (month * 153 + 2) / 5 + day - 1 - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn times_are_those_of_rfc_3339() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-02T00:00:01z", Some(86_401)),
            ("2000-02-29T12:30:15Z", Some(951_827_415)),
            ("2000-03-01T00:00:00Z", Some(951_868_800)),
            ("2026-11-20T09:00:00Z", Some(1_795_165_200)),
            ("2026-11-20t10:00:00+01:00", Some(1_795_165_200)),
            ("2026-11-20T03:30:00-05:30", Some(1_795_165_200)),
            ("2100-02-28T23:59:59Z", Some(4_107_542_399)),
            ("9999-12-31T23:59:59Z", Some(253_402_300_799)),
            ("1970-01-01T00:00:00+01:00", None),
            ("1969-12-31T23:59:59Z", None),
            ("2100-02-29T00:00:00Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-00-01T00:00:00Z", None),
            ("2026-04-31T00:00:00Z", None),
            ("2026-11-00T00:00:00Z", None),
            ("2026-11-20T24:00:00Z", None),
            ("2026-11-20T09:60:00Z", None),
            ("2026-11-20T09:00:60Z", None),
            ("2026-11-20T09:00:00", None),
            ("2026-11-20T09:00:00.5Z", None),
            ("2026-11-20T09:00:00+24:00", None),
            ("2026-11-20T09:00:00+0100", None),
            ("2026-11-20 09:00:00Z", None),
            ("2026-11-20", None),
            ("26-11-20T09:00:00Z", None),
            ("2026-11-20T09:00:0\u{e9}Z", None),
            ("+026-11-20T09:00:00Z", None),
            ("", None),
        ] {
            assert_eq!(parse_timestamp(text), expected, "{text:?}");
        }
    }
}
