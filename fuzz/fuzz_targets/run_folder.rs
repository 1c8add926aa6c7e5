#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ddppo_fuzz::run_folder::check(data));
