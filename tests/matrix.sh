#!/usr/bin/env bash
# The long matrix: more clients than tests/all.sh has, each in every setting that docs/clients.md names; writes the table
# there. With --check the table is compared instead, and a difference fails.
#
# Needs what tests/all.sh needs, and 1.5 GB below the target directory (or in TOLLGATE_TEST_CACHE) for the packages and
# the AWS SDK for Rust, which is compiled. Where the kernel lets us, the clients run in a network of their own in which
# there is nothing but this machine's loopback.
set -euo pipefail
cd "$(dirname "$0")/.."

. tests/clients/packages.sh

check=no
case ${1:-} in
'') ;;
--check) check=yes ;;
*) missing 'usage: tests/matrix.sh [--check]' ;;
esac

begin() {
    printf '\n==> %s\n' "$1"
}

begin 'tools'
command -v cargo >/dev/null || missing 'cargo is missing: install Rust (https://rustup.rs)'
find_interpreters
find_directories
if [ -z "${TOLLGATE_BINARY:-}" ]; then
    cargo build --locked
    export TOLLGATE_BINARY=$target/debug/tollgate
fi

begin 'packages'
export TOLLGATE_MATRIX=$cache/matrix
install_python "$cache/python" tests/clients/requirements.txt
install_python "$TOLLGATE_MATRIX/python" tests/clients/matrix/requirements.txt
install_node "$TOLLGATE_MATRIX/node" tests/clients/matrix
CARGO_TARGET_DIR=$TOLLGATE_MATRIX/rust cargo build --locked --quiet --manifest-path tests/clients/programs/rust-sdk/Cargo.toml

begin 'clients'
alone=()
if unshare --map-root-user --net ip link set lo up 2>/dev/null; then
    # shellcheck disable=SC2016 # for the inner shell
    alone=(unshare --map-root-user --net sh -c 'ip link set lo up && exec "$@"' sh)
else
    echo 'This machine gives no network of our own: only their proxy setting keeps the clients from the outside.'
fi
# Results of an earlier run must not become a table.
rm -f "$TOLLGATE_MATRIX/results.json"
PYTHONDONTWRITEBYTECODE=1 ${alone[@]+"${alone[@]}"} "$cache/python/bin/python" -m pytest tests/clients/matrix/run.py

begin 'table'
if [ "$check" = yes ]; then
    "$python" tests/clients/matrix/table.py --check "$TOLLGATE_MATRIX/results.json"
else
    "$python" tests/clients/matrix/table.py "$TOLLGATE_MATRIX/results.json"
fi
