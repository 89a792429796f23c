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
    /// The response is a 304, whose headers a cache adds to its stored response (section 4.3.4).
    NotModified,
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
#[inline(never)]
pub fn of<H: Headers + ?Sized>(response: &H, now: impl FnOnce() -> u64) -> Cacheability {
    // A cache for which a targeted field is meant ignores Cache-Control (RFC 9213 section 2.2).
    let mut is_forbidden = true;
    for (name, value) in response.all() {
        let Some(by) = targeted(name) else { continue };
        match targeted_permission(by, value) {
            Permission::Use => return Cacheability::Fresh(by),
            Permission::Store => is_forbidden = false,
            Permission::None => {}
        }
    }
    let Some(directives) = Directives::of(response.lines("cache-control")) else {
        return Cacheability::Fresh(FreshBy::Malformed);
    };
    if directives.forbid_storing() {
        return if is_forbidden {
            Cacheability::Private
        } else {
            Cacheability::Revalidated
        };
    }
    if directives.has_unqualified("no-cache") {
        return Cacheability::Revalidated;
    }
    let freshness = |seconds: u64, by| match seconds {
        0 if directives.allow_stale() => Cacheability::Fresh(FreshBy::StaleWhileRevalidate),
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
#[inline(never)]
pub fn make_private<H: Headers + ?Sized>(response: &H) -> Edits<'_> {
    let mut edits = Edits::new();
    let value = match Directives::of(response.lines("cache-control")) {
        Some(directives) => {
            let shared = ["public", "private", "s-maxage", "proxy-revalidate"];
            directives.without(&shared, "private")
        }
        // A `no-store` may be in what cannot be parsed.
        None => "private, no-store".to_owned(),
    };
    edits.push(Edit::Replace("cache-control", Cow::Owned(value)));
    for (name, value) in response.all() {
        let (Some(field), Ok(name)) = (targeted(name), std::str::from_utf8(name)) else {
            continue;
        };
        // The other directives of Surrogate-Control switch processing on, such as `content="ESI/1.0"`.
        let content = Directives::of([value].into_iter()).filter(|directives| directives.has("content"));
        let edit = match content {
            Some(directives) if field == FreshBy::SurrogateControl => {
                let lifetimes = ["max-age", "no-store", "no-store-remote"];
                Edit::Replace(name, Cow::Owned(directives.without(&lifetimes, "no-store")))
            }
            _ => Edit::Remove(name),
        };
        if !edits.contains(&edit) {
            edits.push(edit);
        }
    }
    edits
}

/// The targeted field of this name. Some caches obey a targeted field in place of `Cache-Control`.
fn targeted(name: &[u8]) -> Option<FreshBy> {
    match name {
        b"cache-control" => None,
        b"surrogate-control" => Some(FreshBy::SurrogateControl),
        b"edge-control" => Some(FreshBy::EdgeControl),
        b"x-accel-expires" => Some(FreshBy::XAccelExpires),
        // CDN-Cache-Control, and the fields of single CDNs: Cloudflare-CDN-Cache-Control, Akamai-Cache-Control, …
        name if name.ends_with(b"cache-control") => Some(FreshBy::CdnCacheControl),
        _ => None,
    }
}

/// What a field lets a cache do.
enum Permission {
    None,
    Store,
    Use,
}

/// What the value of a targeted field lets a cache do.
fn targeted_permission(field: FreshBy, value: &[u8]) -> Permission {
    let value = trim_ows(value);
    if field == FreshBy::XAccelExpires {
        let is_off = value == b"0" || value.eq_ignore_ascii_case(b"off");
        return if is_off { Permission::None } else { Permission::Use };
    }
    let Some(directives) = Directives::of([value].into_iter()) else {
        return Permission::Use;
    };
    if directives.forbid_storing() || directives.has("bypass-cache") {
        return Permission::None;
    }
    let lives = ["max-age", "s-maxage", "cache-maxage"]
        .iter()
        .any(|name| directives.seconds(name).is_some_and(|seconds| seconds > 0));
    if (lives || directives.allow_stale()) && !directives.has_unqualified("no-cache") {
        Permission::Use
    } else {
        Permission::Store
    }
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

    /// The directives but those of these names, behind one that takes their place.
    fn without(&self, names: &[&str], first: &str) -> String {
        let mut value = first.to_owned();
        let is_kept = |name: &[u8]| {
            let is_named = names
                .iter()
                .any(|other| name.eq_ignore_ascii_case(other.as_bytes()));
            !name.is_empty() && !is_named
        };
        for (_, text) in self.0.iter().filter(|(name, _)| is_kept(name)) {
            if let Ok(text) = std::str::from_utf8(text) {
                value.extend([", ", text]);
            }
        }
        value
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

    /// Whether no shared cache may store the response. A cache that understands the status may ignore `no-store` beside
    /// `must-understand` (RFC 9111 section 5.2.2.3).
    fn forbid_storing(&self) -> bool {
        (self.has("no-store") && !self.has("must-understand")) || self.has_unqualified("private")
    }

    /// Whether a cache may use a stale response while it revalidates.
    fn allow_stale(&self) -> bool {
        self.seconds("stale-while-revalidate")
            .is_some_and(|seconds| seconds > 0)
            && !self.has("must-revalidate")
            && !self.has("proxy-revalidate")
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
            (
                &[("cdn-cache-control", "max-age=0"), (CC, "private")],
                Revalidated,
            ),
            (&[("cdn-cache-control", "public"), (CC, "no-store")], Revalidated),
            (
                &[("surrogate-control", "content=\"ESI/1.0\""), (CC, "private")],
                Revalidated,
            ),
            (&[("cdn-cache-control", "private"), (CC, "private")], Private),
            (
                &[("cdn-cache-control", "no-cache, max-age=60"), (CC, "private")],
                Revalidated,
            ),
            (&[(CC, "no-store, must-understand, max-age=60")], Fresh(MaxAge)),
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
            (&[(CC, "ext=\"a, private")], "private, no-store", &[]),
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
