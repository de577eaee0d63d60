# Two commands on a bare machine with python3 (3.11 or 3.12; 3.13 beside one of them), pip and make:  make demo   make test
SHELL := /bin/bash
PYTHON ?= python3
# The Triton server's wheel and its numpy 1 exist for Python 3.11 and 3.12 only.
TRITON_PYTHON ?= $(shell for p in $(PYTHON) python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
# Test processes: a core each; eight hold some 10 GB.
JOBS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$((n > 8 ? 8 : n)))
PIP_FLAGS := --quiet --disable-pip-version-check --require-hashes --no-deps

export DAGSTER_DISABLE_TELEMETRY := 1
export DVC_NO_ANALYTICS := 1
export GX_ANALYTICS_ENABLED := false
export DAGSTER_HOME ?= $(CURDIR)/.dagster_home

.DEFAULT_GOAL := help
.PHONY: help install triton demo test check format ui serve lock clean

help: ## Show what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

install: .venv/.installed ## Set up .venv from requirements.lock (exact pins, hashes)

.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "make: $(PYTHON) is $$($(PYTHON) --version); Python 3.11 to 3.13 is needed, name one with PYTHON=python3.12"; exit 2; }
	@echo "setting up .venv (about 6 GB, some minutes the first time) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install $(PIP_FLAGS) -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/pip check
	@touch $@

triton: .venv-triton/.installed ## Set up the local Triton server in its own environment

.venv-triton/.installed: ops/triton/requirements.lock
	@test -n "$(TRITON_PYTHON)" || { echo "make: the Triton server needs Python 3.11 or 3.12; name one with TRITON_PYTHON=..."; exit 2; }
	@echo "setting up .venv-triton (the Triton server, about 350 MB) ..."
	@$(TRITON_PYTHON) -m venv .venv-triton
	@.venv-triton/bin/pip install $(PIP_FLAGS) -r $<
	@touch $@

demo: install triton ## Run the whole pipeline on synthetic twins and end with a report
	@$(BIN)/python -m dagster_project.demo

test: install triton ## Run the tests, a file a process at a time (SLOW=1: the slow ones too, as CI does)
	@$(BIN)/pytest -n $(JOBS) --dist loadfile $(if $(filter 1,$(SLOW)),,-m "not slow")

check: install ## Format, lint and types, without changing a file
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: install ## Format the code and mend what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

ui: install ## Open the Dagster UI on the instance the demo used
	@$(BIN)/python -m dagster_project.ui

serve: install triton ## Start a local Triton server with triton_repo/
	@$(BIN)/panderm serve

lock: install ## Make requirements.lock anew from pyproject.toml (needs uv on the PATH)
	@uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-annotate --prerelease if-necessary-or-explicit --output-file requirements.lock

clean: ## Remove everything computed; delivered files, environments and the DVC remote stay
	@rm -rf data artifacts reports .staging .work .dagster_home .mypy_cache .pytest_cache .ruff_cache
	@find triton_repo -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +
