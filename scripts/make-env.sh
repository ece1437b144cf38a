#!/usr/bin/env bash
# Makes the virtual environment that the Makefile works in, from requirements.lock.
# Called by `make`; usage: make-env.sh PYTHON VENV
#
# Debian's python3 comes without pip and ensurepip (they are in python3-venv and python3-pip).
# Where both are missing, pip is taken out of Debian's own python3-pip-whl package: that needs no root.
set -euo pipefail

python=$1
venv=$2

fail() {
    printf 'error: %s\nhint:  %s\n' "$1" "$2" >&2
    exit 1
}

# Puts pip into the environment out of the .deb that holds pip's wheel.
pip_from_debian() {
    local folder
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
    folder=$(mktemp -d)
    (
        cd "$folder"
        if ! apt-get -qq -o APT::Sandbox::User=root download python3-pip-whl; then
            [ "$(id -u)" = 0 ] || exit 1
            apt-get update -qq
            apt-get -qq -o APT::Sandbox::User=root download python3-pip-whl
        fi
        dpkg-deb -x python3-pip-whl_*.deb .
    ) || { rm -rf "$folder"; return 1; }
    local wheels=("$folder"/usr/share/python-wheels/pip-*.whl) rc=0
    "$venv/bin/python" "${wheels[0]}/pip" install -q --no-index "${wheels[0]}" || rc=$?
    rm -rf "$folder"
    return "$rc"
}

# Shows on a terminal how far pip is, and anywhere what it says from its first error on.
show_progress() {
    local total=$1 count=0 has_failed= line
    while IFS= read -r line; do
        case $line in ERROR:*) has_failed=yes ;; esac
        if [ -n "$has_failed" ]; then
            printf '%s\n' "$line" >&2
        elif [ -t 1 ]; then
            case $line in
            Collecting* | Processing*) count=$((count + 1)) && printf '\r        %d of %d fetched' "$count" "$total" ;;
            Installing*) printf '\r        %d fetched, installing them' "$total" ;;
            Successfully*) printf '\r%40s\r' '' ;;
            esac
        fi
    done
}

command -v "$python" >/dev/null ||
    fail "there is no '$python'" "install Python 3.11 or newer, or say which: make PYTHON=/path/to/python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old" "servd needs Python 3.11 or newer: make PYTHON=python3.11"

echo "  [1/3] $("$python" --version) with pip"
if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    "$python" -m venv --clear "$venv"
elif "$python" -c 'import venv' 2>/dev/null; then
    "$python" -m venv --clear --without-pip "$venv"
    "$python" -m pip --python "$venv/bin/python" install -qq pip 2>/dev/null || pip_from_debian ||
        fail "this Python has neither ensurepip nor pip" "apt install python3-venv"
else
    fail "this Python has no venv module" "apt install python3-venv"
fi

packages=$(grep -c '==' requirements.lock)
echo "  [2/3] packages of requirements.lock: $packages"
# --no-deps: the lock is complete, so there is nothing to resolve. --no-compile: byte code is made as
# modules are first imported, which is far less than all of them.
"$venv/bin/python" -m pip install --no-deps --no-compile --require-hashes -r requirements.lock 2>&1 |
    show_progress "$packages"
echo "  [3/3] servd itself"
"$venv/bin/python" -m pip install -qq --no-deps --no-build-isolation -e .
