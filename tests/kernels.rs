//! What the compiler made of the hot loops: their vector instructions are its choice, and it has chosen badly before
//! (docs/kernels.md, "Traps").
#![cfg(all(target_arch = "x86_64", target_os = "linux", not(debug_assertions)))]

use std::collections::BTreeSet;
use std::process::Command;

/// Instructions of our own functions that are compiled for AVX2 or AVX-512: a name, which several may have, and a listing.
fn kernels(listing: &str) -> Vec<(&str, Vec<&str>)> {
    let mut kernels: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut present = false;
    for line in listing.lines() {
        // "0000000000347140 <ddppo::nn::cpu::gemm::finish_panel::avx512>:"
        if let Some((_, name)) = line.strip_suffix(">:").and_then(|line| line.split_once(" <")) {
            // Around `add` stands `add_block`, which only looks at sizes.
            let wide = ["::avx512", "::avx2", "::wide::tile"];
            let wide = wide.iter().any(|part| name.contains(part));
            present = name.starts_with("ddppo::") && (wide || name.ends_with("::wide_terms::add"));
            if present {
                kernels.push((name, Vec::new()));
            }
        } else if let (true, Some((_, instruction))) = (present, line.split_once(":\t")) {
            kernels.last_mut().expect("a kernel has begun").1.push(instruction);
        }
    }
    kernels
}

/// The program's kernels, or none where there is no `objdump`.
fn listing() -> Option<String> {
    let program = env!("CARGO_BIN_EXE_ddppo");
    let objdump = Command::new("objdump")
        .args(["--disassemble", "--demangle", "--no-show-raw-insn", program])
        .output();
    let Ok(output) = objdump else {
        eprintln!("skipped: no objdump on this machine");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn kernels_neither_gather_nor_call_the_c_library_for_arithmetic() {
    let Some(listing) = listing() else { return };
    let kernels = kernels(&listing);
    for expected in [
        "product_panel::avx2",
        "finish_panel::avx512",
        "add_outer_panel::avx2",
        "add_outer_column::avx512",
        "terms::add_block::avx2",
        "wide::tile",
        "wide_terms::add",
    ] {
        assert!(kernels.iter().any(|(name, _)| name.contains(expected)), "{expected} not found");
    }
    // Of the same name there is one in `f64`, too, whose functions are the C library's.
    let is_vector = |i: &&str| i.contains("ymm") || i.contains("zmm");
    let vectorised = kernels.iter().filter(|(_, instructions)| instructions.iter().any(is_vector));
    let vectorised: BTreeSet<&str> = vectorised.map(|&(name, _)| name).collect();
    for (name, instructions) in kernels {
        assert!(vectorised.contains(name), "{name}");
        for instruction in instructions {
            let slow = ["vgather", "vpgather", "vscatter", "vpscatter", "<fma", "from_fn"];
            let slow = slow.iter().any(|part| instruction.contains(part));
            assert!(!slow, "{name}: {instruction}");
        }
    }
}

#[test]
fn sums_of_wide_kernels_stay_in_registers() {
    let Some(listing) = listing() else { return };
    let mut tallest = 0;
    for (name, instructions) in kernels(&listing) {
        if !name.contains("::wide") {
            continue;
        }
        for instruction in &instructions {
            let on_the_stack = instruction.contains("zmm") && instruction.contains("(%rsp");
            assert!(!on_the_stack, "{name}: {instruction}");
        }
        tallest = tallest.max(instructions.iter().filter(|i| i.starts_with("vfmadd")).count());
    }
    assert!(tallest >= 28, "fourteen rows by two panels: {tallest} multiply-adds");
}

/// What follows a product is as good as free in vectors, and not in single numbers.
#[test]
fn epilogues_are_vectorised() {
    let Some(listing) = listing() else { return };
    let mut seen = 0;
    for (name, instructions) in kernels(&listing) {
        if !name.contains("finish_panel::avx") {
            continue;
        }
        seen += 1;
        for instruction in instructions {
            let operation = instruction.split_whitespace().next().unwrap_or_default();
            let alone = operation.ends_with("ss") && operation.starts_with('v');
            let arithmetic = ["add", "mul", "sub", "div", "max"];
            let arithmetic = arithmetic.iter().any(|part| operation.contains(part));
            assert!(!(alone && arithmetic), "{name}: {instruction}");
        }
    }
    assert!(seen > 0, "no epilogues found");
}
