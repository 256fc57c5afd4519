# make demo: archive to answered query, by the real parts.   make test: the fast tests.
# Both make their own virtual environment in .venv; the second time they find it ready.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: demo test test-all check bench clean

demo: $(VENV)/.demo
	$(BIN)/mcmfh demo

test: $(VENV)/.test
	$(BIN)/python -m pytest

test-all: $(VENV)/.test
	$(BIN)/python -m pytest -m "slow or not slow"

check: $(VENV)/.test
	$(BIN)/ruff check . && $(BIN)/mypy

bench: $(VENV)/.test
	$(BIN)/python jobs/benchmark.py --help

$(VENV)/.demo: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[demo,dicom]"
	touch $@

$(VENV)/.test: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[demo,dicom,test,bench]"
	touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) demo build
