# make demo, make test: both set up what they need on a machine with Python 3.11+ and nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
OUT ?= demo-output

.PHONY: help demo test test-fast lint benchmark notebooks clean

help:
	@echo "make demo       the main job on real fields; products in $(OUT)/"
	@echo "make test       the whole test suite with doctests"
	@echo "make test-fast  the same without the slow tests"
	@echo "make lint       ruff, mypy and import-linter"
	@echo "make benchmark  every benchmark, each printing its figures"
	@echo "make notebooks  execute the example notebooks in place"
	@echo "make clean      remove the environment and what was made"

$(BIN)/python:
	$(PYTHON) -c "import sys; sys.exit(0 if sys.version_info >= (3, 11) else 'oceankit needs Python 3.11 or newer; set PYTHON=')"
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade 'pip>=25.1'

# One stamp a set of packages, so that the demo does not wait for the test tools.
$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[plot,demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[plot,demo,forecast]' --group dev
	@touch $@

demo: $(VENV)/.demo
	$(BIN)/oceankit run examples/demo.yaml --output $(OUT)

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto

test-fast: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto -m "not slow"

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

benchmark: $(VENV)/.dev
	@for file in benchmarks/[a-z]*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

notebooks: $(VENV)/.dev
	@for file in examples/*.ipynb; do echo "== $$file"; $(BIN)/python -m jupyter execute --inplace $$file || exit 1; done

clean:
	rm -rf $(VENV) $(OUT) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
