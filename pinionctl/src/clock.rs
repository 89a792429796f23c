//! Points in time, as arguments and as text.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::SignedDuration;
use jiff::civil::{DateTime, date};

const EPOCH: DateTime = date(1970, 1, 1).at(0, 0, 0, 0);

/// The current time, in Unix seconds.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// The time that an argument gives, in Unix seconds.
///
/// The filter's own parser reads the argument, so that the command accepts what a configuration accepts.
pub(crate) fn time(text: &str) -> Result<u64, String> {
    pinion::config::parse_timestamp(text)
        .ok_or_else(|| "must be a time such as 2026-11-20T09:00:00Z or 2026-11-20T10:00:00+01:00".to_owned())
}

/// The time in the form `2026-11-20T09:00:00Z`; for a time after the year 9999, that year's last second.
///
/// The calculation uses civil time, because a `jiff::Timestamp` ends a day before the year 9999 does.
pub(crate) fn utc(seconds: u64) -> String {
    let since = SignedDuration::from_secs(seconds.try_into().unwrap_or(i64::MAX));
    format!("{:.0}Z", EPOCH.saturating_add(since))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_reads_what_is_written() {
        // The step is a prime number of seconds: every day of the year and every second of the day occurs.
        for seconds in (0..253_402_300_800).step_by(2_750_159) {
            let text = utc(seconds);
            assert_eq!(time(&text), Ok(seconds), "{text}");
        }
        assert_eq!(utc(951_827_415), "2000-02-29T12:30:15Z");
        assert_eq!(utc(253_402_300_799), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn a_time_after_the_year_9999_is_written_as_its_last_second() {
        for seconds in [253_402_300_800, u64::MAX] {
            assert_eq!(utc(seconds), "9999-12-31T23:59:59Z");
        }
    }
}
