"""Packs a module as an OCI image, FROM scratch with plugin.wasm at its root, which is a form that Istio loads.

    python3 tools/image.py MODULE VERSION ARCHIVE

The digest depends only on the module and the version, not on the machine. The command prints the digest, which is the
`sha256` of a WasmPlugin that names the image.
"""

import gzip
import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

IMAGE = "application/vnd.oci.image"


def tar_of(files: dict[str, bytes]) -> bytes:
    """A tar archive of the files, without owner and time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def descriptor(media_type: str, content: bytes) -> dict:
    """The OCI descriptor of a blob."""
    return {"mediaType": media_type, "digest": f"sha256:{hashlib.sha256(content).hexdigest()}", "size": len(content)}


def encoded(document: dict) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def image(module: bytes, version: str) -> tuple[str, bytes]:
    """The image's digest, and the tar archive of its OCI layout."""
    tar = tar_of({"plugin.wasm": module})
    layer = gzip.compress(tar, mtime=0)
    labels = {
        "org.opencontainers.image.title": "pinion",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.description": "Pins clients to app versions: a Proxy-Wasm filter for Envoy and Istio",
    }
    # The image has no index of platforms, so proxies of every architecture load it.
    config = encoded({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}"]},
    })  # fmt: skip
    manifest = encoded({
        "schemaVersion": 2,
        "mediaType": f"{IMAGE}.manifest.v1+json",
        "config": descriptor(f"{IMAGE}.config.v1+json", config),
        "layers": [descriptor(f"{IMAGE}.layer.v1.tar+gzip", layer)],
        "annotations": labels,
    })  # fmt: skip
    top = descriptor(f"{IMAGE}.manifest.v1+json", manifest)
    # podman and containerd take the image's name from the first annotation. Without it, the second would be the name.
    name = f"localhost/pinion:{version}"
    names = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": version}
    blobs = {f"blobs/sha256/{hashlib.sha256(each).hexdigest()}": each for each in (config, layer, manifest)}
    config_path, layer_path, _ = blobs
    layout = {
        "oci-layout": encoded({"imageLayoutVersion": "1.0.0"}),
        "index.json": encoded({"schemaVersion": 2, "manifests": [{**top, "annotations": names}]}),
        # docker needs its own format, unless it stores images in containerd.
        "manifest.json": encoded([{"Config": config_path, "RepoTags": [name], "Layers": [layer_path]}]),
        **blobs,
    }
    return top["digest"].removeprefix("sha256:"), tar_of(layout)


if __name__ == "__main__":
    digest, archive = image(Path(sys.argv[1]).read_bytes(), sys.argv[2])
    Path(sys.argv[3]).write_bytes(archive)
    print(digest)
