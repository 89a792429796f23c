//! Makes the host calls that the configuration lists, and nothing else. So it costs what another filter costs without
//! that filter's logic.
//!
//! Each line of the configuration is a call and its arguments, separated by tabs. The calls of the response follow the
//! line `(response)`.

use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, MapType, MetricType};

proxy_wasm::main! {{ proxy_wasm::set_root_context(|_| Box::new(Root(Rc::default()))); }}

enum Call {
    Map(MapType),
    Header(MapType, String),
    Replace(MapType, String, String),
    Add(MapType, String, String),
    Remove(MapType, String),
    Property(Vec<String>),
    SetProperty(String, String),
    Time,
    Random,
    Increment(u32),
}

#[derive(Default)]
struct Calls {
    request: Vec<Call>,
    response: Vec<Call>,
}

struct Root(Rc<Calls>);

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        let text = self.get_plugin_configuration().unwrap_or_default();
        let calls = String::from_utf8(text).ok().and_then(|text| parse(&text));
        calls.map(|calls| self.0 = Rc::new(calls)).is_some()
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream(self.0.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Stream(Rc<Calls>);

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        self.0.request.iter().for_each(make);
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.0.response.iter().for_each(make);
        Action::Continue
    }
}

fn parse(text: &str) -> Option<Calls> {
    let counter = hostcalls::define_metric(MetricType::Counter, "replay_requests_total").ok()?;
    let (request, response) = text.split_once("(response)\n")?;
    let all = |text: &str| {
        text.lines()
            .map(|line| call(line, counter))
            .collect::<Option<_>>()
    };
    Some(Calls {
        request: all(request)?,
        response: all(response)?,
    })
}

fn call(line: &str, counter: u32) -> Option<Call> {
    let words: Vec<_> = line.split('\t').collect();
    let owned = |word: &str| word.to_owned();
    Some(match *words.as_slice() {
        ["map", map] => Call::Map(kind(map)?),
        ["header", map, name] => Call::Header(kind(map)?, owned(name)),
        ["replace", map, name, value] => Call::Replace(kind(map)?, owned(name), owned(value)),
        ["add", map, name, value] => Call::Add(kind(map)?, owned(name), owned(value)),
        ["remove", map, name] => Call::Remove(kind(map)?, owned(name)),
        ["property", ref path @ ..] => Call::Property(path.iter().map(|part| owned(part)).collect()),
        ["set_property", name, value] => Call::SetProperty(owned(name), owned(value)),
        ["time"] => Call::Time,
        ["random"] => Call::Random,
        ["increment"] => Call::Increment(counter),
        _ => return None,
    })
}

fn kind(map: &str) -> Option<MapType> {
    match map {
        "0" => Some(MapType::HttpRequestHeaders),
        "2" => Some(MapType::HttpResponseHeaders),
        _ => None,
    }
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_pairs(map: MapType, data: *mut *mut u8, size: *mut usize) -> u32;
}

/// Reads all headers as the filter does, without the SDK's copies.
fn read_all(map: MapType) {
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: both pointers are valid for writes of their types. The host allocated the block with this module's
    // allocator and this size, and hands over its ownership.
    unsafe {
        proxy_get_header_map_pairs(map, &mut data, &mut size);
        if !data.is_null() {
            std::hint::black_box(Vec::from_raw_parts(data, size, size));
        }
    }
}

/// Makes a call and ignores the host's answer.
fn make(call: &Call) {
    match call {
        Call::Map(map) => read_all(*map),
        Call::Header(map, name) => {
            let _ = hostcalls::get_map_value_bytes(*map, name);
        }
        Call::Replace(map, name, value) => {
            let _ = hostcalls::set_map_value_bytes(*map, name, Some(value.as_bytes()));
        }
        Call::Add(map, name, value) => {
            let _ = hostcalls::add_map_value_bytes(*map, name, value.as_bytes());
        }
        Call::Remove(map, name) => {
            let _ = hostcalls::remove_map_value(*map, name);
        }
        Call::Property(path) => {
            let _ = hostcalls::get_property(path.iter().map(String::as_str).collect());
        }
        Call::SetProperty(name, value) => {
            let _ = hostcalls::set_property(vec![name], Some(value.as_bytes()));
        }
        Call::Time => {
            let _ = hostcalls::get_current_time();
        }
        Call::Random => {
            let _ = getrandom::u64();
        }
        Call::Increment(counter) => {
            let _ = hostcalls::increment_metric(*counter, 1);
        }
    }
}
