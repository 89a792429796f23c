//! `outlierDetection`: when a failing version is ejected.

use super::decode::{Checked, Cursor};
use super::proxy_info::ProxyInfo;
use super::text;
use super::versions::Versions;
use crate::rollout::outlier::{OutlierDetection, WatchedVersion};

/// Istio's defaults, except that errors such as 500 do not count.
const DEFAULT_ERRORS: u32 = 5;
const DEFAULT_BASE: u32 = 30;
const DEFAULT_MAX: u32 = 300;

/// A day, in seconds.
const LONGEST: u32 = 24 * 3600;

/// Reads `outlierDetection`. If the versions are wrong, the other fields are still checked.
pub(super) fn detection(
    cursor: &Cursor<'_>,
    around: &impl ProxyInfo,
    app: &str,
    versions: Option<&Versions>,
) -> Checked<OutlierDetection> {
    cursor.object(|fields| {
        let gateway = fields.or("consecutiveGatewayErrors", DEFAULT_ERRORS, |count| {
            count.integer(u32::MAX)
        });
        let server = fields.or("consecutive5xxErrors", 0, |count| count.integer(u32::MAX));
        let base = fields.or("baseEjectionTime", DEFAULT_BASE, |time| {
            text::seconds(time, LONGEST)
        });
        let max = fields.optional("maxEjectionTime", |time| text::seconds(time, LONGEST));
        let (gateway, server, base, max) = (gateway?, server?, base?, max?);
        if gateway == 0 && server == 0 {
            return fields.fail_all("must have consecutiveGatewayErrors or consecutive5xxErrors above 0");
        }
        if max.is_some_and(|max| max < base) {
            return fields.fail(
                "maxEjectionTime",
                format!("must not be shorter than baseEjectionTime, {base}s"),
            );
        }
        // All plugins of a proxy share one key space, so the key has the plugin's name.
        let plugin = around.plugin();
        let fallbacks = versions.map_or(&[][..], |versions| &versions.fallbacks);
        let names = versions.map_or(&[][..], |versions| &versions.all);
        let watched_version = |(fallback, version): (&Option<_>, &crate::rollout::version::VersionRef)| {
            fallback.clone().map(|fallback| WatchedVersion {
                key: format!("pinion|{plugin}|{app}|{version}"),
                fallback,
            })
        };
        Ok(OutlierDetection {
            consecutive_gateway_errors: gateway,
            consecutive_5xx_errors: server,
            base_ejection_time: base,
            max_ejection_time: max.unwrap_or(base.max(DEFAULT_MAX)),
            watched: fallbacks.iter().zip(names).map(watched_version).collect(),
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::config::{Config, ProxyInfo};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    struct Plugin(&'static str);

    impl ProxyInfo for Plugin {
        fn node_id(&self) -> Option<String> {
            None
        }
        fn node_label(&self, _: &str) -> Option<String> {
            None
        }
        fn env(&self, _: &str) -> Option<Vec<u8>> {
            None
        }
        fn plugin(&self) -> String {
            self.0.to_owned()
        }
    }

    #[test]
    fn plugins_apps_and_versions_have_keys_of_their_own() {
        let app = |name: &str| {
            format!(
                r#"{{"name": "{name}", "hosts": ["{name}"], "stable": "v1", "outlierDetection": {{}},
                "versions": [{{"name": "v1"}}, {{"name": "v2", "weight": 1}}, {{"name": "v3", "weight": 1}}]}}"#
            )
        };
        let config = format!(r#"{{"apps": [{}, {}]}}"#, app("a"), app("b"));
        let mut keys = BTreeSet::new();
        for plugin in ["one", "two"] {
            let config = Config::parse(config.as_bytes(), &Plugin(plugin)).unwrap();
            let apps = config.edge().unwrap().apps();
            for watched in apps.flat_map(|app| &app.outlier_detection.as_ref().unwrap().watched) {
                keys.extend(watched.as_ref().map(|watched| watched.key.clone()));
            }
        }
        assert_eq!(keys.len(), 2 * 2 * 2);
        assert!(keys.contains("pinion|one|a|v2"), "{keys:?}");
    }
}
