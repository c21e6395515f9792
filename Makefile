# Needs python3 (3.11 or newer, with venv and pip) and make. Everything else goes into .venv,
# and, where Node.js is installed, into tests/scenarios/clients/node_modules.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CLIENTS := tests/scenarios/clients

# What `make dev` hands on, such as ARGS='--port 8000', and `make bench-double-texting`, such as
# ARGS='--threads 4 64', with the peers of docs/benchmarks/double_texting.md: PEERS='name=URL'.
ARGS :=
PEERS :=
OUT := build/benchmarks
# The histories that `make simulate` plays, such as SEEDS=17,100-199; HISTORY=--history shows them.
SEEDS := 0-9999
export SEEDS
HISTORY :=

PIP_INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help dev test simulate lint typecheck bench bench-double-texting clean javascript

help:  ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-25s %s\n", $$1, $$2 }' Makefile

dev: $(VENV)/.runtime  ## Serve the examples on http://127.0.0.1:2024
	$(BIN)/greenroom dev $(ARGS)

test: $(VENV)/.test javascript  ## Run all tests
	$(BIN)/python -m pytest -rs
	$(BIN)/python -m pytest tests/properties

simulate: $(VENV)/.test  ## Play random histories of double-texting, by SEEDS=17,100-199
	@$(BIN)/python -m tests.simulation $(HISTORY) -- "$$SEEDS"

lint: $(VENV)/.test  ## Check style, formatting and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

typecheck: $(VENV)/.test  ## Check types
	$(BIN)/mypy

bench: $(VENV)/.test  ## Measure double-texting, the engine and the storage
	$(BIN)/python benchmarks/double_texting memory sqlite --threads 4 --rounds 100
	$(BIN)/python benchmarks/engine.py
	$(BIN)/python benchmarks/langgraph_bridge.py
	$(BIN)/python benchmarks/storage.py
	$(BIN)/python benchmarks/log_growth.py
	$(BIN)/python benchmarks/pages.py
	$(BIN)/python benchmarks/many_actors.py --threads 10000 --active 1000

bench-double-texting: $(VENV)/.bench  ## Measure double-texting in full, beside PEERS='name=URL', and draw it
	$(BIN)/python benchmarks/double_texting memory sqlite served-memory served-sqlite $(PEERS) \
		--json $(OUT)/double_texting.json --plots $(OUT) $(ARGS)

clean:  ## Remove what these commands made
	rm -rf $(VENV) $(CLIENTS)/node_modules build dist src/*.egg-info

# bin/pip is made last: an environment that was left half made is made again.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("Greenroom needs Python 3.11 or newer; $(PYTHON) is %d.%d. Try: make PYTHON=python3.11 $(MAKECMDGOALS)" % v[:2])'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: pyproject.toml constraints.txt | $(BIN)/pip
	$(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/pip
	$(PIP_INSTALL) --editable '.[test]'
	@touch $@ $(VENV)/.runtime

$(VENV)/.bench: $(VENV)/.test
	$(PIP_INSTALL) --editable '.[test,bench]'
	@touch $@

# Without Node.js, or without a registry to ask, the JavaScript tests are skipped and say so.
javascript:
	@if command -v node >/dev/null && command -v npm >/dev/null; then $(MAKE) --no-print-directory $(CLIENTS)/node_modules/.installed \
		|| echo 'The JavaScript SDK could not be installed; its tests will be skipped.'; fi

$(CLIENTS)/node_modules/.installed: $(CLIENTS)/package.json
	cd $(CLIENTS) && npm install --no-package-lock --no-audit --no-fund --loglevel=error
	@touch $@
