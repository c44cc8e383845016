# One word per job, the same words as in .ci/run. Each job makes its own .venv from nothing and is quick the second time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORE := $(wildcard src/breaker/*.pyx src/breaker/*.pxi src/breaker/*.h)

.PHONY: help demo test check bench bench-peers bench-instructions clean

help:
	@echo "make demo    watch breakers protect real calls, about 20 s (SECONDS=, WORKERS=)"
	@echo "make test    the test suite"
	@echo "make check   lint and types"
	@echo "make bench   benchmarks, with a table of ratios"
	@echo "make bench-peers         the other breakers of the index beside this one"
	@echo "make bench-instructions  instructions per call against the committed counts (needs valgrind)"
	@echo "make clean   remove what the others made"

demo: $(VENV)/.built
	@$(BIN)/python -m breaker demo $(if $(SECONDS),--seconds $(SECONDS)) $(if $(WORKERS),--workers $(WORKERS))

test: $(VENV)/.test
	$(BIN)/python -m pytest

check: $(VENV)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/basedpyright
	$(BIN)/python -m mypy.stubtest breaker._core

bench: $(VENV)/.test
	$(BIN)/python -m pytest benchmarks --benchmark-only
	$(BIN)/python -m benchmarks.ratios

bench-peers: $(VENV)/.test
	$(BIN)/python -m benchmarks.peers

bench-instructions: $(VENV)/.test
	$(BIN)/python -m benchmarks.instructions

# What a job needs beyond the package itself; a stamp says that it is there.
$(VENV)/.test $(VENV)/.check: $(VENV)/.%: $(VENV)/.built
	@$(BIN)/python -m pip install --quiet --editable '.[$*]'
	@touch $@

$(VENV)/.built: pyproject.toml setup.py $(CORE) | $(VENV)/bin/python
	@echo "building the package in $(VENV)"
	@$(BIN)/python -m pip install --quiet --editable .
	@rm -f $(VENV)/.test $(VENV)/.check
	@touch $@

$(VENV)/bin/python:
	@sh tools/make_venv.sh $(PYTHON) $(VENV)

clean:
	rm -rf $(VENV) benchmarks/.venv-peers benchmarks/floor/.cache build dist src/*.egg-info src/breaker/_core.c src/breaker/*.so
