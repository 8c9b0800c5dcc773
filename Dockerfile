# Converts the models and packs the server with them. deploy/README.md explains how to build and run it.
#   docker build -t slipway .                          convert in the build, then serve
#   docker build -t slipway --target serve-given .     pack the artifacts/ of the build context
# Plain Dockerfile syntax for BuildKit, podman and buildah, which all skip the stages a target does not need.
# (Docker's classic builder skips none and would stop at serve-given without artifacts.)
ARG BASE=docker.io/library/debian:bookworm-slim

# --- base of the stages that install packages --------------------------------------------------
FROM ${BASE} AS python-build
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends make python3-venv \
    && rm -rf /var/lib/apt/lists/*
# A mirror, or torch's CPU wheels: read by pip when given as --build-arg, else unset.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /slipway

# --- the deployed packages: hashes checked, wheels only, without files that serving never loads --
FROM python-build AS packages
COPY requirements/deploy.txt requirements/
RUN python3 -m venv /pip \
    && /pip/bin/pip install --quiet --no-compile --require-hashes --only-binary :all: \
        --target /packages -r requirements/deploy.txt
# Removes 43 of 293 MB and adds 8 MB of byte code (start 0.2 s sooner, 4 MB less RSS). Serving never
# opens these (tests/deploy/test_image.py):
#   29 MB libonnxruntime.so.*: the C API for other languages; the Python module holds its own copy
#    7 MB tests
#    4 MB onnxruntime's transformers, quantization and tools: conversion aids
#    4 MB f2py, distutils, type stubs, headers, static libraries, console scripts
# The last stage loads every artifact, so a release that starts to need one of these fails the build.
RUN cd /packages \
    && rm -r bin onnxruntime/transformers onnxruntime/quantization onnxruntime/tools \
        onnxruntime/capi/libonnxruntime.so.* numpy/f2py numpy/distutils \
    && find . -type d -name tests -prune -exec rm -r {} + \
    && find . -type f \( -name '*.pyi' -o -name '*.pxd' -o -name '*.h' -o -name '*.a' \) -delete \
    && python3 -m compileall -q --invalidation-mode unchecked-hash . \
    && chmod -R a+rX .

# --- the server without artifacts --------------------------------------------------------------
FROM ${BASE} AS server
ENV ORT_DISABLE_TELEMETRY=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SLIPWAY_ARTIFACTS=/slipway/artifacts \
    SLIPWAY_HOST=0.0.0.0 \
    PORT=8000
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 \
    CMD ["python3", "-m", "deploy.healthcheck"]
CMD ["python3", "-m", "serve"]
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log
COPY --from=packages /packages /usr/local/lib/python3.11/dist-packages
WORKDIR /slipway
COPY runtime/ runtime/
COPY serve/ serve/
COPY deploy/*.py deploy/
# Compiled now: the root file system can be read-only, and the user has no right to write. Python checks
# byte code by content, so it sees a file that a derived image replaces.
RUN python3 -m compileall -q --invalidation-mode checked-hash . && chmod -R a+rX .
# A number, because Kubernetes cannot check runAsNonRoot for a name. The user owns no file of the image.
USER 10001:10001

# --- artifacts of the build context ------------------------------------------------------------
FROM python-build AS given
COPY artifacts/ artifacts/
RUN chmod -R a+rX artifacts

FROM server AS serve-given
COPY --from=given /slipway/artifacts artifacts
RUN ["python3", "-m", "deploy.preflight"]

# --- conversion: the frameworks stay in this stage ---------------------------------------------
FROM python-build AS convert
COPY Makefile ./
COPY requirements/ requirements/
RUN make .venv-convert/.installed
COPY convert/ convert/
COPY runtime/ runtime/
# the pattern matches nothing if there is no checkpoints/; COPY needs one file that exists: Makefile
COPY Makefile checkpoint[s] checkpoints/
ARG MODEL=""
ARG WEIGHTS=pretrained
RUN mkdir artifacts \
    && make convert MODEL="${MODEL}" WEIGHTS="${WEIGHTS}" \
    && rm -rf artifacts/.work artifacts/report.* \
    && chmod -R a+rX artifacts

FROM server AS serve
COPY --from=convert /slipway/artifacts artifacts
RUN ["python3", "-m", "deploy.preflight"]
