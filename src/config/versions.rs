//! `versions` and `stable`: the versions of an app and their shares, which must add up.

use std::sync::Arc;

use super::decode::{Checked, Cursor, Fields, Invalid};
use super::ramps::{self, ramp};
use super::text;
use crate::rollout::ramp::Ramp;
use crate::rollout::schedule::Schedule;
use crate::rollout::slots::{Layout, Share};
use crate::rollout::version::{State, Version, VersionRef, is_version_name};

/// The largest number of versions of an app.
const MAX_VERSIONS: usize = 32;

/// The versions of an app and their shares.
pub(super) struct Versions {
    pub(super) all: Vec<VersionRef>,
    pub(super) schedule: Schedule,
    /// By each version's index, the version that serves its clients while it is ejected. None for
    /// the stable version.
    pub(super) fallbacks: Vec<Option<VersionRef>>,
}

struct Draft {
    name: String,
    label: Option<String>,
    state: State,
    weight: Option<Share>,
    ramp: Option<Ramp>,
    fallback: Option<String>,
    builds: Vec<String>,
}

/// Reads `versions` and `stable`.
pub(super) fn versions(fields: &mut Fields<'_, '_>) -> Checked<Versions> {
    let drafts = fields.required("versions", |list| {
        list.at_most(MAX_VERSIONS)?;
        let drafts = list.some(draft)?;
        let mut result = Ok(());
        for (i, draft) in drafts.iter().enumerate() {
            if drafts.iter().take(i).any(|other| other.name == draft.name) {
                result = list.fail(format!("{:?} is given twice", draft.name));
            }
            for build in &draft.builds {
                let earlier = drafts.iter().take(i).find(|other| other.builds.contains(build));
                if let Some(other) = earlier {
                    let reason = format!("{build:?} is a build of {:?} already", other.name);
                    result = list.field_fail(&format!("[{i}].builds"), reason);
                }
            }
        }
        result.map(|()| drafts)
    });
    let named = fields.optional("stable", |name| {
        let drafts = drafts.as_ref().map_err(|invalid| *invalid)?;
        let text = name.string()?;
        match drafts.iter().position(|draft| draft.name == text) {
            Some(i) if drafts.get(i).is_some_and(|draft| draft.state == State::Active) => Ok(i),
            Some(_) => name.fail(format!("must be an active version, {text:?} is not")),
            None => name.fail(format!("{text:?} is not a version of this app")),
        }
    });
    let drafts = drafts?;
    let (stable, shares) = shares(fields, &drafts, named)?;
    let fallback_names: Vec<_> = drafts.iter().map(|draft| draft.fallback.clone()).collect();
    let all: Vec<VersionRef> = drafts
        .into_iter()
        .zip(shares)
        .enumerate()
        .map(|(index, (draft, share))| {
            Arc::new(Version {
                label: draft.label.unwrap_or_else(|| draft.name.clone()),
                name: draft.name,
                state: draft.state,
                share,
                ramp: draft.ramp,
                builds: draft.builds,
                index,
            })
        })
        .collect();
    let fallbacks = ramps::fallbacks(fields, &all, &fallback_names, stable);
    let ramps = ramps::ramps(fields, &all, stable);
    let mut others = all.clone();
    if stable >= others.len() {
        return Err(Invalid);
    }
    let schedule = Schedule::new(others.remove(stable), others);
    ramps?;
    Ok(Versions {
        all,
        schedule,
        fallbacks: fallbacks?,
    })
}

/// The layout of these shares. The stable version is at the index `stable`.
pub(super) fn layout(
    shares: impl Iterator<Item = (VersionRef, Share)>,
    stable: usize,
) -> Checked<Layout<VersionRef>> {
    let mut others: Vec<_> = shares.collect();
    if stable >= others.len() {
        return Err(Invalid);
    }
    let (stable, _) = others.remove(stable);
    Ok(Layout::new(stable, &others))
}

/// The index of the largest share. Ties go to the share listed first.
pub(super) fn largest(shares: &[Share]) -> usize {
    let most = shares.iter().max();
    shares
        .iter()
        .position(|share| Some(share) == most)
        .unwrap_or_default()
}

