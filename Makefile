# SPDX-License-Identifier: Apache-2.0
# The commands of the project, the same for people and for .ci/run. Each one
# makes the virtual environment it needs, from Python 3.11 or newer.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo test test-slow test-repeated lint types format \
  benchmark notebooks docs clean

BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
# ng_jax runs wherever JAX finds a device; the tests run on the CPU.
PYTEST := JAX_PLATFORMS=cpu $(BIN)/python -m pytest
PIP_INSTALL := $(BIN)/python -m pip install -qq --progress-bar off \
  --disable-pip-version-check

help:  ## Show this list.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) \
	  | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "%-15s%s\n", $$1, $$2}'
	@echo
	@echo 'Variables: PYTHON=python3 makes the environment, VENV=.venv is its'
	@echo 'folder, JOBS=2 is the number of test processes.'

venv: $(STAMP)  ## Make .venv with everything for the tests and the demo.

# A folder that is not a virtual environment is never emptied.
$(STAMP): requirements.txt setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "ng_jax needs Python 3.11 or newer, and '$(PYTHON)' is" \
	    "$$($(PYTHON) --version 2>&1); name another one:" \
	    "make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@if [ -e '$(VENV)' ] && [ ! -e '$(VENV)/pyvenv.cfg' ] && \
	    [ -n "$$(ls -A '$(VENV)')" ]; then \
	  echo "VENV must be a virtual environment or a new folder, and" \
	    "'$(VENV)' is something else; choose another name." >&2; exit 1; fi
	@echo "Installing into $(VENV) (about a minute, 1.3 GB) ..." >&2
	@$(PYTHON) -m venv --clear '$(VENV)' || { \
	  echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu install" \
	    "python3-venv." >&2; exit 1; }
	@$(PIP_INSTALL) -r requirements.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP)  ## Train on digits and print the test accuracy (minutes).
	@$(BIN)/python experiments/demo.py

test: lint types  ## Lint, check the types, run the quick tests.
	$(PYTEST) -m 'not slow and not repeated' -n $(JOBS) --dist worksteal -q

test-slow: $(STAMP)  ## Run the slow tests.
	$(PYTEST) -m 'slow and not repeated' -n $(JOBS) --dist worksteal -q

test-repeated: $(STAMP)  ## Repeat quick tests for all models and options.
	$(PYTEST) -m repeated -n $(JOBS) --dist worksteal -q

lint: $(STAMP)  ## Check style and format.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)  ## Check the types of ng_jax.
	$(BIN)/mypy ng_jax

format: $(STAMP)  ## Put the code into the project's format.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark: $(STAMP)  ## Measure speed and memory.
	@for file in benchmarks/*.py; do \
	  [ -e "$$file" ] || { echo 'No benchmarks yet.'; break; }; \
	  echo "== $$file"; $(BIN)/python "$$file" || exit 1; done

notebooks: $(STAMP)  ## Write the notebooks from the scripts beside them.
	@$(BIN)/python notebooks/convert.py

docs: $(STAMP)  ## Build the documentation into build/docs.
	@JAX_PLATFORMS=cpu $(BIN)/python -m sphinx -W --keep-going -q docs build/docs
	@echo 'Open build/docs/index.html.'

clean:  ## Delete caches and builds; keep environments, data/ and runs/.
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache \
	  .hypothesis .jax_cache
	find ng_jax experiments configs benchmarks tests -name __pycache__ \
	  -type d -prune -exec rm -rf {} + 2>/dev/null || true
