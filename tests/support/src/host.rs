//! A Proxy-Wasm host in native code: the ABI's functions as symbols that the filter and the SDK link to, so that the
//! module's own entry points run in a test. Each thread has a host of its own, as each Envoy worker has a VM.
//!
//! It keeps to what Envoy was seen to do: names are lower case, a single read gives the first line, a header call
//! outside of its callback fails.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::case::{self, Answerer, Case, Lines, Seen};

const OK: u32 = 0;
const PAUSE: u32 = 1;
const NOT_FOUND: u32 = 1;
const BAD_ARGUMENT: u32 = 2;
const SERIALIZATION_FAILURE: u32 = 3;
const CAS_MISMATCH: u32 = 8;
const INTERNAL_FAILURE: u32 = 10;

/// The module's exports, as a host calls them.
mod exports {
    unsafe extern "C" {
        pub safe fn proxy_on_context_create(context: u32, root: u32);
        pub safe fn proxy_on_vm_start(context: u32, size: usize) -> bool;
        pub safe fn proxy_on_configure(context: u32, size: usize) -> bool;
        pub safe fn proxy_on_request_headers(context: u32, headers: usize, end: bool) -> u32;
        pub safe fn proxy_on_response_headers(context: u32, headers: usize, end: bool) -> u32;
        pub safe fn proxy_on_tick(context: u32);
        pub safe fn proxy_on_delete(context: u32);
        pub safe fn proxy_on_memory_allocate(size: usize) -> *mut u8;
    }
}

#[derive(Default)]
struct State {
    configuration: Vec<u8>,
    nanoseconds: u64,
    /// Which header map is in hand: 0 the request's, 2 the response's.
    phase: Option<u32>,
    headers: Lines,
    code_details: &'static str,
    claims: BTreeMap<String, serde_json::Value>,
    source: String,
    filter_state: BTreeMap<String, String>,
    blocked: bool,
    /// Whether headers can't be read.
    withheld: bool,
    metrics: Vec<(String, i64)>,
    logs: Vec<String>,
    calls: Vec<String>,
    contexts: u32,
    shared: BTreeMap<String, (Vec<u8>, u32)>,
    /// The current root context, and the tick period in milliseconds of each root context that has a tick.
    root: u32,
    tick_periods: BTreeMap<u32, u32>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// A plugin in a VM of this thread.
pub struct Plugin {
    root: u32,
}

impl Plugin {
    /// Starts a plugin with a configuration, at a time in Unix seconds. `start` is the module's entry point.
    ///
    /// # Errors
    /// What it logged when it refused the configuration.
    pub fn start(start: fn(), configuration: &[u8], now: u64) -> Result<Self, Vec<String>> {
        // The SDK registers its logger once for the process, and does not do so atomically.
        static STARTING: Mutex<()> = Mutex::new(());
        {
            let _alone = STARTING.lock();
            for (name, value) in case::ENVIRONMENT {
                // SAFETY: the standard library guards the environment, and nothing else of this process reads it.
                unsafe { std::env::set_var(name, value) };
            }
            start();
            // The SDK's panic hook would send a failed test's message to the filter's log.
            drop(std::panic::take_hook());
        }
        let root = STATE.with_borrow_mut(|state| {
            state.configuration = configuration.to_vec();
            state.nanoseconds = now * 1_000_000_000;
            state.logs.clear();
            state.contexts += 1;
            state.root = state.contexts;
            state.contexts
        });
        exports::proxy_on_context_create(root, 0);
        let taken =
            exports::proxy_on_vm_start(root, 0) && exports::proxy_on_configure(root, configuration.len());
        if taken { Ok(Plugin { root }) } else { Err(logs()) }
    }

    /// Calls the filter's tick, if it has one.
    pub fn tick(&self) {
        if self.tick_period().is_some() {
            STATE.with_borrow_mut(|state| state.root = self.root);
            exports::proxy_on_tick(self.root);
        }
    }

