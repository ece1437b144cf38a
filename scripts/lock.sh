#!/usr/bin/env bash
# Writes requirements.lock: the newest versions that setup.cfg allows, as pip resolves them in a fresh
# environment. Called by `make lock`; usage: lock.sh PYTHON
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$1" -m venv "$folder/env"
pip=("$folder/env/bin/python" -m pip)
"${pip[@]}" install -qq --upgrade setuptools
"${pip[@]}" install -qq --no-build-isolation -e '.[dev]'
# The client of Clipper that the tests drive. Its own pins are of 2020; it works with today's versions.
"${pip[@]}" install -qq --no-deps 'clipper_admin==0.4.1'
{
    echo "# Exact versions of everything that make and .ci/run install: servd's dependencies, its extras, the tools."
    echo "# Written by \`make lock\`; do not edit."
    # Only name==version lines: an option line would name a package index.
    "${pip[@]}" freeze --all --exclude-editable --exclude pip --exclude wheel | grep -E '^[A-Za-z0-9._-]+=='
} >"$folder/lock"
cp "$folder/lock" requirements.lock
