# make demo   set up .venv, compare the presets with models that lead their class, draw a picture
# make test   set up the dev tools, run the tests
PYTHON ?= python3
# The torch to install, for example TORCH=torch==2.11.0
TORCH ?= torch
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
TESTS := $(BIN)/python -m pytest -n 2
# Scripts may pass NumPy arrays where the library has numbers; the names and parameters that they use must exist.
SCRIPT_TYPES := --allow-untyped-calls $(addprefix --disable-error-code=,arg-type assignment operator return-value)

.PHONY: demo test test-slow lint format docs site golden wheel clean

demo: $(VENV)/installed
	mkdir -p out
	$(BIN)/saevit compare --plot out/compare.png --report out/compare.html --overwrite
	@echo "The page with everything, raw samples included, is out/compare.html."
	@echo "The picture is out/compare.png"

test: $(VENV)/dev
	$(TESTS) -m "not slow"

test-slow: $(VENV)/dev
	$(TESTS) -m slow

lint: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy $(SCRIPT_TYPES) benchmarks examples

format: $(VENV)/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The reference of the command line, the outputs in README and the guide, and the pictures
docs: $(VENV)/dev
	$(BIN)/python -m pytest -q tests/contracts/test_docs.py -k "reference or show" --update-golden
	$(BIN)/saevit profile saevit_tiny --batch-size 1,8 --plot docs/images/profile.png --overwrite
	$(BIN)/saevit compare --plot docs/images/compare.png --overwrite
	$(BIN)/saevit visualize-attention --weights both --output docs/images/attention.png --overwrite
	$(BIN)/saevit explore --gmacs-band 0.8±1% --max-params 8 --plot docs/images/explore.png --overwrite
	$(BIN)/saevit compare --from-store latest --x gmacs --y latency --plot docs/images/honesty.png --overwrite

# The documents as pages; a link that leads nowhere is an error
site: $(VENV)/dev
	$(PIP) -e ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "The first page is out/site/index.html"

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