    /// The period of the filter's tick in milliseconds, if it has one.
    pub fn tick_period(&self) -> Option<u32> {
        STATE.with_borrow(|state| state.tick_periods.get(&self.root).copied())
    }

    /// Sends a request through the filter, and its answer back.
    pub fn exchange(&self, request: Lines, by: Answerer, answer: Lines) -> Seen {
        let stream = self.stream(by);
        let mut action = 0;
        let upstream = in_phase(0, request, |size| {
            action = exports::proxy_on_request_headers(stream, size, true);
        });
        let blocked = STATE.with_borrow(|state| state.blocked);
        assert_eq!(
            action == PAUSE,
            blocked,
            "a request pauses if and only if it was answered"
        );
        if blocked {
            STATE.with_borrow_mut(|state| state.code_details = "wasm_local_reply");
        }
        let response = respond(stream, if blocked { Lines::new() } else { answer });
        Seen {
            upstream,
            response,
            filter_state: STATE.with_borrow(|state| state.filter_state.clone()),
            blocked,
        }
    }

    /// Sends all requests through before the first answer comes back. What each answer carries then.
    pub fn overlapping(&self, requests: Vec<Lines>, answer: &Lines) -> Vec<Lines> {
        let streams: Vec<_> = requests
            .into_iter()
            .map(|request| {
                let stream = self.stream(Answerer::ViaUpstream);
                in_phase(0, request, |size| {
                    exports::proxy_on_request_headers(stream, size, true);
                });
                stream
            })
            .collect();
        streams
            .into_iter()
            .map(|stream| respond(stream, answer.clone()))
            .collect()
    }

    /// Where the next requests come from: the claims of their token and the client's address.
    pub fn from(&self, case: &Case) -> &Self {
        STATE.with_borrow_mut(|state| {
            state.claims = case.claims.clone();
            state.source = match case.source.contains(':') {
                true => format!("[{}]:40000", case.source),
                false => format!("{}:40000", case.source),
            };
        });
        self
    }

    /// Sends only an answer through, as where another filter stood before the request.
    pub fn answer_only(&self, by: Answerer, answer: Lines) -> Lines {
        respond(self.stream(by), answer)
    }

