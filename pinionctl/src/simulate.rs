//! `simulate`: the course of ramps, and the clients that a change of configuration moves. The filter's own core decides
//! what is counted.

mod chart;
mod moves;
mod ramps;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use pinion::app::{App, Mode};

use crate::load::{self, AnyProxy, Loaded};
use crate::{clock, print};
use moves::Change;
use ramps::Course;

/// What to simulate.
#[derive(Args)]
#[command(after_help = "\
Example:
  pinionctl simulate --config edge.yaml --svg ramps.svg
  pinionctl simulate --config edge.yaml --to next.yaml --at 2026-11-20T09:00:00Z --svg moves.svg

A change is simulated for one client at each of the 100,000 slots. The client returns with a pin that --config has just
issued, or with a key. A client whose pin is rejected draws a new slot; of these the expected number is shown. Rules and
overrides are ignored. With `pin.follow: version`, earlier changes may have left clients on other versions than their slots'.")]
pub(crate) struct Simulate {
    /// The plugin configuration in JSON or YAML, or manifests that contain one WasmPlugin; - is standard input.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The next configuration: show how many clients the change moves.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "until"])]
    to: Option<PathBuf>,
    /// Only this app.
    #[arg(long, value_name = "NAME")]
    app: Option<String>,
    /// The time of the change, which counts while a ramp runs. The default is now.
    #[arg(long, value_name = "TIME", value_parser = clock::time, requires = "to")]
    at: Option<u64>,
    /// Show ramps from this time. The default is the start of the first ramp.
    #[arg(long, value_name = "TIME", value_parser = clock::time)]
    from: Option<u64>,
    /// Show ramps until this time. The default is the end of the last ramp.
    #[arg(long, value_name = "TIME", value_parser = clock::time)]
    until: Option<u64>,
    /// Also draw the result as SVG.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Check as on a gateway, where `inbound: keep` is refused.
    #[arg(long)]
    gateway: bool,
}

impl Simulate {
    pub(crate) fn run(&self) -> Result<ExitCode, String> {
        let proxy = AnyProxy::new(self.gateway);
        let before = load::edge(&self.config, &proxy)?;
        let (text, picture) = match &self.to {
            Some(to) => self.change(&before, &load::edge(to, &proxy)?, to)?,
            None => self.course(&before)?,
        };
        print(&(text + &proxy.warnings()));
        if let Some(path) = &self.svg {
            let picture = picture.ok_or("there is nothing to draw")?;
            std::fs::write(path, picture).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn chosen<'a>(&self, loaded: &'a Loaded) -> Vec<&'a Arc<App>> {
        let is_chosen = |app: &&Arc<App>| self.app.as_ref().is_none_or(|name| app.name == *name);
        loaded.edge.apps().filter(is_chosen).collect()
    }

    fn course(&self, loaded: &Loaded) -> Result<(String, Option<String>), String> {
        let apps = self.chosen(loaded);
        if apps.is_empty() {
            return Err(self.no_app());
        }
        let (mut text, mut courses) = (String::new(), Vec::new());
        for app in apps {
            match Course::new(app, self.from, self.until)? {
                Some(course) => {
                    text += &course.table();
                    courses.push(course);
                }
                None => text += &format!("{}: no ramp\n", app.name),
            }
            text += &remarks(app);
        }
        let picture = (!courses.is_empty()).then(|| chart::courses(&courses));
        Ok((text, picture.transpose()?))
    }

    fn change(&self, before: &Loaded, after: &Loaded, to: &Path) -> Result<(String, Option<String>), String> {
        let at = self.at.unwrap_or_else(clock::now);
        let (old, new) = (self.chosen(before), self.chosen(after));
        if old.is_empty() && new.is_empty() {
            return Err(self.no_app());
        }
        let (mut text, mut changes) = (format!("at {}\n", clock::utc(at)), Vec::new());
        // Writing to a String cannot fail.
        for app in &old {
            match new.iter().find(|other| other.name == app.name) {
                Some(other) => {
                    let change = Change::new(app, other, at);
                    let _ = write!(text, "{}{}", change.report(), remarks(other));
                    changes.push(change);
                }
                None => {
                    let _ = writeln!(text, "{}: only in {}", app.name, self.config.display());
                }
            }
        }
        for app in new
            .iter()
            .filter(|app| old.iter().all(|other| other.name != app.name))
        {
            let _ = writeln!(text, "{}: only in {}", app.name, to.display());
        }
        let picture = (!changes.is_empty()).then(|| chart::changes(&changes));
        Ok((text, picture.transpose()?))
    }

    fn no_app(&self) -> String {
        match &self.app {
            Some(name) => format!("there is no app {name:?}"),
            None => "there is no app in the configuration".to_owned(),
        }
    }
}

/// The settings that keep an app from doing what is shown.
fn remarks(app: &App) -> String {
    let off = (!app.enabled).then_some("  the app is not enabled: it decides no request\n");
    let observed =
        (app.mode == Mode::Observe).then_some("  the app is in observe mode: it changes no header\n");
    [off, observed].into_iter().flatten().collect()
}

/// `1,234`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let comma = |(i, digit): (usize, char)| {
        let left = digits.len() - i;
        let comma = (i > 0 && left.is_multiple_of(3)).then_some(',');
        comma.into_iter().chain([digit])
    };
    digits.chars().enumerate().flat_map(comma).collect()
}
