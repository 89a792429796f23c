//! `ramp` and `fallback`: how shares change over time, and which version serves the clients of an
//! ejected one.

use super::decode::{Checked, Cursor, Fields};
use super::text::percent;
use super::{text, time};
use crate::rollout::ramp::Ramp;
use crate::rollout::slots::Share;
use crate::rollout::version::{Version, VersionRef};

/// The largest number of steps of a ramp, and the longest duration in seconds: a year.
const MAX_STEPS: u32 = 1000;
const MAX_DURATION: u32 = 365 * 24 * 3600;

/// Reads `ramp`, which starts at the version's weight.
pub(super) fn ramp(cursor: &Cursor<'_>, from: Share) -> Checked<Ramp> {
    cursor.object(|fields| {
        let to = fields.required("to", percent);
        let start = fields.required("start", time::timestamp);
        let duration = fields.required("duration", |duration| text::seconds(duration, MAX_DURATION));
        let steps = fields.optional("steps", |steps| match steps.integer(MAX_STEPS)? {
            0 => steps.fail(format!("must be a whole number from 1 to {MAX_STEPS}, is 0")),
            number => Ok(number),
        });
        let hold_at = fields.optional("holdAt", percent);
        let (to, hold_at) = (to?, hold_at?);
        if to == from {
            return fields.fail("to", format!("must differ from the version's weight, {from}"));
        }
        if hold_at.is_some_and(|hold| hold < from.min(to) || hold > from.max(to)) {
            return fields.fail("holdAt", format!("must be on the way, between {from} and {to}"));
        }
        Ok(Ramp {
            from,
            to,
            start: start?,
            duration: duration?,
            steps: steps?,
            hold_at,
        })
    })
}

/// Checks that the largest shares of all ramps leave the stable version a share of 0 or more.
pub(super) fn ramps(fields: &Fields<'_, '_>, all: &[VersionRef], stable: usize) -> Checked<()> {
    if all.iter().all(|version| version.ramp.is_none()) {
        return Ok(());
    }
    if all
        .iter()
        .any(|version| version.index == stable && version.ramp.is_some())
    {
        let reason = "must not be given for the stable version, which takes what the others leave";
        return fields.fail(&format!("versions[{stable}].ramp"), reason);
    }
    let others = all.iter().filter(|version| version.index != stable);
    let most: Vec<_> = others
        .map(|version| version.ramp.map_or(version.share, |ramp| ramp.largest()))
        .collect();
    if Share::rest(&most).is_none() {
        let sum = Share::percent_sum(&most);
        let reason = format!(
            "ramps must leave the stable version 0 or more, but the others' largest shares add up to {sum}"
        );
        return fields.fail("versions", reason);
    }
    Ok(())
}

/// By each version's index, the version that serves its clients while it is ejected: the named
/// version, else the stable version.
pub(super) fn fallbacks(
    fields: &Fields<'_, '_>,
    all: &[VersionRef],
    names: &[Option<String>],
    stable: usize,
) -> Checked<Vec<Option<VersionRef>>> {
    let fallback = |(i, name): (usize, &Option<String>)| {
        let fail = |reason: String| fields.fail(&format!("versions[{i}].fallback"), reason);
        let Some(name) = name else {
            return Ok(all.get(stable).filter(|_| i != stable).cloned());
        };
        let has_share = |version: &Version| version.share > Share::NONE || version.ramp.is_some();
        match all.iter().find(|version| version.name == *name) {
            _ if i == stable => {
                fail("must not be given for the stable version, which is never ejected".to_owned())
            }
            None => fail(format!("{name:?} is not a version of this app")),
            Some(version) if version.index == i => fail("must be another version".to_owned()),
            Some(version) if !has_share(version) => {
                fail(format!("{name:?} has no share, so nobody is to come to it"))
            }
            Some(version) => Ok(Some(version.clone())),
        }
    };
    let read: Vec<_> = names.iter().enumerate().map(fallback).collect();
    let fallbacks: Vec<Option<VersionRef>> = read.into_iter().collect::<Checked<_>>()?;
    let next = |version: &VersionRef| fallbacks.get(version.index)?.as_ref();
    for version in all {
        let chain = std::iter::successors(next(version), |version| next(version));
        // A chain longer than the list of versions is a cycle.
        if chain.take(all.len()).any(|other| other.index == version.index) {
            let reason = format!("leads back to {:?}", version.name);
            return fields.fail(&format!("versions[{}].fallback", version.index), reason);
        }
    }
    Ok(fallbacks)
}
