//! `keys`: the keys that sign pins and tokens, from the VM's environment. No message contains a
//! key's bytes.

use super::decode::{Checked, Cursor};
use super::proxy_info::ProxyInfo;
use crate::identity::seal::{KEY_MIN_LENGTH, Key, Keys};
use crate::rollout::version::is_version_name;

/// The largest number of signing keys.
const MAX_KEYS: usize = 8;

/// Reads the list. The first key signs.
pub(super) fn keys(list: &Cursor<'_>, around: &impl ProxyInfo) -> Checked<Keys> {
    list.at_most(MAX_KEYS)?;
    let mut ids: Vec<String> = Vec::new();
    let keys = list.some(|cursor| {
        cursor.object(|fields| {
            let id = fields.required("id", |id| {
                let text = id.string()?;
                if !is_version_name(text) {
                    return id.fail(format!(
                        "must be 1 to 63 letters, digits, dots, underscores or hyphens, is {text:?}"
                    ));
                }
                if ids.iter().any(|other| other == text) {
                    return id.fail(format!("{text:?} is given twice"));
                }
                ids.push(text.to_owned());
                Ok(text)
            });
            let bytes = fields.required("env", |env| {
                let name = env.string()?;
                let Some(value) = around.env(name) else {
                    return env.fail(format!("there is no environment variable {name:?}"));
                };
                let length = without_newline(&value).len();
                if length < KEY_MIN_LENGTH {
                    return env.fail(format!(
                        "{name:?} must hold at least {KEY_MIN_LENGTH} bytes, holds {length}"
                    ));
                }
                Ok(value)
            });
            let (id, bytes) = (id?, bytes?);
            match Key::new(id, without_newline(&bytes)) {
                Some(key) => Ok(key),
                None => fields.fail("env", "can't be used as a key"),
            }
        })
    })?;
    match Keys::new(keys) {
        Some(keys) => Ok(keys),
        None => list.fail("must have at least one item"),
    }
}

/// A key's bytes without the newline at their end, which comes from a file.
#[must_use]
pub fn without_newline(value: &[u8]) -> &[u8] {
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    value.strip_suffix(b"\r").unwrap_or(value)
}
