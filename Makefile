# `make demo` shows what pinion does on a real Envoy. `make test` runs all tests.
# Both need Rust, Python, Node and make, and install all else: under .tools/, under tools/node_modules, and two wasm
# targets of rustup.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The same version as the wasm-bindgen crate in Cargo.lock.
WASM_BINDGEN := 0.2.126
PYTHON := .tools/venv/bin/python
SOURCES := $(shell find src module/src -name '*.rs') Cargo.toml Cargo.lock module/Cargo.toml
RUNNER := .tools/bin/wasm-bindgen-test-runner
# Without Go the test that uses func-e is skipped, and says so.
FUNC_E := $(if $(shell command -v go),.tools/bin/func-e)
# The release that tests/istio/go.mod requires.
ISTIO := 1.29.2
ISTIO_TOOLS := $(addprefix .tools/bin/,pilot-discovery istioctl kustomize wasm-fetch promql-check promtool)

.PHONY: help
help: ## Show this
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

.PHONY: demo
demo: welcome dist/pinion.wasm $(PYTHON) ## Run every scenario on a real Envoy and show what happened
	@PYTHONPATH=tests $(PYTHON) -m demo

.PHONY: welcome
welcome:
	@[[ -f dist/pinion.wasm ]] || echo "The first run builds pinion's module and installs an Envoy, which takes a minute or two."

.PHONY: run
run: dist/pinion.wasm $(PYTHON) ## Serve the scenarios on local ports, and print curl commands to try
	@PYTHONPATH=tests $(PYTHON) -m demo --serve

.PHONY: test
test: test-native test-wasm32 test-fuzz test-cost test-envoy ## Run all tests except those under Istio and in browsers
	@echo "make test: everything passed"

.PHONY: test-native
test-native: ## Run the tests that need only Rust
	cargo test --workspace --exclude pinion-module

.PHONY: test-wasm32
test-wasm32: $(RUNNER) .tools/targets ## Run the core's tests as wasm32, in Node
	CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=$(abspath $(RUNNER)) \
		cargo test --no-default-features --target wasm32-unknown-unknown --lib --test core

.PHONY: test-envoy
test-envoy: dist/pinion.wasm .tools/pinion-panics.wasm $(PYTHON) $(FUNC_E) ## Run the tests on the oldest and the newest Envoy
	$(PYTHON) -m pytest

.PHONY: test-cost
test-cost: dist/pinion.wasm $(PYTHON) ## Compare host calls and instructions of a request with the budget
	$(PYTHON) -m pytest tests/cost

.PHONY: budget
budget: dist/pinion.wasm $(PYTHON) ## Write the present costs of the module as the budget of test-cost
	@PYTHONPATH=tests $(PYTHON) -m cost --write

# Takes ten minutes on two cores; MILLIONS=0.5 is enough for a trial. Cargo and a C compiler build the load generator first.
MILLIONS ?= 5

.PHONY: soak
soak: dist/pinion.wasm .tools/pinion-leaks.wasm .tools/bin/oha $(PYTHON) ## Send MILLIONS (5) of requests, and check that memory does not grow
	MILLIONS=$(MILLIONS) $(PYTHON) -m pytest -s tests/soak

# Takes some minutes on two cores. A native test simulates a small fleet and checks the same promises.
.PHONY: fleet
fleet: ## Simulate a ramp and an ejection with a thousand proxies and a million clients; print tables and draw pictures
	cargo run --release --package pinion-fleet -- --out docs/images

.PHONY: test-istio
test-istio: dist/pinion.wasm $(PYTHON) $(ISTIO_TOOLS) ## Run the Istio manifests under the real istiod, with traffic; needs Go
	$(PYTHON) -m pytest tests/istio

# Under four minutes on two cores, once all is installed and built.
.PHONY: test-browser
test-browser: dist/pinion.wasm .tools/venv/browser .tools/next/built ## Run the tests with Chromium and Firefox; as root on Debian it installs them
	@tests/browser/install.sh
	$(PYTHON) -m pytest tests/browser

# Takes twelve minutes on two cores. ROUNDS=1 is enough for a trial, whose results go to .run/bench.
ROUNDS ?=
RIVALS := $(addprefix .tools/bench/,nothing.wasm floor.wasm)

