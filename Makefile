# make demo   set up .venv, profile a variant, draw a picture
# make test   set up the dev tools, run the tests
PYTHON ?= python3
# The torch to install, for example TORCH=torch==2.11.0
TORCH ?= torch
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
TESTS := $(BIN)/python -m pytest -n 2

.PHONY: demo test test-slow lint format docs golden wheel clean

demo: $(VENV)/installed
	mkdir -p out
	$(BIN)/saevit profile saevit_tiny --plot out/profile.png --json out/profile.json --overwrite
	@echo "The picture is out/profile.png, the raw samples are in out/profile.json."

test: $(VENV)/dev
	$(TESTS) -m "not slow"

test-slow: $(VENV)/dev
	$(TESTS) -m slow

lint: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The reference of the command line, and README's table and picture
docs: $(VENV)/dev
	$(BIN)/python -m pytest -q tests/contracts/test_docs.py --update-golden
	$(BIN)/saevit profile saevit_tiny --batch-size 1,8 --plot docs/images/profile.png --overwrite

golden: $(VENV)/dev
	$(BIN)/python -m pytest -q tests --update-golden -m "not slow"

wheel: $(VENV)/dev
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) build dist out

$(VENV)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "saevit needs Python 3.11 or later: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/installed: $(VENV)/python pyproject.toml
	$(PIP) "$(TORCH)" -e .
	@touch $@

$(VENV)/dev: $(VENV)/python pyproject.toml
	$(PIP) "$(TORCH)" -e ".[dev]"
	@touch $(VENV)/installed $@
