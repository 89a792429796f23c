//! `pinionctl`: what an operator does with pinion's configurations, pins and tokens away from a proxy, with the
//! filter's own core. It never prints a key.

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

/// Checks and simulates pinion's configurations, says why a request goes where it goes, mints and reads pins and tokens.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check plugin configurations (JSON or YAML) and WasmPlugins: all that is wrong, each with its line.
    Check(check::Check),
    /// Say which version a request goes to and why, as the filter would answer it.
    Explain(explain::Explain),
    /// Show the course of ramps, or whom a change of configuration moves.
    Simulate(simulate::Simulate),
    /// Mint a signed override token or pin, with a key from the environment or a file.
    #[command(subcommand)]
    Token(seals::Mint),
    /// Show what a pin or token holds, and whether its seal proves anything.
    Inspect(seals::Inspect),
}

/// To standard output, whose reader may have had enough.
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
