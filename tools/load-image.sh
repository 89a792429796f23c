#!/usr/bin/env bash
# Loads the archive of an image with the first of docker, podman and buildah that works here, and says what it did.
#
#   tools/load-image.sh ARCHIVE
#
# A client whose engine does not run is passed over. That there is none at all is no error: the archive is there.
set -euo pipefail
archive=$1
passed_over=""
for engine in docker podman buildah; do
    command -v "$engine" >/dev/null || continue
    # Of docker it asks the daemon, of the others whether they can store images.
    if ! "$engine" info >/dev/null 2>&1; then
        passed_over+=" ($engine is here, but does not work)"
        continue
    fi
    case $engine in
    buildah) load=(pull --quiet "oci-archive:$archive") ;;
    *) load=(load --quiet --input "$archive") ;;
    esac
    if ! said=$("$engine" "${load[@]}" 2>&1); then
        echo "$engine does not take $archive:"$'\n'"$said" >&2
        exit 1
    fi
    echo "$archive: loaded with $engine: ${said##*$'\n'}$passed_over"
    exit
done
echo "$archive: not loaded, as neither docker, podman nor buildah works here$passed_over; push it with what you have"
