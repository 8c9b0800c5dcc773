# Few targets; CI calls only these. `make` alone lists them.
PYTHON ?= python3
PORT ?= 8000
MODEL ?=
WEIGHTS ?= pretrained
ARTIFACTS ?= artifacts

VENV := .venv
VENV_CONVERT := .venv-convert
RUN := $(VENV)/bin/python
CONVERT := $(VENV_CONVERT)/bin/python
PIP_FLAGS := --quiet --disable-pip-version-check

export ORT_DISABLE_TELEMETRY := 1
# Real checkpoints and media for verification, where they are at hand.
ifneq ($(wildcard ../shared),)
export SLIPWAY_TEST_DATA ?= $(abspath ../shared)
endif

.DEFAULT_GOAL := help
.PHONY: help demo convert serve test lint bench image requirements clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  variables: MODEL=id WEIGHTS=pretrained|seeded|auto PORT=8000 PYTHON=python3.12 CHECK=1 (demo)"

python-version:
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info[:2] <= (3, 13); found = ".".join(map(str, sys.version_info[:3])); sys.exit(0 if ok else f"Python {found} found; 3.11 to 3.13 allowed: make PYTHON=/path/to/python3.12")'

# Exactly what the image holds, then the checkers. A stamp per environment: a second run installs nothing.
$(VENV)/.installed: requirements/deploy.txt requirements/test.txt | python-version
	@echo "creating $(VENV): the deployed packages and the test tools"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(VENV)/bin/pip install $(PIP_FLAGS) --require-hashes -r requirements/deploy.txt
	@$(VENV)/bin/pip install $(PIP_FLAGS) -r requirements/test.txt
	@touch $@

$(VENV_CONVERT)/.installed: requirements/convert.txt | python-version
	@echo "creating $(VENV_CONVERT): torch and tensorflow, a few minutes"
	@$(PYTHON) -m venv --clear $(VENV_CONVERT)
	@$(VENV_CONVERT)/bin/pip install $(PIP_FLAGS) -r requirements/convert.txt
	@touch $@
