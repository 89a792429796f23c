//! The node and environment of every case and refusal.

use pinion::config::ProxyInfo;
use pinion_testing::case;

/// Where every case runs, unless another node is named.
pub(crate) struct Around<'a>(pub(crate) &'a str);

impl ProxyInfo for Around<'_> {
    fn node_id(&self) -> Option<String> {
        Some(self.0.to_owned())
    }
    fn node_label(&self, name: &str) -> Option<String> {
        value_of(&case::NODE_LABELS, name)
    }
    fn env(&self, name: &str) -> Option<Vec<u8>> {
        value_of(&case::ENVIRONMENT, name).map(String::into_bytes)
    }
    fn plugin(&self) -> String {
        "test".to_owned()
    }
}

fn value_of(pairs: &[(&str, &str)], name: &str) -> Option<String> {
    let (_, value) = pairs.iter().find(|(key, _)| *key == name)?;
    Some((*value).to_owned())
}
