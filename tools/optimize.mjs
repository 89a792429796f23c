// Makes the module that is shipped of the one that the compiler left: optimized, and without the exports that the filter
// does not need. A proxy enters the VM for each callback that is exported, whether the filter uses it or not.
//
//   node tools/optimize.mjs IN OUT [--without EXPORT]
//
// --without removes one export more, to show what that export is for.

import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import binaryen from "binaryen";

// proxy_on_delete is needed, or the module would keep every stream.
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

const options = { without: { type: "string" } };
const { values, positionals } = parseArgs({ allowPositionals: true, options });
const [from, to] = positionals;
if (values.without !== undefined && !KEPT.delete(values.without)) {
  console.error(`${values.without} is not among the exports that are kept`);
  process.exit(1);
}
const before = readFileSync(from);
const module = binaryen.readBinary(before);
const names = Array.from({ length: module.getNumExports() }, (_, i) =>
  binaryen.getExportInfo(module.getExportByIndex(i)).name,
);
const missing = [...KEPT].filter((name) => !names.includes(name));
if (missing.length > 0) {
  console.error(`${from} has no export ${missing.join(", ")}`);
  process.exit(1);
}
names.filter((name) => !KEPT.has(name)).forEach((name) => module.removeExport(name));
binaryen.setOptimizeLevel(3);
binaryen.setShrinkLevel(2);
// Cold paths stay functions of their own, although each has one caller: docs/performance.md has the measurement.
binaryen.setOneCallerInlineMaxSize(20);
module.optimize();
if (!module.validate()) {
  process.exit(1);
}
const after = module.emitBinary();
writeFileSync(to, after);
const kib = (bytes) => `${Math.ceil(bytes.length / 1024)} KiB`;
console.log(`${to}: ${kib(after)} (${kib(before)} before), ${KEPT.size} of ${names.length} exports`);
