# `make quickstart` and `make test` need nothing done by hand before them; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.complete
BIN := $(VENV)/bin
CHECKS := .checks
SELDON := .seldon
FORMATS := .formats
CODE := servd model_runtime k8s_adapter tests examples benchmarks scripts

# Per cent of lines and branches that `make coverage` must see run; it only goes up.
FLOOR := 92
# Not measured are tests of times and of load, which the measuring would slow down, and containers.
TIMED := tests/integration/test_one_request.py tests/integration/test_hostile_http.py
MEASURED := tests/unit $(filter-out $(TIMED),$(wildcard tests/integration/[a-z]*))
MEASURED += tests/e2e/test_choice.py tests/e2e/test_cli.py tests/e2e/test_examples.py

.DEFAULT_GOAL := help
.PHONY: help quickstart test test-zmq coverage checks lint types contracts bench bench-paper profile soak pex lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 12

quickstart: $(STAMP) ## start a daemon, deploy an example, query it
	@$(BIN)/python examples/quickstart.py

# Three workers on two processors: the tests wait for processes more than they compute, those that are
# not measured more than the others, and those of containers still more. What takes longest is told, as
# it is what keeps everybody waiting.
TOLD := --durations=12 --durations-min=4
SPREAD := --dist worksteal $(TOLD)
WORKERS := -n 3 $(SPREAD)

# Where this is set, as images of containers have it, each process compiles what it imports anew.
unexport PYTHONDONTWRITEBYTECODE

# Of examples that Hypothesis makes up; without it, tests/unit/conftest.py is content with fewer.
export TEST_EXAMPLES := all

ifdef COVERAGE
test: coverage
else
test: $(STAMP) ## run all tests; with COVERAGE=yes as `make coverage` does
	$(BIN)/python -m pytest $(WORKERS)
endif

# What the replicas of these have to do with their carrier is tested over both by `make test`.
OVER_ZMQ := $(addprefix tests/e2e/test_,bad_models frontends model_processes standstill switching)
OVER_ZMQ := $(OVER_ZMQ:=.py)

test-zmq: $(STAMP) ## run the tests of replicas' lives with ZeroMQ carrying their messages
	SERVD_CARRIER=zmq $(BIN)/python -m pytest $(WORKERS) $(OVER_ZMQ)

# Containers are waited for more than they compute, so their tests run beside the others; in one
# process, as what it has built it need not build again, and two that build the same disturb each other.
# The file's path is whole, as the processes that are measured too (tests/measuring.py) have other
# folders.
coverage: export COVERAGE_FILE := $(CURDIR)/.coverage
coverage: $(STAMP) ## run all tests, most of them measured; fail where too little of the code was run
	$(BIN)/coverage erase
	@$(BIN)/python -m pytest $(TOLD) tests/docker >.containers.log 2>&1 & containers=$$!; failed=; \
	$(BIN)/python -m pytest $(WORKERS) --cov --cov-report= $(MEASURED) || failed=yes; \
	$(BIN)/python -m pytest -n 4 $(SPREAD) $(MEASURED:%=--ignore=%) --ignore=tests/docker || failed=yes; \
	wait $$containers || failed=yes; cat .containers.log; rm .containers.log; [ -z "$$failed" ]
	$(BIN)/coverage report --skip-covered --fail-under=$(FLOOR)

checks: $(CHECKS)/.complete $(SELDON)/.complete $(FORMATS)/.complete ## make the environments of checkov, old Kubernetes schemas, seldon-core and models' formats; tests that need them run then

lint: $(STAMP) ## ruff: rules and format
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

types: $(STAMP) ## mypy --strict
	$(BIN)/mypy

contracts: $(STAMP) ## import-linter: an import goes down only
	$(BIN)/lint-imports

bench: $(STAMP) ## run the benchmarks against their baselines: make bench ARGS='--quick'
	$(BIN)/python -m benchmarks $(ARGS)

bench-paper: $(STAMP) ## run the experiments of the Clipper paper again
	$(BIN)/python -m benchmarks paper $(ARGS)

profile: $(STAMP) ## a flame graph of the daemon under load
	$(BIN)/python -m benchmarks profile $(ARGS)

soak: $(STAMP) ## five million queries, and the daemon's memory
	$(BIN)/python -m benchmarks soak $(ARGS)

# Of other Pythons than that of .venv only the wheels are needed: PYTHONS='3.12 3.13'.
pex: $(STAMP) ## build servd as one file, dist/servd, that needs only a Python: make pex PYTHONS='3.12'
	@$(BIN)/python scripts/single_file.py dist/servd $(PYTHONS:%=--python %) $(EXTRAS:%=--extras %)

lock: ## write requirements.lock, checks.lock, seldon.lock and formats.lock anew
	scripts/lock.sh $(PYTHON)

clean: ## remove the environment and what tools left behind
	@if [ -x $(BIN)/servd ] && [ -f .servd/daemon.json ]; then $(BIN)/servd stop --data-dir .servd || true; fi
	rm -rf $(VENV) $(CHECKS) $(SELDON) $(FORMATS) .servd build dist *.egg-info .coverage .coverage.* .containers.log \
		.mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(STAMP): requirements.lock setup.cfg scripts/make-env.sh
	@echo "Making the environment in $(VENV) (once, about half a minute)"
	@scripts/make-env.sh $(PYTHON) $(VENV)
	@touch $@

# An environment of its own: what checkov wants contradicts what servd has.
$(CHECKS)/.complete: checks.lock $(STAMP)
	@echo "Making the environment in $(CHECKS) (once)"
	@$(BIN)/python -m venv --clear --without-pip $(CHECKS)
	@$(BIN)/python -m pip --python $(CHECKS)/bin/python install -qq --no-deps --no-compile --require-hashes -r checks.lock
	@touch $@

# Seldon's client, and what it asks: it wants a numpy, a Flask and a setuptools that are older than servd's.
$(SELDON)/.complete: seldon.lock $(STAMP)
	@echo "Making the environment in $(SELDON) (once)"
	@$(BIN)/python -m venv --clear --without-pip $(SELDON)
	@$(BIN)/python -m pip --python $(SELDON)/bin/python install -qq --no-deps --no-compile --require-hashes -r seldon.lock
	@touch $@

# The libraries of models' formats. torch comes last, and without hashes: pip takes the build for the
# processor alone where it is told of one, which is another file than the one with all of CUDA.
TORCH := torch==2.13.0
$(FORMATS)/.complete: formats.lock $(STAMP)
	@echo "Making the environment in $(FORMATS) (once, 1.6 GB with torch's build for the processor)"
	@$(BIN)/python -m venv --clear --without-pip $(FORMATS)
	@$(BIN)/python -m pip --python $(FORMATS)/bin/python install -qq --no-deps --no-compile --require-hashes -r formats.lock
	@$(BIN)/python -m pip --python $(FORMATS)/bin/python install -qq --no-compile $(TORCH)
	@touch $@
