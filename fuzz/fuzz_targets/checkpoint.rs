#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ddppo_fuzz::checkpoint::check(data));
