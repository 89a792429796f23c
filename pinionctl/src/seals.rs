//! `token` and `inspect`: mint and read pins and tokens in the filter's format.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use pinion::identity::pin::Pin;
use pinion::identity::seal::{Keys, Seal, SealError, Sealed};
use pinion::identity::token::Token;
use pinion::rollout::slots::Slot;
use pinion::rollout::version::is_version_name;

use crate::clock::now;
use crate::keys::Source;

/// What to mint.
#[derive(Subcommand)]
pub(crate) enum Mint {
    /// A token that gives its bearer a version of an app, also a dark one.
    Override(MintOverride),
    /// A pin as the filter would issue it.
    Pin(MintPin),
}

#[derive(Args)]
pub(crate) struct MintOverride {
    #[command(flatten)]
    what: What,
    /// How long the token is valid, such as 90s, 30m or 8h.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = seconds)]
    lasts: u64,
}

#[derive(Args)]
pub(crate) struct MintPin {
    #[command(flatten)]
    what: What,
    /// The client's slot, 0 to 99999.
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..100_000))]
    slot: u32,
    /// The app's `pin.epoch`.
    #[arg(long, default_value_t = 0)]
    epoch: u32,
}

/// The app, the version and the signing key.
#[derive(Args)]
struct What {
    /// The app's name.
    #[arg(long)]
    app: String,
    /// The version's name.
    #[arg(long, value_parser = version)]
    version: String,
    /// The key's id in the configuration.
    #[arg(long, value_name = "ID", value_parser = version)]
    key_id: String,
    #[command(flatten)]
    key: Source,
}

/// What to read.
#[derive(Args)]
pub(crate) struct Inspect {
    /// A pin or token, as the value of a cookie.
    value: String,
    /// The app that it was issued for.
    #[arg(long)]
    app: Option<String>,
    #[command(flatten)]
    key: Source,
}

fn version(text: &str) -> Result<String, String> {
    if is_version_name(text) {
        Ok(text.to_owned())
    } else {
        Err("must be 1 to 63 letters, digits, dots, underscores or hyphens".to_owned())
    }
}

fn seconds(text: &str) -> Result<u64, String> {
    let seconds = pinion::config::parse_seconds(text).filter(|seconds| *seconds > 0);
    seconds.ok_or_else(|| "must be a duration in whole seconds such as 90s, 30m or 1h30m".to_owned())
}

impl Mint {
    pub(crate) fn run(&self) -> Result<ExitCode, String> {
        let value = match self {
            Mint::Override(mint) => {
                let keys = mint.what.keys()?;
                let token = Token {
                    version: &mint.what.version,
                    expires: now().saturating_add(mint.lasts),
                };
                token.encode(&keys.seal(&mint.what.app, &token))
            }
            Mint::Pin(mint) => {
                let keys = mint.what.keys()?;
                let pin = Pin {
                    version: &mint.what.version,
                    issued: now(),
                    epoch: mint.epoch,
                    slot: Slot::new(mint.slot).ok_or("there is no such slot")?,
                };
                pin.encode(&mint.what.app, Some(&keys))
            }
        };
        println!("{value}");
        Ok(ExitCode::SUCCESS)
    }
}

impl What {
    fn keys(&self) -> Result<Keys, String> {
        self.key.required(&self.key_id)
    }
}

impl Inspect {
    pub(crate) fn run(&self) -> Result<ExitCode, String> {
        if let Some((token, seal)) = Token::parse(&self.value) {
            println!("an override token\n  version  {}", token.version);
            println!("  expires  {} ({})", token.expires, relative(token.expires));
            return self.verdict(&token, Some(seal));
        }
        if let Some((pin, seal)) = Pin::parse(self.value.as_bytes()) {
            println!("a pin\n  version  {}", pin.version);
            println!("  issued   {} ({})", pin.issued, relative(pin.issued));
            println!("  epoch    {}\n  slot     {}", pin.epoch, pin.slot.number());
            return self.verdict(&pin, seal);
        }
        println!("neither a pin nor an override token");
        Ok(ExitCode::FAILURE)
    }

    fn verdict(&self, what: &impl Sealed, seal: Option<Seal<'_>>) -> Result<ExitCode, String> {
        let Some(seal) = seal else {
            println!("  seal     none");
            return Ok(ExitCode::SUCCESS);
        };
        let (keys, app) = match (self.key.read(seal.key_id())?, &self.app) {
            (Some(keys), Some(app)) => (keys, app),
            _ => {
                println!(
                    "  seal     of key {}; give --app and its key to verify it",
                    seal.key_id()
                );
                return Ok(ExitCode::SUCCESS);
            }
        };
        match keys.verify(app, what, &seal) {
            Ok(()) => {
                println!("  seal     of key {}, good for {app}", seal.key_id());
                Ok(ExitCode::SUCCESS)
            }
            Err(SealError::Forged | SealError::UnknownKey) => {
                println!(
                    "  seal     of key {}, NOT VALID for {app} with this key",
                    seal.key_id()
                );
                Ok(ExitCode::FAILURE)
            }
        }
    }
}

/// `12 minutes ago`, `in 3 hours`
fn relative(time: u64) -> String {
    let (now, distance) = (now(), now().abs_diff(time));
    let (count, unit) = match distance {
        0..=119 => (distance, "seconds"),
        120..=7199 => (distance / 60, "minutes"),
        7200..=172_799 => (distance / 3600, "hours"),
        _ => (distance / 86_400, "days"),
    };
    if time > now {
        format!("in {count} {unit}")
    } else {
        format!("{count} {unit} ago")
    }
}
