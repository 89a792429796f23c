"""The image is what Istio takes: unpacked here, and fetched by the very code that a proxy's agent fetches with."""

import gzip
import hashlib
import io
import json
import subprocess
import sys
import tarfile

import pytest

from harness.envoy import MODULE, ROOT, TOOLS


def built(path, version="1.2.3"):
    command = [sys.executable, ROOT / "tools" / "image.py", MODULE, version, path]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def layout(tmp_path):
    """The digest that was printed, and the unpacked image."""
    digest = built(tmp_path / "image.tar")
    with tarfile.open(tmp_path / "image.tar") as archive:
        archive.extractall(tmp_path / "layout", filter="data")
    return digest, tmp_path / "layout"


def checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_every_digest_is_right_and_the_last_layer_is_a_gzip_tar_of_plugin_wasm(layout):
    digest, folder = layout

    def blob(described: dict) -> bytes:
        content = (folder / "blobs" / "sha256" / described["digest"].removeprefix("sha256:")).read_bytes()
        assert (f"sha256:{checksum(content)}", len(content)) == (described["digest"], described["size"])
        return content

    [top] = json.loads((folder / "index.json").read_text())["manifests"]
    assert top["digest"] == f"sha256:{digest}"
    manifest = json.loads(blob(top))
    assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert manifest["layers"][-1]["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip"
    tar = gzip.decompress(blob(manifest["layers"][-1]))
    assert json.loads(blob(manifest["config"]))["rootfs"]["diff_ids"] == [f"sha256:{checksum(tar)}"]
    with tarfile.open(fileobj=io.BytesIO(tar)) as layer:
        assert layer.getnames() == ["plugin.wasm"]
        assert checksum(layer.extractfile("plugin.wasm").read()) == checksum(MODULE.read_bytes())


def test_it_is_the_same_wherever_it_is_built(layout, tmp_path):
    assert built(tmp_path / "again.tar") == layout[0]
    assert built(tmp_path / "other.tar", "1.2.4") != layout[0]


def test_istio_fetches_it_by_its_digest(layout):
    digest, folder = layout

    def fetched(checksum: str) -> subprocess.CompletedProcess:
        return subprocess.run([TOOLS / "bin" / "wasm-fetch", folder, checksum], capture_output=True, text=True)

    said = fetched(digest)
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout.splitlines()[-1])
    assert (found["digest"], found["module"]) == (digest, checksum(MODULE.read_bytes()))
    wrong = fetched("0" * 64)
    assert wrong.returncode != 0 and "does not match" in wrong.stderr