fn draft(cursor: Cursor<'_>) -> Checked<Draft> {
    cursor.object(|fields| {
        let name = fields.required("name", version_name);
        let weight = fields.optional("weight", text::percent);
        let label = fields.optional("label", label);
        let state = fields.or("state", State::Active, |state| {
            state.word(&[
                ("active", State::Active),
                ("draining", State::Draining),
                ("retired", State::Retired),
            ])
        });
        let fallback = fields.optional("fallback", |name| name.string().map(str::to_owned));
        let from = weight.as_ref().ok().copied().flatten().unwrap_or(Share::NONE);
        let ramp = fields.optional("ramp", |cursor| ramp(&cursor, from));
        let builds = fields.or("builds", Vec::new(), |list| list.some(build_id));
        let (weight, state) = (weight?, state?);
        if state != State::Active && fields.has("ramp") {
            return fields.fail("ramp", "is for active versions only");
        }
        match (state, weight) {
            (State::Draining, Some(weight)) if weight > Share::NONE => {
                return fields.fail(
                    "weight",
                    "must be 0 or left out: a draining version takes nobody new",
                );
            }
            (State::Retired, Some(weight)) if weight > Share::NONE => {
                return fields.fail("weight", "must be 0 or left out: a retired version takes nobody");
            }
            _ => {}
        }
        Ok(Draft {
            name: name?,
            label: label?,
            state,
            weight,
            ramp: ramp?,
            fallback: fallback?,
            builds: builds?,
        })
    })
}

fn version_name(cursor: Cursor<'_>) -> Checked<String> {
    let name = cursor.string()?;
    if is_version_name(name) {
        Ok(name.to_owned())
    } else {
        cursor.fail(format!(
            "must be 1 to 63 letters, digits, dots, underscores or hyphens, is {name:?}"
        ))
    }
}

/// Reads the id of a build, as a request's header or query carries the id.
fn build_id(cursor: Cursor<'_>) -> Checked<String> {
    let id = cursor.string()?;
    if (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic() && !b"&#".contains(&b)) {
        Ok(id.to_owned())
    } else {
        cursor.fail(format!(
            "must be 1 to 128 visible ASCII characters without & and #, is {id:?}"
        ))
    }
}

/// Reads a label: visible ASCII, so that no label can break a response.
fn label(cursor: Cursor<'_>) -> Checked<String> {
    let label = cursor.string()?;
    if text::is_label(label) {
        Ok(label.to_owned())
    } else {
        cursor.fail(format!("must be 1 to 128 visible ASCII characters, is {label:?}"))
    }
}

/// The index of the stable version, and each version's share.
fn shares(
    fields: &Fields<'_, '_>,
    drafts: &[Draft],
    named: Checked<Option<usize>>,
) -> Checked<(usize, Vec<Share>)> {
    if drafts.iter().all(|draft| draft.state != State::Active) {
        return fields.fail("versions", "must have an active version");
    }
    let given: Vec<Share> = drafts.iter().filter_map(|draft| draft.weight).collect();
    let sum = Share::percent_sum(&given);
    let Some(rest) = Share::rest(&given) else {
        return fields.fail("versions", format!("weights must add up to 100, are {sum}"));
    };
    let named = named?;
    // The rest goes to the stable version if it has no weight, else to the first active version
    // without a weight.
    let open = |draft: &Draft| draft.weight.is_none() && draft.ramp.is_none() && draft.state == State::Active;
    let taker = match named {
        Some(i) => drafts.get(i).is_some_and(open).then_some(i),
        None => drafts.iter().position(open),
    };
    if taker.is_none() && rest > Share::NONE {
        return fields.fail("versions", format!("weights must add up to 100, are {sum}"));
    }
    let shares: Vec<Share> = drafts
        .iter()
        .enumerate()
        .map(|(i, draft)| match draft.weight {
            Some(weight) => weight,
            None if Some(i) == taker => rest,
            None => Share::NONE,
        })
        .collect();
    if let Some(stable) = named {
        return Ok((stable, shares));
    }
    let most = largest(&shares);
    match taker.and_then(|i| drafts.get(i)) {
        Some(draft) if rest > Share::NONE && taker != Some(most) => fields.fail(
            "stable",
            format!(
                "must be given: the weights leave {rest} to {:?}, which is not the largest share",
                draft.name
            ),
        ),
        _ => {
            if shares.iter().filter(|share| **share > Share::NONE).count() > 1 {
                let name = drafts.get(most).map_or("", |draft| draft.name.as_str());
                let reason = "as the largest share; name it, so that clients don't move back when another grows larger";
                fields.warn("stable", format!("is not given, and is {name:?} {reason}"));
            }
            Ok((most, shares))
        }
    }
}
