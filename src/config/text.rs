//! Values of many fields: header names, hosts, paths, durations.

use super::decode::{Checked, Cursor, shown};
use crate::app::DECISION_HEADER;
use crate::http::header::{HeaderName, MIRROR_MARK, MIRRORED, is_token};
use crate::rollout::slots::Share;
use crate::route::cidr::Cidr;
use crate::route::scope::{HostPattern, PathPrefix};

/// The default of `routeHeader` and `responseHeader`.
pub(super) const VERSION_HEADER: HeaderName = HeaderName::from_static("x-app-version");

/// A header name that the filter reads.
pub(super) fn header(cursor: Cursor<'_>) -> Checked<HeaderName> {
    header_named(cursor.string()?, &cursor)
}

/// A header name that is a key of an object.
pub(super) fn header_named(name: &str, cursor: &Cursor<'_>) -> Checked<HeaderName> {
    match HeaderName::new(name) {
        Some(name) => Ok(name),
        None => cursor.fail(format!("must be a header name, is {name:?}")),
    }
}

/// A header name that the filter may write.
pub(super) fn own_header(cursor: Cursor<'_>) -> Checked<HeaderName> {
    let name = header_named(cursor.string()?, &cursor)?;
    let ours = [MIRRORED, MIRROR_MARK].contains(&name) || name.as_str() == DECISION_HEADER;
    if ours || name.is_reserved() {
        return cursor.fail(format!("must not be {name}, which has a meaning of its own"));
    }
    Ok(name)
}

/// A header name for a mark of mirrored requests.
pub(super) fn mark_header(cursor: Cursor<'_>) -> Checked<HeaderName> {
    let name = header_named(cursor.string()?, &cursor)?;
    if name.is_reserved() {
        return cursor.fail(format!("must not be {name}, which has a meaning of its own"));
    }
    Ok(name)
}

/// A token (RFC 9110 section 5.6.2): a method, a cookie's name.
pub(super) fn token(cursor: Cursor<'_>) -> Checked<String> {
    token_named(cursor.string()?, &cursor)
}

/// A token that is a key of an object.
pub(super) fn token_named(name: &str, cursor: &Cursor<'_>) -> Checked<String> {
    if is_token(name) {
        Ok(name.to_owned())
    } else {
        cursor.fail(format!(
            "must be a token of letters, digits and !#$%&'*+-.^_`|~, is {name:?}"
        ))
    }
}

/// The name of a query parameter, as a path spells it.
pub(super) fn parameter(cursor: Cursor<'_>) -> Checked<String> {
    parameter_named(cursor.string()?, &cursor)
}

/// The name of a query parameter that is a key of an object.
pub(super) fn parameter_named(name: &str, cursor: &Cursor<'_>) -> Checked<String> {
    let fits = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"&=#?".contains(&b));
    if fits {
        Ok(name.to_owned())
    } else {
        cursor.fail(format!("must be the name of a query parameter, is {name:?}"))
    }
}

/// A claim's name. A control character is refused: a NUL would end the name on its way to the host.
pub(super) fn claim(cursor: Cursor<'_>) -> Checked<String> {
    claim_named(cursor.string()?, &cursor)
}

/// A claim's name that is a key of an object.
pub(super) fn claim_named(name: &str, cursor: &Cursor<'_>) -> Checked<String> {
    if name.is_empty() || name.contains(char::is_control) {
        return cursor.fail(format!("must be the name of a claim, is {name:?}"));
    }
    Ok(name.to_owned())
}

/// A host, `*.example.com` or `*`.
pub(super) fn host(cursor: Cursor<'_>) -> Checked<HostPattern> {
    let text = cursor.string()?;
    HostPattern::parse(text).or_else(|reason| cursor.fail(format!("{reason}, is {text:?}")))
}

/// A path in whole segments.
pub(super) fn path(cursor: Cursor<'_>) -> Checked<PathPrefix> {
    let text = cursor.string()?;
    PathPrefix::parse(text).or_else(|reason| cursor.fail(format!("{reason}, is {text:?}")))
}

/// A text that is not empty.
pub(super) fn not_empty<'a>(cursor: &Cursor<'a>) -> Checked<&'a str> {
    match cursor.string()? {
        "" => cursor.fail("must not be empty"),
        text => Ok(text),
    }
}

/// A weight in percent.
pub(super) fn percent(cursor: Cursor<'_>) -> Checked<Share> {
    let percent = cursor.number()?;
    match Share::from_percent(percent) {
        Some(share) => Ok(share),
        None if (0.0..=100.0).contains(&percent) => {
            cursor.fail(format!("must have at most three decimals, is {}", shown(percent)))
        }
        None => cursor.fail(format!("must be 0 to 100, is {}", shown(percent))),
    }
}

/// Whether a response header can show the text unchanged.
pub(super) fn is_label(text: &str) -> bool {
    let visible = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    visible && text.trim() == text && (1..=128).contains(&text.len())
}

/// An address block.
pub(super) fn cidr(cursor: Cursor<'_>) -> Checked<Cidr> {
    let text = cursor.string()?;
    text.parse()
        .or_else(|reason| cursor.fail(format!("{reason}, is {text:?}")))
}

/// A duration in whole seconds, from one second to `max`, as Istio and Go write it: `90s`, `1h30m`.
pub(super) fn seconds(cursor: Cursor<'_>, max: u32) -> Checked<u32> {
    let text = cursor.string()?;
    match parse_seconds(text) {
        Some(seconds) if (1..=u64::from(max)).contains(&seconds) => Ok(seconds as u32),
        Some(_) => cursor.fail(format!("must be 1s to {}h, is {text}", max / 3600)),
        None => cursor.fail(format!(
            "must be a duration in whole seconds such as 90s, 30m or 1h30m, is {text:?}"
        )),
    }
}

/// The seconds of a duration such as `90s` or `1h30m`.
#[must_use]
pub fn parse_seconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let unit = rest.find(|c: char| !c.is_ascii_digit())?;
        let (digits, tail) = rest.split_at_checked(unit)?;
        let length = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, after) = tail.split_at_checked(length)?;
        let seconds = match unit {
            "h" => 3600,
            "m" => 60,
            "s" => 1,
            _ => return None,
        };
        total = digits
            .parse::<u64>()
            .ok()?
            .checked_mul(seconds)
            .and_then(|part| total.checked_add(part))?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn durations_are_whole_seconds() {
        for (text, expected) in [
            ("90s", Some(90)),
            ("24h", Some(86_400)),
            ("1h30m", Some(5_400)),
            ("1h1m1s", Some(3_661)),
            ("0s", Some(0)),
            ("", None),
            ("10", None),
            ("s", None),
            ("1d", None),
            ("500ms", None),
            ("1.5h", None),
            ("-1s", None),
            ("1s ", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
        ] {
            assert_eq!(parse_seconds(text), expected, "{text:?}");
        }
    }
}
