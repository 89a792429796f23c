//! `explain`: which version a request gets and why, as the filter's own explanation and in sentences.

mod head;
mod no_app;
mod steps;
mod world;

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use pinion::app::Edge;
use pinion::decision::{self, Decision};
use pinion::environment::Claim;
use pinion::http::edit::{Edit, Edits};
use pinion::rollout::slots::Slot;

use crate::load::{self, AnyProxy};
use crate::{clock, print};
use head::Lines;
use world::World;

/// The request and its circumstances.
#[derive(Args)]
#[command(after_help = "\
Example:
  printf 'GET / HTTP/1.1\\nHost: shop.example.com\\n' | pinionctl explain --config edge.yaml --request - --draw 5
  curl -sv https://shop.example.com/ 2>&1 | pinionctl explain --config edge.yaml --request - --scheme https

The first line is the filter's answer in x-pinion-decision. The signing keys come from the environment variables that the
configuration names. All versions count as healthy. Headers that Envoy adds, such as x-request-id, and claims of a token are
present only if they are given.")]
pub(crate) struct Explain {
    /// The plugin configuration in JSON or YAML, or manifests that contain one WasmPlugin; - is standard input.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The request's head: request line, Host and header lines, or the output of curl -v; - is standard input.
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// The time of the request. The default is now.
    #[arg(long, value_name = "TIME", value_parser = clock::time)]
    at: Option<u64>,
    /// A claim of the client's verified token, a string or a list: plan=gold, 'groups=["a", "b"]'. Leave out claims of
    /// other types: for the filter they are absent.
    #[arg(long, value_name = "NAME=VALUE", value_parser = world::claim)]
    claim: Vec<(String, Option<Claim>)>,
    /// The client's address, as Envoy determines it.
    #[arg(long, value_name = "ADDRESS")]
    source: Option<IpAddr>,
    /// The scheme of the client's request. The default is the request's x-forwarded-proto, or else http.
    #[arg(long)]
    scheme: Option<Scheme>,
    /// The slot that a new client draws, 0 to 99999. The default is a random slot.
    #[arg(long, value_name = "SLOT", value_parser = clap::value_parser!(u32).range(0..100_000))]
    draw: Option<u32>,
    /// Check as on a gateway, where `inbound: keep` is refused.
    #[arg(long)]
    gateway: bool,
}

/// The scheme of a client's request.
#[derive(Clone, Copy, ValueEnum)]
enum Scheme {
    Http,
    Https,
}

impl Explain {
    pub(crate) fn run(&self) -> Result<ExitCode, String> {
        let proxy = AnyProxy::new(self.gateway);
        let loaded = load::edge(&self.config, &proxy)?;
        let request = load::bytes(&self.request)?;
        let request =
            head::parse(&request).map_err(|error| format!("{}: {error}", self.request.display()))?;
        let request = self.with_scheme(request);
        let world = World {
            now: self.at.unwrap_or_else(clock::now),
            slot: self.draw.and_then(Slot::new),
            claims: self
                .claim
                .iter()
                .filter_map(|(name, claim)| Some((name.clone(), claim.clone()?)))
                .collect(),
            source: self.source,
            ..World::default()
        };
        let decision = decision::decide(&loaded.edge, request.as_slice(), &world);
        let mut out = format!("{}\n\n", decision::explain(decision.as_ref()));
        match &decision {
            Some(decision) => out += &steps::report(decision, &world),
            None => out += &no_app::report(&loaded, request.as_slice()),
        }
        // Writing to a String cannot fail.
        let _ = edits(&mut out, &loaded.edge, &request, decision.as_ref(), &world);
        out += &proxy.warnings();
        print(&out);
        Ok(ExitCode::SUCCESS)
    }

    /// The request with the header `x-forwarded-proto`, which Envoy always sets.
    fn with_scheme(&self, mut request: Lines) -> Lines {
        const NAME: &str = "x-forwarded-proto";
        let scheme = self.scheme.map(|scheme| match scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        });
        if scheme.is_some() {
            request.retain(|(name, _)| name != NAME);
        }
        if request.iter().all(|(name, _)| name != NAME) {
            request.push((NAME.to_owned(), scheme.unwrap_or("http").into()));
        }
        request
    }
}

fn edits(
    out: &mut String,
    edge: &Edge,
    request: &Lines,
    decision: Option<&Decision>,
    world: &World,
) -> fmt::Result {
    writeln!(out, "to the request")?;
    list(out, &decision::request_edits(edge, request.as_slice(), decision))?;
    let response = [(":status", "200")];
    let mut stamped = decision.map_or(Edits::default(), |decision| {
        decision::stamp(decision, response.as_slice(), || world.now).edits
    });
    if decision::is_explained(edge, request.as_slice(), decision, world) {
        let explained = decision::explanation(decision, response.as_slice(), || world.now);
        // Both may make the response private.
        let further: Vec<_> = explained
            .into_iter()
            .filter(|edit| !stamped.contains(edit))
            .collect();
        stamped.extend(further);
    }
    writeln!(out, "to the response, if the upstream's is an empty 200")?;
    list(out, &stamped)
}

fn list(out: &mut String, edits: &Edits<'_>) -> fmt::Result {
    if edits.iter().next().is_none() {
        writeln!(out, "  nothing is done")?;
    }
    for edit in edits.iter() {
        match edit {
            Edit::Append(name, value) => writeln!(out, "  append   {name}: {value}")?,
            Edit::Add(name, value) | Edit::Replace(name, value) => {
                writeln!(out, "  set      {name}: {value}")?;
            }
            Edit::Remove(name) => writeln!(out, "  remove   {name}")?,
        }
    }
    Ok(())
}
