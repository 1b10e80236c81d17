//! Every target in one binary, which is built faster than all of them: TOLLGATE_FUZZ_TARGET says which one runs.

#![no_main]

use std::sync::LazyLock;

use tollgate::fuzzing::{TARGETS, Target, find};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("TOLLGATE_FUZZ_TARGET").unwrap_or_default();
    find(&name).unwrap_or_else(|| {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        panic!(
            "TOLLGATE_FUZZ_TARGET is {name:?} and must be one of: {}",
            names.join(" ")
        )
    })
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| (TARGET.body)(data));
