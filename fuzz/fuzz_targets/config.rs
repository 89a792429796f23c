//! Any bytes as a configuration: taken, or refused with reasons.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion::config::{Config, Nowhere, Role};

fuzz_target!(|json: &[u8]| match Config::parse(json, &Nowhere) {
    Ok(config) => {
        if let Role::Edge(edge) = config.role {
            for app in edge.apps() {
                assert!(app.versions.iter().any(|version| version == app.layout.stable()));
                let (end, _) = app.layout.runs().last().expect("every slot is somebody's");
                assert_eq!(end, pinion::assign::SLOTS);
            }
        }
    }
    Err(errors) => assert!(errors.iter().count() > 0),
});
