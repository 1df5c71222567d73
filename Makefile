# Everything runs in .venv, which is made on the first call and made anew when what defines it changes.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# Processes that run tests; most of them wait rather than compute.
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
# Where suites lie that are no part of the project, each in a folder of its name; OPTIONS are a suite's own.
SUITES ?=
OPTIONS ?=

.PHONY: help test lint format unit docs changelog demo conformance faults routing bench fuzz soak chaos clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

test: lint unit ## Check the code and run the whole suite

lint: $(INSTALLED) ## Check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED) ## Format the code and sort its imports
	$(BIN)/ruff check --select I --fix .
	$(BIN)/ruff format .

unit: $(INSTALLED) ## Run the suite; TESTS=tests.test_layers runs a part of it
	@tools/debian_packages chromium chromium-driver || echo "The tests in a browser will be skipped."
	@tools/debian_packages dnsmasq-base || echo "The tests with a name server will be skipped."
	$(BIN)/python tools/run_tests.py --jobs $(JOBS) $(or $(TESTS),tests)

docs: $(INSTALLED) ## Build the documentation into docs/build, and manual pages of it into docs/build/man
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/build
	$(BIN)/python -m sphinx -q -W --keep-going -b man docs docs/build/man

changelog: $(INSTALLED) ## Make CHANGELOG.md of what is in changelog.d; RELEASE=yes dates it and takes that away
	$(BIN)/python tools/changelog.py $(if $(RELEASE),--release)

demo: $(INSTALLED) ## Serve a sample mesh on loopback and show a sticky session
	$(BIN)/python -m meshproxy.demo

conformance: $(INSTALLED) ## Run SUITES/conformance against a hardened gateway: HTTP/1.1 and request smuggling
	$(BIN)/python -m tests.serve.suite $@ "$(SUITES)" $(OPTIONS)

faults: $(INSTALLED) ## Run SUITES/faults against a gateway: what endpoints and clients can do wrong
	$(BIN)/python -m tests.serve.suite $@ "$(SUITES)" $(OPTIONS)

routing: $(INSTALLED) ## Run SUITES/routing against gateways: cases of Istio's routing
	$(BIN)/python -m tests.serve.suite $@ "$(SUITES)" $(OPTIONS)

bench: $(INSTALLED) ## Run SUITES/bench: what a request costs, beside other proxies
	$(BIN)/python -m tests.serve.suite $@ "$(SUITES)" $(OPTIONS)

fuzz: $(INSTALLED) ## Damage messages at random for SECONDS (60), and compare what is read with h11
	$(BIN)/python -m tests.differential.fuzz $(or $(SECONDS),60) $(SEED)

soak: $(INSTALLED) ## Kill, hang and revive endpoints under load for SECONDS (60); nothing may be lost
	$(BIN)/python -m tests.soak $(or $(SECONDS),60) $(SEED)

chaos: $(INSTALLED) ## Kill, drain and reload workers and break endpoints under load for SECONDS (60)
	$(BIN)/python -m tests.chaos $(or $(SECONDS),60) $(SEED)

clean: ## Remove .venv and everything that was built
	rm -rf $(VENV) build dist docs/build *.egg-info _trial_temp* .mypy_cache .ruff_cache .hypothesis .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f twisted/plugins/dropin.cache

$(INSTALLED): setup.cfg pyproject.toml constraints.txt tools/make_venv
	PYTHON=$(PYTHON) tools/make_venv $(VENV)
	@touch $@
