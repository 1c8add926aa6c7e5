//! What the compiler made of the hot loops: their vector instructions are its choice, and it has chosen badly before (decision 023).
#![cfg(all(target_arch = "x86_64", target_os = "linux", not(debug_assertions)))]

use std::collections::BTreeMap;
use std::process::Command;

/// Instructions of a function, by the function's name, for our own that are compiled for AVX2 or AVX-512.
fn kernels(listing: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut kernels: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut present = None;
    for line in listing.lines() {
        // "0000000000347140 <ddppo::nn::cpu::gemm::finish_panel::avx512>:"
        if let Some((_, name)) = line.strip_suffix(">:").and_then(|line| line.split_once(" <")) {
            let wide = name.contains("::avx512") || name.contains("::avx2");
            present = (name.starts_with("ddppo::") && wide).then_some(name);
        } else if let (Some(name), Some((_, instruction))) = (present, line.split_once(":\t")) {
            kernels.entry(name).or_default().push(instruction);
        }
    }
    kernels
}

#[test]
fn kernels_neither_gather_nor_call_the_c_library_for_arithmetic() {
    let program = env!("CARGO_BIN_EXE_ddppo");
    let objdump = Command::new("objdump")
        .args(["--disassemble", "--demangle", "--no-show-raw-insn", program])
        .output();
    let Ok(output) = objdump else {
        eprintln!("skipped: no objdump on this machine");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listing = String::from_utf8_lossy(&output.stdout);
    let kernels = kernels(&listing);
    for expected in [
        "product_panel::avx2",
        "finish_panel::avx512",
        "add_outer_panel::avx512",
        "add_block::avx2",
        "add_block::avx512",
    ] {
        assert!(kernels.keys().any(|name| name.contains(expected)), "{expected} not found");
    }
    for (name, instructions) in kernels {
        assert!(instructions.iter().any(|i| i.contains("ymm") || i.contains("zmm")), "{name}");
        for instruction in instructions {
            let slow = ["gather", "scatter", "<fma", "from_fn"];
            let slow = slow.iter().any(|part| instruction.contains(part));
            assert!(!slow, "{name}: {instruction}");
        }
    }
}
