//! `pinionctl`: checks configurations, explains decisions, simulates changes, and mints and reads pins and tokens, all
//! without a proxy and with the filter's own core. The command never prints a key.

mod check;
mod clock;
mod document;
mod explain;
mod keys;
mod load;
mod seals;
mod simulate;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Checks and simulates pinion's configurations, explains decisions, mints and reads pins and tokens.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check plugin configurations (JSON or YAML) and WasmPlugins: report all errors with their lines.
    Check(check::Check),
    /// Explain which version a request gets and why.
    Explain(explain::Explain),
    /// Show the course of ramps, or how many clients a change of configuration moves.
    Simulate(simulate::Simulate),
    /// Mint a signed override token or pin, with a key from the environment or a file.
    #[command(subcommand)]
    Token(seals::Mint),
    /// Show the fields of a pin or token, and verify its signature.
    Inspect(seals::Inspect),
}

/// Writes to standard output. An error is ignored: the reader may have closed the pipe.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Check(check) => check.run(),
        Command::Explain(explain) => explain.run(),
        Command::Simulate(simulate) => simulate.run(),
        Command::Token(mint) => mint.run(),
        Command::Inspect(inspect) => inspect.run(),
    };
    result.unwrap_or_else(|error| {
        eprintln!("pinionctl: {error}");
        ExitCode::from(2)
    })
}
