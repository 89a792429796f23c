//! Points in time, as arguments and as text.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix seconds.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// An argument's time, in Unix seconds.
pub(crate) fn time(text: &str) -> Result<u64, String> {
    pinion::config::parse_timestamp(text)
        .ok_or_else(|| "must be a time such as 2026-11-20T09:00:00Z or 2026-11-20T10:00:00+01:00".to_owned())
}

/// `2026-11-20T09:00:00Z`
pub(crate) fn utc(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March here, so that the leap day is the last of one; 719,468 days of them lie before 1970.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = era * 400 + year + carry;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_the_core_reads() {
        // A prime number of seconds apart: each day of the year and each second of the day comes up.
        for seconds in (0..253_402_300_800).step_by(2_750_159) {
            let text = utc(seconds);
            assert_eq!(time(&text), Ok(seconds), "{text}");
        }
        assert_eq!(utc(951_827_415), "2000-02-29T12:30:15Z");
        assert_eq!(utc(253_402_300_799), "9999-12-31T23:59:59Z");
    }
}
