# `make benchmark` and `make test` work on a fresh machine with make and Python 3.11 or newer:
# the environment in .venv is built first, at the versions of requirements.lock, and again when these change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
JOBS ?= auto
ARGS ?=
PIP := $(BIN)/python -m pip --disable-pip-version-check
unexport PYTHONDONTWRITEBYTECODE  # so that make's commands keep what they compile

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help benchmark serve test pytest lint format typecheck speed paper lock clean $(VENV)

help:
	@echo "make benchmark   train and compare every policy, print the table (ARGS=--quick for the short one)"
	@echo "make serve       run the live system with a simulated fleet, print the page's address"
	@echo "make test        lint, typecheck and all tests"
	@echo "make pytest      the tests alone (ARGS='-k vector' passes options on)"
	@echo "make lint        ruff check and format check; 'make format' mends what it can"
	@echo "make typecheck   mypy on aq_gym and agents"
	@echo "make speed       environments, solvers and training beside their peers"
	@echo "make paper       the paper's figures and verdicts, into results/paper/report.html"
	@echo "make lock        rewrite requirements.lock with the newest versions (torch keeps its own)"
	@echo "make clean       remove caches and builds (.venv, runs/ and results/ stay)"

$(VENV): $(STAMP)

# --no-compile: a module is compiled when it is first imported; compiling all 16,000 here takes another minute. Where
# PYTHONDONTWRITEBYTECODE is set, $(BIN)/python outside make could not keep what it compiled: every start took twice as long.
$(STAMP): requirements.lock setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "aq_gym needs Python 3.11 or newer, but '$(PYTHON)' is: $$($(PYTHON) --version 2>&1)." >&2; \
	    echo "Name another interpreter, for example: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(BIN)/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(PIP) install --quiet $(if $(PYTHONDONTWRITEBYTECODE),,--no-compile) -r requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

benchmark: $(STAMP)
	$(BIN)/python -m scripts.benchmark $(ARGS)

serve: $(STAMP)
	$(BIN)/python -m scripts.serve --simulate $(ARGS)

test: lint typecheck pytest

# -n starts one worker a core, but no more than four: each holds its own torch and numba.
pytest: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS) --maxprocesses 4 --dist loadgroup $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: $(STAMP)
	$(BIN)/mypy aq_gym agents

speed: $(STAMP)
	$(BIN)/python -m scripts.measure_speed $(ARGS)

paper: $(STAMP)
	$(BIN)/python -m scripts.reproduce_paper $(ARGS)

# torch keeps its version, which is changed by hand in the lock: newer ones bring gigabytes of CUDA packages on some
# indexes. Those, and a local version label (torch's +cpu), belong to one index or machine, so they are left out.
# pytest below 9.2: there pytest-xdist 3.8 cannot group tests, and every worker would make what a group shares.
lock:
	$(PYTHON) -m venv --clear .lock-venv
	@grep '^torch==' requirements.lock > .lock-venv/keep.txt
	.lock-venv/bin/python -m pip --disable-pip-version-check install --quiet -c .lock-venv/keep.txt \
	    ".[render,train,forecasting,service,dev]" pytest-xdist "pytest<9.2" setuptools
	@{ sed -n '/^#/p' requirements.lock; .lock-venv/bin/python -m pip freeze --all --exclude pip --exclude aq-gym \
	    | sed -e '/^\(nvidia\|cuda\|triton\)/d' -e 's/+[^ ]*$$//'; } > requirements.lock.new
	mv requirements.lock.new requirements.lock
	rm -rf .lock-venv

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .lock-venv requirements.lock.new
	find . -path ./$(VENV) -prune -o -type d -name __pycache__ -exec rm -rf {} +
