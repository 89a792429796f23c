//! Configurations in files of JSON, YAML or Kubernetes manifests, and the lines of their fields.

use pinion::config::ConfigError;
use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use serde_json::Value;

/// A configuration and its position in a document.
pub(crate) struct Found<'a> {
    /// The configuration itself.
    pub(crate) config: &'a MarkedYaml<'a>,
    /// The prefix of the configuration's paths: `spec.pluginConfig.` in a WasmPlugin.
    pub(crate) prefix: &'static str,
}

impl Found<'_> {
    /// An error with its line: `11: spec.pluginConfig.apps[0].name: must be …`
    pub(crate) fn message(&self, kind: &str, error: &ConfigError) -> String {
        let line = line(self.config, &error.path);
        format!("{line}: {kind}{}{error}", self.prefix)
    }
}

/// All documents of a text. JSON is also YAML.
pub(crate) fn parse(text: &str) -> Result<Vec<MarkedYaml<'_>>, String> {
    MarkedYaml::load_from_str(text).map_err(|error| error.to_string())
}

/// The configuration of a document. None if the document is another manifest.
pub(crate) fn config<'a>(document: &'a MarkedYaml<'a>) -> Option<Found<'a>> {
    match field(document, "kind") {
        None => Some(Found {
            config: document,
            prefix: "",
        }),
        Some(kind) if text(kind) == Some("WasmPlugin") => Some(Found {
            config: field(field(document, "spec")?, "pluginConfig")?,
            prefix: "spec.pluginConfig.",
        }),
        Some(_) => None,
    }
}

fn field<'a>(node: &'a MarkedYaml<'a>, name: &str) -> Option<&'a MarkedYaml<'a>> {
    entry(node, name).map(|(_, value)| value)
}

fn entry<'a>(node: &'a MarkedYaml<'a>, name: &str) -> Option<(&'a MarkedYaml<'a>, &'a MarkedYaml<'a>)> {
    match &node.data {
        YamlData::Mapping(fields) => fields.iter().find(|(key, _)| text(key) == Some(name)),
        _ => None,
    }
}

fn text<'a>(node: &'a MarkedYaml<'a>) -> Option<&'a str> {
    match &node.data {
        YamlData::Value(Scalar::String(text)) => Some(text),
        _ => None,
    }
}

/// The configuration as the filter gets it.
pub(crate) fn json(node: &MarkedYaml<'_>) -> Result<Value, String> {
    let line = node.span.start.line();
    Ok(match &node.data {
        YamlData::Value(Scalar::Null) => Value::Null,
        YamlData::Value(Scalar::Boolean(flag)) => Value::Bool(*flag),
        YamlData::Value(Scalar::Integer(number)) => Value::from(*number),
        YamlData::Value(Scalar::FloatingPoint(number)) => Value::from(number.0),
        YamlData::Value(Scalar::String(text)) => Value::from(text.as_ref()),
        YamlData::Sequence(items) => Value::Array(items.iter().map(json).collect::<Result<_, _>>()?),
        YamlData::Mapping(fields) => {
            let field = |(key, value): (&MarkedYaml<'_>, &MarkedYaml<'_>)| match json(key)? {
                Value::String(name) => Ok((name, json(value)?)),
                other => Ok((other.to_string(), json(value)?)),
            };
            Value::Object(fields.iter().map(field).collect::<Result<_, String>>()?)
        }
        _ => return Err(format!("line {line}: tags and aliases are not understood")),
    })
}

/// The line of a path such as `apps[0].versions[1].weight`, or of its nearest parent that exists.
fn line(node: &MarkedYaml<'_>, path: &str) -> usize {
    line_below(node, path, node.span.start.line())
}

fn line_below(node: &MarkedYaml<'_>, path: &str, otherwise: usize) -> usize {
    let path = path.strip_prefix('.').unwrap_or(path);
    match &node.data {
        YamlData::Sequence(items) => {
            let step = path.strip_prefix('[').and_then(|rest| rest.split_once(']'));
            let item = step.and_then(|(i, rest)| Some((items.get(i.parse::<usize>().ok()?)?, rest)));
            item.map_or(otherwise, |(item, rest)| {
                line_below(item, rest, item.span.start.line())
            })
        }
        YamlData::Mapping(fields) => {
            // A name that the user chose may contain dots, so the longest key that fits is the right one.
            let fits = fields.iter().filter_map(|(key, value)| {
                let rest = path.strip_prefix(text(key)?)?;
                let ends = rest.is_empty() || rest.starts_with(['.', '[']);
                ends.then_some((key, value, rest))
            });
            let longest = fits.min_by_key(|(_, _, rest)| rest.len());
            longest.map_or(otherwise, |(key, value, rest)| {
                line_below(value, rest, key.span.start.line())
            })
        }
        _ => otherwise,
    }
}
