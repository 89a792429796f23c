//! Rules, matches and overrides.

use super::decode::{Checked, Cursor, Invalid};
use super::text;
use super::versions::{self, Versions};
use std::rc::Rc;

use crate::decision::trace::Explain;
use crate::http::cookie::{Attributes, CookieTemplate};
use crate::http::header::HeaderName;
use crate::identity::overrides::Override;
use crate::identity::pin::Signing;
use crate::rollout::slots::Share;
use crate::rollout::version::{State, VersionRef};
use crate::route::matching::{Match, Rule, StringMatch, Target, Who};

/// A rule over these versions. Where they are not known, all but what they decide is checked.
pub(super) fn rule(cursor: Cursor<'_>, versions: Option<&Versions>) -> Checked<Rule> {
    cursor.object(|fields| {
        // An empty `match:` would silently send everybody.
        let matches = fields.nullable("match", Some(Vec::new()), None, |list| {
            list.some(one_match).map(Some)
        });
        let matches = matches.and_then(|matches| match matches {
            Some(matches) => Ok(matches),
            None => fields.fail(
                "match",
                "must have at least one item; leave it out for every request",
            ),
        });
        let version = fields.optional("version", |name| known_version(&name, versions));
        let split = fields.optional("split", |list| split(&list, versions));
        let target = match (version?, split?) {
            (Some(version), None) => Ok(Target::Version(version)),
            (None, Some(split)) => Ok(split),
            (None, None) => fields.fail_all("must have a version or a split"),
            (Some(_), Some(_)) => fields.fail_all("must have a version or a split, has both"),
        };
        Ok(Rule {
            matches: matches?,
            target: target?,
        })
    })
}

/// A version that a rule may send to: any but a retired one.
fn known_version(cursor: &Cursor<'_>, versions: Option<&Versions>) -> Checked<VersionRef> {
    let name = cursor.string()?;
    let versions = versions.ok_or(Invalid)?;
    match versions.all.iter().find(|version| version.name == name) {
        Some(version) if version.state == State::Retired => cursor.fail(format!("{name:?} is retired")),
        Some(version) => Ok(version.clone()),
        None => cursor.fail(format!("{name:?} is not a version of this app")),
    }
}

/// The app's stable version stays the split's stable side if it has a part in it, else the largest share is.
fn split(cursor: &Cursor<'_>, versions: Option<&Versions>) -> Checked<Target> {
    let parts = cursor.some(|part| {
        part.object(|fields| {
            let version = fields.required("version", |name| known_version(&name, versions));
            let weight = fields.required("weight", versions::percent);
            Ok((version?, weight?))
        })
    })?;
    for (i, (version, _)) in parts.iter().enumerate() {
        if parts
            .iter()
            .take(i)
            .any(|(other, _)| other.index == version.index)
        {
            return cursor.fail(format!("{:?} is given twice", version.name));
        }
    }
    let shares: Vec<Share> = parts.iter().map(|(_, share)| *share).collect();
    if Share::rest(&shares) != Some(Share::NONE) {
        let sum = Share::percent_sum(&shares);
        return cursor.fail(format!("weights must add up to 100, are {sum}"));
    }
    let stable = versions.ok_or(Invalid)?.rollout.stable().index;
    let stable = parts
        .iter()
        .position(|(version, _)| version.index == stable)
        .unwrap_or_else(|| versions::largest(&shares));
    versions::layout(parts.into_iter(), stable).map(Target::Split)
}

/// One set of conditions, at least one.
pub(super) fn one_match(cursor: Cursor<'_>) -> Checked<Match> {
    cursor.object(|fields| {
        let headers = fields.or("headers", Vec::new(), |map| header_matches(&map));
        let without_headers = fields.or("withoutHeaders", Vec::new(), |map| header_matches(&map));
        let cookies = fields.or("cookies", Vec::new(), |map| {
            map.entries(|name, value| Ok((text::token_named(name, &value)?, string_match(&value)?)))
        });
        let query_params = fields.or("queryParams", Vec::new(), |map| {
            map.entries(|name, value| Ok((text::parameter_named(name, &value)?, string_match(&value)?)))
        });
        let claims = fields.or("claims", Vec::new(), |map| {
            map.entries(|name, value| Ok((text::claim_named(name, &value)?, string_match(&value)?)))
        });
        let methods = fields.or("methods", Vec::new(), |list| list.some(text::token));
        let hosts = fields.or("hosts", Vec::new(), |list| list.some(text::host));
        let paths = fields.or("paths", Vec::new(), |list| list.some(text::path));
        let source_ips = fields.or("sourceIps", Vec::new(), |list| list.some(text::cidr));
        let read = Match {
            headers: headers?,
            without_headers: without_headers?,
            cookies: cookies?,
            query_params: query_params?,
            claims: claims?,
            methods: methods?,
            hosts: hosts?,
            paths: paths?,
            source_ips: source_ips?,
        };
        if read.is_empty() {
            return fields.fail_all("must have at least one condition");
        }
        Ok(read)
    })
}

