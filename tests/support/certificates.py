"""Certificates of an authority of the tests, made by the program openssl."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority that signed itself."""

    certificate: Path
    key: Path

    def issue(self, name: str) -> tuple[Path, Path]:
        """Return certificate and key of a host."""
        certificate, key = (self.key.with_name(f"{name}.{part}") for part in ("crt", "key"))
        request = certificate.with_suffix(".csr")
        extension = certificate.with_suffix(".ext")
        extension.write_text(f"subjectAltName=DNS:{name}\n")
        _openssl("req", *_KEY, "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request))
        _openssl(
            *("x509", "-req", "-in", str(request), "-days", "2", "-extfile", str(extension)),
            *("-CA", str(self.certificate), "-CAkey", str(self.key), "-CAcreateserial"),
            *("-out", str(certificate)),
        )
        return certificate, key


def make_authority(folder: Path, name: str) -> Authority:
    """Make an authority; skip the test without openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    authority = Authority(folder / f"{name}.crt", folder / f"{name}.key")
    paths = ("-keyout", str(authority.key), "-out", str(authority.certificate))
    _openssl("req", "-x509", *_KEY, "-days", "2", "-subj", f"/CN={name}", *paths)
    return authority


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
