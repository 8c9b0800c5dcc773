#!/bin/sh
# Make the base image of the build from Debian's packages, for a builder that reaches a Debian mirror but no registry.
#
#   deploy/image/debian-base.sh [MIRROR]     # root; needs debootstrap and buildah; default: this machine's mirror
#
# Commits it to buildah's and podman's store under the name that the Dockerfile's FROM asks for. Nothing of it
# is in the final image.
set -eu
mirror="${1:-$(apt-get indextargets --format '$(SITE)' 2>/dev/null | grep '/debian/*$' | head -n 1)}"
[ -n "$mirror" ] || {
    echo "this machine has no mirror of Debian; name one: deploy/image/debian-base.sh MIRROR" >&2
    exit 1
}
mirror="${mirror%/}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
debootstrap --variant=minbase bookworm "$work/root" "$mirror" >"$work/log" 2>&1 || {
    tail -n 5 "$work/log" >&2
    exit 1
}
cat >"$work/root/etc/apt/sources.list" <<LIST
deb $mirror bookworm main
deb $mirror bookworm-updates main
deb $mirror-security bookworm-security main
LIST
rm -rf "$work/root/var/cache/apt/archives" "$work/root/var/lib/apt/lists"
container="$(buildah from scratch)"
buildah add --quiet "$container" "$work/root" / >/dev/null
buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
buildah commit --quiet --rm "$container" docker.io/library/debian:bookworm-slim
