# `make run` and `make test` are all a fresh machine needs; the rest is for who works on Rookery.
# ARGS adds to the command line of run, bench, fuzz, fuzz-node, crash, power, abuse and cluster-test: make run ARGS='--set ...'.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help

# The first Python that is new enough; `make PYTHON=...` chooses another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)

VENV := .venv
BIN := $(VENV)/bin
CORE := $(if $(filter 1,$(ROOKERY_PURE)),pure,fastest)
REQUIREMENTS := $(VENV)/requirements.txt
INSTALLED := $(VENV)/installed-$(CORE)
SOURCES := $(shell find src -name '*.py' -o -name py.typed)
INTERPRETED := PYTHONPATH=src $(BIN)/python -m pytest -q

.PHONY: help setup run check format lint types contracts audit unit properties test bench fuzz fuzz-node crash \
	power abuse proto clean

help:
	@echo "make run     set everything up and start a broker on port 1883"
	@echo "make test    set everything up and run all tests"
	@echo "make check   style, types, layers and unit tests, in about a minute"
	@echo "make format  let ruff rewrite what make check would refuse"
	@echo "make bench   measure against mosquitto      make fuzz   throw bytes at the decoder"
	@echo "make bench ARGS=cluster   measure three nodes, what passes between them and the loss of one"
	@echo "make fuzz-node   ten minutes of bad packets against a running node with live traffic"
	@echo "make crash   kill the broker 300 times, and see that nothing acknowledged is lost"
	@echo "make power   cut the power of a store's disk at 30000 moments, and see the same"
	@echo "make cluster-test   break a cluster of three nodes in a dozen ways, and see that it keeps its word"
	@echo "make audit   look for known faults in the packages Rookery needs"
	@echo "make abuse   attack a node in a dozen ways, and see that others are served as before"
	@echo "make proto   write the code of the messages between nodes from cluster.proto"
	@echo "make setup   what run and test call first   make clean  start from nothing"

setup: $(INSTALLED)

# The environment holds what pyproject.toml names, build requirements included: the build then runs
# inside it and keeps its cache in build/.
$(REQUIREMENTS): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Rookery needs Python 3.11 or newer (make PYTHON=...)." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c "import itertools, tomllib; \
	all = tomllib.load(open('pyproject.toml', 'rb')); project = all['project']; \
	extras = itertools.chain.from_iterable(project['optional-dependencies'].values()); \
	print(*all['build-system']['requires'], 'wheel', *project['dependencies'], *extras, sep='\n')" > $@.new
	@echo "installing the requirements into $(VENV)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r $@.new
	@mv $@.new $@

# An installed copy, not an editable one: src/ stays plain Python, which the same tests run as well.
$(INSTALLED): $(REQUIREMENTS) setup.py $(SOURCES)
	@rm -rf build/lib*/rookery build/lib*/rookery_bench build/core $(VENV)/installed-*
	@echo "building the package"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-index --no-deps \
		--no-build-isolation --force-reinstall . \
	|| { echo "The package could not be built: the cause stands above." \
		"ROOKERY_PURE=1 builds it without a compiler." >&2; exit 1; }
	@cat build/core
	@touch $@

run: setup
	$(BIN)/rookery start $(ARGS)

check: lint types contracts unit

format: $(REQUIREMENTS)
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lint: $(REQUIREMENTS)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/bandit -q -c pyproject.toml -r src/rookery

types: $(REQUIREMENTS)
	$(BIN)/mypy

contracts: $(REQUIREMENTS)
	PYTHONPATH=src $(BIN)/lint-imports

# Asks the package index what is known of the versions installed here; fails where it cannot ask.
audit: $(REQUIREMENTS)
	$(BIN)/pip-audit --strict --skip-editable --progress-spinner off -r $(REQUIREMENTS)

unit: $(REQUIREMENTS)
	$(INTERPRETED) tests/unit tests/tidy

properties: $(REQUIREMENTS)
	$(INTERPRETED) tests/properties

# What is pure runs twice, interpreted and compiled; the rest runs on what users get.
test: setup unit properties
	$(BIN)/python -m pytest -q tests

bench: setup
	$(BIN)/python -m rookery_bench $(ARGS)

fuzz: $(REQUIREMENTS)
	$(BIN)/python -m fuzz $(ARGS)

fuzz-node: setup
	$(BIN)/python -m fuzz.node $(ARGS)

crash: setup
	$(BIN)/python -m tests.crash $(ARGS)

power: setup
	$(BIN)/python -m tests.power $(ARGS)

abuse: setup
	$(BIN)/python -m tests.abuse $(ARGS)

# Writes anew what belongs to the messages between nodes; a test compares.
proto: $(REQUIREMENTS)
	$(BIN)/python -m grpc_tools.protoc -I src --python_out=src --pyi_out=src --grpc_python_out=src \
		src/rookery/cluster/proto/cluster.proto

# Nodes are cut off from each other where this machine has iproute2 and nftables, as root or with namespaces for all.
cluster-test: setup
	$(BIN)/python -m tests.cluster $(ARGS)

clean:
	rm -rf $(VENV) build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
