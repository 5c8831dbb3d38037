# Everything a bare machine with make and Python >= 3.11 needs. PYTHON=python3.12 make ...
# picks another interpreter, CONSTRAINTS=constraints-newest.txt the newest packages.

PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet \
           -c $(CONSTRAINTS)

.PHONY: demo test test-all lint bench docs clean

# The main job on a shipped run file: prints the table and the path of the report.
demo: $(VENV)/ready
	$(BIN)/genlat run examples/phi4_16x8.toml --out demo-run-$$(date +%Y%m%d-%H%M%S)

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

# Compiled as users' programs are, where `test` compiles fast.
test-all: lint
	XLA_FLAGS= $(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: $(VENV)/ready-bench
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

# The site: docs/_build/index.html. Warnings are errors.
docs: $(VENV)/ready-docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --nitpicky --quiet \
	    -b html docs docs/_build

# The runs that `make demo` left are yours: delete them by hand.
clean:
	rm -rf docs/_build docs/api
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# Touched last, so an interrupted installation is taken up again.
$(VENV)/ready: pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit("genlat needs Python >= 3.11, and this is " \
	    + sys.version.split()[0] + ": make PYTHON=/path/to/another ..." \
	    if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -e '.[dev]'
	@touch $@

$(VENV)/ready-bench: $(VENV)/ready
	$(INSTALL) -e '.[dev,bench]'
	@touch $@

$(VENV)/ready-docs: $(VENV)/ready
	$(INSTALL) -e '.[dev,docs]'
	@touch $@
