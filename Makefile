# `make` without a target lists the targets.

cluster = tests/cluster/cluster
prefix ?= $(HOME)/.local
target = $(or $(CARGO_TARGET_DIR),target)
sbom_version = 0.10.0

.PHONY: help build install test test-faults mutants fuzz lint sbom reproducible bench demo demo-down clean-cluster

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the plugin (release/kubectl-fabric in the target folder)
	cargo build --release --locked

install: build ## install the plugin and its shell completion (prefix=~/.local)
	install -d "$(prefix)/bin"
	install -m 755 "$(target)/release/kubectl-fabric" "$(prefix)/bin/kubectl-fabric"
	printf '#!/bin/sh\nexec kubectl-fabric __complete "$$@"\n' >"$(prefix)/bin/kubectl_complete-fabric"
	chmod 755 "$(prefix)/bin/kubectl_complete-fabric"
	@case ":$$PATH:" in *":$(prefix)/bin:"*) ;; *) echo "note: $(prefix)/bin is not on your PATH" ;; esac

test: ## run every test on a local control plane (built once, which takes some minutes)
	@tests/run

test-faults: ## inject every fault at every request of every operation (docs/reliability.md)
	@KUBECTL_FABRIC_FAULTS=all tests/run --test faults -- --nocapture

mutants: ## check whether the tests notice mutations; N=100 SEED=1 ONLY=src/plan/ (docs/reliability.md)
	@CARGO_TARGET_DIR=target/mutants/tool cargo run --quiet --locked --manifest-path tests/mutants/Cargo.toml

# No sanitizer: the plugin contains no unsafe code. An index in --set can make a long list, and a
# chart needs some memory.
TIME = 600
TARGET = $(notdir $(wildcard fuzz/seeds/*))
max_len_archives = 16384
max_len_set = 1024
fuzz: ## run every fuzz target for TIME=600 seconds, or only TARGET=yaml (nightly Rust, cargo-fuzz)
	$(foreach target,$(TARGET),mkdir -p fuzz/corpus/$(target) && cargo +nightly fuzz run -s none $(target) fuzz/corpus/$(target) \
	  fuzz/seeds/$(target) -- -max_total_time=$(TIME) -max_len=$(or $(max_len_$(target)),4096) -rss_limit_mb=2048 -timeout=60 && ) true

lint: ## check formatting, wording, lints and dependencies
	cargo fmt --check
	.ci/voice
	cargo clippy --locked --all-targets -- -D warnings
	cargo deny --locked check bans licenses sources

sbom: ## list the dependencies with licences, as CycloneDX (target/kubectl-fabric.cdx.json)
	@mkdir -p target
	@[ "$$(cargo sbom --version 2>/dev/null)" = "cargo-sbom $(sbom_version)" ] || \
	  cargo install --locked --force cargo-sbom --version $(sbom_version)
	cargo sbom --cargo-package kubectl-fabric --output-format cyclone_dx_json_1_6 >target/kubectl-fabric.cdx.json

reproducible: ## build the release twice and compare the bytes (target/reproducible)
	@.ci/reproducible

# A copy, because the build of the benchmarks overwrites the release build.
bench: build ## measure the plugin, Helm and kubectl (ARGS='--rounds 1 lifecycle' for a quick part)
	install -D -m 755 "$(target)/release/kubectl-fabric" target/bench/kubectl-fabric
	cargo bench --locked --bench compare -- $(ARGS)

demo: ## install, upgrade and roll back a small network (CONTEXT=name for a cluster in your kubeconfig)
	@examples/demo $(if $(CONTEXT),--context "$(CONTEXT)")

demo-down: ## remove the control plane of `make demo`
	@CLUSTER_NAME=demo $(cluster) down

clean-cluster: demo-down ## stop every cluster that this checkout started
	@CLUSTER_NAME=test $(cluster) down
	@CLUSTER_NAME=test-alone $(cluster) down
	@CLUSTER_NAME=bench $(cluster) down
	@CLUSTER_NAME=bench-sim $(cluster) down
	@CLUSTER_NAME=test-broken $(cluster) down
