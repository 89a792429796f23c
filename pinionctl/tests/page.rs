//! Every command of `docs/pinionctl.md` prints what the page shows, and `docs/frontend.md` shows good configurations.

use std::path::{Path, PathBuf};
use std::process::Command;

const PAGE: &str = include_str!("../../docs/pinionctl.md");
const README: &str = include_str!("../../README.md");
const FRONTENDS: &str = include_str!("../../docs/frontend.md");

/// v2 on a ramp as the page describes it.
const RAMP: &str = r#"apps:
- name: shop
  versions:
  - {name: v1}
  - name: v2
    weight: 1
    ramp: {to: 100, start: "2026-11-20T09:00:00Z", duration: 6h, steps: 4, holdAt: 50}
  stable: v1
"#;

/// The commands of the page's console blocks, each with the lines that follow it.
fn commands() -> Vec<(&'static str, String)> {
    let blocks = PAGE.split("```console\n").skip(1);
    let blocks = blocks.map(|rest| rest.split("```").next().unwrap());
    blocks
        .flat_map(|block| block.split("$ ").skip(1))
        .map(|command| command.split_once('\n').unwrap())
        .map(|(command, output)| (command, output.to_owned()))
        .collect()
}

/// A folder with the files that the page names.
fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-page", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let edge = README
        .split("```yaml\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let next = edge.replace("weight: 10", "weight: 60");
    assert_ne!(edge, next);
    for (name, text) in [("edge.yaml", edge), ("next.yaml", &next), ("ramp.yaml", RAMP)] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    folder
}

/// What a command prints in a folder, with a key in its environment.
fn printed(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pinionctl"));
    command
        .current_dir(folder)
        .env("PINION_KEY", "a key of this test, which is long enough");
    let output = command.args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8(said).unwrap()
}

/// The text with each run of ten digits or more, and each MAC, replaced by a word.
fn without_times_and_macs(text: &str) -> String {
    let word = |word: &str| match word {
        _ if word.len() >= 10 && word.bytes().all(|byte| byte.is_ascii_digit()) => "TIME".to_owned(),
        _ if word.len() == 22 => "MAC".to_owned(),
        _ => word.to_owned(),
    };
    let line = |line: &str| {
        let parts = line
            .split(' ')
            .map(|part| part.split('~').map(word).collect::<Vec<_>>().join("~"));
        parts.collect::<Vec<_>>().join(" ")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_configuration_for_a_frontend_is_good() {
    let folder = folder();
    let blocks = FRONTENDS.split("```yaml\n").skip(1);
    let blocks: Vec<_> = blocks.map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 9);
    for (number, block) in blocks.into_iter().enumerate() {
        let name = format!("frontend-{number}.yaml");
        std::fs::write(folder.join(&name), block).unwrap();
        assert_eq!(
            printed(&folder, &["check", &name]),
            format!("{name}:1: good\n"),
            "{block}"
        );
    }
}

#[test]
fn every_command_prints_what_the_page_shows() {
    let folder = folder();
    let mut minted = String::new();
    let mut run = Vec::new();
    for (command, shown) in commands() {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[..] {
            ["export", ..] => {}
            ["cat", name] => std::fs::write(folder.join(name), shown).unwrap(),
            ["pinionctl", "check", path] => {
                let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
                assert_eq!(printed(root, &["check", path]), shown);
                run.push("check");
            }
            ["pinionctl", "token", ..] => {
                minted = printed(&folder, &words[1..]);
                assert_eq!(without_times_and_macs(&minted), without_times_and_macs(&shown));
                run.push("token");
            }
            ["pinionctl", "inspect", _, ref options @ ..] => {
                let arguments = [&["inspect", minted.trim()], options].concat();
                let said = printed(&folder, &arguments);
                assert_eq!(without_times_and_macs(&said), without_times_and_macs(&shown));
                run.push("inspect");
            }
            ["pinionctl", name, ..] => {
                assert_eq!(printed(&folder, &words[1..]), shown, "{command}");
                run.push(name);
            }
            _ => panic!("the test does not know this command: {command}"),
        }
    }
    assert_eq!(
        run,
        ["check", "token", "inspect", "explain", "simulate", "simulate"]
    );
    assert!(folder.join("moves.svg").exists() && folder.join("ramp.svg").exists());
}
