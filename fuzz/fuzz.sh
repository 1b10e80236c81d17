#!/usr/bin/env bash
# Runs the fuzzers with any stable Rust and a C++ compiler.
#
#     fuzz/fuzz.sh smoke [SECONDS]             every target in turn, 60 seconds in all
#     fuzz/fuzz.sh run TARGET [OPTIONS…]       one target until it finds something; OPTIONS are libFuzzer's
#
# `smoke` is built like tollgate's tests and takes their dependencies, so that it is soon ready. `run` is optimised, which
# takes longer to build and then runs faster. What is found is left in fuzz/artifacts/, new
# inputs in fuzz/work/. docs/fuzzing.md says more.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    printf '%s\n' "$1" >&2
    exit 1
}

# build PROFILE: sets `fuzzer` to the binary that holds every target.
build() {
    local options=()
    [ "$1" = debug ] || options=(--release)
    if [ -z "${target:-}" ]; then
        target=$(cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    fi
    # The same versions as tollgate, so that what was built of them counts; libFuzzer comes on top.
    cp Cargo.lock fuzz/Cargo.lock
    RUSTC_WRAPPER=$PWD/fuzz/instrument.sh cargo build --manifest-path fuzz/Cargo.toml --target-dir "$target" --bin any "${options[@]}"
    fuzzer=$target/$1/any
}

# fuzz TARGET OPTIONS…: runs one target from its seeds.
fuzz() {
    local name=$1
    shift
    [ -d "fuzz/corpus/$name" ] || fail "there is no target $name; there are: $(ls fuzz/corpus | tr '\n' ' ')"
    local inputs=${work:-fuzz/work}/$name
    mkdir -p "$inputs" "fuzz/artifacts/$name"
    TOLLGATE_FUZZ_TARGET=$name "$fuzzer" -rss_limit_mb=2048 -timeout=30 -max_len=16384 -print_final_stats=1 \
        -artifact_prefix="fuzz/artifacts/$name/" "$@" "$inputs" "fuzz/corpus/$name"
}

# one_after_the_other LOGS SECONDS TARGETS…: a line for each; fails at the first that finds something.
one_after_the_other() {
    local logs=$1 seconds=$2 name limit
    shift 2
    for name in "$@"; do
        limit=$seconds
        # A whole connection takes longer than a reader, and there is more of it.
        if [ "$name" = exchange ]; then
            limit=$((5 * seconds))
        fi
        if ! fuzz "$name" -max_total_time="$limit" -seed=1 >"$logs/$name" 2>&1; then
            grep -A3 'panicked at\|ERROR: libFuzzer' "$logs/$name" >&2 || tail -20 "$logs/$name" >&2
            echo "$name: broken; fuzz/artifacts/$name/ holds the input, docs/fuzzing.md says what to do with it" >&2
            return 1
        fi
        awk -v name="$name" '/number_of_executed_units/ { runs = $2 } / cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") cov = $(i + 1) }
            END { if (runs == 0) exit 1; printf "%-24s %9d runs, %5d edges\n", name, runs, cov }' "$logs/$name" ||
            { echo "$name: did not run" >&2; tail -20 "$logs/$name" >&2; return 1; }
    done
}

smoke() {
    local names count each logs first second
    if ! command -v "${CXX:-c++}" >/dev/null; then
        echo "SKIPPED: fuzzing; libFuzzer needs a C++ compiler, and ${CXX:-c++} is not there"
        return
    fi
    build debug
    names=(fuzz/corpus/*/)
    names=("${names[@]#fuzz/corpus/}")
    names=("${names[@]%/}")
    count=${#names[@]}
    # Two at a time. Less than a second each would be nothing but starting.
    each=$((2 * ${1:-60} / count))
    [ "$each" -ge 1 ] || each=1
    logs=$(mktemp -d)
    # From the committed seeds alone: with the same seed of chance, a shorter run is the beginning of a longer one.
    work=$logs/work
    one_after_the_other "$logs" "$each" "${names[@]:0:count/2}" &
    first=$!
    one_after_the_other "$logs" "$each" "${names[@]:count/2}" &
    second=$!
    wait "$first" || { kill "$second" 2>/dev/null || true; wait "$second" || true; fail 'a fuzzer found something'; }
    wait "$second" || fail 'a fuzzer found something'
    rm -rf "$logs"
    echo "$count targets, $each s each, and more for exchange"
}

case ${1:-} in
smoke)
    smoke "${2:-60}"
    ;;
run)
    [ $# -ge 2 ] || fail 'which target? fuzz/fuzz.sh run TARGET'
    build release
    shift
    fuzz "$@"
    ;;
*) fail 'say smoke or run; the beginning of this file explains' ;;
esac
