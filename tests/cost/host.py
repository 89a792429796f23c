"""A Proxy-Wasm host for one module, without a proxy. It records all host calls and the instructions between them."""

from __future__ import annotations

import dataclasses
import functools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wasmtime import Caller, Config, Engine, Func, FuncType, Instance, Linker, Memory, Module, Store, ValType

Lines = list[tuple[str, str]]

OK, NOT_FOUND, CAS_MISMATCH = 0, 1, 8
FUEL = 1 << 62
SEED = 0x9E37_79B9_7F4A_7C15


@dataclasses.dataclass(frozen=True)
class Call:
    """A host call, such as `replace 0 x-app-version v1`, and the instructions since the previous call."""

    words: tuple[str, ...]
    instructions: int


@dataclasses.dataclass
class Exchange:
    """The cost of a request and its response, and both as the module left them."""

    calls: list[Call]
    instructions: int
    request: Lines
    response: Lines


class Host:
    """One VM with one root context. Time stands still, and the random numbers are the same in each run."""

    def __init__(self, module: Path, config: str, environment: dict[str, str], now: int):
        engine, compiled = _compiled(module)
        self.store = Store(engine)
        self.store.set_fuel(FUEL)
        self.mark = FUEL
        self.now = now
        self.seed = SEED
        self.config = config.encode()
        self.environment = [f"{name}={value}\0".encode() for name, value in environment.items()]
        self.maps: dict[int, Lines] = {}
        self.properties: dict[str, bytes] = {"plugin_root_id": b""}
        self.metrics: dict[str, int] = {}
        self.shared: dict[bytes, tuple[bytes, int]] = {}
        self.calls: list[Call] = []
        self.logs: list[str] = []
        linker = Linker(engine)
        self._link(linker, compiled)
        self.instance: Instance = linker.instantiate(self.store, compiled)
        exports = self.instance.exports(self.store)
        self.exports: dict[str, Any] = {name: exports[name] for name in exports}
        self.memory: Memory = self.exports["memory"]
        self.enter("_initialize")
        self.enter("proxy_on_context_create", 1, 0)
        self.enter("proxy_on_vm_start", 1, 0)
        before = self.store.get_fuel()
        if not self.enter("proxy_on_configure", 1, len(self.config)):
            raise ValueError(f"the configuration is refused: {self.logs}")
        self.configuring = before - self.store.get_fuel()
        self.streams = 1

    def enter(self, name: str, *values: int) -> Any:
        """Calls an export if the module has it."""
        export = self.exports.get(name)
        return export(self.store, *values) if export else None

    def exchange(self, request: Lines, response: Lines, code_details: str = "via_upstream") -> Exchange:
        """One request and its response in a new stream, with the callbacks in a proxy's order."""
        self.streams += 1
        stream = self.streams
        self.maps = {0: list(request)}
        self.properties.pop("response.code_details", None)
        self.calls = []
        self.mark = begun = self.store.get_fuel()
        self.enter("proxy_on_context_create", stream, 1)
        self.enter("proxy_on_request_headers", stream, len(request), 1)
        seen = self.maps.pop(0)
        self.maps = {2: list(response)}
        self.properties["response.code_details"] = code_details.encode()
        self._record("(response)")
        self.enter("proxy_on_response_headers", stream, len(response), 1)
        for name in ("proxy_on_done", "proxy_on_log", "proxy_on_delete"):
            self.enter(name, stream)
        self._record("(end)")
        return Exchange(self.calls, begun - self.store.get_fuel(), seen, self.maps.pop(2))

    def _record(self, *words: str) -> None:
        left = self.store.get_fuel()
        self.calls.append(Call(words, self.mark - left))
        self.mark = left

    # Memory.

    def _read(self, caller: Caller, start: int, size: int) -> bytes:
        return bytes(self.memory.read(caller, start, start + size))

    def _text(self, caller: Caller, start: int, size: int) -> str:
        return self._read(caller, start, size).decode("latin-1")

    def _set(self, caller: Caller, at: int, value: int, form: str = "<I") -> None:
        self.memory.write(caller, struct.pack(form, value), at)

    def _give(self, caller: Caller, data: bytes, to: int, size: int) -> int:
        """Copies data to memory that the module allocates, as the ABI requires."""
        place = self.exports["proxy_on_memory_allocate"](caller, len(data)) if data else 0
        self.memory.write(caller, data, place)
        self._set(caller, to, place)
        self._set(caller, size, len(data))
        return OK

    # The host calls. Each handler records the call first.

    def _link(self, linker: Linker, module: Module) -> None:
        for each in module.imports:
            assert isinstance(each.type, FuncType)
            handler = getattr(self, f"_{each.name.removeprefix('proxy_')}", None) or self._unknown(each.name)
            linker.define(self.store, each.module, each.name, self._func(each.type, handler))

    def _func(self, kind: FuncType, handler: Callable) -> Func:
        fresh = FuncType([_copy(of) for of in kind.params], [_copy(of) for of in kind.results])
        return Func(self.store, fresh, handler, access_caller=True)

    @staticmethod
    def _unknown(name: str) -> Callable:
        def refuse(*_: Any) -> int:
            raise NotImplementedError(f"the module calls {name}, which this host does not have")

        return refuse

    def _log(self, caller: Caller, _level: int, at: int, size: int) -> int:
        self.logs.append(self._text(caller, at, size))
        return OK

    def _get_header_map_pairs(self, caller: Caller, which: int, to: int, size: int) -> int:
        self._record("map", str(which))
        lines = [(name.encode(), value.encode("latin-1")) for name, value in self.maps[which]]
        sizes = b"".join(struct.pack("<II", len(name), len(value)) for name, value in lines)
        texts = b"".join(name + b"\0" + value + b"\0" for name, value in lines)
        return self._give(caller, struct.pack("<I", len(lines)) + sizes + texts, to, size)

    def _get_header_map_value(self, caller: Caller, which: int, at: int, length: int, to: int, size: int) -> int:
        name = self._text(caller, at, length)
        self._record("header", str(which), name)
        found = [value for field, value in self.maps[which] if field == name]
        return self._give(caller, found[0].encode("latin-1"), to, size) if found else NOT_FOUND

    def _replace_header_map_value(self, caller: Caller, which: int, *value: int) -> int:
        name, text = self._pair(caller, *value)
        self._record("replace", str(which), name, text)
        self.maps[which] = [line for line in self.maps[which] if line[0] != name] + [(name, text)]
        return OK

    def _add_header_map_value(self, caller: Caller, which: int, *value: int) -> int:
        name, text = self._pair(caller, *value)
        self._record("add", str(which), name, text)
        self.maps[which].append((name, text))
        return OK

    def _remove_header_map_value(self, caller: Caller, which: int, at: int, length: int) -> int:
        name = self._text(caller, at, length)
        self._record("remove", str(which), name)
        self.maps[which] = [line for line in self.maps[which] if line[0] != name]
        return OK

    def _pair(self, caller: Caller, at: int, length: int, value: int, size: int) -> tuple[str, str]:
        return self._text(caller, at, length), self._text(caller, value, size)

    def _get_property(self, caller: Caller, at: int, length: int, to: int, size: int) -> int:
        parts = self._text(caller, at, length).split("\0")
        self._record("property", *parts)
        found = self.properties.get(".".join(parts))
        return NOT_FOUND if found is None else self._give(caller, found, to, size)

    def _set_property(self, caller: Caller, *value: int) -> int:
        self._record("set_property", *self._pair(caller, *value))
        return OK

    def _get_buffer_bytes(self, caller: Caller, _kind: int, start: int, length: int, to: int, size: int) -> int:
        return self._give(caller, self.config[start : start + length], to, size)

    def _get_current_time_nanoseconds(self, caller: Caller, to: int) -> int:
        self._record("time")
        self._set(caller, to, self.now * 1_000_000_000, "<Q")
        return OK

    def _set_tick_period_milliseconds(self, _caller: Caller, _period: int) -> int:
        return OK

    def _define_metric(self, caller: Caller, _kind: int, at: int, length: int, to: int) -> int:
        name = self._text(caller, at, length)
        self._record("define", name)
        self._set(caller, to, self.metrics.setdefault(name, len(self.metrics)))
        return OK

    def _increment_metric(self, caller: Caller, _id: int, _by: int) -> int:
        self._record("increment")
        return OK

    def _record_metric(self, caller: Caller, _id: int, _value: int) -> int:
        self._record("record")
        return OK

    def _get_shared_data(self, caller: Caller, at: int, length: int, to: int, size: int, mark: int) -> int:
        key = self._read(caller, at, length)
        self._record("get_shared_data", key.decode("latin-1"))
        if key not in self.shared:
            return NOT_FOUND
        value, number = self.shared[key]
        self._set(caller, mark, number)
        return self._give(caller, value, to, size)

    def _set_shared_data(self, caller: Caller, at: int, length: int, value: int, size: int, mark: int) -> int:
        key = self._read(caller, at, length)
        self._record("set_shared_data", key.decode("latin-1"))
        number = self.shared.get(key, (b"", 0))[1]
        if mark not in (0, number):
            return CAS_MISMATCH
        self.shared[key] = (self._read(caller, value, size), number + 1)
        return OK

    # WASI.

    def _random_get(self, caller: Caller, to: int, size: int) -> int:
        self._record("random")
        self.seed = self.seed * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407 & (1 << 64) - 1
        self.memory.write(caller, (self.seed.to_bytes(8, "little") * (size // 8 + 1))[:size], to)
        return 0

    def _environ_sizes_get(self, caller: Caller, count: int, size: int) -> int:
        self._set(caller, count, len(self.environment))
        self._set(caller, size, sum(map(len, self.environment)))
        return 0

    def _environ_get(self, caller: Caller, pointers: int, texts: int) -> int:
        for i, text in enumerate(self.environment):
            self._set(caller, pointers + 4 * i, texts)
            self.memory.write(caller, text, texts)
            texts += len(text)
        return 0


@functools.cache
def _compiled(module: Path) -> tuple[Engine, Module]:
    options = Config()
    options.consume_fuel = True
    engine = Engine(options)
    return engine, Module(engine, module.read_bytes())


def _copy(kind: ValType) -> ValType:
    return {"i32": ValType.i32, "i64": ValType.i64}[str(kind)]()
