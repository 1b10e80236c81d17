#!/usr/bin/env bash
# Every check of this repository, in the order in which they fail fastest. Stops at the first failure and says which.
#
# Needs a Rust toolchain (rustfmt and clippy included), Python 3.11 or later, and Node.js 20 or later with npm. What the
# real clients need besides is installed below the target directory, from whatever registries pip and npm are configured
# with, at the versions that tests/clients/requirements.txt and examples/node/package-lock.json name; set
# TOLLGATE_TEST_CACHE to keep it elsewhere.
set -euo pipefail
cd "$(dirname "$0")/.."

step='the beginning'
finish() {
    local status=$?
    if [ "$status" -ne 0 ]; then
        printf '\nFAILED: %s\n' "$step" >&2
    fi
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

begin() {
    step=$1
    printf '\n==> %s\n' "$step"
}

missing() {
    printf '%s\n' "$1" >&2
    exit 1
}

# The first Python that is new enough.
find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.11 python3.12 python3.13 python}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

begin 'tools'
command -v cargo >/dev/null || missing 'cargo is missing: install Rust (https://rustup.rs)'
cargo fmt --version || missing 'rustfmt is missing: rustup component add rustfmt'
cargo clippy --version || missing 'clippy is missing: rustup component add clippy'
cargo --version
python=$(find_python) || missing 'Python 3.11 or later is missing; set PYTHON to where it is'
"$python" --version
node=$(command -v node) || missing 'Node.js 20 or later is missing'
"$node" -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)' || missing "Node.js is $("$node" --version), but the clients need 20 or later"
command -v npm >/dev/null || missing 'npm is missing; it comes with Node.js'
echo "node $("$node" --version), npm $(npm --version 2>/dev/null)"
target=$(cargo metadata --locked --no-deps --format-version 1 |
    "$python" -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
cache=${TOLLGATE_TEST_CACHE:-$target/clients}

begin 'format: cargo fmt --check'
cargo fmt --check

begin 'lints: cargo clippy --all-targets'
cargo clippy --locked --all-targets -- -D warnings

begin 'unit, integration and documentation tests: cargo test'
cargo test --locked

begin 'API documentation: cargo doc'
RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps

begin 'the program for the checks below: cargo build'
cargo build --locked
export TOLLGATE_BINARY=$target/debug/tollgate

begin 'documents: links and commands; the price book as its script makes it'
"$python" tests/documents.py
"$python" src/spend/prices/make_book.py --check

begin 'real clients: packages'
mkdir -p "$cache"
wanted=$("$python" - tests/clients/requirements.txt <<'PYTHON'
import hashlib, sys
print(sys.version, hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())
PYTHON
)
if [ "$(cat "$cache/python/complete" 2>/dev/null)" != "$wanted" ]; then
    rm -rf "$cache/python"
    "$python" -m venv "$cache/python"
    "$cache/python/bin/python" -m pip install --quiet --disable-pip-version-check --requirement tests/clients/requirements.txt
    printf '%s\n' "$wanted" >"$cache/python/complete"
fi
mkdir -p "$cache/node"
cp examples/node/*.mjs examples/node/package.json examples/node/.npmrc "$cache/node/"
if [ ! -e "$cache/node/complete" ] || ! cmp -s examples/node/package-lock.json "$cache/node/package-lock.json"; then
    rm -f "$cache/node/complete"
    cp examples/node/package-lock.json "$cache/node/"
    (cd "$cache/node" && npm ci --no-audit --no-fund --loglevel=error)
    touch "$cache/node/complete"
fi
export TOLLGATE_NODE=$cache/node

begin 'real clients: tests'
PYTHONDONTWRITEBYTECODE=1 "$cache/python/bin/python" -m pytest tests/clients

printf '\nAll checks passed.\n'
