//! Looks up arbitrary bytes as host and path. The map's result agrees with its patterns.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion::route::cidr::Cidr;
use pinion::http::authority::{normalized_host, split_port};
use pinion::route::scope::{HostPattern, PathPrefix, ScopeMap};

fuzz_target!(|input: (Vec<(String, String)>, Vec<u8>, Vec<u8>)| {
    let (patterns, authority, path) = input;
    let (host, port) = split_port(&authority);
    assert_eq!([host, port].concat(), authority);
    let host = normalized_host(&authority);
    assert!(!host.iter().any(u8::is_ascii_uppercase));
    let mut map = ScopeMap::default();
    let mut all = Vec::new();
    for (host, path) in &patterns {
        let _ = host.parse::<Cidr>();
        if let (Ok(host), Ok(path)) = (HostPattern::parse(host), PathPrefix::parse(path))
            && map.insert(&host, &path, all.len()).is_ok()
        {
            all.push((host, path));
        }
    }
    match map.find(&host, || &path).map(|found| &all[*found]) {
        Some((pattern, prefix)) => {
            assert!(pattern.matches(&host) && prefix.covers(&path));
            let longer = |(_, other): &&(HostPattern, PathPrefix)| other.covers(&path) && other.as_str().len() > prefix.as_str().len();
            assert!(all.iter().filter(|(other, _)| other == pattern).all(|each| !longer(&each)));
        }
        None => {
            let exact = |(pattern, prefix): &(HostPattern, PathPrefix)| {
                matches!(pattern, HostPattern::Exact(_)) && pattern.matches(&host) && prefix.covers(&path)
            };
            assert!(!all.iter().any(exact));
        }
    }
});
