#!/usr/bin/env bash
# Every check of this repository, in the order in which they fail fastest. Stops at the first failure and says which.
#
# Needs a Rust toolchain (rustfmt and clippy included), Python 3.11 or later, and Node.js 20 or later with npm. What the
# real clients need besides is installed below the target directory, from whatever registries pip and npm are configured
# with, at the versions that tests/clients/requirements.txt and examples/node/package-lock.json name; set
# TOLLGATE_TEST_CACHE to keep it elsewhere. More clients, in more settings, are in tests/matrix.sh.
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

. tests/clients/packages.sh

begin 'tools'
command -v cargo >/dev/null || missing 'cargo is missing: install Rust (https://rustup.rs)'
cargo fmt --version || missing 'rustfmt is missing: rustup component add rustfmt'
cargo clippy --version || missing 'clippy is missing: rustup component add clippy'
cargo --version
find_interpreters
find_directories

begin 'format: cargo fmt --check'
cargo fmt --check

begin 'lints: cargo clippy --all-targets'
cargo clippy --locked --all-targets -- -D warnings

# The same cases on every machine: whoever looks for new ones lets the fuzzers run.
export PROPTEST_RNG_SEED=20261127

begin 'unit, integration and documentation tests: cargo test'
cargo test --locked

begin 'API documentation: cargo doc'
RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps

begin 'the program for the checks below: cargo build'
cargo build --locked
export TOLLGATE_BINARY=$target/debug/tollgate

begin 'the load benchmark, with a handful of requests'
cargo bench --locked --profile dev --bench load -- --smoke --markdown "$target/load-smoke.md"

begin 'documents: links and commands; the price book as its script makes it'
"$python" tests/documents.py
"$python" src/spend/prices/make_book.py --check

begin 'dependencies: licences, one TLS, sources, known vulnerabilities'
tests/supply_chain.sh

begin 'fuzzers: seeds, and a minute'
"$python" fuzz/make_seeds.py --check
fuzz/fuzz.sh smoke 60

begin 'TLS: an outside scanner'
install_python "$cache/tools" tests/tools/requirements.txt
PYTHONDONTWRITEBYTECODE=1 "$cache/tools/bin/python" tests/tls_scan.py

begin 'real clients: packages'
install_python "$cache/python" tests/clients/requirements.txt
install_node "$cache/node" examples/node
cp examples/node/*.mjs "$cache/node/"
export TOLLGATE_NODE=$cache/node

begin 'real clients: tests'
PYTHONDONTWRITEBYTECODE=1 "$cache/python/bin/python" -m pytest tests/clients

printf '\nAll checks passed.\n'
