# Every target does its own set-up. What is slow to make is kept under ~/.cache/alliance.
ROOT := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
export CARGO_TARGET_DIR ?= $(shell $(ROOT)/scripts/cargo-target)

.PHONY: help demo demo-servers test bench fuzz nightly package fmt lint advisories
.NOTPARALLEL:

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(ROOT)/Makefile | expand -t 16

demo: ## two clouds, one token: the whole thread, told line by line
	@$(ROOT)/scripts/prerequisites
	@$(ROOT)/scripts/with-lab $(ROOT)/demo/run

demo-servers: ## the other cloud's servers, on two whole clouds
	@$(ROOT)/scripts/prerequisites
	@$(ROOT)/scripts/with-lab $(ROOT)/demo/run servers

test: ## what a change must pass: Rust, plugin, lab, whole clouds, end to end
	@$(ROOT)/scripts/test

bench: ## one table of ratios; JSON=FILE: also written there
	@$(ROOT)/scripts/prerequisites
	@$(ROOT)/scripts/with-lab $(ROOT)/benches/run $(if $(JSON),--json $(abspath $(JSON)))

fuzz: ## each parser of what strangers send, for a minute
	@$(ROOT)/scripts/prerequisites
	@$(ROOT)/scripts/fuzz

nightly: ## all tests, and what takes long: more seeds, clusters, packages, fuzzing
	@ALLIANCE_NIGHTLY=1 $(ROOT)/scripts/test
	@$(ROOT)/scripts/fuzz

package: ## what operators install: a Debian package, wheels; in dist/
	@$(ROOT)/scripts/package

fmt: ## formats Rust and Python
	@cd $(ROOT) && cargo fmt --all
	@cd $(ROOT) && cargo fmt --manifest-path fuzz/Cargo.toml
	@cd $(ROOT) && ruff=$$(lab/venv client)/bin/ruff && $$ruff check --quiet --fix && $$ruff format --quiet

lint: ## formatting, clippy, cargo deny, ruff
	@$(ROOT)/scripts/lint

advisories: ## known holes in dependencies; needs the network
	@cd $(ROOT) && deny=$$(scripts/tool cargo-deny) && $$deny check advisories
