# Everything a newcomer needs: `make demo` and `make test`. Both do their own set-up.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
STAMP := $(VENV)/.pcinfra-ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types check soak soak-jobs bench render kube clean

help:  ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile

$(STAMP): pyproject.toml tools/setup tools/packages
	@tools/setup "$(PYTHON)" "$(VENV)"
	@touch $@

setup: $(STAMP)  ## Make the virtual environment, and install Slurm, munge and Node.js where missing.

demo: $(STAMP)  ## From nothing to a finished two-node Slurm job on this machine, and back to nothing.
	@tools/demo "$(BIN)/pcinfra"

test: $(STAMP)  ## Run every test. Images are built and pushed where buildah, podman and a registry can be installed.
	@tools/packages ssh=openssh-client
	@tools/packages buildah podman docker-registry slurmdbd mariadbd=mariadb-server-core \
	  my_print_defaults=mariadb-client-core || echo "== tests that need them are skipped"
	@tools/test $(abspath $(BIN))/python

soak: $(STAMP)  ## Let every call fail in every way, and kill up and down 200 times. About half an hour.
	@$(BIN)/python -m tests.soak

soak-jobs: $(STAMP)  ## Kill what a training depends on, 100 times in the middle of one. About an hour; as root, best with torch.
	@$(BIN)/python -m tests.soak_jobs

lint: $(STAMP)  ## Check style, shell scripts and the CloudFormation template.
	@tools/lint "$(BIN)"

types: $(STAMP)  ## Check the types, strictly.
	@$(BIN)/mypy

check: lint types test  ## All three.

bench: $(STAMP)  ## Measure against the peers, as ratios.
	@for file in benchmarks/bench_*.py; do $(BIN)/python "$$file" || exit 1; done

render: $(STAMP)  ## Rewrite cfn/ from the builders, docs/settings.md from the model, bootstrap/ from its parts, copies.
	@$(BIN)/python -m pcinfra.stacks
	@$(BIN)/python -m pcinfra.project
	@$(BIN)/python -m pcinfra.jobs
	@tools/bootstrap
	@cp pcinfra/resume.py containers/pytorch/resume.py

kube:  ## Build the API server that tests of Kubernetes jobs use where it is there. About ten minutes, once.
	@tools/kube

clean:  ## Remove the virtual environment and every cache.
	@rm -rf "$(VENV)" .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
