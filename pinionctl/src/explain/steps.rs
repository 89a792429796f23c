//! A decision in sentences: one line for each step, in the order of the steps.

use std::fmt::{self, Write};

use pinion::app::{App, Inbound, Target};
use pinion::decision::{Decision, Reason, Step, StepResult, Why};
use pinion::http::request::Limit;
use pinion::identity::client_key::ClientKey;
use pinion::identity::pin::Rejection;
use pinion::identity::pinning::Follow;
use pinion::rollout::version::State;

use super::world::World;
use crate::clock::utc;

/// The line of a step after the deciding one.
const UNREACHED: &str = "not looked at";

/// The version that the request gets, and the result of each step.
pub(super) fn report(decision: &Decision, world: &World) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, decision, world);
    out
}

fn write(out: &mut String, decision: &Decision, world: &World) -> fmt::Result {
    let (app, version) = (&decision.app, &decision.version);
    let at = utc(world.now);
    writeln!(
        out,
        "{}: version {version}, shown as {:?}, at {at}",
        app.name, version.label
    )?;
    for (step, _) in decision.trace.results() {
        let line = match step {
            Step::Override => by_override(decision),
            Step::Inbound => by_inbound(decision),
            Step::Rule => by_rule(decision),
            Step::Build => match by_build(decision) {
                Some(line) => line,
                None => continue,
            },
            Step::Key => by_key(decision, world),
            Step::Pin => by_pin(decision, world),
        };
        writeln!(out, "  {:<9}{line}", step.as_str())?;
    }
    writeln!(out, "  {:<9}{}", "draw", by_draw(decision, world))?;
    for limit in decision.exceeded.iter() {
        writeln!(out, "  limit exceeded: {}", exceeded(limit))?;
    }
    if app.outlier_detection.is_some() {
        let what = "only the proxy knows which versions are ejected; here all count as healthy";
        writeln!(out, "  {:<9}{what}", "health")?;
    }
    if decision.is_observed() {
        let what = "in observe mode no header changes, and the filter sends no explanation";
        writeln!(out, "  {:<9}{what}", "observe")?;
    }
    Ok(())
}

fn exceeded(limit: Limit) -> &'static str {
    match limit {
        Limit::Cookies => "more than 512 cookies or 32 KiB of cookies, so no cookie was read",
        Limit::Override => "an override above 1 KiB, which is ignored",
        Limit::Regex => "a value above 1 KiB, which no regex matches",
    }
}

fn by_override(decision: &Decision) -> String {
    let app = &decision.app;
    match decision.trace.result(Step::Override) {
        StepResult::Took(_) => format!("decides: an allowed client asks for {}", decision.version),
        StepResult::Passed(Why::Unconfigured) => "not configured, so that nobody can ask".to_owned(),
        StepResult::Passed(Why::Denied) => {
            "denied: the client is not allowed to ask, or the value is malformed".to_owned()
        }
        StepResult::Passed(Why::Unknown) => format!(
            "the request asks for a version that {} does not have, or for a retired one",
            app.name
        ),
        StepResult::Passed(Why::Unasked) => "the request asks for none".to_owned(),
        StepResult::Passed(other) => other.as_str().to_owned(),
        StepResult::Unreached => UNREACHED.to_owned(),
    }
}

fn by_inbound(decision: &Decision) -> String {
    let header = &decision.app.route_header;
    match (decision.trace.result(Step::Inbound), decision.app.inbound) {
        (StepResult::Took(_), _) => format!("decides: {header} names {}", decision.version),
        (StepResult::Passed(_), Inbound::Strip) => format!("strip: what {header} says counts for nothing"),
        (StepResult::Passed(Why::Absent), _) => format!("the request has no {header}"),
        (StepResult::Passed(Why::Unknown), _) => format!("{header} names no version, or a retired one"),
        (StepResult::Passed(other), _) => other.as_str().to_owned(),
        (StepResult::Unreached, _) => UNREACHED.to_owned(),
    }
}

fn by_rule(decision: &Decision) -> String {
    let (app, version) = (&decision.app, &decision.version);
    match decision.trace.result(Step::Rule) {
        StepResult::Took(item) => {
            let i = usize::from(item.unwrap_or_default());
            match app.rules.get(i).map(|rule| &rule.target) {
                Some(Target::Split(_)) => {
                    format!("decides: rules[{i}] matches, and its split gives the slot below to {version}")
                }
                _ => format!("decides: rules[{i}] matches"),
            }
        }
        StepResult::Passed(Why::Unconfigured) => "the app has none".to_owned(),
        StepResult::Passed(Why::Unmatched) => match app.rules.len() {
            1 => "rules[0] does not match".to_owned(),
            count => format!("none of the {count} matches"),
        },
        StepResult::Passed(other) => other.as_str().to_owned(),
        StepResult::Unreached => UNREACHED.to_owned(),
    }
}

