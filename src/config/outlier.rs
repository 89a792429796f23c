//! `outlierDetection`: when a version that fails is left alone.

use super::Surroundings;
use super::decode::{Checked, Cursor};
use super::text;
use super::versions::Versions;
use crate::rollout::outlier::{OutlierDetection, Ward};

/// Istio's own defaults, but that 500 is not counted unless told so.
const DEFAULT_ERRORS: u32 = 5;
const DEFAULT_BASE: u32 = 30;
const DEFAULT_MAX: u32 = 300;

/// A day, in seconds.
const LONGEST: u32 = 24 * 3600;

/// Reads when versions of an app are ejected. Where the versions are not known, all else is checked.
pub(super) fn detection(
    cursor: &Cursor<'_>,
    around: &impl Surroundings,
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
        // What workers share is one space for all plugins of a proxy.
        let plugin = around.plugin();
        let fallbacks = versions.map_or(&[][..], |versions| &versions.fallbacks);
        let names = versions.map_or(&[][..], |versions| &versions.all);
        let ward = |(fallback, version): (&Option<_>, &crate::rollout::version::VersionRef)| {
            fallback.clone().map(|fallback| Ward {
                key: format!("pinion|{plugin}|{app}|{version}"),
                fallback,
            })
        };
        Ok(OutlierDetection {
            consecutive_gateway_errors: gateway,
            consecutive_5xx_errors: server,
            base_ejection_time: base,
            max_ejection_time: max.unwrap_or(base.max(DEFAULT_MAX)),
            wards: fallbacks.iter().zip(names).map(ward).collect(),
        })
    })
}
