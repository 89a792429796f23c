//! Prints the results as Markdown tables.

use pinion_fleet::agreement;
use pinion_fleet::client::Kind;
use pinion_fleet::ejection::{self, Record};
use pinion_fleet::fleet::{BADLY, Clocks, Proxy};
use pinion_fleet::ramp::{Plan, Seen};

/// Prints a line about the clocks.
pub(crate) fn clocks(offsets: &[f64]) {
    let well: Vec<f64> = offsets
        .iter()
        .copied()
        .filter(|offset| offset.abs() < BADLY)
        .collect();
    let deviation = (well.iter().map(|offset| offset * offset).sum::<f64>() / well.len() as f64).sqrt();
    let (low, high) = (
        least(&well),
        -least(&well.iter().map(|offset| -offset).collect::<Vec<_>>()),
    );
    println!(
        "{} clocks: {} wrong by {low:+.2} to {high:+.2} s, with a standard deviation of {deviation:.2} s; {} wrong by \
         {BADLY} s, half of them fast and half of them slow",
        offsets.len(),
        well.len(),
        offsets.len() - well.len()
    );
}

/// Prints the moves, flips and cookies of ramps.
pub(crate) fn ramps(runs: &[(Plan, Seen)]) {
    let head = "clients|ramp|clocks|requests|moved once|never|more often|flips|clients|\
                flips by plain weights|clients";
    let rows = runs.iter().map(|(plan, seen)| {
        let [never, once, more] = seen.moved;
        let flips = [seen.flips, seen.flipped, seen.coin_flips, seen.coin_flipped];
        let counts = [seen.requests, once, never, more].into_iter().chain(flips);
        named(plan).into_iter().chain(counts.map(number)).collect()
    });
    table("Moves and flips", head, 3, rows.collect());

    let head = "clients|ramp|clocks|flips of slots that did not move|longest after|\
                rejected pins|cookies set";
    let rows = runs.iter().map(|(plan, seen)| {
        let longest = format!("{:.1} s", seen.longest);
        let counts = [
            number(seen.stray),
            longest,
            number(seen.rejected),
            number(seen.cookies),
        ];
        named(plan).into_iter().chain(counts).collect()
    });
    table("Flips and cookies", head, 3, rows.collect());
}

/// The cells that name a plan.
fn named(plan: &Plan) -> [String; 3] {
    let by = match plan.kind {
        Kind::Keyed => "key",
        Kind::Pinned => "cookie",
    };
    let clocks = match plan.clocks {
        Clocks::Agree => "agree",
        Clocks::Skewed => "skewed",
    };
    let ramp = plan
        .steps
        .map_or("evenly".to_owned(), |steps| format!("{steps} steps"));
    [
        format!("{} by {by}", number(plan.clients as u64)),
        ramp,
        clocks.to_owned(),
    ]
}

/// Prints the agreement of proxies at some times.
pub(crate) fn agreement(name: &str, plan: &Plan, offsets: &[f64], keys: usize, times: &[f64]) {
    let right = Proxy::new(&plan.config(), 0.0);
    let head = "after|v2's share|two proxies|expected|any of those within 4 s|any of all|expected";
    let rows = times.iter().map(|time| {
        let agreement = agreement::agreement(&plan.config(), offsets, keys, *time);
        let second = *time as u64;
        let parts = [
            agreement.pair,
            agreement.pair_expected,
            agreement.most,
            agreement.all,
            agreement.all_expected,
        ];
        let mut row = vec![
            format!("{}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60),
            format!("{:.3} %", 100.0 * right.share(*time)),
        ];
        row.extend(parts.map(|part| format!("{:.4} %", 100.0 * part)));
        row
    });
    table(
        &format!("Keys on which proxies disagree, {name}"),
        head,
        1,
        rows.collect(),
    );
}

/// Prints the results of an ejection.
pub(crate) fn ejection(plan: &ejection::Plan, seen: &ejection::Seen) {
    let spread = |value: &dyn Fn(&Record) -> f64| {
        let mut values: Vec<f64> = seen.proxies.iter().map(value).collect();
        values.sort_unstable_by(f64::total_cmp);
        let middle = values.get(values.len() / 2).copied().unwrap_or_default();
        (least(&values), middle, values.last().copied().unwrap_or_default())
    };
    let counts = |value: &dyn Fn(&Record) -> usize| {
        let (least, middle, most) = spread(&|record| value(record) as f64);
        format!("{least} / {middle} / {most}")
    };
    let seconds = |value: &dyn Fn(&Record) -> f64| {
        let (least, middle, most) = spread(value);
        format!("{least:.1} / {middle:.1} / {most:.1} s")
    };
    let sum = |value: &dyn Fn(&ejection::Second) -> u32| {
        number(seen.seconds.iter().map(|second| u64::from(value(second))).sum())
    };
    let outage = &plan.outage;
    let never = f64::NAN;
    let rows = [
        ("requests", number(seen.requests)),
        ("errors", sum(&|second| second.errors)),
        ("errors without detection", sum(&|second| second.without)),
        (
            "a proxy's errors before it ejects v2",
            counts(&|record| record.errors as usize),
        ),
        (
            "from the start of the outage until a proxy ejects v2",
            seconds(&|record| record.ejected.unwrap_or(never) - outage.start),
        ),
        ("a proxy's trials", counts(&|record| record.trials.len())),
        ("early or surplus trials", counts(&|record| record.early())),
        (
            "other requests that reached the ejected v2",
            counts(&|record| record.leaks()),
        ),
        ("requests that fell back to v1", number(seen.fallbacks)),
        (
            "from the end of the outage until a proxy uses v2 again",
            seconds(&|record| record.back.unwrap_or(never) - outage.end),
        ),
        ("from the end of the outage to the last fallback", {
            format!("{:.1} s", seen.last_fallback - outage.end)
        }),
        ("cookies set in the first minute", number(seen.cookies)),
        ("cookies set later", number(seen.cookies_later)),
        ("clients whose cookie changed", number(seen.changed)),
        ("clients on another version at the end", number(seen.elsewhere)),
    ];
    let rows = rows.map(|(name, value)| vec![name.to_owned(), value]);
    table(
        "An ejection (minimum / median / maximum of the proxies)",
        "figure|value",
        1,
        rows.to_vec(),
    );
}

/// Prints a table. The columns from index `numbers` on are aligned right.
fn table(title: &str, head: &str, numbers: usize, rows: Vec<Vec<String>>) {
    let head: Vec<String> = head.split('|').map(str::to_owned).collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|i| {
            let cells = std::iter::once(&head).chain(&rows).filter_map(|row| row.get(i));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        })
        .collect();
    let line = |row: &[String]| {
        let cells = row.iter().zip(&widths).enumerate().map(|(i, (cell, width))| {
            if i < numbers {
                format!(" {cell:<width$} |")
            } else {
                format!(" {cell:>width$} |")
            }
        });
        format!("|{}", cells.collect::<String>())
    };
    println!("\n{title}\n\n{}", line(&head));
    let rule = widths.iter().enumerate().map(|(i, width)| {
        let end = if i < numbers { "-" } else { ":" };
        format!("{}{end}|", "-".repeat(width + 1))
    });
    println!("|{}", rule.collect::<String>());
    rows.iter().for_each(|row| println!("{}", line(row)));
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::MAX, f64::min)
}

/// A number with commas between its thousands.
fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut apart = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart
}
