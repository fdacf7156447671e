# make demo   set up, train on the built-in characters, evaluate, print the table, name the picture
# make test   set up, run the whole test suite
# make lint   style and types
PYTHON ?= python3
DEMO_RUN ?= runs/demo
BIN := .venv/bin

.PHONY: setup demo test lint clean

setup: .venv/.installed

.venv/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mann needs Python 3.11 or later: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: setup
	rm -rf $(DEMO_RUN)
	$(BIN)/python scripts/train.py strokes --run $(DEMO_RUN) --preset demo
	$(BIN)/python scripts/evaluate.py $(DEMO_RUN) --episodes 1000

test: setup
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

clean:
	rm -rf .venv build *.egg-info
