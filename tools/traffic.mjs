// Typical traffic through a module, without a proxy: new clients that come again, testers, hosts of nobody's, with
// signed pins and without; and a workload. Time stands still and chance is the same in each run, so that what a module
// does is, too.

const NOW = 1_790_000_000n * 1_000_000_000n;
const KEY = "PINION_KEY=nobody needs to guess this one, it is in the sources\0";

const SHOP = {
  name: "shop",
  hosts: ["shop.example.com"],
  versions: [{ name: "v1", label: "1.0" }, { name: "v2", label: "2.0", weight: 10 }],
  stable: "v1",
  rules: [{ match: [{ headers: { "end-user": { exact: "tester" } } }], version: "v2" }],
};
const EDGES = [{ apps: [SHOP], keys: [{ id: "k1", env: "PINION_KEY" }] }, { apps: [SHOP] }];
const WORKLOAD = { stamp: { header: "x-app-version", from: { value: "v1" } }, mirror: {} };

const PSEUDO = [[":path", "/"], [":method", "GET"], [":scheme", "https"]];
const BROWSER = [
  ["user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"],
  ["accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
  ["accept-language", "en-GB,en;q=0.5"],
  ["accept-encoding", "gzip, deflate, br, zstd"],
  ["sec-fetch-dest", "document"],
  ["sec-fetch-mode", "navigate"],
  ["sec-fetch-site", "same-origin"],
  ["x-forwarded-proto", "https"],
  ["x-request-id", "7fd83ddf-6bd0-4b3c-a3c0-c2fdc1d4a4a5"],
];
const ANSWER = [
  [":status", "200"],
  ["content-type", "text/html"],
  ["server", "envoy"],
  ["x-envoy-upstream-service-time", "1"],
];

// What other software has left with every second client.
const OTHERS = Array.from({ length: 20 }, (_, i) => `_other_${i}=${"x".repeat(5 * i)}`);

// How many clients come, and how often each comes again: so many that half of them come to a worker that is busy, which
// then goes by its ticks' clock.
const CLIENTS = 400;
const AGAIN = 5;

// Sends the traffic through VMs of a compiled module. It may import a function `watch.branch` to tell of a branch and
// of its condition, which is handed on while requests are served.
export function send(module, branch) {
  for (const config of EDGES) {
    const edge = new Host(module, branch, config);
    for (let i = 0; i < CLIENTS; i++) {
      visit(edge, [`session=${i}`, ...(i % 2 === 0 ? [] : OTHERS)]);
    }
  }
  const workload = new Host(module, branch, WORKLOAD);
  for (let i = 0; i < CLIENTS; i++) {
    expect(workload.exchange(asked("shop.example.com")).response, "x-app-version");
  }
}

// A client with these cookies comes, and comes again with what it was given.
function visit(edge, cookies) {
  const come = (host, ...more) => edge.exchange([...asked(host), ["cookie", cookies.join("; ")], ...more]);
  const first = come("shop.example.com");
  cookies.push(expect(first.response, "set-cookie").split(";")[0]);
  const version = expect(first.request, "x-app-version");
  for (let i = 0; i < AGAIN; i++) {
    const { request, response } = come("shop.example.com");
    if (expect(request, "x-app-version") !== version || value(response, "set-cookie") !== undefined) {
      throw new Error(`a client of ${version} is not known again`);
    }
  }
  expect(come("shop.example.com", ["end-user", "tester"]).request, "x-app-version");
  come("other.example.com");
  come("other.example.com");
}

function asked(host) {
  return [[":authority", host], ...PSEUDO, ...BROWSER];
}

function value(lines, name) {
  return lines.find(([field]) => field === name)?.[1];
}

function expect(lines, name) {
  const found = value(lines, name);
  if (found === undefined) {
    throw new Error(`no ${name} in ${JSON.stringify(lines)}`);
  }
  return found;
}

// A VM with one root context, and as much of a Proxy-Wasm host as the traffic needs.
class Host {
  #exports;
  // By the ABI's number for request and response, the headers in hand while an exchange is served.
  #maps;
  #streams = 1;

  constructor(module, branch, config) {
    const plugin = new TextEncoder().encode(JSON.stringify(config));
    const env = {
      proxy_get_buffer_bytes: (_, start, size, to, sized) =>
        this.#give(plugin.subarray(start, start + size), to, sized),
      proxy_get_current_time_nanoseconds: (to) => this.#view().setBigUint64(to, NOW, true),
      proxy_get_header_map_pairs: (map, to, sized) => this.#give(serialized(this.#maps[map]), to, sized),
      proxy_add_header_map_value: (map, name, nameSize, value, valueSize) => {
        this.#maps[map].push([this.#text(name, nameSize), this.#text(value, valueSize)]);
      },
      proxy_get_property: () => NOT_FOUND,
      proxy_get_shared_data: () => NOT_FOUND,
    };
    const wasi = {
      environ_sizes_get: (count, size) => {
        this.#view().setUint32(count, 1, true);
        this.#view().setUint32(size, KEY.length, true);
      },
      environ_get: (list, to) => {
        this.#view().setUint32(list, to, true);
        this.#bytes().set(new TextEncoder().encode(KEY), to);
      },
      random_get: (to, size) => {
        const room = this.#bytes().subarray(to, to + size);
        room.forEach((_, i) => (room[i] = (i * 151) ^ (i >> 3)));
      },
    };
    const watch = {
      branch: (i, condition) => {
        if (this.#maps !== undefined) {
          branch(i, condition);
        }
        return condition;
      },
    };
    const imports = { env: whole(env), wasi_snapshot_preview1: whole(wasi), watch };
    this.#exports = new WebAssembly.Instance(module, imports).exports;
    this.#exports._initialize();
    this.#exports.proxy_on_context_create(1, 0);
    this.#exports.proxy_on_vm_start(1, 0);
    if (!this.#exports.proxy_on_configure(1, plugin.length)) {
      throw new Error(`refused: ${JSON.stringify(config)}`);
    }
  }

  // A request and its response, with what was added to each.
  exchange(request) {
    const response = [...ANSWER];
    const stream = ++this.#streams;
    this.#maps = { 0: request, 2: response };
    this.#exports.proxy_on_context_create(stream, 1);
    this.#exports.proxy_on_request_headers(stream, request.length, 1);
    this.#exports.proxy_on_response_headers(stream, response.length, 1);
    this.#exports.proxy_on_delete?.(stream);
    this.#maps = undefined;
    return { request, response };
  }

  #view() {
    return new DataView(this.#exports.memory.buffer);
  }

  #bytes() {
    return new Uint8Array(this.#exports.memory.buffer);
  }

  #text(start, size) {
    return new TextDecoder().decode(this.#bytes().subarray(start, start + size));
  }

  #give(bytes, to, sized) {
    const place = this.#exports.proxy_on_memory_allocate(bytes.length);
    this.#bytes().set(bytes, place);
    this.#view().setUint32(to, place, true);
    this.#view().setUint32(sized, bytes.length, true);
  }
}

const OK = 0;
const NOT_FOUND = 1;

// The calls, of which all that are not here do nothing, and each that says nothing else went well.
function whole(calls) {
  return new Proxy(calls, { get: (_, name) => (...values) => calls[name]?.(...values) ?? OK });
}

// Proxy-Wasm's form of a header map: how many, the sizes of each name and value, then each with a NUL behind it.
function serialized(lines) {
  const texts = lines.flat();
  const sizes = new Uint32Array([lines.length, ...texts.map((text) => text.length)]);
  return Buffer.concat([Buffer.from(sizes.buffer), Buffer.from(texts.map((text) => `${text}\0`).join(""))]);
}
