// Which way the branches of a module mostly go, told to the proxy's compiler: code that typical traffic does not run
// through is put behind the rest, out of the way of requests. This is WebAssembly's branch hinting
// (https://github.com/WebAssembly/branch-hinting), which the V8 of Envoy 1.36 has; other hosts pass it over.

import binaryen from "binaryen";
import { send } from "./traffic.mjs";

// A branch that goes one way this often or more is hinted; one that is never come to is not.
const MOSTLY = 0.98;

// What an `if` in text has beside its condition.
const CLAUSES = new Set(["result", "then", "else"]);
const TOKEN = /"(?:[^"\\]|\\.)*"|;;.*|\(;[^]*?;\)|\(\s*[^\s()";]*|\)/g;

// The same module with hints, and how many of its branches have one.
export function hinted(module) {
  const text = module.emitText();
  const branches = found(text);
  const taken = counted(parsed(watched(text, branches), module), branches.length);
  const hints = branches.flatMap(({ start }, i) => {
    const { yes, no } = taken[i];
    const all = yes + no;
    const goes = all > 0 && Math.max(yes, no) >= MOSTLY * all;
    return goes ? [[start, `(@metadata.code.branch_hint "\\0${Number(yes > no)}") `]] : [];
  });
  return { module: parsed(inserted(text, hints), module), hints: hints.length, branches: branches.length };
}

// Where each `if` and `br_if` of a module in text begins, and where its condition stands.
function found(text) {
  const branches = [];
  const open = [];
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    if (token === ")") {
      const { name, start, inner } = open.pop();
      if (name === "if") {
        branches.push({ start, condition: inner.find(({ name }) => !CLAUSES.has(name)) });
      } else if (name === "br_if") {
        branches.push({ start, condition: inner.at(-1) });
      }
      open.at(-1)?.inner.push({ name, start, end: index + 1 });
    } else if (token.startsWith("(") && !token.startsWith("(;")) {
      open.push({ name: token.slice(1).trim(), start: index, inner: [] });
    }
  }
  return branches;
}

// The text, with a call at each branch that is told its number and what its condition came to.
function watched(text, branches) {
  const calls = branches.flatMap(({ condition: { start, end } }, i) => [
    [start, `(call $branch (i32.const ${i}) `],
    [end, ")"],
  ]);
  return inserted(text, calls).replace(
    "(import ",
    '(import "watch" "branch" (func $branch (param i32 i32) (result i32))) $&',
  );
}

function inserted(text, pieces) {
  let done = 0;
  const parts = pieces
    .sort(([a], [b]) => a - b)
    .map(([at, piece]) => {
      const before = text.slice(done, at);
      done = at;
      return before + piece;
    });
  return parts.join("") + text.slice(done);
}

// How often each branch went which way.
function counted(module, branches) {
  const taken = Array.from({ length: branches }, () => ({ yes: 0, no: 0 }));
  const compiled = new WebAssembly.Module(module.emitBinary());
  send(compiled, (i, condition) => taken[i][condition ? "yes" : "no"]++);
  return taken;
}

function parsed(text, like) {
  const module = binaryen.parseText(text);
  module.setFeatures(like.getFeatures());
  if (!module.validate()) {
    throw new Error("the module is not valid any more once its text was changed");
  }
  return module;
}
