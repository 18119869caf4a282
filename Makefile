# make demo, make test: both set up what they need on a machine with Python 3.11+ and nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
OUT ?= demo-output

.PHONY: help demo replay test test-fast test-extra lint benchmark notebooks clean

help:
	@echo "make demo       the main job on real fields; products in $(OUT)/"
	@echo "make replay     the Tasman Sea heatwave of 2015/16 day by day, or DATA=your own; report.html in $(REPLAY)/"
	@echo "make test       the test suite with doctests"
	@echo "make test-fast  the same without the slow tests"
	@echo "make test-extra what takes a minute a test: long twin experiments, memory on Slurm, the other notebooks"
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
	$(PIP) install --quiet --constraint constraints.txt --editable '.[plot,demo,forecast,mpi]' --group dev
	@touch $@

demo: $(VENV)/.demo
	$(BIN)/oceankit run examples/demo.yaml --output $(OUT)

# Daily sea surface temperature around an event; anybody's own with DATA=, BASE= and DAYS=.
DATA ?= ../shared/data/oisst_tasmania/oisst_tasmania_1982_2016.nc
BASE ?= 1983 2011
DAYS ?= 2015-08-01 2016-06-30
PLACE ?= Western Tasman Sea
PLACE_ZH ?= 塔斯曼海西部
REPLAY ?= replay-output
replay: $(VENV)/.dev
	$(BIN)/oceankit replay $(DATA) $(REPLAY) --base $(BASE) --days $(DAYS) --units degC --place "$(PLACE)" --place-zh "$(PLACE_ZH)"

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto -m "not extra"

test-fast: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto -m "not slow and not extra"

test-extra: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto -m extra tests

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
	rm -rf $(VENV) $(OUT) $(REPLAY) replay-run-output .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
