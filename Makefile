# Everything a developer runs. Needs Python 3.11 to 3.13 and make; on Debian it fetches the rest itself.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
PROJECT ?= .

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup test unit lint types format demo up bench bench-serving bench-detection bench-monitoring fuzz torture-swap torture-log torture-windows lock clean system-packages

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.product ## make the environment in .venv, from the lock

demo: $(VENV)/.product ## watch the whole loop: traffic, drift, alert, retrain, swap, recovery
	$(BIN)/evenkeel demo

up: $(VENV)/.product ## run service, fold and monitor of a project: make up PROJECT=DIR
	$(BIN)/evenkeel up --project $(PROJECT)

test: system-packages lint types unit ## run every check there is (fetches system packages that tests need)
	$(BIN)/python -m pytest tests/behaviour

unit: $(VENV)/.tools ## run the tests that need nothing but Python, in seconds
	$(BIN)/python -m pytest --numprocesses 2 tests/unit tests/component tests/contract tests/architecture

lint: $(VENV)/.tools ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.tools ## check types, strictly
	$(BIN)/mypy

format: $(VENV)/.tools ## rewrite the code in the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.tools ## measure
	@set -e; for program in benchmarks/[a-z]*.py; do echo "== $$program"; $(BIN)/python $$program; done

bench-serving: $(VENV)/.product ## measure serving beside its peers for an hour: make bench-serving OPTIONS="--seconds 1"
	@scripts/system-packages.sh bench
	$(BIN)/python -m benchmarks.serving $(OPTIONS)

bench-detection: $(VENV)/.product ## measure false alarms and power beside peers for half an hour: make bench-detection OPTIONS="--quick"
	$(BIN)/python -m benchmarks.detection $(OPTIONS)

bench-monitoring: $(VENV)/.product ## measure what a window costs, beside Evidently's preset
	$(BIN)/python -m benchmarks.monitoring $(OPTIONS)

fuzz: $(VENV)/.tools ## send 50,000 generated requests, and as many broken ones: make fuzz OPTIONS="--cases 1000 --seed 2"
	$(BIN)/python -m benchmarks.torture.fuzz $(OPTIONS)

torture-swap: $(VENV)/.tools ## swap the model 10,000 times under load
	$(BIN)/python -m benchmarks.torture.swap --swaps 10000

torture-log: $(VENV)/.tools ## kill 10,000 writers of the feature log, flip 50,000 bits of its files, fill its disk 100 times
	$(BIN)/python -m benchmarks.torture.log $(OPTIONS)

torture-windows: $(VENV)/.tools ## close 10,000 windows while the clock jumps by hours and years
	$(BIN)/python -m benchmarks.torture.windows $(OPTIONS)

lock: $(VENV)/.tools ## rewrite the lock files from pyproject.toml
	PATH="$(abspath $(BIN)):$$PATH" scripts/lock.sh

clean: ## remove the environment and every cache
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

system-packages:
	@echo "Real components that the tests run against:"
	@scripts/system-packages.sh tests

# The locks name every package with its hash, so nothing is resolved: --no-deps, and `pip check` afterwards.
$(VENV)/.product: requirements.lock requirements-build.lock pyproject.toml | $(BIN)/pip
	@echo "Installing the locked packages into $(VENV); this takes a minute or two"
	@$(PIP) install --no-deps --require-hashes -r requirements.lock -r requirements-build.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@$(PIP) check
	@touch $@

$(VENV)/.tools: requirements-dev.lock $(VENV)/.product
	@echo "Installing the locked tools into $(VENV)"
	@$(PIP) install --no-deps --require-hashes -r requirements-dev.lock
	@$(PIP) check
	@touch $@

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || { \
	  echo "Evenkeel needs Python 3.11 to 3.13, and $(PYTHON) is $$($(PYTHON) --version 2>&1 || true);" \
	    "name another: make setup PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) >/dev/null || { \
	  echo "$(PYTHON) cannot make a virtual environment by itself; installing what it lacks:"; \
	  scripts/system-packages.sh venv && $(PYTHON) -m venv --clear $(VENV); }