impl Match {
    fn is_empty(&self) -> bool {
        self.headers.is_empty()
            && self.without_headers.is_empty()
            && self.cookies.is_empty()
            && self.query_params.is_empty()
            && self.claims.is_empty()
            && self.methods.is_empty()
            && self.hosts.is_empty()
            && self.paths.is_empty()
            && self.source_ips.is_empty()
    }
}

fn header_matches(cursor: &Cursor<'_>) -> Checked<Vec<(HeaderName, StringMatch)>> {
    let mut names: Vec<HeaderName> = Vec::new();
    cursor.entries(|name, value| {
        let name = text::header_named(name, &value)?;
        if names.contains(&name) {
            return value.fail("is given twice");
        }
        names.push(name.clone());
        Ok((name, string_match(&value)?))
    })
}

fn string_match(cursor: &Cursor<'_>) -> Checked<StringMatch> {
    cursor.object(|fields| {
        let exact = fields.optional("exact", |text| text.string());
        let prefix = fields.optional("prefix", |text| text.string());
        let regex = fields.optional("regex", |pattern| {
            let text = pattern.string()?;
            StringMatch::regex(text)
                .or_else(|error| pattern.fail(format!("must be a regular expression: {error}")))
        });
        let present = fields.optional("present", |present| {
            if present.boolean()? {
                Ok(StringMatch::Present)
            } else {
                present.fail("must be true; withoutHeaders says that a header is absent")
            }
        });
        let given = [
            exact?.map(|text| StringMatch::Exact(text.to_owned())),
            prefix?.map(|text| StringMatch::Prefix(text.to_owned())),
            regex?,
            present?,
        ];
        fields.only(given, "exact, prefix, regex, present")
    })
}

/// `any`, or whoever matches one of a list.
fn who(cursor: &Cursor<'_>) -> Checked<Who> {
    match cursor.as_string() {
        Some("any") => Ok(Who::Any),
        Some(other) => cursor.fail(format!("must be any or a list of matches, is {other:?}")),
        None => cursor.some(one_match).map(Who::Matching),
    }
}

/// Who may ask why.
pub(super) fn explain(cursor: &Cursor<'_>) -> Checked<Explain> {
    cursor.object(|fields| {
        let header = fields.or("header", HeaderName::ours("x-pinion-explain"), text::header);
        let allow = fields.required("allow", |allow| who(&allow));
        Ok(Explain {
            header: header?,
            allow: allow?,
        })
    })
}

/// Who may ask for a version, and where. `signing` has failed where the keys are wrong.
pub(super) fn overrides(cursor: &Cursor<'_>, signing: &Checked<Option<Rc<Signing>>>) -> Checked<Override> {
    cursor.object(|fields| {
        let header = fields.optional("header", text::own_header);
        let query = fields.optional("query", text::parameter);
        let cookie = fields.optional("cookie", text::token);
        let allow = fields.optional("allow", |allow| who(&allow));
        let mut result = Ok(());
        if !fields.has("allow") && matches!(signing, Ok(None)) {
            result = fields.fail(
                "allow",
                "must be given where there are no keys that could sign tokens",
            );
        }
        if !fields.has("header") && !fields.has("query") {
            result = fields.fail_all("must have a header or a query, or nobody could ask");
        }
        if fields.has("cookie") && !fields.has("query") {
            result = fields.fail("cookie", "needs a query, whose token it holds");
        }
        result?;
        Ok(Override {
            header: header?,
            query: query?,
            cookie: cookie?.map(|name| CookieTemplate::new(name, &Attributes::SESSION)),
            allow: allow?,
            signing: signing.clone()?,
        })
    })
}
