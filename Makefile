# Every target is one line of `make help`. `make presubmit` is what a commit must pass; CI runs
# the same and then the end-to-end job.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
PYTHON := $(VENV)/bin/python
ROOMS := api planner presets workflows activities worker onebox bench scripts
PYTEST := $(PYTHON) -m pytest
# Processes that share the tests; each has its own API servers (about 0.8 GB at the most).
TEST_WORKERS ?= 3

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: help
help: ## Show this help
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | sed -E 's/^([a-z0-9-]+):.*## (.*)/  \1|\2/' | column -t -s '|'

.PHONY: setup
setup: ## Make the virtual environment (.venv) with pinned, hashed packages
	@bash scripts/setup.sh

.PHONY: up
up: setup ## Start Kubernetes, Temporal, the worker and a model on this machine; ask it a question
	@$(PYTHON) -m onebox up

.PHONY: down
down: ## Stop everything that `make up` started, and prove that nothing is left
	@$(PYTHON) -m onebox down

.PHONY: status
status: ## Say what runs
	@$(PYTHON) -m onebox status

.PHONY: binaries
binaries: setup ## Build the API server and etcd that the tests talk to (cached)
	@$(PYTHON) -m onebox build kube-apiserver etcd kube-controller-manager kube-scheduler kwok

.PHONY: test
test: setup binaries ## Run every test that needs no root: unit to faults, on real servers
	@$(PYTEST) -n $(TEST_WORKERS) --dist worksteal

.PHONY: arch
arch: setup ## Check the import rules and the other promises about structure
	@$(VENV)/bin/lint-imports --no-cache
	@$(PYTEST) -q tests/architecture

.PHONY: fmt
fmt: setup ## Format the code
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix .

.PHONY: lint
lint: setup ## Check form and spelling
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/codespell

.PHONY: types
types: setup ## Check types (strict)
	@$(VENV)/bin/mypy $(ROOMS)

.PHONY: golden
golden: setup ## Write the golden manifests anew; read the diff like code
	@$(PYTEST) -q tests/golden --snapshot-update

.PHONY: generate
generate: setup ## Write the CRDs and generated docs anew
	@$(PYTHON) -m api.crd --write
	@$(PYTHON) -m scripts.estimator_table --write
	@$(PYTHON) -m scripts.generate_docs --write

.PHONY: replay
replay: setup ## Replay the committed histories
	@$(PYTEST) -q tests/replay

.PHONY: e2e
e2e: setup ## Run the main job for real on this machine (needs root)
	@$(PYTEST) -m e2e tests/e2e

# RUNS and SEED: how many runs, and the seed of the first (random when left out, and printed).
RUNS ?= 100

.PHONY: chaos
chaos: setup binaries ## Break servers at random while Workspaces live; RUNS=100 SEED=… repeats
	@$(PYTHON) -m tests.chaos --runs $(RUNS) $(if $(SEED),--seed $(SEED))

.PHONY: bench
bench: setup ## Measure, and write docs/benchmarks.md
	@$(PYTHON) -m bench

.PHONY: presubmit
presubmit: lint types arch test ## What every commit must pass

.PHONY: lock
lock: setup ## Resolve the pinned requirements anew from pyproject.toml
	@bash scripts/lock.sh
