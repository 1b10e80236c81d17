#!/bin/sh
# A RUSTC_WRAPPER: tollgate and the fuzzers are compiled for libFuzzer to see where they go, everything else as always.
# The options are those of cargo-fuzz, and every rustc has them.
rustc=$1
shift
case " $* " in
*' --crate-name tollgate '*'feature="fuzzing"'* | *' --crate-name any '*)
    exec "$rustc" "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0
    ;;
*) exec "$rustc" "$@" ;;
esac
