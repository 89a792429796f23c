//! What a shared cache may do with a response (RFC 9111), and how to keep shared caches away from
//! it.
//!
//! A response with a client's pin must not reach other clients. So a value that cannot be read
//! counts as permission to store.

use std::borrow::Cow;
use std::time::UNIX_EPOCH;

use smallvec::SmallVec;

use super::edit::{Edit, Edits};
use super::header::{Headers, trim_ows};

/// What a shared cache may do with a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cacheability {
    /// No shared cache may store the response.
    Private,
    /// A shared cache may store the response, and must revalidate it before each use; or the
    /// response does not say.
    Revalidated,
    /// The origin explicitly lets a shared cache reuse the response without revalidation.
    Fresh(FreshBy),
}

/// The directive or field that lets a shared cache reuse a response without revalidation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum FreshBy {
    /// `Cache-Control: s-maxage` (RFC 9111 section 5.2.2.10).
    SMaxage,
    /// `Cache-Control: max-age` (section 5.2.2.1).
    MaxAge,
    /// `Cache-Control: stale-while-revalidate` (RFC 5861).
    StaleWhileRevalidate,
    /// `Expires` (RFC 9111 section 5.3).
    Expires,
    /// `CDN-Cache-Control` (RFC 9213), or the field of one CDN, such as
    /// `Cloudflare-CDN-Cache-Control`.
    CdnCacheControl,
    /// `Surrogate-Control` (W3C Edge Architecture Specification).
    SurrogateControl,
    /// `Edge-Control` (Akamai).
    EdgeControl,
    /// `X-Accel-Expires` (nginx).
    XAccelExpires,
    /// `Cache-Control` cannot be parsed.
    Malformed,
}

impl FreshBy {
    /// The name in metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What a shared cache may do with this response. The clock, in Unix seconds, is read only for an
/// `Expires` without `Date`.
#[must_use]
pub fn of<H: Headers + ?Sized>(response: &H, now: impl FnOnce() -> u64) -> Cacheability {
    // A cache for which a targeted field is meant ignores Cache-Control (RFC 9213 section 2.2).
    let mut fresh = response.all().filter_map(|(name, value)| {
        let by = targeted(name)?;
        lets_use(by, value).then_some(by)
    });
    if let Some(by) = fresh.next() {
        return Cacheability::Fresh(by);
    }
    let Some(directives) = Directives::of(response.lines("cache-control")) else {
        return Cacheability::Fresh(FreshBy::Malformed);
    };
    if directives.has("no-store") || directives.has_unqualified("private") {
        return Cacheability::Private;
    }
    if directives.has_unqualified("no-cache") {
        return Cacheability::Revalidated;
    }
    let is_stale_allowed = directives
        .seconds("stale-while-revalidate")
        .is_some_and(|seconds| seconds > 0)
        && !directives.has("must-revalidate")
        && !directives.has("proxy-revalidate");
    let freshness = |seconds: u64, by| match seconds {
        0 if is_stale_allowed => Cacheability::Fresh(FreshBy::StaleWhileRevalidate),
        0 => Cacheability::Revalidated,
        _ => Cacheability::Fresh(by),
    };
    if let Some(seconds) = directives.seconds("s-maxage") {
        return freshness(seconds, FreshBy::SMaxage);
    }
    if let Some(seconds) = directives.seconds("max-age") {
        return freshness(seconds, FreshBy::MaxAge);
    }
    match response.first("expires") {
        Some(expires) => {
            let date = response.first("date").and_then(http_date);
            let lifetime = http_date(expires).map_or(0, |at| at.saturating_sub(date.unwrap_or_else(now)));
            freshness(lifetime, FreshBy::Expires)
        }
        None => freshness(0, FreshBy::Expires),
    }
}

/// The edits after which no shared cache may store the response. What the client's own cache may do
/// stays.
pub fn make_private<H: Headers + ?Sized>(response: &H) -> Edits<'_> {
    let mut edits = Edits::new();
    let mut value = "private".to_owned();
    if let Some(directives) = Directives::of(response.lines("cache-control")) {
        let is_kept = |name: &[u8]| {
            ["public", "private", "s-maxage", "proxy-revalidate"]
                .iter()
                .all(|shared| !name.eq_ignore_ascii_case(shared.as_bytes()))
        };
        for (name, text) in directives.0.iter().filter(|(name, _)| is_kept(name)) {
            if let (false, Ok(text)) = (name.is_empty(), std::str::from_utf8(text)) {
                value.extend([", ", text]);
            }
        }
    }
    edits.push(Edit::Replace("cache-control", Cow::Owned(value)));
    for (name, _) in response.all().filter(|(name, _)| targeted(name).is_some()) {
        if let Ok(name) = std::str::from_utf8(name)
            && !edits.contains(&Edit::Remove(name))
        {
            edits.push(Edit::Remove(name));
        }
    }
    edits
}

