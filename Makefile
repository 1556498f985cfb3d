# Every target does its own set-up: a fresh clone needs Python 3.11 and, for the control plane, Go or nothing.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest
# Tests on real clusters mostly wait; more processes than these start more clusters than a laptop likes.
TEST_PROCESSES ?= 2
# One order for everybody, so that a failure can be had again; TEST_SEED=$RANDOM looks for tests that lean on others.
TEST_SEED ?= 1157674471
TOGETHER := --randomly-seed $(TEST_SEED) --numprocesses $(TEST_PROCESSES) --dist loadscope --no-loadscope-reorder
step = @printf '\n== %s\n' '$(1)'

.PHONY: help venv lint unit test demo bench bench-backend control-plane clean

help: ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 16

venv: $(STAMP) ## create .venv with pinned, hashed dependencies

$(STAMP): requirements/dev.txt pyproject.toml
	$(call step,virtual environment (.venv))
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes --requirement requirements/dev.txt
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

control-plane: venv ## find, download or build kube-apiserver, controller-manager, etcd and kubectl
	$(call step,control plane)
	@$(BIN)/kubectl-bind dev binaries

lint: venv ## format, lint, types and import contracts
	$(call step,format and lint)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	$(call step,types)
	@$(BIN)/mypy
	$(call step,import contracts)
	@$(BIN)/lint-imports

unit: venv ## tests of pure code, and of protocols against small fakes
	$(call step,unit tests)
	@$(PYTEST) tests/unit tests/property tests/protocol --numprocesses auto

test: lint control-plane ## everything but the long benchmarks
	$(call step,tests)
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest tests $(TOGETHER) $(TEST_ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/python tests/coverage_gate.py

demo: control-plane ## the main job on two real clusters
	@$(BIN)/kubectl-bind dev demo $(DEMO_ARGS)

bench: control-plane ## rates and ratios of the konnector against a bare loop (several minutes)
	@$(BIN)/python tests/bench/konnector.py $(BENCH_ARGS)

bench-backend: control-plane ## the backend with thousands of tenants: start, logins in flight, pages (several minutes)
	@$(BIN)/python tests/bench/backend.py $(BENCH_ARGS)

clean: ## remove what the targets made in this folder; the cached control plane stays
	rm -rf $(VENV) .coverage .coverage.* htmlcov .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