.PHONY: bench
bench: dist/pinion.wasm $(RIVALS) .tools/venv/bench ## Measure the CPU time of a request, and write docs/performance.md
	@ROUNDS=$(ROUNDS) PYTHONPATH=tests:tools $(PYTHON) -m bench

# Takes seven minutes. The first run also builds Prometheus.
.PHONY: dashboard
dashboard: dist/pinion.wasm $(PYTHON) $(ISTIO_TOOLS) .tools/bin/prometheus .tools/venv/bench ## Run a rollout under a real Prometheus, and draw the dashboard; needs Go
	@PYTHONPATH=tests:tools $(PYTHON) -m dashboard

FUZZ_TARGETS := config cookies seals overrides scopes exchange
# No sanitizer, as it would need the nightly toolchain and find little: one host call is the filter's only unsafe code.
FUZZ = cd fuzz && $(abspath .tools/bin/cargo-fuzz) run --sanitizer none
# Fuzzing adds new inputs here. `make fuzz-corpora` takes the best of them into fuzz/corpus.
FUZZ_INPUTS := $(abspath .tools/fuzz)

.PHONY: test-fuzz
test-fuzz: .tools/bin/cargo-fuzz ## Run each fuzz target some thousand times, from its corpus
	cargo fetch --quiet --locked --manifest-path fuzz/Cargo.toml
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p $(FUZZ_INPUTS)/$$target && log=$(FUZZ_INPUTS)/$$target.log && \
		($(FUZZ) $$target $(FUZZ_INPUTS)/$$target corpus/$$target -- -runs=20000) >$$log 2>&1 \
			|| { tail -50 $$log >&2; echo "the fuzz target $$target failed" >&2; exit 1; }; \
		echo "fuzz target $$target: $$(grep -o 'Done .* runs' $$log)"; \
	done

SECONDS_EACH ?= 60

.PHONY: fuzz
fuzz: .tools/bin/cargo-fuzz ## Fuzz each target for SECONDS_EACH (60); failing inputs go to fuzz/artifacts
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p $(FUZZ_INPUTS)/$$target && \
		($(FUZZ) $$target $(FUZZ_INPUTS)/$$target corpus/$$target -- -max_total_time=$(SECONDS_EACH) -print_final_stats=1) \
			|| exit 1; \
	done

# The corpora hold at most 300 inputs of at most 1 KiB. libFuzzer chooses the inputs for the edges of the code that they
# reach, and writes them in the order in which it chose them, so that the cap drops those that add least.
.PHONY: fuzz-corpora
fuzz-corpora: .tools/bin/cargo-fuzz ## Reduce the corpora and all that fuzzing found to few small inputs
	@kept=$(FUZZ_INPUTS)/kept; for target in $(FUZZ_TARGETS); do \
		case $$target in config|exchange) most=90 ;; *) most=30 ;; esac; \
		rm -rf $$kept && mkdir -p $$kept $(FUZZ_INPUTS)/$$target && \
		($(FUZZ) $$target $$kept corpus/$$target $(FUZZ_INPUTS)/$$target -- \
			-set_cover_merge=1 -use_counters=0 -max_len=1024 -verbosity=0) && \
		(cd $$kept && ls -t | head -n -$$most | xargs -r rm --) && \
		rm -rf fuzz/corpus/$$target && mv $$kept fuzz/corpus/$$target || exit 1; \
		echo "fuzz target $$target: $$(ls fuzz/corpus/$$target | wc -l) inputs"; \
	done

.PHONY: fuzz-planted
fuzz-planted: .tools/bin/cargo-fuzz ## Show that each target finds a bug of its kind within a minute
	@fuzz/planted.sh

