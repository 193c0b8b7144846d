# `make demo` deblurs the bundled pair, `make test` checks everything. Each first sets up what it needs, once.
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# The first Python that really starts, is 3.11 or newer and can make virtual environments. Choose your own: make PYTHON=...
GOOD := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(foreach p,python3.11 python3 python3.12 python3.13 python,$(shell $(p) -c '$(GOOD)' 2>/dev/null && echo $(p))))

# PyTorch comes first and pinned: its builds are large, and a looser wish could fetch a second one.
TORCH ?= $(shell grep '^torch==' constraints.txt)

.PHONY: help demo test coverage check docs site site-test learn learn-status learn-stop setup clean release-check

help:
	@echo "make demo    set up, then deblur the bundled pair: pictures in demo/"
	@echo "make test    set up, then lint, check types and run every test"
	@echo "make check   only lint and types"
	@echo "make coverage   the tests again, and which lines they reach; less than 90 % is a failure"
	@echo "make docs    set up, then build the documentation: docs/_build/html/index.html"
	@echo "make site    the documentation and the page that computes in the browser, as one static folder: site/_build (needs Node)"
	@echo "make site-test   try that page in Chromium, with and without a network (needs Node, Chromium and its driver)"
	@echo "make learn   set up, then train in the background without end, or go on with it: docs/train.md"
	@echo "make learn-status   what that has come to;  make learn-stop   end it, with everything kept"
	@echo "make release-check   build wheel and source archive, and try the wheel in a clean environment"
	@echo "make clean   remove the virtual environment and the built documentation"

demo: setup
	$(BIN)/dualpix demo

# Two tests at a time, each with one thread: PyTorch's threads wait for one another in a loop, which two processes on two
# cores cannot afford. Files stay together, for what their tests share, and in order. A process of tests that crashes ends the run:
# pytest-xdist would start another and then wait for ever for the tests that the first one had left. The many processes that tests
# start must not compile this package each, whatever the user's own setting is.
TESTING := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX="$(CURDIR)/$(VENV)/pycache"

test: check
	$(TESTING) $(BIN)/python -m pytest -n 2 --max-worker-restart 0 --dist loadfile --no-loadscope-reorder

coverage: setup
	$(TESTING) $(BIN)/python -m pytest -n 2 --max-worker-restart 0 --dist loadfile --no-loadscope-reorder --cov

check: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: setup
	$(BIN)/python -m sphinx -W --keep-going -q docs docs/_build/html

# Packages without their scripts, and without a lock file: every one is pinned in package.json.
site: docs
	cd site && npm install --no-package-lock --ignore-scripts --no-audit --no-fund --silent
	cd site && npm run --silent vendor
	$(BIN)/python site/build.py

site-test: site
	cd site && PYTHON="$(CURDIR)/$(BIN)/python" npm test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest site/tests

learn: setup
	@$(BIN)/python benchmarks/learn.py start

learn-status learn-stop: learn-%:
	@$(BIN)/python benchmarks/learn.py $*

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@"$(PYTHON)" -c '$(GOOD)' 2>/dev/null || { echo "dualpix needs Python 3.11 or newer with the venv module; install it, or say where it is: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# Builds what would be released, looks at it as the index would, and uses the wheel where no checkout is near. `build` and
# `twine` live in an environment of their own: nobody else needs them.
RELEASE := $(VENV)/release
release-check: setup
	rm -rf dist $(RELEASE)
	"$(PYTHON)" -m venv $(RELEASE)
	$(RELEASE)/bin/python -m pip install --quiet --disable-pip-version-check build twine
	$(RELEASE)/bin/python -m build --outdir dist .
	$(RELEASE)/bin/python -m twine check --strict dist/*
	$(BIN)/python benchmarks/release_check.py dist

clean:
	rm -rf $(VENV) docs/_build site/_build site/_network site/vendor site/node_modules
