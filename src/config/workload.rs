//! `stamp` and `mirror`: the configuration of a filter beside a version's pods.

use super::decode::{Checked, Cursor, Fields};
use super::proxy_info::ProxyInfo;
use super::text;
use crate::http::header::{MIRROR_MARK, MIRRORED};
use crate::workload::Workload;
use crate::workload::mirror::{Block, Detect, Mirror};
use crate::workload::stamp::Stamp;

/// The source of a stamp's text.
enum Source<'a> {
    NodeLabel(&'a str),
    Env(&'a str),
    Value(&'a str),
}

/// Reads `stamp` and `mirror`. None if the document has neither.
pub(super) fn workload(fields: &mut Fields<'_, '_>, around: &impl ProxyInfo) -> Checked<Option<Workload>> {
    let stamped = fields.optional("stamp", |cursor| stamp(&cursor, around));
    let version = match &stamped {
        Ok(Some(stamped)) => Version::Stamped(stamped.as_ref().map(|stamp| stamp.version.clone())),
        Ok(None) => Version::Unstamped,
        Err(_) => Version::Stamped(None),
    };
    let mirror = fields.optional("mirror", |cursor| mirrored(&cursor, &version));
    let (stamped, mirror) = (stamped?, mirror?);
    let any = stamped.is_some() || mirror.is_some();
    Ok(any.then(|| Workload {
        stamp: stamped.flatten(),
        mirror,
    }))
}

/// What `stamp` says about this workload's version.
enum Version {
    /// `stamp` is absent.
    Unstamped,
    /// `stamp` is given. None if its source is absent.
    Stamped(Option<String>),
}

fn stamp(cursor: &Cursor<'_>, around: &impl ProxyInfo) -> Checked<Option<Stamp>> {
    cursor.object(|fields| {
        let header = fields.or("header", text::VERSION_HEADER, text::own_header);
        let from = fields.required("from", |cursor| source(&cursor));
        let label = fields.optional("label", |cursor| source(&cursor));
        let (header, from, label) = (header?, from?, label?);
        // A pod without the label keeps its traffic: its responses are not stamped, and a warning
        // says so.
        let Some(version) = resolve(fields, "from", &from, around) else {
            return Ok(None);
        };
        let label = label.and_then(|label| resolve(fields, "label", &label, around));
        Ok(Some(Stamp {
            header,
            label: label.unwrap_or_else(|| version.clone()),
            version,
        }))
    })
}

fn source<'a>(cursor: &Cursor<'a>) -> Checked<Source<'a>> {
    cursor.object(|fields| {
        let label = fields.optional("nodeLabel", |name| text::not_empty(&name));
        let env = fields.optional("env", |name| text::not_empty(&name));
        let value = fields.optional("value", |value| {
            let text = value.string()?;
            if text::is_label(text) {
                Ok(text)
            } else {
                value.fail(format!("must be 1 to 128 visible ASCII characters, is {text:?}"))
            }
        });
        let given = [
            label?.map(Source::NodeLabel),
            env?.map(Source::Env),
            value?.map(Source::Value),
        ];
        fields.only(given, "nodeLabel, env, value")
    })
}

/// The text at a source, if a response header can show it.
fn resolve(
    fields: &Fields<'_, '_>,
    field: &str,
    source: &Source<'_>,
    around: &impl ProxyInfo,
) -> Option<String> {
    let (what, found) = match source {
        Source::Value(value) => return Some((*value).to_owned()),
        Source::NodeLabel(name) => (format!("label {name:?} of this node"), around.node_label(name)),
        Source::Env(name) => (
            format!("environment variable {name:?}"),
            around.env(name).and_then(|value| String::from_utf8(value).ok()),
        ),
    };
    let wrong = match found {
        Some(text) if text::is_label(&text) => return Some(text),
        Some(_) => format!("the {what} is not 1 to 128 visible ASCII characters"),
        None => format!("there is no {what}"),
    };
    fields.warn(field, wrong);
    None
}

fn mirrored(cursor: &Cursor<'_>, version: &Version) -> Checked<Mirror> {
    cursor.object(|fields| {
        let header = fields.or("header", MIRRORED, text::mark_header);
        let detect = fields.section("detect", |fields| detect(fields, version));
        let restore_host = fields.or("restoreHost", true, |flag| flag.boolean());
        let block = fields.or("block", Vec::new(), |list| list.some(|entry| block(&entry)));
        let (header, detect) = (header?, detect?);
        let mut result = Ok(());
        if detect.header.as_ref() == Some(&header) {
            result = fields.fail("detect.header", "must differ from header");
        }
        let route = detect.other_version.as_ref().map(|(route, _)| route);
        for (field, name) in [
            ("header", Some(&header)),
            ("detect.header", detect.header.as_ref()),
        ] {
            if name.is_some_and(|name| Some(name) == route || *name == text::VERSION_HEADER) {
                result = fields.fail(field, "must not be a route header, which live requests carry");
            }
        }
        if detect.is_blind() {
            result = fields.fail(
                "detect",
                "must leave at least one signal, or nothing is ever told",
            );
        }
        result?;
        Ok(Mirror {
            header,
            detect,
            restore_host: restore_host?,
            block: block?,
        })
    })
}

const DEFAULT_SUFFIX: &str = "-shadow";

fn detect(fields: &mut Fields<'_, '_>, version: &Version) -> Checked<Detect> {
    let header = fields.nullable("header", Some(MIRROR_MARK), None, |cursor| {
        text::mark_header(cursor).map(Some)
    });
    let suffix = Some(DEFAULT_SUFFIX.to_owned());
    let host_suffix = fields.nullable("hostSuffix", suffix, None, |cursor| {
        let suffix = cursor.string()?;
        let fits = suffix
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        if fits && suffix.bytes().any(|b| b.is_ascii_alphanumeric()) {
            Ok(Some(suffix.to_owned()))
        } else {
            cursor.fail(format!(
                "must be the end of a host name such as -shadow, is {suffix:?}"
            ))
        }
    });
    let other_version = fields.optional("otherVersion", |cursor| {
        let header = match cursor.as_string() {
            Some(_) => Some(text::header(cursor)?),
            None if cursor.boolean()? => Some(text::VERSION_HEADER),
            None => None,
        };
        Ok(header)
    });
    let always = fields.or("always", false, |flag| flag.boolean());
    let other_version = match (other_version?.flatten(), version) {
        (Some(_), Version::Unstamped) => {
            return fields.fail(
                "otherVersion",
                "needs stamp.from, which says what version this is",
            );
        }
        (Some(header), Version::Stamped(version)) => Some((header, version.clone())),
        (None, _) => None,
    };
    Ok(Detect {
        header: header?,
        host_suffix: host_suffix?,
        other_version,
        always: always?,
    })
}

fn block(cursor: &Cursor<'_>) -> Checked<Block> {
    cursor.object(|fields| {
        let methods = fields.or("methods", Vec::new(), |list| list.some(text::token));
        let paths = fields.or("paths", Vec::new(), |list| list.some(text::path));
        let block = Block {
            methods: methods?,
            paths: paths?,
        };
        if block.methods.is_empty() && block.paths.is_empty() {
            return fields.fail_all("must have methods or paths");
        }
        Ok(block)
    })
}
