"""Packs a module as an OCI image, FROM scratch with plugin.wasm at its root, in the form that Istio takes.

    python3 tools/image.py MODULE VERSION ARCHIVE

Nothing but the module and the version enters: the same ones give the same digest, wherever it is built. It prints
the digest, which is the `sha256` of a WasmPlugin that names the image.
"""

import gzip
import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

IMAGE = "application/vnd.oci.image"


def packed(files: dict[str, bytes]) -> bytes:
    """A tar of these files, of nobody and of no time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def described(media_type: str, content: bytes) -> dict:
    return {"mediaType": media_type, "digest": f"sha256:{hashlib.sha256(content).hexdigest()}", "size": len(content)}


def encoded(document: dict) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def image(module: bytes, version: str) -> tuple[str, bytes]:
    """The image's digest, and an archive of its layout."""
    tar = packed({"plugin.wasm": module})
    layer = gzip.compress(tar, mtime=0)
    labels = {
        "org.opencontainers.image.title": "pinion",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.description": "Pins clients to app versions: a Proxy-Wasm filter for Envoy and Istio",
    }
    # Proxies of every architecture take it, as there is no index of several to choose from.
    config = encoded({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}"]},
    })  # fmt: skip
    manifest = encoded({
        "schemaVersion": 2,
        "mediaType": f"{IMAGE}.manifest.v1+json",
        "config": described(f"{IMAGE}.config.v1+json", config),
        "layers": [described(f"{IMAGE}.layer.v1.tar+gzip", layer)],
        "annotations": labels,
    })  # fmt: skip
    top = described(f"{IMAGE}.manifest.v1+json", manifest)
    # podman and containerd take the name from the first, which is of no registry; the second alone would be the name.
    name = f"localhost/pinion:{version}"
    names = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": version}
    blobs = {f"blobs/sha256/{hashlib.sha256(each).hexdigest()}": each for each in (config, layer, manifest)}
    config_path, layer_path, _ = blobs
    layout = {
        "oci-layout": encoded({"imageLayoutVersion": "1.0.0"}),
        "index.json": encoded({"schemaVersion": 2, "manifests": [{**top, "annotations": names}]}),
        # docker's own form, which it asks for unless it stores images in containerd.
        "manifest.json": encoded([{"Config": config_path, "RepoTags": [name], "Layers": [layer_path]}]),
        **blobs,
    }
    return top["digest"].removeprefix("sha256:"), packed(layout)


if __name__ == "__main__":
    digest, archive = image(Path(sys.argv[1]).read_bytes(), sys.argv[2])
    Path(sys.argv[3]).write_bytes(archive)
    print(digest)
