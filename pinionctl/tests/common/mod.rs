//! Runs the command with the environment of the named cases.

use std::path::Path;
use std::process::Command;

use pinion_testing::case::ENVIRONMENT;

/// The command's exit code and output.
pub(crate) fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pinionctl"));
    let output = command.args(arguments).envs(ENVIRONMENT).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// The path of a new file that belongs to this test process.
pub(crate) fn file(name: &str, bytes: impl AsRef<[u8]>) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}
