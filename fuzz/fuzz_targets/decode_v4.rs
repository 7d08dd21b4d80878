//! Frames of MQTT 3.1.1: what can be read can be written, and reads the same again. Run by libFuzzer; what is asserted is in the
//! library's `fuzzing`, never here.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weir::fuzzing::decode(4, bytes));
