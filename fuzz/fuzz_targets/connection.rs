//! All that a client may say on a connection, through the function that serves real ones. Run by libFuzzer; what is asserted
//! is in the library's `fuzzing`, never here.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weir::fuzzing::connection(bytes));
