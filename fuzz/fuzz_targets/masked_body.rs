//! `tollgate::fuzzing`'s target of this name, as a binary.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tollgate::fuzzing::run("masked_body", data));
