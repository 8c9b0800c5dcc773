#!/bin/sh
# Build the container image with $ENGINE, or with the first of docker, podman and buildah that works.
#
#   deploy/build-image.sh [BUILDER_ARGUMENT ...]
#   TAG=registry.example/slipway:1.2 MODEL=background_u2netp deploy/build-image.sh --no-cache
#   deploy/build-image.sh --target serve-given       # packs artifacts/ without a conversion
#
# Reads TAG (default slipway), MODEL (empty: all) and WEIGHTS (default pretrained) from the environment. podman and
# buildah give the files of all layers the time SOURCE_DATE_EPOCH (default: the first of January 2000), so that equal
# input makes equal layers, and a registry holds those of Python and of the packages once.
set -eu
cd "$(dirname "$0")/.."

works() {
    case "$1" in
        docker) docker info ;;
        *) "$1" --version ;;
    esac >/dev/null 2>&1
}

if [ -z "${ENGINE:-}" ]; then
    for candidate in docker podman buildah; do
        if works "$candidate"; then
            ENGINE="$candidate"
            break
        fi
    done
fi

set -- --tag "${TAG:-slipway}" --build-arg "MODEL=${MODEL:-}" \
    --build-arg "WEIGHTS=${WEIGHTS:-pretrained}" \
    --label "org.opencontainers.image.version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' serve/__init__.py)" "$@"
if revision="$(git rev-parse HEAD 2>/dev/null)"; then
    set -- --label "org.opencontainers.image.revision=$revision" \
        --label "org.opencontainers.image.created=$(git log -1 --format=%cI)" "$@"
fi
epoch="${SOURCE_DATE_EPOCH:-946684800}"

case "${ENGINE:-}" in
    # BuildKit: the classic builder also builds stages that the target does not need.
    docker) DOCKER_BUILDKIT=1 exec docker build --build-arg "SOURCE_DATE_EPOCH=$epoch" "$@" . ;;
    # Docker's image format has a HEALTHCHECK, OCI's has none.
    podman) exec podman build --format docker --timestamp "$epoch" "$@" . ;;
    buildah) exec buildah build --format docker --layers --timestamp "$epoch" "$@" . ;;
    "") echo "no working docker, podman or buildah found: install one (or start the docker daemon)" >&2 ;;
    *) echo "ENGINE is '$ENGINE'; allowed: docker, podman, buildah" >&2 ;;
esac
exit 1