.PHONY: check
check: .tools/targets .tools/bin/cargo-deny ## Check formatting, lints, documentation, licenses, and that the planted bugs apply
	cargo fmt --all --check
	cargo clippy --workspace --exclude pinion-module --all-targets -- -D warnings
	cargo clippy --no-default-features --target wasm32-unknown-unknown -- -D warnings
	cargo clippy --package pinion-module --target wasm32-wasip1 -- -D warnings
	cargo fmt --all --check --manifest-path tools/bench/filters/Cargo.toml
	CARGO_TARGET_DIR=target/bench cargo clippy --locked --quiet --target wasm32-wasip1 \
		--manifest-path tools/bench/filters/Cargo.toml -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --exclude pinion-module --no-deps --quiet
	@for bug in fuzz/planted/*.patch; do git apply --check $$bug || exit 1; done
	@for lock in $$(git ls-files '*Cargo.lock'); do \
		.tools/bin/cargo-deny --log-level error --locked --workspace --manifest-path $${lock%.lock}.toml \
			check licenses bans sources || exit 1; \
	done

.PHONY: pinionctl
pinionctl: ## Build the command: target/release/pinionctl
	cargo build --release --package pinionctl

.PHONY: wasm
wasm: dist/pinion.wasm ## Build the module: dist/pinion.wasm

dist/pinion.wasm .tools/pinion-leaks.wasm: FEATURES :=
# For tests only: the module panics when a request asks for it.
.tools/pinion-panics.wasm: FEATURES := --features panic-on-demand
dist/pinion.wasm .tools/pinion-panics.wasm: WITHOUT :=
# For the soak test only: the module never frees a stream.
.tools/pinion-leaks.wasm: WITHOUT := --without proxy_on_delete

MODULES := dist/pinion.wasm .tools/pinion-panics.wasm .tools/pinion-leaks.wasm

# Paths of the machine are removed from the module, so that the same sources give the same checksum. All Wasm runtimes of
# Envoy support SIMD; cookies and signatures are read with it.
$(MODULES): $(SOURCES) Makefile $(wildcard tools/*.mjs) tools/node_modules .tools/targets
	cargo fetch --quiet --locked
	RUSTFLAGS="$$(printf -- '--remap-path-prefix=%s= ' "$${CARGO_HOME:-$$HOME/.cargo}"/registry/src/*)-C target-feature=+simd128" \
		cargo build --release --package pinion-module --target wasm32-wasip1 $(FEATURES)
	@mkdir -p dist
	node tools/optimize.mjs target/wasm32-wasip1/release/pinion_module.wasm $@ $(WITHOUT)

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)

.PHONY: image
image: dist/image.tar ## Build an OCI image of the module, dist/image.tar, and load it with docker, podman or buildah
	@tools/load-image.sh $<

dist/image.tar: dist/pinion.wasm tools/image.py
	@sum=$$(python3 tools/image.py dist/pinion.wasm $(VERSION) $@); echo "$@: version $(VERSION), digest $$sum"

.PHONY: manifests
manifests: dist/pinion.wasm ## Write Istio manifests for the module at URL, with its checksum, to dist/wasmplugin
	@[[ -n "$${URL:-}" ]] || { echo "give the module's URL: make manifests URL=https://…/pinion.wasm" >&2; exit 1; }
	@[[ "$$URL" != oci://* || -n "$${SHA256:-}" ]] || { echo "an image needs its digest: give SHA256=" >&2; exit 1; }
	@rm -rf dist/wasmplugin && cp -R wasmplugin dist/wasmplugin && rm dist/wasmplugin/README.md
	@sum=$${SHA256:-$$(sha256sum dist/pinion.wasm | cut -d' ' -f1)}; \
		find dist/wasmplugin -name '*.yaml' -exec sed -i "s|PINION_URL|$$URL|; s|PINION_SHA256|$$sum|" {} +; \
		echo "dist/wasmplugin: module $$URL, checksum $$sum"

.PHONY: clean
clean: ## Remove all build results, but not .tools
	cargo clean
	rm -rf dist tools/node_modules

# Tools that the targets above need.

.tools/bin/oha:
	@command -v cc >/dev/null || { echo "a C compiler is missing: oha needs one" >&2; exit 1; }
	cargo install oha --version 1.16.0 --locked --root .tools --quiet

.tools/bin/cargo-fuzz:
	@command -v c++ >/dev/null || { echo "a C++ compiler is missing: libFuzzer needs one" >&2; exit 1; }
	cargo install cargo-fuzz --version 0.13.2 --locked --root .tools --quiet

.tools/bin/cargo-deny:
	cargo install cargo-deny --version 0.20.2 --locked --root .tools --quiet

.tools/targets:
	@command -v cargo >/dev/null || { echo "Rust is missing: install rustup and the stable toolchain" >&2; exit 1; }
	@command -v rustup >/dev/null || { echo "rustup is missing: it installs the wasm targets" >&2; exit 1; }
	rustup target add wasm32-wasip1 wasm32-unknown-unknown
	@mkdir -p .tools && touch $@

tools/node_modules: tools/package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing: install Node.js 20 or later" >&2; exit 1; }
	npm ci --prefix tools --no-audit --no-fund
	@touch $@

$(PYTHON): tools/requirements.txt
	@command -v python3 >/dev/null || { echo "python3 is missing: install Python 3.11 or later, with venv" >&2; exit 1; }
	python3 -m venv .tools/venv
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.tools/bin/pilot-discovery: PACKAGE := istio.io/istio/pilot/cmd/pilot-discovery
.tools/bin/istioctl: PACKAGE := istio.io/istio/istioctl/cmd/istioctl
.tools/bin/kustomize: PACKAGE := sigs.k8s.io/kustomize/kustomize/v5
.tools/bin/wasm-fetch: PACKAGE := ./fetch
.tools/bin/wasm-fetch: tests/istio/fetch/main.go
.tools/bin/promql-check: PACKAGE := ./promql
.tools/bin/promql-check: tests/istio/promql/main.go
.tools/bin/promtool: PACKAGE := github.com/prometheus/prometheus/cmd/promtool
.tools/bin/prometheus: PACKAGE := github.com/prometheus/prometheus/cmd/prometheus
# Without the service discovery of cloud providers.
.tools/bin/promtool .tools/bin/prometheus: TAGS := -tags remove_all_sd

# The first build takes some minutes, because it compiles Istio's Kubernetes dependencies. The other builds reuse them.
$(ISTIO_TOOLS) .tools/bin/prometheus: tests/istio/go.mod tests/istio/go.sum
	@command -v go >/dev/null || { echo "Go is missing: install Go 1.25.9 or later" >&2; exit 1; }
	cd tests/istio && nice go build -trimpath $(TAGS) -ldflags '-s -w -X istio.io/istio/pkg/version.buildVersion=$(ISTIO)' \
		-o $(abspath $@) $(PACKAGE)

.tools/venv/bench: tools/bench/requirements.txt $(PYTHON)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.tools/venv/browser: tests/browser/requirements.txt $(PYTHON)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# One source in two builds, as two deployments have it.
.tools/next/built: $(shell find tests/browser/next -type f)
	@command -v npm >/dev/null || { echo "npm is missing: install Node.js 20 or later" >&2; exit 1; }
	@mkdir -p .tools/next && cp -R tests/browser/next/. .tools/next
	npm ci --prefix .tools/next --no-audit --no-fund --loglevel error
	@cd .tools/next && for deployment in dpl_v1 dpl_v2; do \
		rm -rf $$deployment && log=$$deployment.log && \
		DEPLOYMENT=$$deployment NEXT_TELEMETRY_DISABLED=1 nice npx next build >$$log 2>&1 \
			|| { tail -50 $$log >&2; echo "next build failed" >&2; exit 1; }; \
	done
	@touch $@

$(RIVALS): $(shell find tools/bench/filters -name '*.rs' -o -name '*.toml') .tools/targets
	CARGO_TARGET_DIR=target/bench cargo build --release --locked --quiet --target wasm32-wasip1 \
		--manifest-path tools/bench/filters/Cargo.toml
	@mkdir -p $(@D)
	cp target/bench/wasm32-wasip1/release/bench_$(basename $(@F)).wasm $@

.tools/bin/func-e:
	GOBIN=$(abspath $(@D)) nice go install github.com/tetratelabs/func-e/cmd/func-e@v1.6.0

$(RUNNER):
	@command -v node >/dev/null || { echo "node is missing: install Node.js 20 or later" >&2; exit 1; }
	cargo install wasm-bindgen-cli --version $(WASM_BINDGEN) --locked --root .tools --quiet
