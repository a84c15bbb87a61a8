# The commands everyone uses. `make` alone lists them.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
FRAMEWORKS_READY := .venv/.frameworks
# An idle worker takes tests from a busy one, but for DIST=loadfile; more than eight would not fit a usual machine's memory.
ON_ALL_CORES = -n auto --maxprocesses 8 --dist $(or $(DIST),worksteal)

# What SET holds comes from the environment, where make puts it, and not into the shell's command: it may hold any character.
export SET
SETTINGS = $(if $(SET),--settings "$$SET")

# Nothing that we start phones home.
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true

.DEFAULT_GOAL := help
.PHONY: help setup check types style test run ui plan serve secrets stack stack-status stack-down backup restore lock audit sbom mlproject format benchmarks clean

help: ## list these commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY) $(if $(FRAMEWORKS),$(FRAMEWORKS_READY)) ## make .venv from the lock, unless it is there (TORCH=cpu: PyTorch without CUDA; FRAMEWORKS=1: Flax and TensorFlow too)

$(READY): requirements.lock deploy/setup.sh
	@TORCH="$(TORCH)" bash deploy/setup.sh "$(PYTHON)"

$(FRAMEWORKS_READY): $(READY) requirements-frameworks.lock
	@echo "make setup: Flax and TensorFlow from requirements-frameworks.lock, each checked against its hash: 1.9 GB more on the disk"
	@uv=$$(command -v uv || echo $(BIN)/uv); VIRTUAL_ENV=.venv "$$uv" pip install --quiet --require-hashes --compile-bytecode -r requirements-frameworks.lock
	@touch $@

run: $(READY) ## raw text to a registered, promoted model (PIPELINE=docs SET="finetune.seed=2 pretrain.max_updates=10")
	@$(BIN)/python -m pipelines run "$(or $(PIPELINE),docs)" --promote $(SETTINGS)

plan: $(READY) ## what `make run` would do, and why (PIPELINE=, SET= as for `make run`)
	@$(BIN)/python -m pipelines plan "$(or $(PIPELINE),docs)" $(SETTINGS)

ui: $(READY) ## MLflow's page on the store that the runs wrote
	@$(BIN)/mlflow ui --host 127.0.0.1 --port $(or $(PORT),5000) --no-serve-artifacts --workers 1

serve: $(READY) ## serve the champion of MODEL (glassformer-docs; `make run` names its own) on 127.0.0.1, PORT 8000, and follow it
	@$(BIN)/python -m deploy.serving "$(or $(MODEL),glassformer-docs)" --port $(or $(PORT),8000)

secrets: $(READY) ## write .env for docker compose: random secrets, mode 600, never over one that is there
	@$(BIN)/python -m deploy.secrets

stack: $(READY) ## start the backends: in Docker where it answers, else built once; `make run` then sends to them
	@$(BIN)/python -m deploy.native up

stack-status: $(READY) ## what of the stack runs, and what telemetry waits
	@$(BIN)/python -m deploy.native status && $(BIN)/python -m telemetry status

stack-down: $(READY) ## stop exactly what `make stack` started; its data stays
	@$(BIN)/python -m deploy.native down

backup: $(READY) ## MLflow's store, its artifacts and ours into one verified folder of backups/ (TO=FOLDER, COMPOSE=1)
	@$(BIN)/python -m deploy.backup create $(if $(TO),--to "$(TO)") $(if $(COMPOSE),--compose)

restore: $(READY) ## bring a backup back (FROM=FOLDER, else the newest); REPLACE=1 moves what is there aside, MOVE=OLD=NEW sends artifacts
	@$(BIN)/python -m deploy.backup restore $(if $(FROM),"$(FROM)") $(if $(TO),--to "$(TO)") $(if $(REPLACE),--replace) $(if $(MOVE),--move "$(MOVE)") $(if $(COMPOSE),--compose)

test: $(READY) ## the default test suite, on all cores; MARKED=slow the slow ones
	@$(BIN)/python -m pytest $(ON_ALL_CORES) $(if $(MARKED),-m "$(MARKED)" --timeout 1200)

check: $(READY) ## lint, format, types, import arrows
	@$(MAKE) --no-print-directory --jobs 2 --output-sync types style

types:
	@$(BIN)/mypy

style:
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/python -m grafana --check

format: $(READY) ## format the code and mend what the linter can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

mlproject: $(READY) ## write MLproject and the schema of pipeline files from the steps' Configs
	@$(BIN)/python -m pipelines.mlproject > MLproject.tmp && mv MLproject.tmp MLproject
	@$(BIN)/python -m glassformer schema > schema.tmp && mv schema.tmp pipelines/schema.json

lock: $(READY) ## resolve requirements.lock anew, and by it requirements-frameworks.lock
	@uv=$$(command -v uv || echo $(BIN)/uv); "$$uv" pip compile pyproject.toml --extra completion --extra dev --extra grpc --extra onnx --extra profiles --extra serving --extra window --universal --python-version 3.11 --generate-hashes -o requirements.lock
	@uv=$$(command -v uv || echo $(BIN)/uv); "$$uv" pip compile pyproject.toml --extra frameworks --constraints requirements.lock --universal --python-version 3.11 --generate-hashes -o requirements-frameworks.lock

audit: $(READY) ## compare the lock with a database of known weaknesses (OSV): 1 an advisory, 75 not to be reached
	@$(BIN)/python -m deploy.audit

sbom: $(READY) ## sbom.cdx.json: a CycloneDX bill of materials of the lock, made without a network
	@$(BIN)/python -m deploy.sbom

benchmarks: $(READY) ## every figure of benchmarks/README.md, measured on this machine
	@$(BIN)/python -m benchmarks

clean: ## remove the environment and caches; artifacts, runs and models stay
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
