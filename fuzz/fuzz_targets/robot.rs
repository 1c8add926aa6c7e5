#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ddppo_fuzz::robot::check(data));
