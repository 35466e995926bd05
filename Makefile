# `make demo` runs the main job and `make test` the tests; both set everything up first, and skip what is done.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
BIN := .venv/bin
export OMP_NUM_THREADS ?= 2

.PHONY: help setup demo test test-slow lint weights bench clean lock

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

setup: ## uv, .venv with the locked packages, system libraries, third-party files
	@scripts/set_up.sh

demo: setup ## 16 labelled hand images from 8 prompts, into demo/
	@$(BIN)/handloom generate --prompts configs/pipelines/demo_prompts.txt --num-images 16 --out demo

test: lint ## the fast tests
	@$(BIN)/python -m pytest -q -m "not slow"

test-slow: setup ## the tests that train, restart and measure
	@$(BIN)/python -m pytest -q -m slow

lint: setup ## ruff, mypy, the import contract
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

weights: setup ## train every shipped model again, into build/
	@$(BIN)/python -m pipelines.weights

bench: setup ## speed and memory, side by side
	@$(BIN)/handloom bench render
	@$(BIN)/handloom bench world
	@$(BIN)/handloom bench memory
	@$(BIN)/handloom bench data

lock: setup ## resolve the dependencies of pyproject.toml again
	@uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-header \
		--extra dev pyproject.toml -o requirements.lock

clean: ## remove what the targets made, except .venv
	@rm -rf build demo runs .pytest_cache .mypy_cache .ruff_cache .import_linter_cache *.egg-info
	@find recon synth pipelines eval tests -name __pycache__ -type d -exec rm -rf {} +
