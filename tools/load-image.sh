#!/usr/bin/env bash
# Loads an image archive with the first of docker, podman and buildah that works, and prints the result.
#
#   tools/load-image.sh ARCHIVE
#
# An engine that does not run is skipped. It is no error if none runs, because the archive exists.
set -euo pipefail
archive=$1
skipped=""
for engine in docker podman buildah; do
    command -v "$engine" >/dev/null || continue
    # For docker this asks the daemon, for the others whether they can store images.
    if ! "$engine" info >/dev/null 2>&1; then
        skipped+=" ($engine is installed, but does not work)"
        continue
    fi
    case $engine in
    buildah) load=(pull --quiet "oci-archive:$archive") ;;
    *) load=(load --quiet --input "$archive") ;;
    esac
    if ! said=$("$engine" "${load[@]}" 2>&1); then
        echo "$engine cannot load $archive:"$'\n'"$said" >&2
        exit 1
    fi
    echo "$archive: loaded with $engine: ${said##*$'\n'}$skipped"
    exit
done
echo "$archive: not loaded, because neither docker, podman nor buildah works here$skipped; push the archive with another tool"