/// The targeted field of this name. Some caches obey a targeted field in place of `Cache-Control`.
fn targeted(name: &[u8]) -> Option<FreshBy> {
    match name {
        b"surrogate-control" => Some(FreshBy::SurrogateControl),
        b"edge-control" => Some(FreshBy::EdgeControl),
        b"x-accel-expires" => Some(FreshBy::XAccelExpires),
        name if name.ends_with(b"cdn-cache-control") => Some(FreshBy::CdnCacheControl),
        _ => None,
    }
}

/// Whether the value of a targeted field lets a cache reuse a response without revalidation.
fn lets_use(field: FreshBy, value: &[u8]) -> bool {
    let value = trim_ows(value);
    if field == FreshBy::XAccelExpires {
        return value != b"0" && !value.eq_ignore_ascii_case(b"off");
    }
    let Some(directives) = Directives::of([value].into_iter()) else {
        return true;
    };
    let refuses = directives.has("no-store")
        || directives.has("bypass-cache")
        || directives.has_unqualified("private")
        || directives.has_unqualified("no-cache");
    let lives = ["max-age", "s-maxage", "cache-maxage"]
        .iter()
        .any(|name| directives.seconds(name).is_some_and(|seconds| seconds > 0));
    lives && !refuses
}

/// The Unix seconds of an HTTP date (RFC 9110 section 5.6.7). None for an invalid date, such as
/// `0`.
fn http_date(text: &[u8]) -> Option<u64> {
    let at = httpdate::parse_http_date(std::str::from_utf8(text).ok()?).ok()?;
    Some(at.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

/// The directives of a field: each name, and the text of the whole directive.
struct Directives<'a>(SmallVec<[(&'a [u8], &'a [u8]); 8]>);

impl<'a> Directives<'a> {
    /// The directives of a field's lines. None if a quoted string has no end, because the meaning
    /// of the rest is unknown.
    fn of(lines: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut all = SmallVec::new();
        for line in lines {
            let mut quotes = Quotes::default();
            let items = line.split(|byte| !quotes.take(*byte) && *byte == b',');
            all.extend(items.map(trim_ows).map(|text| {
                let end = text.iter().position(|b| *b == b'=').unwrap_or(text.len());
                (trim_ows(text.get(..end).unwrap_or_default()), text)
            }));
            if quotes.quoted {
                return None;
            }
        }
        Some(Directives(all))
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let of_name = move |directive: &&(&[u8], &[u8])| directive.0.eq_ignore_ascii_case(name.as_bytes());
        self.0.iter().filter(of_name).map(|(_, text)| *text)
    }

    fn has(&self, name: &str) -> bool {
        self.named(name).next().is_some()
    }

    /// Whether the directive is there without an argument. With an argument, `private` and
    /// `no-cache` cover single fields only.
    fn has_unqualified(&self, name: &str) -> bool {
        self.named(name).any(|text| !text.contains(&b'='))
    }

    /// The largest argument of a directive. An argument that is no number counts as 1.
    fn seconds(&self, name: &str) -> Option<u64> {
        self.named(name).map(seconds).max()
    }
}

/// The number of `max-age=60`, `max-age="60"`, `max-age=60+30` or `max-age=1h`; 1 if the number
/// cannot be read.
fn seconds(directive: &[u8]) -> u64 {
    let digits: SmallVec<[u8; 20]> = directive
        .iter()
        .skip_while(|b| **b != b'=')
        .filter(|b| !b"=\" \t".contains(b))
        .copied()
        .collect();
    let zeros = digits.iter().take_while(|b| **b == b'0').count();
    match digits.get(zeros) {
        None if zeros > 0 => 0,
        _ => 1,
    }
}

/// Distinguishes bytes in quoted strings (RFC 9110 section 5.6.4) from bytes outside.
#[derive(Default)]
struct Quotes {
    quoted: bool,
    escaped: bool,
}

impl Quotes {
    /// Reads the next byte, and returns whether it is in a quoted string.
    fn take(&mut self, byte: u8) -> bool {
        let inside = self.quoted;
        if byte == b'"' && !self.escaped {
            self.quoted = !self.quoted;
        }
        self.escaped = inside && byte == b'\\' && !self.escaped;
        inside
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const CC: &str = "cache-control";
    /// 2026-09-21T14:13:20Z.
    const NOW: u64 = 1_790_000_000;

    #[test]
    fn each_response_has_its_cacheability() {
        use Cacheability::{Fresh, Private, Revalidated};
        use FreshBy::*;
        let (past, future) = ("Thu, 01 Dec 1994 16:00:00 GMT", "Thu, 01 Dec 2044 16:00:00 GMT");
        for (headers, expected) in [
            (&[][..], Revalidated),
            (&[("last-modified", past)], Revalidated),
            (&[("etag", "\"1\"")], Revalidated),
            (&[(CC, "public")], Revalidated),
            (&[(CC, "PUBLIC, max-age=0")], Revalidated),
            (&[(CC, "max-age=0, must-revalidate")], Revalidated),
            (&[(CC, "max-age=\"0\"")], Revalidated),
            (&[(CC, "max-age = 0")], Revalidated),
            (&[(CC, "s-maxage=0, max-age=60")], Revalidated),
            (&[(CC, "no-cache")], Revalidated),
            (&[(CC, "no-cache, max-age=60")], Revalidated),
            (&[(CC, "no-cache"), ("expires", "0")], Revalidated),
            (&[("expires", "0")], Revalidated),
            (&[("expires", past)], Revalidated),
            (&[("expires", future), (CC, "max-age=0")], Revalidated),
            (&[("expires", future), ("date", future)], Revalidated),
            (&[(CC, "private=\"x-a\"")], Revalidated),
            (&[(CC, "publicity")], Revalidated),
            (&[(CC, "private")], Private),
            (&[(CC, "private, s-maxage=10")], Private),
            (&[(CC, "private,max-age=60")], Private),
            (&[(CC, "max-age=60"), (CC, "no-store")], Private),
            (&[(CC, "no-cache, no-store, must-revalidate")], Private),
            (&[("expires", future), (CC, "private")], Private),
            (&[(CC, "ext=\"a\", private, max-age=60")], Private),
            (&[(CC, "ext=\"\\\\\", private, max-age=60")], Private),
            (&[("surrogate-control", "no-store"), (CC, "private")], Private),
            (&[("x-accel-expires", "0"), (CC, "no-store")], Private),
            (&[(CC, "s-maxage=31536000")], Fresh(SMaxage)),
            (&[(CC, "s-maxage =60")], Fresh(SMaxage)),
            (&[(CC, "s-maxage=1, stale-while-revalidate")], Fresh(SMaxage)),
            (&[(CC, "max-age=60")], Fresh(MaxAge)),
            (&[(CC, "Max-Age=60")], Fresh(MaxAge)),
            (&[(CC, "max-age =60")], Fresh(MaxAge)),
            (&[(CC, "max-age=\"60\"")], Fresh(MaxAge)),
            (&[(CC, "max-age=x")], Fresh(MaxAge)),
            (&[(CC, "max-age")], Fresh(MaxAge)),
            (&[(CC, "max-age=060")], Fresh(MaxAge)),
            (&[(CC, "public, max-age=31536000, immutable")], Fresh(MaxAge)),
            (&[(CC, "max-age=60, private=\"x-a\"")], Fresh(MaxAge)),
            (&[(CC, "max-age=60, no-cache=\"a, private, b\"")], Fresh(MaxAge)),
            (&[(CC, "ext=\"\\\", private\", max-age=60")], Fresh(MaxAge)),
            (
                &[(CC, "max-age=0, stale-while-revalidate=60")],
                Fresh(StaleWhileRevalidate),
            ),
            (
                &[(CC, "max-age=0, stale-while-revalidate=60, must-revalidate")],
                Revalidated,
            ),
            (&[("expires", future)], Fresh(Expires)),
            (&[("expires", future), ("date", past)], Fresh(Expires)),
            (&[(CC, "ext=\"a, private")], Fresh(Malformed)),
            (&[(CC, "a\\\", private\"b, max-age=60")], Fresh(MaxAge)),
            (
                &[("cdn-cache-control", "max-age=60"), (CC, "private")],
                Fresh(CdnCacheControl),
            ),
            (&[("cdn-cache-control", "max-age=0"), (CC, "private")], Private),
            (
                &[("cdn-cache-control", "no-store, max-age=60"), (CC, "private")],
                Private,
            ),
            (
                &[("vercel-cdn-cache-control", "s-maxage=9"), (CC, "no-store")],
                Fresh(CdnCacheControl),
            ),
            (
                &[("surrogate-control", "max-age=60+30, content=\"ESI/1.0\"")],
                Fresh(SurrogateControl),
            ),
            (
                &[("edge-control", "cache-maxage=60m"), (CC, "private")],
                Fresh(EdgeControl),
            ),
            (
                &[("x-accel-expires", "60"), (CC, "private")],
                Fresh(XAccelExpires),
            ),
            (
                &[("x-accel-expires", "@1790000060"), (CC, "private")],
                Fresh(XAccelExpires),
            ),
        ] {
            assert_eq!(of(headers, || NOW), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_private_response_keeps_what_the_client_s_own_cache_may_do() {
        for (headers, value, removed) in [
            (&[][..], "private", &[][..]),
            (&[(CC, "public, max-age=0")], "private, max-age=0", &[]),
            (&[(CC, "no-cache")], "private, no-cache", &[]),
            (
                &[(CC, "s-maxage=9, stale-while-revalidate=5")],
                "private, stale-while-revalidate=5",
                &[],
            ),
            (
                &[(CC, "public, max-age=60"), (CC, "immutable")],
                "private, max-age=60, immutable",
                &[],
            ),
            (&[(CC, "private=\"x-a\", Public")], "private", &[]),
            (
                &[(CC, "ext=\"a, b\",, max-age=1")],
                "private, ext=\"a, b\", max-age=1",
                &[],
            ),
            (&[(CC, "ext=\"a, private")], "private", &[]),
            (
                &[
                    ("cdn-cache-control", "max-age=1"),
                    ("surrogate-control", "a"),
                    ("cdn-cache-control", "b"),
                ],
                "private",
                &["cdn-cache-control", "surrogate-control"],
            ),
        ] {
            let mut expected = Edits::from_iter([Edit::Replace(CC, Cow::Borrowed(value))]);
            expected.extend(removed.iter().map(|name| Edit::Remove(name)));
            assert_eq!(make_private(headers), expected, "{headers:?}");
        }
    }
}
