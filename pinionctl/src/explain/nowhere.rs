//! Why a request belongs to no app: a line for each.

use std::fmt::Write;

use pinion::http::authority::normalized_host;
use pinion::http::header::Headers;
use pinion::route::scope::{HostPattern, PathPrefix};
use serde_json::Value;

use crate::load::Loaded;

/// Says of each app why a request is not its own.
pub(super) fn told<H: Headers + ?Sized>(loaded: &Loaded, request: &H) -> String {
    let host = normalized_host(request.first(":authority").unwrap_or_default());
    let target = request.first(":path").unwrap_or_default();
    let path = target.split(|b| *b == b'?').next().unwrap_or_default();
    if let Some(app) = loaded.edge.app(&host, || path) {
        return format!(
            "{} is not enabled: its route header is stripped, and nothing else is done\n",
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
        let _ = writeln!(out, "  {name}: {}", why(app, &host, path));
    }
    if !loaded.edge.enforces() {
        out += "  observe  every app only observes: nothing is changed, and the filter answers nobody who asks why\n";
    }
    out
}

fn why(app: &Value, host: &[u8], path: &[u8]) -> String {
    let (hosts, paths) = (texts(app, "hosts", "*"), texts(app, "paths", "/"));
    let is_host = |text: &String| HostPattern::parse(text).is_ok_and(|pattern| pattern.matches(host));
    let is_path = |text: &String| PathPrefix::parse(text).is_ok_and(|prefix| prefix.covers(path));
    if !hosts.iter().any(is_host) {
        format!("is for other hosts: {}", hosts.join(", "))
    } else if !paths.iter().any(is_path) {
        format!("is for this host, and for other paths: {}", paths.join(", "))
    } else {
        "would fit, but a more specific host has apps, and none for this path".to_owned()
    }
}

fn texts(app: &Value, field: &str, otherwise: &str) -> Vec<String> {
    let list = app.get(field).and_then(Value::as_array);
    list.map_or_else(
        || vec![otherwise.to_owned()],
        |list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
    )
}
