// Makes the module that is shipped of the one that the compiler left: optimised, without the exports that it never
// needs, for a proxy enters the VM for each one that is there, used or not; with our own pinion_on_X as proxy_on_X in
// place of the SDK's, which can't be left out before; and with hints at its branches.
//
//   node tools/optimize.mjs IN OUT [--plain] [--without EXPORT]
//
// One that is plain has no hints. One export more is left out to see what it is there for.

import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import binaryen from "binaryen";
import { hinted } from "./hints.mjs";

// Without proxy_on_delete every stream would be kept for good.
const KEPT = new Set([
  "memory",
  "_initialize",
  "proxy_abi_version_0_2_1",
  "proxy_on_memory_allocate",
  "proxy_on_vm_start",
  "proxy_on_configure",
  "proxy_on_context_create",
  "proxy_on_request_headers",
  "proxy_on_response_headers",
  "proxy_on_tick",
  "proxy_on_delete",
]);

const options = { plain: { type: "boolean" }, without: { type: "string" } };
const { values, positionals } = parseArgs({ allowPositionals: true, options });
const [from, to] = positionals;
if (values.without !== undefined && !KEPT.delete(values.without)) {
  console.error(`${values.without} is left out anyway`);
  process.exit(1);
}
const before = readFileSync(from);
const module = binaryen.readBinary(before);
const found = Array.from({ length: module.getNumExports() }, (_, i) =>
  binaryen.getExportInfo(module.getExportByIndex(i)),
);
const names = found.map(({ name }) => name);
const missing = [...KEPT].filter((name) => !names.includes(name));
if (missing.length > 0) {
  console.error(`${from} has no export ${missing.join(", ")}`);
  process.exit(1);
}
for (const { name, value } of found.filter(({ name }) => name.startsWith("pinion_on_"))) {
  const taken = name.replace("pinion", "proxy");
  module.removeExport(taken);
  module.addFunctionExport(value, taken);
}
names.filter((name) => !KEPT.has(name)).forEach((name) => module.removeExport(name));
binaryen.setOptimizeLevel(3);
binaryen.setShrinkLevel(2);
// What the sources keep out of a request's way has one caller, and would be inlined into it.
binaryen.setOneCallerInlineMaxSize(20);
module.optimize();
if (!module.validate()) {
  process.exit(1);
}
const shipped = values.plain ? { module, hints: 0 } : hinted(module);
const after = shipped.module.emitBinary();
const kept = binaryen.readBinary(after).emitText().split("@metadata.code.branch_hint").length - 1;
if (kept !== shipped.hints || (kept === 0 && !values.plain)) {
  console.error(`of ${shipped.hints} hints ${kept} are in the module`);
  process.exit(1);
}
writeFileSync(to, after);
const kib = (bytes) => `${Math.ceil(bytes.length / 1024)} KiB`;
console.log(
  `${to}: ${kib(after)} (${kib(before)} before), ${KEPT.size} of ${names.length} exports, ` +
    (values.plain ? "no hints" : `hints at ${shipped.hints} of ${shipped.branches} branches`),
);
