#!/usr/bin/env bash
# Shows that each fuzz target finds a planted bug within a minute.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/.tools
corpora=$PWD/fuzz/corpus
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
missed=0
for patch in fuzz/planted/*.patch; do
    target=$(basename "$patch" .patch)
    rm -rf "$scratch/tree" "$scratch/found" && mkdir -p "$scratch/tree" "$scratch/found"
    git ls-files -z -- ':!fuzz/corpus' | xargs -0 cp --parents -t "$scratch/tree"
    git -C "$scratch/tree" apply --unsafe-paths --directory="$scratch/tree" "$PWD/$patch"
    (
        cd "$scratch/tree/fuzz"
        export CARGO_TARGET_DIR=$tools/planted
        "$tools/bin/cargo-fuzz" build --sanitizer none "$target" 2>"$scratch/log" || { cat "$scratch/log" >&2; exit 1; }
        mkdir "$scratch/found/new"
        "$tools/bin/cargo-fuzz" run --sanitizer none "$target" "$scratch/found/new" "$corpora/$target" -- \
            -max_total_time=60 -artifact_prefix="$scratch/found/" >"$scratch/log" 2>&1 || true
    )
    if grep -q 'panicked at' "$scratch/log" && compgen -G "$scratch/found/crash-*" >/dev/null; then
        echo "$target: found: $(grep -m1 -A1 'panicked at' "$scratch/log" | tr '\n' ' ')"
    else
        echo "$target: not found" >&2
        missed=1
    fi
done
exit $missed
