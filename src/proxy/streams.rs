//! The streams that are open in this VM, by their contexts' ids, in one table without hashing and allocations.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use proxy_wasm::types::Action;

use super::root;
use super::stream::{Served, Stream};

/// How many streams have a place of their own. The host counts its contexts, so that few that are open at a time share one.
const PLACES: usize = 64;

/// A stream and its context's id.
type Place = Option<(u32, Stream)>;

struct Streams {
    /// What is served under each root context; mostly there is one.
    roots: Vec<(u32, Rc<Served>)>,
    places: [Place; PLACES],
    /// Those whose place was taken when they began.
    others: BTreeMap<u32, Stream>,
    /// Whether there has been any.
    begun: bool,
}

thread_local! {
    static STREAMS: RefCell<Streams> = const {
        RefCell::new(Streams {
            roots: Vec::new(),
            places: [const { None }; PLACES],
            others: BTreeMap::new(),
            begun: false,
        })
    };
}

fn place(places: &mut [Place; PLACES], stream: u32) -> Option<&mut Place> {
    places.get_mut(stream as usize % PLACES)
}

impl Streams {
    fn begin(&mut self, stream: u32, root: u32) {
        if !self.begun {
            self.begun = true;
            root::note_streams();
        }
        let served = self.roots.iter().find(|(id, _)| *id == root);
        let begun = Stream::new(served.map(|(_, served)| served.clone()));
        match place(&mut self.places, stream) {
            Some(place @ None) => *place = Some((stream, begun)),
            _ => {
                self.others.insert(stream, begun);
            }
        }
    }

    fn get(&mut self, stream: u32) -> Option<&mut Stream> {
        match place(&mut self.places, stream) {
            Some(Some((id, found))) if *id == stream => Some(found),
            _ => self.others.get_mut(&stream),
        }
    }

    fn end(&mut self, stream: u32) -> bool {
        match place(&mut self.places, stream) {
            Some(place) if place.as_ref().is_some_and(|(id, _)| *id == stream) => {
                *place = None;
                true
            }
            _ => self.others.remove(&stream).is_some(),
        }
    }
}

/// From now on streams of this root are served so.
pub(super) fn serve(root: u32, served: Rc<Served>) {
    STREAMS.with_borrow_mut(|streams| {
        streams.roots.retain(|(id, _)| *id != root);
        streams.roots.push((root, served));
    });
}

/// No further streams of this root will come.
pub(super) fn forget(root: u32) {
    // While a thread ends, its streams may be gone before its roots are.
    let _ = STREAMS.try_with(|streams| streams.borrow_mut().roots.retain(|(id, _)| *id != root));
}

/// A stream begins under a root.
pub(super) fn begin(stream: u32, root: u32) {
    STREAMS.with_borrow_mut(|streams| streams.begin(stream, root));
}

/// A stream's request headers are here.
pub(super) fn on_request_headers(stream: u32) -> Action {
    STREAMS.with_borrow_mut(|streams| match streams.get(stream) {
        Some(stream) => stream.on_request_headers(),
        None => Action::Continue,
    })
}

/// A stream's response headers are here.
pub(super) fn on_response_headers(stream: u32) -> Action {
    STREAMS.with_borrow_mut(|streams| match streams.get(stream) {
        Some(stream) => stream.on_response_headers(),
        None => Action::Continue,
    })
}

/// A stream is over. Whether there was one.
pub(super) fn end(stream: u32) -> bool {
    STREAMS.with_borrow_mut(|streams| streams.end(stream))
}
