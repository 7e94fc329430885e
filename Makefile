# Everything runs in .venv, which is made from pyproject.toml and constraints.txt. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo test test-all lint format bench docs clean

help:
	@echo "make demo      the whole method on handwritten digits (10 to 15 s after the install)"
	@echo "make test      lint, types, layers, and every test that needs no server, browser, cluster or minute"
	@echo "make test-all  make test, then the other tests; BABYSIT_DATA=DIR adds those on real images"
	@echo "make lint      ruff, mypy, import-linter"
	@echo "make bench     speed beside a hand-written loop and other tools (needs BABYSIT_DATA)"
	@echo "make docs      measures docs/lecture.md anew (needs BABYSIT_DATA)"

# torch comes first and pinned: asked for by a range, some registries answer with gigabytes of CUDA.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet -c constraints.txt "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet -c constraints.txt --group dev -e .
	@touch $(STAMP)

demo: $(STAMP)
	$(BIN)/babysit demo

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal
HEAVY := slow or cifar or browser or postgres or ray or fuzz

test: lint
	$(PYTEST) -m "not ($(HEAVY))"

test-all: test
	$(PYTEST) -m "$(HEAVY)"

format: $(STAMP)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt --group bench
	$(BIN)/python -m benchmarks.population
	$(BIN)/python -m benchmarks.watch
	$(BIN)/python -m benchmarks.search
	$(BIN)/python -m benchmarks.dashboard

docs: $(STAMP)
	$(BIN)/python -m docs.build
	$(BIN)/python -m docs.screenshots

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
