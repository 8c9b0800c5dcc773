"""Print what the image holds, as CycloneDX 1.6: Debian's packages, wheels, and what they bundle.

Usage: python3 deploy/image/sbom.py ROOT PACKAGES VERSION. ROOT has var/lib/dpkg/status.d, PACKAGES
is a site-packages directory. The document has neither a time nor a random number: equal input makes
equal bytes.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from email.message import Message
from email.parser import Parser
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

Component: TypeAlias = dict[str, Any]
PART_FIELDS = ("type", "name", "version", "purl", "licenses")
LONGEST_LICENCE = 80  # a longer "License" is the text of a licence, not its name


def debian_components(status: Path) -> Iterator[Component]:
    """Yield a component per package, from the files of a status.d directory."""
    for path in sorted(status.iterdir()):
        fields = Parser().parsestr(path.read_text(encoding="utf-8"))
        name, version, arch = fields["Package"], fields["Version"], fields["Architecture"]
        purl = f"pkg:deb/debian/{quote(name)}@{quote(version, safe='')}?arch={arch}"
        yield {
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": version,
            "description": fields["Description"].splitlines()[0],
            "purl": purl,
        }


def wheel_components(packages: Path) -> Iterator[Component]:
    """Yield a component per installed distribution, with those that its own SBOMs name inside."""
    found = distributions(path=[str(packages)])
    for distribution in sorted(found, key=lambda each: each.metadata["Name"].lower()):
        name, version = distribution.metadata["Name"], distribution.version
        purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{quote(version)}"
        component: Component = {
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": version,
            "purl": purl,
            "licenses": licences(distribution.metadata),
            "components": bundled(distribution, purl),
        }
        yield {name: value for name, value in component.items() if value}


def licences(metadata: Any) -> Sequence[Component]:
    """Return the licences of a distribution's metadata, in CycloneDX's form."""
    fields: Message = metadata
    if expression := fields["License-Expression"]:
        return [{"expression": expression}]
    licence = (fields["License"] or "").strip()
    if licence and len(licence) <= LONGEST_LICENCE and "\n" not in licence:
        return [{"license": {"name": licence}}]
    classifiers = (text.split(" :: ") for text in fields.get_all("Classifier", []))
    return [{"license": {"name": parts[-1]}} for parts in classifiers if parts[0] == "License"]


def bundled(distribution: Distribution, parent: str) -> Sequence[Component]:
    """Return what the CycloneDX documents of a wheel (PEP 770) name: each part once."""
    parts: dict[str, Component] = {}
    for path in sorted(distribution.files or [], key=str):
        if ".dist-info/sboms/" not in str(path) or path.suffix != ".json":
            continue
        for part in json.loads(path.read_text(encoding="utf-8")).get("components", []):
            reference = f"{parent}#{part['name']}@{part.get('version', '')}"
            fields = {name: value for name, value in part.items() if name in PART_FIELDS}
            parts[reference] = {"bom-ref": reference, **fields}
    return list(parts.values())


def document(root: Path, packages: Path, version: str) -> Component:
    """Return the CycloneDX document of an image."""
    name = f"pkg:generic/slipway@{version}"
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": name,
                "name": "slipway",
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": [
            *debian_components(root / "var/lib/dpkg/status.d"),
            *wheel_components(packages),
        ],
    }


if __name__ == "__main__":
    root, packages, version = sys.argv[1:]
    json.dump(document(Path(root), Path(packages), version), sys.stdout, indent=1)
