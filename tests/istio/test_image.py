"""Istio loads the image: the tests unpack it, and fetch it with the code of the Istio agent.

docker, podman and buildah load the image too: each engine that works on this machine loads it and saves it again.
"""

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from harness.envoy import MODULE, ROOT, TOOLS


def built(path, version="1.2.3"):
    command = [sys.executable, ROOT / "tools" / "image.py", MODULE, version, path]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def layout(tmp_path):
    """The printed digest and the unpacked image."""
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
    # In docker's format it is the same image, with a name without a registry.
    [own] = json.loads((folder / "manifest.json").read_text())
    paths = [
        f"blobs/sha256/{each['digest'].removeprefix('sha256:')}" for each in (manifest["config"], manifest["layers"][0])
    ]
    assert own == {"Config": paths[0], "RepoTags": ["localhost/pinion:1.2.3"], "Layers": [paths[1]]}


def test_the_image_is_reproducible(layout, tmp_path):
    assert built(tmp_path / "again.tar") == layout[0]
    assert built(tmp_path / "other.tar", "1.2.4") != layout[0]


def test_istio_fetches_the_image_by_its_digest(layout):
    digest, folder = layout

    def fetched(checksum: str) -> subprocess.CompletedProcess:
        return subprocess.run([TOOLS / "bin" / "wasm-fetch", folder, checksum], capture_output=True, text=True)

    said = fetched(digest)
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout.splitlines()[-1])
    assert (found["digest"], found["module"]) == (digest, checksum(MODULE.read_bytes()))
    wrong = fetched("0" * 64)
    assert wrong.returncode != 0 and "does not match" in wrong.stderr


# No other image on the machine has this version.
TRIED = "0.0.0-test"
NAME = f"localhost/pinion:{TRIED}"

SAVE = {
    "docker": ["docker", "save", "--output", "{to}", NAME],
    "podman": ["podman", "save", "--quiet", "--format", "oci-archive", "--output", "{to}", NAME],
    "buildah": ["buildah", "push", "--quiet", NAME, "oci-archive:{to}"],
}


def load(archive: Path, path: Path, **environment: str) -> subprocess.CompletedProcess:
    """Runs the last step of `make image`, with only the commands of a folder on the PATH."""
    command = [shutil.which("bash"), ROOT / "tools" / "load-image.sh", archive]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment, "PATH": str(path)})


@pytest.fixture
def alone(tmp_path):
    """A function that adds a command to a folder and returns the folder."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def put(name: str, script: str) -> Path:
        (folder / name).write_text(f"#!{shutil.which('bash')}\n{script}\n")
        (folder / name).chmod(0o755)
        return folder

    return put


@pytest.mark.parametrize("engine", SAVE)
def test_an_engine_loads_the_image_and_saves_the_same_module(engine, alone, tmp_path):
    (tmp_path / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\nrunroot = "{tmp_path}/run"\ngraphroot = "{tmp_path}/graph"\n'
    )
    # podman and buildah store nothing on the machine outside of the test's folder.
    environment = {**os.environ, "CONTAINERS_STORAGE_CONF": str(tmp_path / "storage.conf")}
    if not (binary := shutil.which(engine)):
        pytest.skip(f"{engine} is not on this machine")
    if subprocess.run([engine, "info"], capture_output=True, env=environment).returncode:
        pytest.skip(f"{engine} is on this machine, but does not work")
    archive, saved = tmp_path / "image.tar", tmp_path / "saved.tar"
    built(archive, TRIED)
    folder = alone(engine, f'PATH="{os.environ["PATH"]}" exec {binary} "$@"')
    said = load(archive, folder, **environment)
    assert said.returncode == 0 and f"loaded with {engine}" in said.stdout, said.stdout + said.stderr
    try:
        subprocess.run([each.format(to=saved) for each in SAVE[engine]], check=True, env=environment)
    finally:
        subprocess.run([engine, "rmi", NAME], check=True, capture_output=True, env=environment)
    assert [checksum(each) for each in modules(saved)] == [checksum(MODULE.read_bytes())]


def modules(archive: Path) -> list[bytes]:
    """The files plugin.wasm in the layers of a saved image, in any format."""
    found = []
    with tarfile.open(archive) as outer:
        for entry in filter(tarfile.TarInfo.isfile, outer):
            try:
                with tarfile.open(fileobj=outer.extractfile(entry)) as layer:
                    found += [layer.extractfile(each).read() for each in layer if each.name == "plugin.wasm"]
            except tarfile.ReadError:
                pass
    return found


FAILS, TAKES, REFUSES = "exit 1", 'echo "$0 $@"', '[[ $1 == info ]] || { echo "no such file" >&2; exit 3; }'


def test_an_engine_that_does_not_run_is_skipped(alone):
    alone("docker", FAILS)
    folder = alone("buildah", TAKES)
    said = load(Path("image.tar"), folder)
    assert said.returncode == 0
    assert said.stdout == (
        f"image.tar: loaded with buildah: {folder}/buildah pull --quiet oci-archive:image.tar"
        " (docker is installed, but does not work)\n"
    )


def test_a_missing_engine_is_no_error(alone):
    said = load(Path("image.tar"), alone("docker", FAILS))
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("image.tar: not loaded") and said.stdout.count("\n") == 1


def test_an_archive_that_an_engine_refuses_is_an_error(alone):
    alone("docker", REFUSES)
    said = load(Path("image.tar"), alone("podman", TAKES))
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr == "docker cannot load image.tar:\nno such file\n"