/// None if the app has no build ids.
fn by_build(decision: &Decision) -> Option<String> {
    decision.app.pinning.build.as_ref()?;
    Some(match decision.trace.result(Step::Build) {
        StepResult::Took(_) => format!("decides: the page's build is one of {}", decision.version),
        StepResult::Passed(Why::Absent) => "the request has no build id".to_owned(),
        StepResult::Passed(Why::Navigation) => "a navigation goes to no build".to_owned(),
        StepResult::Passed(Why::Unknown) => "no version has this build".to_owned(),
        StepResult::Passed(Why::Unshared) => {
            "the version of this build has no share and does not drain".to_owned()
        }
        StepResult::Passed(other) => other.as_str().to_owned(),
        StepResult::Unreached => UNREACHED.to_owned(),
    })
}

fn by_key(decision: &Decision, world: &World) -> String {
    let keys = &decision.app.pinning.keys;
    match decision.trace.result(Step::Key) {
        StepResult::Took(item) => {
            let i = usize::from(item.unwrap_or_default());
            let key = keys.get(i).map_or_else(String::new, name_of);
            format!(
                "{} {key} (key[{i}]) gives {}",
                verb(decision),
                slot(decision, world)
            )
        }
        StepResult::Passed(Why::Unconfigured) => "not configured".to_owned(),
        StepResult::Passed(Why::Absent) => {
            let names: Vec<_> = keys.iter().map(name_of).collect();
            format!("the request has no {}", names.join(", no "))
        }
        StepResult::Passed(other) => other.as_str().to_owned(),
        StepResult::Unreached => UNREACHED.to_owned(),
    }
}

fn name_of(key: &ClientKey) -> String {
    match key {
        ClientKey::Header(name) => format!("header {name}"),
        ClientKey::Cookie(name) => format!("cookie {name}"),
        ClientKey::Claim(name) => format!("claim {name}"),
        ClientKey::SourceIp => "client's address".to_owned(),
    }
}

fn by_pin(decision: &Decision, world: &World) -> String {
    match decision.trace.result(Step::Pin) {
        StepResult::Took(_) => format!(
            "{} it holds {}{}",
            verb(decision),
            slot(decision, world),
            exception(decision, world)
        ),
        StepResult::Passed(Why::Absent) => "the request has none".to_owned(),
        StepResult::Passed(Why::Rejected(cause)) => format!(
            "is rejected ({}): {}",
            cause.as_str(),
            rejection(cause, &decision.app)
        ),
        StepResult::Passed(other) => other.as_str().to_owned(),
        StepResult::Unreached => UNREACHED.to_owned(),
    }
}

fn rejection(cause: Rejection, app: &App) -> String {
    match cause {
        Rejection::Oversized => "the request has too many cookies, so none was read".to_owned(),
        Rejection::Malformed => "it does not have the form of this app's pins".to_owned(),
        Rejection::Unsigned => "it is not signed, but this configuration has keys".to_owned(),
        Rejection::UnknownKey => "it is signed with a key that is not configured".to_owned(),
        Rejection::Forged => "its signature is wrong: it was changed, or made for another app".to_owned(),
        Rejection::Epoch => format!("its epoch is not {}", app.pinning.epoch),
        Rejection::Expired => format!("it is older than {} seconds", app.pinning.ttl),
        Rejection::Future => "it was issued after the time of this request".to_owned(),
        Rejection::Unknown => format!("it names a version that {} does not have", app.name),
        Rejection::Retired => "it names a retired version".to_owned(),
    }
}

/// The reason why a pin gives another version than the owner of its slot. Empty if it gives the owner.
fn exception(decision: &Decision, world: &World) -> &'static str {
    let (app, version) = (&decision.app, &decision.version);
    let owner = decision
        .trace
        .slot
        .map(|slot| app.schedule.owner(slot, || world.now));
    if decision.reason != Reason::Pin || owner.is_none_or(|owner| owner.index == version.index) {
        ""
    } else if version.state == State::Draining {
        ", but the pin's version is draining and keeps its clients"
    } else if app.pinning.follow == Follow::Version {
        ", but with pin.follow: version the client stays"
    } else {
        ", but the page that loads this came from the pin's version"
    }
}

fn by_draw(decision: &Decision, world: &World) -> String {
    let is_split = decision.reason == Reason::Rule
        && !matches!(
            decision.trace.result(Step::Pin),
            StepResult::Unreached | StepResult::Took(_)
        );
    if world.drew.get() {
        let how = match world.slot {
            Some(_) => "as --draw says",
            None => "at random: --draw chooses another",
        };
        format!("{} {}, {how}", verb(decision), slot(decision, world))
    } else if decision.reason == Reason::Draw || is_split {
        format!(
            "{} a CORS preflight gets no slot and no pin, and goes to {}",
            verb(decision),
            decision.version
        )
    } else {
        UNREACHED.to_owned()
    }
}

/// A slot either decides, or is the input of a rule's split.
fn verb(decision: &Decision) -> &'static str {
    match decision.reason {
        Reason::Rule => "for the split:",
        _ => "decides:",
    }
}

/// `slot 5, which is v2's`
fn slot(decision: &Decision, world: &World) -> String {
    let Some(slot) = decision.trace.slot else {
        return "no slot".to_owned();
    };
    let owner = decision.app.schedule.owner(slot, || world.now);
    format!("slot {}, which is {owner}'s", slot.number())
}
