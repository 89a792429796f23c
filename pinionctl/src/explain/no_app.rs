//! Why a request belongs to no app: one line for each app.

use std::fmt::Write;

use pinion::http::authority::normalized_host;
use pinion::http::header::Headers;
use pinion::route::scope::{HostPattern, PathPrefix};
use serde_json::Value;

use crate::load::Loaded;

/// The reason why the request belongs to none of the apps, for each of them.
pub(super) fn report<H: Headers + ?Sized>(loaded: &Loaded, request: &H) -> String {
    let host = normalized_host(request.first(":authority").unwrap_or_default());
    let target = request.first(":path").unwrap_or_default();
    let path = target.split(|b| *b == b'?').next().unwrap_or_default();
    if let Some(app) = loaded.edge.app(&host, || path) {
        return format!(
            "{} is not enabled: the filter removes its route header and does nothing else\n",
            app.name
        );
    }
    let mut out = format!(
        "no app has host {} and path {}\n",
        host.escape_ascii(),
        path.escape_ascii()
    );
    let apps = loaded.json.get("apps").and_then(Value::as_array);
    for app in apps.into_iter().flatten() {
        let name = app.get("name").and_then(Value::as_str).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  {name}: {}", reason(app, &host, path));
    }
    if !loaded.edge.enforces() {
        out += "  observe  every app is in observe mode: no header changes, and the filter sends no explanation\n";
    }
    out
}

fn reason(app: &Value, host: &[u8], path: &[u8]) -> String {
    let (hosts, paths) = (texts(app, "hosts", "*"), texts(app, "paths", "/"));
    let is_host = |text: &String| HostPattern::parse(text).is_ok_and(|pattern| pattern.matches(host));
    let is_path = |text: &String| PathPrefix::parse(text).is_ok_and(|prefix| prefix.covers(path));
    if !hosts.iter().any(is_host) {
        format!("is for other hosts: {}", hosts.join(", "))
    } else if !paths.iter().any(is_path) {
        format!("is for this host, but for other paths: {}", paths.join(", "))
    } else {
        "matches, but a more specific host has apps, and none of them is for this path".to_owned()
    }
}

fn texts(app: &Value, field: &str, default: &str) -> Vec<String> {
    let list = app.get(field).and_then(Value::as_array);
    list.map_or_else(
        || vec![default.to_owned()],
        |list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
    )
}
