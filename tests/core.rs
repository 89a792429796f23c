//! The core without a host: the named cases, the refusals and the public vectors, in native code and in wasm32.

use pinion::assign::{Layout, Share, Slot};
use pinion::config::Config;
use pinion::edit::Edit;
use pinion::policy::{self, Ambient};
use pinion_testing::case::{self, Answerer, Lines, Seen};
use pinion_testing::{refusal, vector};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: u64 = 1_790_000_000;

struct Fixed;

impl Ambient for Fixed {
    fn now(&self) -> u64 {
        NOW
    }
    fn draw(&self) -> Slot {
        Slot::from_random(0x5eed)
    }
}

fn apply(edits: Vec<Edit<'_>>, lines: &mut Lines) {
    for edit in edits {
        match edit {
            Edit::Append(name, value) => lines.push((name.to_owned(), value.as_bytes().to_vec())),
            Edit::Replace(name, value) => {
                lines.retain(|(field, _)| field != name);
                lines.push((name.to_owned(), value.as_bytes().to_vec()));
            }
            Edit::Remove(name) => lines.retain(|(field, _)| field != name),
        }
    }
}

#[test]
fn every_case_holds_in_the_core() {
    case::run_all(
        |group, case, now| {
            let config = Config::parse(group.config.to_string().as_bytes()).unwrap();
            let mut upstream = case.request_lines(now);
            let decision = policy::decide(&config, upstream.as_slice(), &Fixed);
            let edits = policy::request_edits(&config, upstream.as_slice(), decision.as_ref());
            apply(edits, &mut upstream);
            let mut response = case.answer_lines();
            if let Some(decision) = decision
                .as_ref()
                .filter(|_| case.answer.by == Answerer::ViaUpstream)
            {
                let stamped = policy::stamp(decision, response.as_slice());
                apply(stamped.edits, &mut response);
            }
            Seen { upstream, response }
        },
        NOW,
    );
}

#[test]
fn a_bad_configuration_is_refused_with_all_its_errors() {
    refusal::check_all(|config| match Config::parse(config.as_bytes()) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    });
}

#[test]
fn keys_have_the_published_slots() {
    let vectors = vector::slots();
    assert!(vectors.len() > 50);
    for vector in vectors {
        let slot = Slot::of_key(&vector.app, vector.epoch, &vector.key());
        assert_eq!(slot.number(), vector.slot, "{vector:?}");
    }
}

#[test]
fn shares_have_the_published_layout() {
    let vectors = vector::layouts();
    assert!(vectors.len() > 10);
    for vector in vectors {
        let share = |(name, weight): &(String, f64)| (name.clone(), Share::from_percent(*weight).unwrap());
        let others: Vec<_> = vector.others.iter().map(share).collect();
        let layout = Layout::new("stable".to_owned(), &others);
        let runs: Vec<_> = layout.runs().map(|(end, owner)| (end, owner.clone())).collect();
        assert_eq!(runs, vector.runs, "{:?}", vector.others);
    }
}
