#!/usr/bin/env bash
# Writes requirements.lock: the newest versions that setup.cfg allows, as pip resolves them in a fresh
# environment; and checks.lock, seldon.lock and formats.lock, the same of what `make checks` installs. Each with
# the hashes of all files of its version, so that it holds for other platforms and Pythons as well.
# Called by `make lock`; usage: lock.sh PYTHON
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$1" -m venv "$folder/env"
pip=("$folder/env/bin/python" -m pip)
"${pip[@]}" install -qq --upgrade setuptools
"${pip[@]}" install -qq --no-build-isolation -e '.[dev]'
# The client of Clipper that the tests drive. Its own pins are of 2020; it works with today's versions.
"${pip[@]}" install -qq --no-deps 'clipper_admin==0.4.1'

"$1" -m venv "$folder/checks"
checks=("$folder/checks/bin/python" -m pip)
# Of kubernetes-validate the last release that has the schemas of Kubernetes 1.21.
"${checks[@]}" install -qq checkov 'kubernetes-validate==1.25.2'

"$1" -m venv "$folder/seldon"
seldon=("$folder/seldon/bin/python" -m pip)
# The last release of the first Seldon Core; its server imports pkg_resources, which setuptools 81 has no more.
"${seldon[@]}" install -qq 'setuptools<81' 'seldon-core==1.18.2'

"$1" -m venv "$folder/formats"
formats=("$folder/formats/bin/python" -m pip)
# What loads models of each format. Left out below is torch, which the Makefile names, and what draws.
"${formats[@]}" install -qq 'torch==2.13.0' safetensors keras transformers pillow mlflow-skinny skops pandas \
    onnx onnxruntime xgboost-cpu lightgbm catboost sklearn-pmml-model litserve
drawing='plotly|matplotlib|contourpy|cycler|fonttools|kiwisolver|pyparsing|graphviz'
unused="torch|triton|nvidia-[a-z0-9-]*|hf-xet|GitPython|gitdb|smmap|python-dotenv|$drawing"

# Only asks the index for hashes: pip has resolved, and freezes none.
"$1" -m venv "$folder/hasher"
"$folder/hasher/bin/python" -m pip install -qq uv

# Prints a lock file of the environment that the words after the first are the pip of; the first says of what.
frozen() {
    local what=$1
    shift
    echo "# $what"
    echo "# Written by \`make lock\`; do not edit."
    # Only name==version lines: an option line would name a package index.
    "$@" freeze --all --exclude-editable --exclude pip --exclude wheel |
        grep -E '^[A-Za-z0-9._-]+==' | grep -v -i -E "^(${left_out:-pip})==" >"$folder/versions"
    "$folder/hasher/bin/uv" pip compile -q --no-deps --generate-hashes --no-header --no-annotate \
        --no-emit-index-url --no-emit-find-links --python "$folder/env/bin/python" "$folder/versions"
}
frozen "Exact versions of everything that make and .ci/run install: servd's dependencies, its extras, the tools." \
    "${pip[@]}" >"$folder/lock"
frozen "Exact versions of what \`make checks\` installs: checkov, and the schemas of old Kubernetes releases." \
    "${checks[@]}" >"$folder/checks.lock"
frozen "Exact versions of what \`make checks\` installs beside: Seldon Core's client and its wrapper." \
    "${seldon[@]}" >"$folder/seldon.lock"
left_out=$unused frozen "Exact versions of what \`make checks\` installs for models' formats; torch is named in the Makefile." \
    "${formats[@]}" >"$folder/formats.lock"
cp "$folder/lock" requirements.lock
cp "$folder/checks.lock" checks.lock
cp "$folder/seldon.lock" seldon.lock
cp "$folder/formats.lock" formats.lock