    fn stream(&self, by: Answerer) -> u32 {
        let stream = STATE.with_borrow_mut(|state| {
            state.root = self.root;
            state.calls.clear();
            state.filter_state.clear();
            state.blocked = false;
            state.contexts += 1;
            state.code_details = by.code_details();
            state.contexts
        });
        exports::proxy_on_context_create(stream, self.root);
        stream
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        // After a panic the module's cells may still be borrowed, and a second panic would hide the first.
        if !std::thread::panicking() {
            exports::proxy_on_delete(self.root);
        }
    }
}

/// Empties what the plugins of this thread share.
pub fn forget() {
    STATE.with_borrow_mut(|state| state.shared.clear());
}

/// Has no header map given out any more, or again. Envoy was never seen to do so.
pub fn withhold(withheld: bool) {
    STATE.with_borrow_mut(|state| state.withheld = withheld);
}

/// Sets the clock, in Unix seconds.
pub fn set_time(now: u64) {
    STATE.with_borrow_mut(|state| state.nanoseconds = now * 1_000_000_000);
}

/// What was logged since the plugin's start.
pub fn logs() -> Vec<String> {
    STATE.with_borrow(|state| state.logs.clone())
}

/// The host calls of the last exchange, in order: `replace 0 x-app-version`.
pub fn calls() -> Vec<String> {
    STATE.with_borrow(|state| state.calls.clone())
}

/// Every counter of this thread with its value.
pub fn metrics() -> BTreeMap<String, i64> {
    STATE.with_borrow(|state| state.metrics.iter().cloned().collect())
}

fn respond(stream: u32, answer: Lines) -> Lines {
    let response = in_phase(2, answer, |size| {
        exports::proxy_on_response_headers(stream, size, true);
    });
    exports::proxy_on_delete(stream);
    response
}

fn in_phase(phase: u32, lines: Lines, call: impl FnOnce(usize)) -> Lines {
    let size = lines.len();
    STATE.with_borrow_mut(|state| {
        state.phase = Some(phase);
        state.headers = lines;
    });
    call(size);
    STATE.with_borrow_mut(|state| {
        state.phase = None;
        std::mem::take(&mut state.headers)
    })
}

/// Borrows what the filter passed.
unsafe fn text(data: *const u8, size: usize) -> String {
    // SAFETY: the SDK passes a slice's pointer and length, or null and 0.
    unsafe { String::from_utf8_lossy(&raw(data, size)).into_owned() }
}

unsafe fn raw(data: *const u8, size: usize) -> Vec<u8> {
    if size == 0 {
        return Vec::new();
    }
    // SAFETY: the SDK passes a slice's pointer and length.
    unsafe { std::slice::from_raw_parts(data, size).to_vec() }
}

/// Hands bytes to the filter, in memory that it allocates.
unsafe fn give(value: Vec<u8>, data: *mut *mut u8, size: *mut usize) -> u32 {
    let room = exports::proxy_on_memory_allocate(value.len());
    // SAFETY: the filter passes pointers to its own locals, and gives as much memory as is asked for.
    unsafe {
        room.copy_from_nonoverlapping(value.as_ptr(), value.len());
        *size = value.len();
        *data = room;
    }
    OK
}

fn with_headers(map: u32, call: String, edit: impl FnOnce(&mut Lines) -> u32) -> u32 {
    STATE.with_borrow_mut(|state| {
        state.calls.push(call);
        if state.phase == Some(map) {
            edit(&mut state.headers)
        } else {
            BAD_ARGUMENT
        }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_log(_level: u32, data: *const u8, size: usize) -> u32 {
    // SAFETY: as the ABI has it.
    let message = unsafe { text(data, size) };
    // A panic inside of a host call is logged while the state is borrowed; it must not hide the panic.
    STATE.with(|state| match state.try_borrow_mut() {
        Ok(mut state) => state.logs.push(message),
        Err(_) => eprintln!("{message}"),
    });
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32 {
    STATE.with_borrow_mut(|state| {
        state.calls.push("time".to_owned());
        // SAFETY: the SDK passes a pointer to its own local.
        unsafe { *time = state.nanoseconds };
    });
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_buffer_bytes(
    kind: u32,
    start: usize,
    max: usize,
    data: *mut *mut u8,
    size: *mut usize,
) -> u32 {
    const PLUGIN_CONFIGURATION: u32 = 7;
    if kind != PLUGIN_CONFIGURATION {
        return NOT_FOUND;
    }
    let bytes = STATE.with_borrow(|state| {
        let end = (start + max).min(state.configuration.len());
        state.configuration[start.min(end)..end].to_vec()
    });
    if bytes.is_empty() {
        // Envoy leaves the pointer as it is.
        return OK;
    }
    // SAFETY: as the ABI has it.
    unsafe { give(bytes, data, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32 {
    if STATE.with_borrow(|state| state.withheld) {
        return INTERNAL_FAILURE;
    }
    let mut out = Vec::new();
    let status = with_headers(map, format!("map {map}"), |lines| {
        out = case::serialized(lines);
        OK
    });
    if status != OK {
        return status;
    }
    // SAFETY: as the ABI has it.
    unsafe { give(out, data, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_header_map_value(
    map: u32,
    key: *const u8,
    key_size: usize,
    data: *mut *mut u8,
    size: *mut usize,
) -> u32 {
    // SAFETY: as the ABI has it.
    let key = unsafe { text(key, key_size) };
    let mut found = None;
    let status = with_headers(map, format!("get {map} {key}"), |lines| {
        found = lines
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value.clone());
        if found.is_some() { OK } else { NOT_FOUND }
    });
    match found {
        // SAFETY: as the ABI has it.
        Some(value) => unsafe { give(value, data, size) },
        None => status,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_remove_header_map_value(map: u32, key: *const u8, key_size: usize) -> u32 {
    // SAFETY: as the ABI has it.
    let key = unsafe { text(key, key_size) };
    with_headers(map, format!("remove {map} {key}"), |lines| {
        lines.retain(|(name, _)| *name != key);
        OK
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_replace_header_map_value(
    map: u32,
    key: *const u8,
    key_size: usize,
    value: *const u8,
    value_size: usize,
) -> u32 {
    // SAFETY: as the ABI has it.
    let (key, value) = unsafe { (text(key, key_size), raw(value, value_size)) };
    with_headers(map, format!("replace {map} {key}"), |lines| {
        lines.retain(|(name, _)| *name != key);
        lines.push((key, value));
        OK
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_add_header_map_value(
    map: u32,
    key: *const u8,
    key_size: usize,
    value: *const u8,
    value_size: usize,
) -> u32 {
    // SAFETY: as the ABI has it.
    let (key, value) = unsafe { (text(key, key_size), raw(value, value_size)) };
    with_headers(map, format!("add {map} {key}"), |lines| {
        lines.push((key, value));
        OK
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_property(
    path: *const u8,
    path_size: usize,
    data: *mut *mut u8,
    size: *mut usize,
) -> u32 {
    // SAFETY: as the ABI has it.
    let path = unsafe { text(path, path_size) }.replace('\0', ".");
    match STATE.with_borrow_mut(|state| state.property(&path)) {
        // SAFETY: as the ABI has it.
        Ok(value) => unsafe { give(value, data, size) },
        Err(status) => status,
    }
}

impl State {
    fn property(&mut self, path: &str) -> Result<Vec<u8>, u32> {
        self.calls.push(format!("property {path}"));
        let text = |value: &str| Ok(value.as_bytes().to_vec());
        if let Some(name) =
            path.strip_prefix("metadata.filter_metadata.envoy.filters.http.jwt_authn.payload.")
        {
            let claim = self.claims.get(name).ok_or(NOT_FOUND)?;
            return case::claim_bytes(claim).ok_or(SERIALIZATION_FAILURE);
        }
        if let Some(name) = path.strip_prefix("xds.node.metadata.LABELS.") {
            let label = case::NODE_LABELS.iter().find(|(label, _)| *label == name);
            return label.map_or(Err(NOT_FOUND), |(_, value)| text(value));
        }
        match path {
            "response.code_details" if self.phase == Some(2) => text(self.code_details),
            "xds.node.id" => text(case::NODE_ID),
            "plugin_name" => text("test"),
            "plugin_root_id" => text(""),
            "source.address" => text(&self.source),
            _ => Err(NOT_FOUND),
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_set_tick_period_milliseconds(period: u32) -> u32 {
    STATE.with_borrow_mut(|state| match period {
        0 => state.tick_periods.remove(&state.root),
        _ => state.tick_periods.insert(state.root, period),
    });
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_shared_data(
    key: *const u8,
    key_size: usize,
    data: *mut *mut u8,
    size: *mut usize,
    mark: *mut u32,
) -> u32 {
    // SAFETY: as the ABI has it.
    let key = unsafe { text(key, key_size) };
    let found = STATE.with_borrow_mut(|state| {
        state.calls.push("get".to_owned());
        state.shared.get(&key).cloned()
    });
    match found {
        // SAFETY: as the ABI has it; the SDK passes a pointer to its own local.
        Some((value, known)) => unsafe {
            *mark = known;
            give(value, data, size)
        },
        None => NOT_FOUND,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_set_shared_data(
    key: *const u8,
    key_size: usize,
    value: *const u8,
    value_size: usize,
    mark: u32,
) -> u32 {
    // SAFETY: as the ABI has it.
    let (key, value) = unsafe { (text(key, key_size), raw(value, value_size)) };
    STATE.with_borrow_mut(|state| {
        state.calls.push("compare_and_set".to_owned());
        let known = state.shared.get(&key).map_or(0, |(_, known)| *known);
        if mark != 0 && mark != known {
            return CAS_MISMATCH;
        }
        state.shared.insert(key, (value, known + 1));
        OK
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_set_property(
    path: *const u8,
    path_size: usize,
    value: *const u8,
    value_size: usize,
) -> u32 {
    // SAFETY: as the ABI has it.
    let (path, value) = unsafe { (text(path, path_size), text(value, value_size)) };
    STATE.with_borrow_mut(|state| {
        state.calls.push(format!("set {path}"));
        state.filter_state.insert(path, value);
    });
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_send_local_response(
    status: u32,
    _details: *const u8,
    _details_size: usize,
    _body: *const u8,
    body_size: usize,
    _headers: *const u8,
    _headers_size: usize,
    _grpc_status: i32,
) -> u32 {
    assert_eq!(
        (status, body_size),
        (204, 0),
        "the filter answers with nothing but 204"
    );
    STATE.with_borrow_mut(|state| {
        state.calls.push("answer".to_owned());
        state.blocked = true;
    });
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_define_metric(_kind: u32, name: *const u8, size: usize, id: *mut u32) -> u32 {
    // SAFETY: as the ABI has it.
    let name = unsafe { text(name, size) };
    STATE.with_borrow_mut(|state| {
        state.calls.push("define".to_owned());
        state.metrics.push((name, 0));
        // SAFETY: the SDK passes a pointer to its own local.
        unsafe { *id = u32::try_from(state.metrics.len()).expect("fits") };
    });
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_increment_metric(id: u32, offset: i64) -> u32 {
    STATE.with_borrow_mut(|state| {
        state.calls.push("increment".to_owned());
        match state.metrics.get_mut(id as usize - 1) {
            Some((_, value)) => {
                *value += offset;
                OK
            }
            None => NOT_FOUND,
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_record_metric(id: u32, value: u64) -> u32 {
    STATE.with_borrow_mut(|state| {
        state.calls.push("record".to_owned());
        match state.metrics.get_mut(id as usize - 1) {
            Some((_, metric)) => {
                *metric = i64::try_from(value).expect("fits");
                OK
            }
            None => NOT_FOUND,
        }
    })
}

/// Functions that the SDK links to and the filter does not call.
macro_rules! uncalled {
    ($($name:ident($($type:ty),*);)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name($(_: $type),*) -> u32 {
            eprintln!("the filter called {}, which this host does not have", stringify!($name));
            INTERNAL_FAILURE
        }
    )*};
}

type In = *const u8;
type Out = *mut *mut u8;
type Size = *mut usize;

uncalled! {
    proxy_get_log_level(*mut u32);
    proxy_set_buffer_bytes(u32, usize, usize, In, usize);
    proxy_set_header_map_pairs(u32, In, usize);
    proxy_register_shared_queue(In, usize, *mut u32);
    proxy_resolve_shared_queue(In, usize, In, usize, *mut u32);
    proxy_dequeue_shared_queue(u32, Out, Size);
    proxy_enqueue_shared_queue(u32, In, usize);
    proxy_continue_stream(u32);
    proxy_close_stream(u32);
    proxy_http_call(In, usize, In, usize, In, usize, In, usize, u32, *mut u32);
    proxy_grpc_call(In, usize, In, usize, In, usize, In, usize, In, usize, u32, *mut u32);
    proxy_grpc_stream(In, usize, In, usize, In, usize, In, usize, *mut u32);
    proxy_grpc_send(u32, In, usize, bool);
    proxy_grpc_cancel(u32);
    proxy_grpc_close(u32);
    proxy_get_status(*mut u32, Out, Size);
    proxy_set_effective_context(u32);
    proxy_call_foreign_function(In, usize, In, usize, Out, Size);
    proxy_done();
    proxy_get_metric(u32, *mut u64);
}
