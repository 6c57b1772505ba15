# `make run` and `make test` do everything on a machine with Python 3.11+ and make; nothing needs root.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: run ask test lint web web-test clean

run: $(VENV)/.core
	@$(BIN)/firesteel serve

ask: $(VENV)/.core
	@$(BIN)/firesteel ask "how much more is L than M?" --image examples/chart.png

test: $(VENV)/.test
	@$(MAKE) --no-print-directory -j2 lint web-test
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# Whether there is a Node that web/package.json asks for: `^` is one of the same major version.
NODE := node -e 'const here = process.versions.node; process.exit( \
	require("./package.json").engines.node.split(" || ").some((range) => { const least = range.replace(/^\D+/, ""); \
	return here.localeCompare(least, "en", {numeric: true}) >= 0 && \
	(range[0] !== "^" || parseInt(here) === parseInt(least)); }) ? 0 : 1)'

web-test:
	@cd web && if $(NODE) && npm ci --no-audit --no-fund; then npm run check && npm test; \
	else echo "web: no new Node or no network: vitest, svelte-check, axe and the bundle's comparison are left out."; fi

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The app's bundle is committed, so that nobody needs Node to use it; this makes it anew from its source.
web:
	cd web && npm ci --no-audit --no-fund && npm run build

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Of the thousands of modules that pip brings a few are imported: compiling all would take longer than all else it does.
$(VENV)/.core: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q --no-compile --disable-pip-version-check -e .
	@touch $@

# The CPU build of torch is asked for by its version number, so that no CUDA packages come along where one is at hand.
$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q --no-compile --disable-pip-version-check "torch==2.13.0"
	$(BIN)/python -m pip install -q --no-compile --disable-pip-version-check -e ".[test]"
	@touch $@

clean:
	rm -rf $(VENV) build dist src/*.egg-info
