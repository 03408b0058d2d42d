# Two commands do all the set-up: `make demo` and `make test`.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test bench primer lint format docs clean

demo: $(STAMP)
	$(BIN)/heliograph demo --out out

test: lint
	sh tests/system_packages.sh
	$(BIN)/python -m pytest $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)
	$(BIN)/python -m benchmarks --out out/bench $(ARGS)

# Trains the bundled weights, writes them and measures them: about fifteen hours of two cores
# from nothing, resumed where it stopped. BUDGET="--budget-minutes 60" shortens it;
# EVAL="--emoji FOLDER" adds the row of another emoji set.
primer: $(STAMP)
	$(BIN)/heliograph train all --preset primer --out out/primer $(BUDGET)
	$(BIN)/heliograph eval --weights out/primer --even --cases 300 --out out/primer-eval $(EVAL)
	cp -R out/primer/. model/primer/weights/

# Needs graphviz; the drawings are committed, so that only who changes a .dot file runs it.
docs:
	sh docs/diagrams/draw.sh

clean:
	rm -rf $(VENV) out dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Made once, and again only when what is installed has changed.
$(STAMP): pyproject.toml constraints.txt Makefile
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,import,data,llm,eval,quant,dev]'
	touch $@
