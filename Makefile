# Everything a person does with a checkout. `make` alone lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help bootstrap lint test test-unit test-slow plane crds lock bench bench-kvm growth soak demo demo-down

BIN := .venv/bin
JOBS ?= $(shell nproc)
PYTEST := $(BIN)/pytest --numprocesses=$(JOBS) --dist=loadfile

help: ## list these targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' Makefile | expand -t 12

bootstrap: ## make .venv and, as root on Debian, install the packages that tests and demo need
	@scripts/bootstrap

lint: bootstrap ## style, types, import rules, generated files, structure
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m crds check
	$(BIN)/python scripts/check_structure.py

plane: bootstrap ## build the standalone control plane (once per machine; minutes)
	@$(BIN)/python -m standalone build

test: lint plane ## everything that can run here; ends with a list of what did NOT RUN and why
	$(PYTEST)

test-unit: bootstrap ## the tests that need no control plane and no hypervisor
	$(PYTEST) tests/unit

test-slow: plane ## the tests that take minutes; as root on Debian it installs what only they need
	@scripts/bootstrap slow
	$(PYTEST) --slow -m slow

crds: bootstrap ## regenerate the CRD manifests and the API reference
	$(BIN)/python -m crds generate
	$(BIN)/python -m crds docs

lock: bootstrap ## resolve the dependencies of pyproject.toml again, keeping what still fits
	uv=$$(echo $${VIREO_CACHE:-$${XDG_CACHE_HOME:-$$HOME/.cache}/vireo}/tools/uv-*/bin/uv) && $$uv pip compile --quiet pyproject.toml \
	  --group dev --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -o locks/requirements.txt

bench: bootstrap plane ## measure the budgets of the architecture (BENCH="--vms 1000,10000 --minutes 10": all of them)
	@$(BIN)/python -m tests.bench.bench_scheduler
	@$(BIN)/python -m tests.bench.bench_store
	@$(BIN)/python -m tests.bench.bench_looks
	@$(BIN)/python -m tests.bench.bench_endpoints
	@$(BIN)/python -m tests.bench $(BENCH)

bench-kvm: bootstrap plane ## boot 24 guests through Vireo and by QEMU alone, in pairs (BENCH="--guests 24 --hosts 3"; root)
	@$(BIN)/python -m tests.bench.kvm $(BENCH)

growth: bootstrap plane ## measure how costs grow from 1,000 to 10,000 VMs, and draw it (half an hour)
	@$(BIN)/python -m tests.bench.growth $(GROWTH)

soak: bootstrap plane ## two hours of random operations and faults (SOAK="--minutes 120 --seed 7")
	@$(BIN)/python -m tests.soak $(SOAK)

demo: bootstrap ## a cloud on this machine: control plane, hosts, two running VMs
	@$(BIN)/python -m standalone.demo up

demo-down: bootstrap ## end the demo; only the cache stays
	@$(BIN)/python -m standalone.demo down
