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
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /slipway

# --- what the image is made of, below /parts -----------------------------------------------------
FROM python-build AS parts
COPY deploy/image/ deploy/image/
RUN apt-get update -qq \
    && deploy/image/root.sh /parts/root \
    && rm -rf /var/lib/apt/lists/*
# A mirror, torch's CPU wheels, or a mounted folder of wheels and no index: read by pip when given as --build-arg.
# (Declared in each stage that uses them: buildah does not inherit them.)
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_NO_INDEX
# The deployed packages: hashes checked, wheels only.
COPY requirements/deploy.txt requirements/
RUN python3 -m venv /pip \
    && /pip/bin/pip install --quiet --no-compile --require-hashes --only-binary :all: \
        --target /parts/packages -r requirements/deploy.txt
# Removes 46 of 293 MB. Serving never opens these (tests/deploy/test_image.py):
#   29 MB libonnxruntime.so.*: the C API for other languages; the Python module holds its own copy
#    7 MB tests
#    4 MB onnxruntime's transformers, quantization and tools: conversion aids
#    3 MB protobuf and flatbuffers, which those alone import, and pycparser, with which cffi reads C
#    4 MB f2py, distutils, type stubs, headers, static libraries, console scripts
# The last stage loads every artifact, so a release that starts to need one of these fails the build.
RUN cd /parts/packages \
    && rm -r bin onnxruntime/transformers onnxruntime/quantization onnxruntime/tools \
        onnxruntime/capi/libonnxruntime.so.* numpy/f2py numpy/distutils \
        google protobuf-*.dist-info flatbuffers flatbuffers-*.dist-info pycparser pycparser-*.dist-info \
    && find . -type d \( -name tests -o -name _pyinstaller \) -prune -exec rm -r {} + \
    && find . -name conftest.py -delete \
    && find . -type f \( -name '*.pyi' -o -name '*.pxd' -o -name '*.h' -o -name '*.a' \) -delete
COPY runtime/ /parts/code/runtime/
COPY serve/ /parts/code/serve/
COPY convert/ /parts/code/convert/
COPY deploy/*.py /parts/code/deploy/
# No checkpoint: `verify` and `evaluate` read artifacts. Byte code is made now, 8 MB with the packages' (start 0.2 s
# sooner, 4 MB less RSS): the root file system can be read-only, and the user has no right to write. Of our code Python
# checks it by content, so it sees a file that a derived image replaces. One fixed time of all files: the layers of two
# builds are equal.
RUN find /parts/code -name '*.pt' -delete \
    && python3 deploy/image/sbom.py /parts/root /parts/packages \
        "$(sed -n 's/^__version__ = "\(.*\)"/\1/p' /parts/code/serve/__init__.py)" >/parts/code/sbom.cdx.json \
    && export PYTHONHASHSEED=0 \
    && for part in root/usr/lib/python3.11 packages; do \
        (cd "/parts/${part}" && python3 -m compileall -q --invalidation-mode unchecked-hash .); \
    done \
    && (cd /parts/code && python3 -m compileall -q --invalidation-mode checked-hash .) \
    && chmod -R a+rX,go-w /parts/packages /parts/code \
    && find /parts -exec touch -h -d 2000-01-01T00:00:00Z {} +

# --- the server without artifacts: nothing but Python, packages and code, not even a shell --------
FROM scratch AS server
LABEL org.opencontainers.image.title="Slipway" \
    org.opencontainers.image.description="Server of converted ONNX models: onnxruntime alone, no framework" \
    org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/usr/bin \
    ORT_DISABLE_TELEMETRY=1 \
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
COPY --from=parts /parts/root /
COPY --from=parts /parts/packages /usr/local/lib/python3.11/dist-packages
COPY --from=parts /parts/code /slipway
WORKDIR /slipway
# A number, because Kubernetes cannot check runAsNonRoot for a name. The user owns no file of the image.
USER 10001:10001

# --- artifacts of the build context ------------------------------------------------------------
FROM python-build AS given
COPY artifacts/ artifacts/
RUN chmod -R a+rX,go-w artifacts && find artifacts -exec touch -h -d 2000-01-01T00:00:00Z {} +

# The server loads every artifact, in a stage of its own: a RUN leaves mount points in its layer.
FROM server AS given-checked
COPY --from=given /slipway/artifacts artifacts
RUN ["python3", "-m", "deploy.preflight"]

FROM server AS serve-given
COPY --from=given-checked /slipway/artifacts artifacts

# --- conversion: the frameworks stay in this stage ---------------------------------------------
FROM python-build AS convert
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_NO_INDEX
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
    && chmod -R a+rX,go-w artifacts \
    && find artifacts -exec touch -h -d 2000-01-01T00:00:00Z {} +

FROM server AS converted-checked
COPY --from=convert /slipway/artifacts artifacts
RUN ["python3", "-m", "deploy.preflight"]

FROM server AS serve
COPY --from=converted-checked /slipway/artifacts artifacts
