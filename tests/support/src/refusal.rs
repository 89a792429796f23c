//! Configurations that are refused, each with all of its messages: `tests/refusals.json`.

use serde::Deserialize;

/// A configuration that is refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Refusal {
    /// What is wrong with it.
    pub name: String,
    /// The configuration; a string is taken as it is.
    pub config: serde_json::Value,
    /// The node's id, where that matters.
    #[serde(default)]
    pub node: String,
    /// Whether no schema can see it: it is no JSON, or names that must be unique or known, sums, and fields that don't
    /// go together.
    #[serde(default)]
    pub beyond_schema: bool,
    /// All messages, in order.
    pub errors: Vec<String>,
}

impl Refusal {
    /// The configuration as it is written.
    pub fn text(&self) -> String {
        match &self.config {
            serde_json::Value::String(text) => text.clone(),
            config => config.to_string(),
        }
    }
}

/// All of them.
pub fn all() -> Vec<Refusal> {
    serde_json::from_str(include_str!("../../refusals.json")).expect("tests/refusals.json is read")
}

/// Compares the messages of every one; panics with all that differ.
pub fn check_all(errors: impl Fn(&Refusal) -> Vec<String>) {
    let all = all();
    assert!(all.len() > 50, "only {} refusals were found", all.len());
    let wrong: Vec<String> = all
        .iter()
        .filter_map(|refusal| {
            let seen = errors(refusal);
            let differ = seen != refusal.errors || seen.is_empty();
            differ.then(|| {
                format!(
                    "{}:\n  expected {:#?}\n  saw {seen:#?}",
                    refusal.name, refusal.errors
                )
            })
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
