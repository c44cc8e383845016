# One word per job, the same words as in .ci/run. Each job makes its own .venv from nothing and is quick the second time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FREE_THREADED_CACHE ?= $(HOME)/.cache/cybreaker/python3.13t
FREE_THREADED := $(FREE_THREADED_CACHE)/bin/python3.13t
LONG := tests/core/test_against_model.py tests/core/test_fork.py tests/core/test_linearizable.py tests/calls/test_guarded_leaks.py \
	tests/provider/test_fork_providers.py tests/integrations/grpc/test_leaks.py # those that ask tests/support/long.py
CORE := $(wildcard src/breaker/*.pyx src/breaker/native/*)
# What pip installs is compiled when it is imported, which most of it never is here. (For pip's negative options false
# means yes.)
export PIP_NO_COMPILE := false

.PHONY: help demo demo-etcd test test-fast coverage test-chaos test-all test-memory test-long test-sanitizers test-storm test-freethreaded test-libraries test-oldest \
	free-threaded-python debian-pythons \
	check docs bench bench-clients bench-peers bench-instructions bench-etcd clean

help:
	@echo "make demo    watch breakers protect real calls, about 20 s (SECONDS=, WORKERS=)"
	@echo "make demo-etcd           the same with its policies in a real etcd"
	@echo "make test    the test suite, on the wheel built from the sdist (PYTEST='-k name')"
	@echo "make test-fast           the same on the source tree as it is edited"
	@echo "make coverage            the lines, Python's and Cython's, that no test reaches (EVERYTHING=1 with etcd and programs)"
	@echo "make test-chaos          200 s of random faults of etcd (SECONDS=, SEED=)"
	@echo "make test-all            the same on each Python from 3.11 on (make debian-pythons brings newer ones than the machine's)"
	@echo "make test-memory         each allocation of each form of call fails once, in all states"
	@echo "make test-long           a million random steps against the model, leaks of 100,000 calls, …"
	@echo "make test-sanitizers     the core's tests on builds with sanitizers (TESTS=tests/core, SHORT=yes)"
	@echo "make test-storm          random programs of threads, forks, signals and listeners (PROGRAMS=1000 SEED=0)"
	@echo "make test-libraries      decorated functions in thirty other libraries (Celery, FastAPI, pydantic, Twisted, …)"
	@echo "make test-oldest         the suite of HTTP clients with the oldest releases of their libraries"
	@echo "make test-freethreaded   the suite on a free-threaded Python (make free-threaded-python builds one)"
	@echo "make check   lint and types"
	@echo "make docs    the pages as a site, in docs/_build/html"
	@echo "make bench   benchmarks, with a table of ratios"
	@echo "make bench-clients       what each integration adds to a call, written to benchmarks/results"
	@echo "make bench-peers         the other breakers of the index beside this one"
	@echo "make bench-instructions  instructions per call against the committed counts (needs valgrind)"
	@echo "make bench-etcd          a thousand watchers on one etcd, about two minutes (WATCHERS=, TRANSPORT=)"
	@echo "make clean   remove what the others made"

DEMO := -m breaker demo $(if $(SECONDS),--seconds $(SECONDS)) $(if $(WORKERS),--workers $(WORKERS))

demo: $(VENV)/.built
	@$(BIN)/python $(DEMO)

demo-etcd: $(VENV)/.test
	@$(BIN)/python tools/with_etcd.py $(BIN)/python $(DEMO) --etcd {endpoint}

test:
	@sh tools/test_shipped.sh $(PYTHON) $(VENV)-shipped $(PYTEST)

test-fast: $(VENV)/.test
	$(BIN)/python -m pytest $(PYTEST)

coverage:
	@EVERYTHING=$(EVERYTHING) sh tools/coverage.sh $(PYTHON) $(VENV)-coverage $(PYTEST)

test-chaos: $(VENV)/.test
	CHAOS_SECONDS=$(or $(SECONDS),200) CHAOS_SEED=$(or $(SEED),0) $(BIN)/python -m pytest tests/etcd/chaos.py -s

test-all:
	@sh tools/test_all.sh $(PYTEST)

# The demo and the package as it is built are the other interpreters' business.
test-freethreaded:
	@[ -x $(FREE_THREADED) ] || { echo "no free-threaded Python at $(FREE_THREADED): make free-threaded-python"; exit 1; }
	@WITHOUT_GRPC=allowed sh tools/test_shipped.sh $(FREE_THREADED) $(VENV)-3.13t \
	    $(or $(TESTS),tests) $(addprefix --deselect tests/cli/test_demo,.py _documents.py _options.py) -k 'not sdist and not compile' $(PYTEST)

debian-pythons:
	@sh tools/debian_pythons.sh make

test-memory: $(VENV)/.test
	MEMORY=everything $(BIN)/python -m pytest tests/border/test_no_memory.py $(PYTEST)

test-sanitizers: $(VENV)/.test
	SHORT=$(SHORT) sh tools/sanitizers.sh $(BIN)/python $(FREE_THREADED) $(TESTS)

test-long: $(VENV)/.test
	BREAKER_LONG=everything $(BIN)/python -m pytest $(LONG) $(PYTEST)

test-storm: $(VENV)/.test
	STORM_PROGRAMS=$(or $(PROGRAMS),1000) STORM_SEED=$(or $(SEED),0) $(BIN)/python -m pytest tests/border/test_storm.py $(PYTEST)

# In an environment of its own: the libraries are many, and pin each other.
test-libraries: $(VENV)-libraries/.built
	BREAKER_LIBRARIES=all $(VENV)-libraries/bin/python -m pytest tests/libraries $(PYTEST)

$(VENV)-libraries/.built: pyproject.toml setup.py $(CORE)
	@sh tools/make_venv.sh $(PYTHON) $(VENV)-libraries
	@echo "building the package and installing thirty libraries in $(VENV)-libraries"
	@$(VENV)-libraries/bin/python -m pip install --quiet --editable '.[libraries]'
	@touch $@

test-oldest: $(VENV)-oldest/.built
	$(VENV)-oldest/bin/python -m pytest -p no:cacheprovider \
	    $(addprefix tests/integrations/,http httpx requests aiohttp urllib3) $(PYTEST)

$(VENV)-oldest/.built: pyproject.toml setup.py tools/oldest.txt $(CORE)
	@sh tools/make_venv.sh $(PYTHON) $(VENV)-oldest
	@echo "building the package and installing old libraries in $(VENV)-oldest"
	@$(VENV)-oldest/bin/python -m pip install --quiet --editable '.[test-core]' --requirement tools/oldest.txt
	@touch $@

free-threaded-python:
	@sh tools/free_threaded.sh $(FREE_THREADED_CACHE)

check: $(VENV)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/basedpyright
	$(BIN)/python -m mypy.stubtest breaker._core

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -c docs -b html -W --keep-going --quiet . docs/_build/html
	@echo "docs/_build/html/index.html"

bench: $(VENV)/.test
	$(BIN)/python -m pytest benchmarks --benchmark-only
	$(BIN)/python -m benchmarks.ratios

# Wants a machine that does nothing else. One process a section, so that none measures in what another has left.
bench-clients: $(VENV)/.test
	@for section in http stores jobs web; do \
	    $(BIN)/python -m benchmarks.ratios $$section --write || exit 1; \
	done

bench-peers: $(VENV)/.test
	$(BIN)/python -m benchmarks.peers

bench-instructions: $(VENV)/.test
	$(BIN)/python -m benchmarks.instructions

bench-etcd: $(VENV)/.test
	@$(BIN)/python -m benchmarks.etcd_scale $(if $(WATCHERS),--watchers $(WATCHERS)) $(if $(TRANSPORT),--transport $(TRANSPORT))

# What a job needs beyond the package itself; a stamp says that it is there.
$(VENV)/.test: $(VENV)/.built
	@$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@

$(VENV)/.check: $(VENV)/.built
	@$(BIN)/python -m pip install --quiet --editable '.[check]'
	@touch $@

$(VENV)/.docs: $(VENV)/.built
	@$(BIN)/python -m pip install --quiet --editable '.[docs]'
	@touch $@

$(VENV)/.built: pyproject.toml setup.py $(CORE) | $(VENV)/bin/python
	@echo "building the package in $(VENV)"
	@$(BIN)/python -m pip install --quiet --editable .
	@rm -f $(VENV)/.test $(VENV)/.check $(VENV)/.docs
	@touch $@

$(VENV)/bin/python:
	@sh tools/make_venv.sh $(PYTHON) $(VENV)

clean:
	rm -rf $(VENV) $(VENV)-* docs/_build benchmarks/.venv-peers benchmarks/floor/.cache build dist src/*.egg-info \
		src/breaker/_core.c src/breaker/*.so
