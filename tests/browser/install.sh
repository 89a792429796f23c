#!/usr/bin/env bash
# Installs the browsers that the tests need and that are missing, with apt-get, or says in one line what is missing.
set -euo pipefail
declare -A packages=(
    [chromium]=chromium [chromedriver]=chromium-driver [firefox-esr]=firefox-esr
    [certutil]=libnss3-tools [openssl]=openssl
)
missing=()
for command in "${!packages[@]}"; do
    command -v "$command" >/dev/null || missing+=("${packages[$command]}")
done
((${#missing[@]})) || exit 0
if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "missing for the browser tests: ${missing[*]} (Debian's names); root installs them with apt-get" >&2
    exit 1
fi
echo "installing ${missing[*]}"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
