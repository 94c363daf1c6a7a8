# The one command for each thing, from a bare clone: Python 3.10 or newer and make are enough.
# Another Python: make test PYTHON=python3.13

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PYTEST_ARGS ?= --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
TOX_ARGS ?=
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test tox lint format types docs bench soak changelog release ci clean

help:  ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.installed  ## the life of a token, shown and measured on this machine
	@$(BIN)/python -m aioalf demo

test: $(VENV)/.test-installed  ## run the tests
	@$(BIN)/pytest $(PYTEST_ARGS)

tox: $(VENV)/.tox-installed  ## the same for every Python here, oldest and newest aiohttp
	@$(BIN)/tox run --quiet $(TOX_ARGS)

lint: $(VENV)/.lint-installed  ## ruff, both halves, and which module may import which
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-cache

format: $(VENV)/.lint-installed  ## let ruff mend what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# pyright finds Python on PATH, and this project, which is installed editable, by PYTHONPATH.
types: export PATH := $(CURDIR)/$(BIN):$(PATH)
types: export PYTHONPATH := $(CURDIR)
types: $(VENV)/.test-installed $(VENV)/.lint-installed  ## mypy, strict; pyright; are all public types stated?
	@$(BIN)/mypy
	@$(BIN)/pyright tests/typing_surface.py
	@found=$$($(BIN)/pyright --verifytypes aioalf --ignoreexternal) || { echo "$$found"; exit 1; }; \
	    echo "$$found" | grep score

docs: $(VENV)/.docs-installed  ## build the pages in docs/_build; a broken reference fails
	@$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs docs/_build
	@echo "docs/_build/index.html"

bench: $(VENV)/.test-installed  ## measure against everyone, ten minutes; ARGS=--docs for docs/
	@$(BIN)/python -m benchmarks $(ARGS)

soak: $(VENV)/.test-installed  ## an outage of a day, then minutes of bad days: memory stays flat
	@$(BIN)/python -m benchmarks.soak $(ARGS)

changelog: $(VENV)/.release-installed  ## move the notes in CHANGES/ to CHANGES.rst, for a release
	@$(BIN)/towncrier build --yes

release: $(VENV)/.release-installed  ## build sdist and wheel in dist/ and check them; uploads nothing
	@.ci/release

ci:  ## everything that is checked before a change goes in
	@.ci/run

clean:  ## forget what make made
	rm -rf $(VENV) .tox build dist docs/_build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp per set of requirements, newer than setup.py once they are installed. The package itself
# is installed editable: it needs no installing again when its code changes.

$(VENV)/.installed: setup.py | $(BIN)/pip
	@echo "Installing aio-alf ..."
	@$(PIP_INSTALL) --editable ".[file]"
	@touch $@

$(VENV)/.test-installed: setup.py | $(BIN)/pip
	@echo "Installing aio-alf and what its tests need (about a minute, once) ..."
	@$(PIP_INSTALL) --editable ".[test]"
	@touch $@ $(VENV)/.installed

$(VENV)/.docs-installed: setup.py | $(BIN)/pip
	@echo "Installing Sphinx ..."
	@$(PIP_INSTALL) --editable ".[docs,file,keyring,otel,redis]"
	@touch $@

$(VENV)/.lint-installed: setup.py | $(BIN)/pip
	@echo "Installing the linters ..."
	@$(PIP_INSTALL) --editable ".[lint]"
	@touch $@

$(VENV)/.release-installed: setup.py | $(BIN)/pip
	@echo "Installing what a release needs ..."
	@$(PIP_INSTALL) --editable ".[release]"
	@touch $@

$(VENV)/.tox-installed: | $(BIN)/pip
	@$(PIP_INSTALL) "tox>=4.20"
	@touch $@

$(BIN)/pip:
	@command -v $(PYTHON) >/dev/null || { \
	    echo "make: there is no $(PYTHON); name one: make test PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	    echo "make: aio-alf needs Python 3.10 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1)." >&2; \
	    echo "make: name a newer one: make test PYTHON=python3.13" >&2; exit 1; }
	@echo "Creating $(VENV) with $$($(PYTHON) -V) ..."
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "make: this Python comes without venv or ensurepip." >&2; \
	    echo "make: on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)
