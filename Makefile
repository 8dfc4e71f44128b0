# One command each; every target makes the .venv that it needs. A second run installs nothing.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
HOST ?= 127.0.0.1
PORT ?= 8000
COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --all-build-deps \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --strip-extras \
	--no-header --annotation-style line

.PHONY: serve test quick mutate slow check format checker openapi docs bench bench-programs bench-width bench-diagonal bench-real bench-share bench-check bench-jobs requirements clean
.DEFAULT_GOAL := serve

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	touch $@

serve: $(VENV)/.installed  ## the service on 127.0.0.1:8000
	exec $(BIN)/margincert serve --host $(HOST) --port $(PORT)

test: $(VENV)/.installed-dev  ## everything but the slow tests
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow"

quick: $(VENV)/.installed-dev  ## less than a minute: the parts, with few random examples
	HYPOTHESIS_PROFILE=quick $(BIN)/python -m pytest -n 2 --dist loadgroup \
		-m "not slow and not integration and not thorough" --ignore tests/acceptance

mutate: $(VENV)/.installed-dev  ## minutes: the checker less each of its conditions in turn
	$(BIN)/python -m tests.checker.mutation

slow: $(VENV)/.installed-dev  ## minutes
	$(BIN)/python -m pytest -m slow --timeout 900

check: $(VENV)/.installed-dev  ## lint, format, types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

ARCHIVE ?= dist/margincert-check.pyz
checker:  ## one file that checks certificates with Python alone
	rm -rf build/checker
	mkdir -p build/checker $(dir $(ARCHIVE))
	cp -r solvers/checker build/checker/checker
	find build/checker -name __pycache__ -type d -prune -exec rm -rf {} +
	printf 'import sys\n\nfrom checker.command import main\n\nsys.exit(main(sys.argv[1:]))\n' \
		> build/checker/__main__.py
	$(PYTHON) -m zipapp build/checker --output $(ARCHIVE)

openapi: $(VENV)/.installed  ## regenerate the committed document
	$(BIN)/python -m service.openapi openapi/openapi.json

docs: $(VENV)/.installed-dev  ## docs/_build/html; warnings are errors
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

bench: $(VENV)/.installed-dev  ## small certifications against a trivial POST
	$(BIN)/python -m benchmarks.http_floor

bench-programs: $(VENV)/.installed-dev  ## the fixed-pattern program: each method against size
	$(BIN)/python -m benchmarks.fixed_pattern

bench-width: $(VENV)/.installed-dev  ## ten minutes: sign patterns, unlimited width, and nets on which generic solvers stall
	$(BIN)/python -m benchmarks.unlimited_width
	$(BIN)/python -m benchmarks.beside_scip

bench-diagonal: $(VENV)/.installed-dev  ## deep diagonal nets, and the global values of the paper
	$(BIN)/python -m benchmarks.diagonal

bench-real: $(VENV)/.installed-dev  ## multipliers of millions of parameters, side by side with SciPy and torch
	$(BIN)/python -m benchmarks.multipliers

bench-share: $(VENV)/.installed-dev  ## minutes: the share decided at KKT points of shared and deep nets
	$(BIN)/python -m benchmarks.local_share

bench-check: $(VENV)/.installed-dev  ## minutes: the share of answers that the exact checker confirms
	$(BIN)/python -m benchmarks.checked_share

bench-jobs: $(VENV)/.installed-dev  ## minutes: small requests over HTTP, a batch of 10,000 points, two workers
	$(BIN)/python -m benchmarks.jobs

requirements: $(VENV)/.installed-dev  ## pin again, with hashes
	$(COMPILE) --output-file requirements.txt pyproject.toml
	$(COMPILE) --extra dev --output-file requirements-dev.txt pyproject.toml

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
