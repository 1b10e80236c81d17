# The packages of the client tests, for the scripts that run them; sourced from the root of the repository.
#
# They come from whatever registries pip and npm are configured with, at the versions that are pinned, and are installed
# again when those change.

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

# Sets `python`, and makes sure of Node.js.
find_interpreters() {
    local node
    python=$(find_python) || missing 'Python 3.11 or later is missing; set PYTHON to where it is'
    "$python" --version
    node=$(command -v node) || missing 'Node.js 20 or later is missing'
    "$node" -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)' || missing "Node.js is $("$node" --version), but the clients need 20 or later"
    command -v npm >/dev/null || missing 'npm is missing; it comes with Node.js'
    echo "node $("$node" --version), npm $(npm --version 2>/dev/null)"
}

# Sets `target`, where cargo builds, and `cache`, where the packages are kept: below it, or in TOLLGATE_TEST_CACHE.
find_directories() {
    target=$(cargo metadata --locked --no-deps --format-version 1 |
        "$python" -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
    cache=${TOLLGATE_TEST_CACHE:-$target/clients}
    mkdir -p "$cache"
}

# install_python DIRECTORY REQUIREMENTS: an environment with exactly these packages.
install_python() {
    local wanted
    wanted=$("$python" - "$2" <<'PYTHON'
import hashlib, sys
print(sys.version, hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())
PYTHON
    )
    if [ "$(cat "$1/complete" 2>/dev/null)" != "$wanted" ]; then
        rm -rf "$1"
        "$python" -m venv "$1"
        "$1/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$2"
        printf '%s\n' "$wanted" >"$1/complete"
    fi
}

# install_node DIRECTORY SOURCE: the packages of SOURCE's lock file.
install_node() {
    mkdir -p "$1"
    cp "$2/package.json" "$2/.npmrc" "$1/"
    if [ ! -e "$1/complete" ] || ! cmp -s "$2/package-lock.json" "$1/package-lock.json"; then
        rm -f "$1/complete"
        cp "$2/package-lock.json" "$1/"
        (cd "$1" && npm ci --no-audit --no-fund --loglevel=error)
        touch "$1/complete"
    fi
}
