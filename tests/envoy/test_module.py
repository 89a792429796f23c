"""The shipped module, and the test vectors of the documented code."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness.envoy import MODULE, ROOT

EXPORTS = [
    "_initialize",
    "memory",
    "proxy_abi_version_0_2_1",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_memory_allocate",
    "proxy_on_request_headers",
    "proxy_on_response_headers",
    "proxy_on_tick",
    "proxy_on_vm_start",
]


def of_module(expression: str) -> Any:
    """The value of a JavaScript expression over the compiled `module`."""
    script = f"""
        const module = new WebAssembly.Module(require("fs").readFileSync(process.argv[1]));
        console.log(JSON.stringify({expression}));
    """
    said = subprocess.run(["node", "-e", script, str(MODULE)], capture_output=True, text=True, check=True)
    return json.loads(said.stdout)


def test_the_module_exports_only_what_it_needs():
    assert of_module("WebAssembly.Module.exports(module).map((e) => e.name).sort()") == EXPORTS


def test_the_module_contains_no_path_of_the_machine_that_built_it():
    module = MODULE.read_bytes()
    for path in (Path.home(), ROOT):
        assert f"{path}/".encode() not in module, path


def test_the_module_is_within_its_size_budget():
    assert MODULE.stat().st_size <= 512 * 1024


def test_the_documented_code_generates_the_vectors(tmp_path):
    script = ROOT / "tests" / "vectors" / "generate.py"
    subprocess.run([sys.executable, script, tmp_path], check=True)
    written = {path.name: path.read_text() for path in tmp_path.glob("*.json")}
    assert len(written) == 4
    assert written == {path.name: path.read_text() for path in script.parent.glob("*.json")}
