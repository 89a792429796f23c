//! The layers of `src` import in one direction, and no files import each other in a cycle.
#![cfg(not(target_arch = "wasm32"))]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The layers. Each may import those before it.
const ROOMS: [&str; 10] = [
    "environment",
    "http",
    "route",
    "rollout",
    "identity",
    "app",
    "decision",
    "workload",
    "config",
    "proxy",
];

/// By each file's module path, such as `http::request`, the modules that it imports.
type Imports = BTreeMap<String, BTreeSet<String>>;

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn imports() -> Imports {
    let src = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    let sources: BTreeMap<String, String> = files(src)
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| name != "lib.rs"))
        .map(|path| {
            let inner = path.strip_prefix(src).unwrap().with_extension("");
            let parts: Vec<_> = inner.iter().map(|part| part.to_str().unwrap()).collect();
            let module = parts.join("::");
            let module = module.strip_suffix("::mod").unwrap_or(&module).to_owned();
            (module, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    let modules: BTreeSet<String> = sources.keys().cloned().collect();
    let of = |(module, source): (&String, &String)| (module.clone(), imported(module, source, &modules));
    sources.iter().map(of).collect()
}

/// The modules that a source imports, by `crate::`, `super::` or the name of a child module. Its tests may import anything.
fn imported(module: &str, source: &str, modules: &BTreeSet<String>) -> BTreeSet<String> {
    let code: String = source
        .lines()
        .take_while(|line| *line != "#[cfg(test)]" || module.is_empty())
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
    let mut found = BTreeSet::new();
    let mut add = |base: &str, path: &str| {
        let full = if base.is_empty() {
            path.to_owned()
        } else {
            format!("{base}::{path}")
        };
        let parts: Vec<_> = full.split("::").collect();
        let resolved = (1..=parts.len())
            .rev()
            .map(|count| parts[..count].join("::"))
            .find(|path| modules.contains(path));
        if let Some(resolved) = resolved.filter(|resolved| resolved != module) {
            found.insert(resolved);
        }
    };
    for (prefix, base) in [("crate::", ""), ("super::", parent)] {
        for (at, _) in code.match_indices(prefix) {
            each_path(&code[at + prefix.len()..], &mut |path| add(base, path));
        }
    }
    for child in modules
        .iter()
        .filter_map(|other| other.strip_prefix(&format!("{module}::")))
    {
        if code.contains(&format!("use {child}::")) {
            add(module, child);
        }
    }
    found
}

/// Each path that begins here: one, or several in braces.
fn each_path(text: &str, each: &mut impl FnMut(&str)) {
    let path_end = |text: &str| {
        text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
            .unwrap_or(text.len())
    };
    match text.strip_prefix('{') {
        Some(inner) => {
            let inner = &inner[..inner.find('}').unwrap()];
            inner
                .split(',')
                .map(str::trim)
                .for_each(|item| each(&item[..path_end(item)]));
        }
        None => each(text[..path_end(text)].trim_end_matches(':')),
    }
}

fn room(module: &str) -> usize {
    let name = module.split("::").next().unwrap();
    let place = ROOMS.iter().position(|room| *room == name);
    place.unwrap_or_else(|| panic!("{name} is not in the list of rooms"))
}

#[test]
fn rooms_import_in_one_direction() {
    let mut wrong = Vec::new();
    for (module, imports) in &imports() {
        let later = imports.iter().filter(|other| room(other) > room(module));
        wrong.extend(later.map(|other| format!("{module} imports {other}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let mut left = imports();
    assert!(
        left.len() > 40 && left.values().map(BTreeSet::len).sum::<usize>() > 100,
        "{left:#?}"
    );
    // Files whose imports are all gone can be in no cycle.
    loop {
        let done: BTreeSet<_> = left
            .iter()
            .filter(|(_, imports)| imports.iter().all(|other| !left.contains_key(other)))
            .map(|(module, _)| module.clone())
            .collect();
        if done.is_empty() {
            break;
        }
        left.retain(|module, _| !done.contains(module));
    }
    assert!(
        left.is_empty(),
        "these files are in a circle, or import one: {left:#?}"
    );
}
