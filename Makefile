# make demo               set up, train on the built-in characters, evaluate, print the table, name the picture
# make test               set up, run the whole test suite
# make test-learn2learn   set up learn2learn beside it, run the tests that need it
# make test-torch TORCH=2.9   the tests of the fast path with another version of torch
# make lint               style, imports and types
PYTHON ?= python3
DEMO_RUN ?= runs/demo
BIN := .venv/bin
LEARN2LEARN := .venv/learn2learn
TORCH ?= 2.9
OTHER_TORCH := .venv/torch-$(TORCH)
FAST_TESTS := tests/mann/fast tests/mann/models/test_drop_in.py tests/episodes/test_native.py
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check

.PHONY: setup demo test test-learn2learn test-torch lint clean

setup: .venv/.installed

.venv/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mann needs Python 3.11 or later: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python $(PIP_INSTALL) --editable '.[dev]'
	touch $@

# An environment on top of the other, whose packages it sees through a .pth file: they are not installed twice, and
# what learn2learn brings does not change them. The import comes last, because its tests are skipped where it fails.
$(LEARN2LEARN)/.installed: requirements-learn2learn.txt .venv/.installed
	$(BIN)/python -m venv --clear $(LEARN2LEARN)
	$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
	    > "$$($(LEARN2LEARN)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/mann.pth"
	$(LEARN2LEARN)/bin/python $(PIP_INSTALL) 'pip>=23.1' 'setuptools>=77' wheel Cython gym requests tqdm
	$(LEARN2LEARN)/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation --use-pep517 --requirement requirements-learn2learn.txt
	$(LEARN2LEARN)/bin/python -c 'import learn2learn'
	touch $@

demo: setup
	rm -rf $(DEMO_RUN)
	$(BIN)/python scripts/train.py strokes --run $(DEMO_RUN) --preset demo
	$(BIN)/python scripts/evaluate.py $(DEMO_RUN) --episodes 1000

test: setup
	$(BIN)/python -m pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder

test-learn2learn: $(LEARN2LEARN)/.installed
	$(LEARN2LEARN)/bin/python -m pytest -m learn2learn

# Another torch in front of the packages of the first environment.
$(OTHER_TORCH)/.installed: .venv/.installed
	$(BIN)/python -m venv --clear $(OTHER_TORCH)
	$(OTHER_TORCH)/bin/python $(PIP_INSTALL) 'torch==$(TORCH).*' torchvision
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	    > "$$($(OTHER_TORCH)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/mann.pth"
	$(OTHER_TORCH)/bin/python -c 'import torch, torchvision; assert torch.__version__.startswith("$(TORCH).")'
	touch $@

test-torch: $(OTHER_TORCH)/.installed
	$(OTHER_TORCH)/bin/python -m pytest $(FAST_TESTS)
	CXX=none $(OTHER_TORCH)/bin/python -m pytest $(FAST_TESTS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/pyright

clean:
	rm -rf .venv build *.egg-info
