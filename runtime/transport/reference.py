"""References to artifacts in registries: oci://REGISTRY/REPOSITORY[:TAG][@sha256:DIGEST]."""

import ipaddress
import re
from dataclasses import dataclass, replace

from runtime.errors import InputError

SCHEME = "oci://"
FORM = "oci://REGISTRY[:PORT]/REPOSITORY[:TAG][@sha256:DIGEST]"
DEFAULT_TAG = "latest"
LONGEST = 512  # characters

# the grammar of OCI's distribution specification
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    r"oci://(?P<registry>(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?)"
    rf"/(?P<repository>{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
# Docker's own registry is known by another name than that of its host
_HOSTS = {"docker.io": "registry-1.docker.io"}


@dataclass(frozen=True, slots=True)
class Reference:
    """A place in a registry. With a digest the content cannot change; a tag can be moved."""

    registry: str  # host, with the port if there is one
    repository: str
    tag: str = ""
    digest: str = ""  # sha256:<hex>

    @property
    def version(self) -> str:
        """Return what the manifest is asked for by: the digest, else the tag."""
        return self.digest or self.tag or DEFAULT_TAG

    @property
    def host(self) -> str:
        """Return the host that answers for the registry, with its port."""
        return _HOSTS.get(self.registry, self.registry)

    @property
    def is_loopback(self) -> bool:
        """Return whether the registry is on this machine."""
        name = re.sub(r":\d+$", "", self.registry).strip("[]")
        if name == "localhost":
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False

    def at(self, digest: str) -> "Reference":
        """Return the reference to what has a digest, whatever tag it has."""
        return replace(self, tag="", digest=digest)

    def __str__(self) -> str:
        """Return the reference as it is written."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{SCHEME}{self.registry}/{self.repository}{tag}{digest}"


def parse_reference(text: str) -> Reference:
    """Return the reference of a text.

    Raises:
        InputError: it has another form.
    """
    match = _REFERENCE.fullmatch(text) if len(text) <= LONGEST else None
    if match is None:
        raise InputError(f"the reference is {text[:LONGEST]!r}; allowed: {FORM}")
    return Reference(
        match["registry"], match["repository"], match["tag"] or "", match["digest"] or ""
    )
