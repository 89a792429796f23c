"""A certificate authority for one run, and browsers' stores that trust it."""

from __future__ import annotations

import subprocess
from pathlib import Path


def _run(*command: object) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command[0]} failed: {done.stderr}"


def issue(folder: Path, names: list[str]) -> tuple[Path, Path, Path]:
    """A new authority's certificate, and a certificate with its key for these names."""
    key, authority = folder / "ca.key", folder / "ca.pem"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    _run(
        "openssl", "req", "-x509", *curve, "-keyout", key, "-out", authority, "-days", 2, "-subj", "/CN=Pinion's tests",
        "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
    )  # fmt: skip
    leaf_key, request, leaf = folder / "leaf.key", folder / "leaf.csr", folder / "leaf.pem"
    _run("openssl", "req", *curve, "-keyout", leaf_key, "-out", request, "-subj", f"/CN={names[0]}")
    extensions = folder / "extensions"
    listed = ",".join(f"DNS:{name}" for name in names)
    extensions.write_text(f"subjectAltName={listed}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n")
    _run(
        "openssl", "x509", "-req", "-in", request, "-CA", authority, "-CAkey", key, "-CAcreateserial", "-days", 2,
        "-extfile", extensions, "-out", leaf,
    )  # fmt: skip
    return authority, leaf, leaf_key


def trusted_in(store: Path, authority: Path) -> None:
    """Makes a store of certificates, as Chromium and Firefox have them, that trusts the authority."""
    store.mkdir(parents=True, exist_ok=True)
    _run("certutil", "-d", f"sql:{store}", "-N", "--empty-password")
    _run("certutil", "-d", f"sql:{store}", "-A", "-t", "C,,", "-n", "Pinion's tests", "-i", authority)
