//! Runs the simulation at full size, prints tables, and draws pictures: `make fleet`.

mod charts;
mod pictures;
mod tables;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use pinion_fleet::client::Kind;
use pinion_fleet::ejection;
use pinion_fleet::fleet::Clocks;
use pinion_fleet::ramp::{Plan, Seen};

const PROXIES: usize = 1000;
const KEYS: usize = 1_000_000;
const PINNED: usize = 250_000;
const STEPS: u32 = 12;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let out = match arguments.as_slice() {
        [] => None,
        [flag, folder] if flag == "--out" => Some(PathBuf::from(folder)),
        _ => {
            eprintln!("usage: pinion-fleet [--out DIR]");
            return ExitCode::from(2);
        }
    };
    let begun = Instant::now();
    let drawings = match run() {
        Ok(drawings) => drawings,
        Err(error) => {
            eprintln!("pinion-fleet: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("\n{:.0} seconds", begun.elapsed().as_secs_f64());
    for (name, drawing) in drawings {
        if let Some(folder) = &out
            && let Err(error) = std::fs::write(folder.join(name), drawing)
        {
            eprintln!("pinion-fleet: {}: {error}", folder.join(name).display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Prints all tables. Returns the pictures with their file names.
fn run() -> Result<[(&'static str, String); 2], Box<dyn Error>> {
    let offsets = Clocks::Skewed.offsets(PROXIES);
    tables::clocks(&offsets);

    let plan = |steps, kind, clocks| Plan {
        proxies: PROXIES,
        clocks,
        duration: 6 * 3600,
        steps,
        kind,
        clients: if kind == Kind::Keyed { KEYS } else { PINNED },
        visits: 4,
        requests: 4,
    };
    let mut runs: Vec<(Plan, Seen)> = Vec::new();
    for kind in [Kind::Keyed, Kind::Pinned] {
        for steps in [None, Some(STEPS)] {
            for clocks in [Clocks::Agree, Clocks::Skewed] {
                let plan = plan(steps, kind, clocks);
                runs.push((plan, plan.run()));
            }
        }
    }
    tables::ramps(&runs);

    // Each of the twelve steps takes half an hour.
    let even = plan(None, Kind::Keyed, Clocks::Skewed);
    let stepped = plan(Some(STEPS), Kind::Keyed, Clocks::Skewed);
    tables::agreement(
        "evenly",
        &even,
        &offsets,
        KEYS,
        &[900.0, 3600.0, 10_800.0, 18_000.0],
    );
    let around = [-40.0, -5.0, 0.0, 1.0, 5.0, 40.0].map(|seconds| 10_800.0 + seconds);
    tables::agreement("12 steps", &stepped, &offsets, KEYS, &around);

    let plan = ejection::Plan {
        proxies: PROXIES,
        keyed: KEYS,
        pinned: PINNED,
        outage: 60.0..180.0,
        minutes: 6,
    };
    let seen = plan.run();
    tables::ejection(&plan, &seen);

    let found = |plan: &Plan| {
        let same = |(other, _): &&(Plan, Seen)| other == plan;
        runs.iter().find(same).expect("a run of this plan")
    };
    let (even, stepped) = (found(&even), found(&stepped));
    Ok([
        (
            "fleet-ramp.svg",
            pictures::ramp((&even.0, &even.1), (&stepped.0, &stepped.1))?,
        ),
        ("fleet-ejection.svg", pictures::ejection(&plan, &seen)?),
    ])
}
