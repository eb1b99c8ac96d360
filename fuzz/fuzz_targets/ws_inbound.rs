#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::ws_inbound(data));
