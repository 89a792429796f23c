//! Rules, matches and overrides.

use super::cookie;
use super::decode::{Checked, Cursor, Invalid};
use super::text;
use super::versions::{self, Versions};
use std::sync::Arc;

use crate::app::{Explain, Target};
use crate::http::cookie::{Attributes, CookieTemplate};
use crate::http::header::HeaderName;
use crate::identity::overrides::Override;
use crate::identity::pinning::Signing;
use crate::rollout::slots::Share;
use crate::rollout::version::{State, VersionRef};
use crate::route::matching::{Allow, Attribute, Condition, Match, StringMatch};
use crate::route::rules::Rule;

/// A rule over these versions. If the versions are wrong, the rest of the rule is still checked.
pub(super) fn rule(cursor: Cursor<'_>, versions: Option<&Versions>) -> Checked<Rule<Target>> {
    cursor.object(|fields| {
        // An empty `match:` would apply to every request, silently.
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

/// A version that a rule may name: any version that is not retired.
fn known_version(cursor: &Cursor<'_>, versions: Option<&Versions>) -> Checked<VersionRef> {
    let name = cursor.string()?;
    let versions = versions.ok_or(Invalid)?;
    match versions.all.iter().find(|version| version.name == name) {
        Some(version) if version.state == State::Retired => cursor.fail(format!("{name:?} is retired")),
        Some(version) => Ok(version.clone()),
        None => cursor.fail(format!("{name:?} is not a version of this app")),
    }
}

/// Reads `split`. Its stable version is the app's stable version if the split has this version,
/// else the version with the largest share.
fn split(cursor: &Cursor<'_>, versions: Option<&Versions>) -> Checked<Target> {
    let parts = cursor.some(|part| {
        part.object(|fields| {
            let version = fields.required("version", |name| known_version(&name, versions));
            let weight = fields.required("weight", text::percent);
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
    let stable = versions.ok_or(Invalid)?.schedule.stable().index;
    let stable = parts
        .iter()
        .position(|(version, _)| version.index == stable)
        .unwrap_or_else(|| versions::largest(&shares));
    versions::layout(parts.into_iter(), stable).map(Target::Split)
}

/// A match, which has at least one condition.
pub(super) fn one_match(cursor: Cursor<'_>) -> Checked<Match> {
    cursor.object(|fields| {
        let with_headers = fields.or("headers", Vec::new(), |map| {
            headers(&map, |name, wanted| {
                Condition::Value(Attribute::Header(name), wanted)
            })
        });
        let without_headers = fields.or("withoutHeaders", Vec::new(), |map| {
            headers(&map, Condition::WithoutHeader)
        });
        let cookies = fields.or("cookies", Vec::new(), |map| {
            named(&map, text::token_named, Attribute::Cookie)
        });
        let query_params = fields.or("queryParams", Vec::new(), |map| {
            named(&map, text::parameter_named, Attribute::QueryParam)
        });
        let claims = fields.or("claims", Vec::new(), |map| {
            named(&map, text::claim_named, Attribute::Claim)
        });
        let methods = fields.optional("methods", |list| list.some(text::token));
        let hosts = fields.optional("hosts", |list| list.some(text::host));
        let paths = fields.optional("paths", |list| list.some(text::path));
        let source_ips = fields.optional("sourceIps", |list| list.some(text::cidr));
        // The conditions that cost least are checked first.
        let lists = [
            methods?.map(Condition::Methods),
            hosts?.map(Condition::Hosts),
            paths?.map(Condition::Paths),
            source_ips?.map(Condition::SourceIps),
        ];
        let maps = [with_headers?, without_headers?, cookies?, query_params?, claims?];
        let conditions: Vec<_> = lists
            .into_iter()
            .flatten()
            .chain(maps.into_iter().flatten())
            .collect();
        if conditions.is_empty() {
            return fields.fail_all("must have at least one condition");
        }
        Ok(Match { conditions })
    })
}

/// The conditions of a map from names to string matches.
fn named(
    map: &Cursor<'_>,
    name: impl Fn(&str, &Cursor<'_>) -> Checked<String>,
    attribute: impl Fn(String) -> Attribute,
) -> Checked<Vec<Condition>> {
    map.entries(|key, value| {
        let attribute = attribute(name(key, &value)?);
        Ok(Condition::Value(attribute, string_match(&value)?))
    })
}

/// The conditions of a map from header names to string matches. Names that differ in case only are
/// equal.
fn headers(
    map: &Cursor<'_>,
    condition: impl Fn(HeaderName, StringMatch) -> Condition,
) -> Checked<Vec<Condition>> {
    let mut names: Vec<HeaderName> = Vec::new();
    map.entries(|key, value| {
        let name = text::header_named(key, &value)?;
        if names.contains(&name) {
            return value.fail("is given twice");
        }
        names.push(name.clone());
        Ok(condition(name, string_match(&value)?))
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

/// `any`, or a list of matches.
fn allowed(cursor: &Cursor<'_>) -> Checked<Allow> {
    match cursor.as_string() {
        Some("any") => Ok(Allow::Any),
        Some(other) => cursor.fail(format!("must be any or a list of matches, is {other:?}")),
        None => cursor.some(one_match).map(Allow::Matching),
    }
}

/// Reads `explain`.
pub(super) fn explain(cursor: &Cursor<'_>) -> Checked<Explain> {
    cursor.object(|fields| {
        let header = fields.or(
            "header",
            HeaderName::from_static("x-pinion-explain"),
            text::header,
        );
        let allow = fields.required("allow", |list| allowed(&list));
        Ok(Explain {
            header: header?,
            allow: allow?,
        })
    })
}

/// Reads `override`. `signing` is an error if the keys are wrong.
pub(super) fn overrides(cursor: &Cursor<'_>, signing: &Checked<Option<Arc<Signing>>>) -> Checked<Override> {
    cursor.object(|fields| {
        let header = fields.optional("header", text::own_header);
        let query = fields.optional("query", text::parameter);
        let cookie = fields.optional("cookie", |cookie| override_cookie(&cookie));
        let allow = fields.optional("allow", |list| allowed(&list));
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
            cookie: cookie?,
            allow: allow?,
            signing: signing.clone()?,
        })
    })
}

/// Reads `override.cookie`: a name, or a name with attributes. It is a session cookie.
fn override_cookie(cursor: &Cursor<'_>) -> Checked<CookieTemplate> {
    if let Some(name) = cursor.as_string() {
        let name = text::token_named(name, cursor)?;
        return Ok(CookieTemplate::new(name, &Attributes::SESSION));
    }
    cursor.object(|fields| {
        let name = fields.required("name", text::token);
        let (name, attributes) = cookie::attributes(fields, name)?;
        Ok(CookieTemplate::new(name, &attributes))
    })
}
