# make demo: archive to answered query, by the real parts.   make test: the fast tests.
# make test-cluster: those with several Ray nodes.
# All commands share one virtual environment in .venv; whichever comes first makes it.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# Two workers take the test files in turns: tests of Ray wait more than they compute.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet
EXTRAS := demo,dicom,azure,gcs,proxy,test,bench

# requirements.txt locks the files of every dependency by their hashes, as resolved on Linux with x86-64 processors.
# constraints.txt has the same versions without hashes. Other platforms, where other files are needed (no CUDA, say), are
# installed by it, and so is torch from its index of CPU builds, whose version 2.14.1+cpu satisfies ==2.14.1.
LOCK   ?= $(if $(filter Linux-x86_64,$(shell uname -sm | tr ' ' -)),requirements.txt)

.PHONY: demo test test-quick test-cluster test-all check audit docs bench lock clean

demo: $(VENV)/.installed
	$(BIN)/mcmfh demo

test: $(VENV)/.installed
	$(PYTEST)

test-quick: $(VENV)/.installed
	$(PYTEST) -m "not slow and not cluster and not ray and not s3 and not browser"

test-cluster: $(VENV)/.installed
	$(BIN)/python -m pytest -m "cluster and not slow"

test-all: $(VENV)/.installed
	$(BIN)/python -m pytest -m "slow or not slow"

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(MAKE) docs
	$(MAKE) audit

# pip-audit itself passes where the advisories cannot be reached.
ADVISORIES := https://pypi.org/pypi/pip/json
audit: $(VENV)/.installed
	@if $(BIN)/python -c "import urllib.request; urllib.request.urlopen('$(ADVISORIES)', timeout=10)" 2>/dev/null; \
	then $(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip --progress-spinner off; \
	else echo "pip-audit: $(ADVISORIES) cannot be reached; nothing was audited"; fi

docs: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

bench: $(VENV)/.installed
	$(BIN)/python jobs/benchmark.py --help

# Keeps the versions that requirements.txt has wherever pyproject.toml allows them; a file that is missing is made anew.
lock: $(VENV)/.installed
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	    --no-annotate --no-emit-options --all-extras --output-file requirements.txt pyproject.toml
	{ echo "# The versions of requirements.txt, without hashes: pip install -c constraints.txt …   Made by make lock."; \
	    sed -n 's/^\([^ #]*==[^ ]*\).*/\1/p' requirements.txt; } > constraints.txt

$(VENV)/.installed: pyproject.toml $(if $(LOCK),$(LOCK),constraints.txt)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
ifeq ($(LOCK),)
	$(PIP) --constraint constraints.txt --editable ".[$(EXTRAS)]"
else
	$(PIP) --require-hashes --requirement $(LOCK)
	$(PIP) --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip check
endif
	touch $@

clean:
	rm -rf $(VENV) demo build
