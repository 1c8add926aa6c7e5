//! What the compiler makes of the kernels for aarch64, read in its assembly: where the toolchain has that target's standard library
//! (`rustup target add aarch64-unknown-linux-gnu`), on whatever machine. The numbers are not computed: that needs such a processor.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "aarch64-unknown-linux-gnu";

/// A crate of the rooms below the networks and of their passes, since the program needs a C compiler for the target, too.
const ROOT: &str = r#"
#[path = "SOURCE/machine/mod.rs"] pub mod machine;
#[path = "SOURCE/rng/mod.rs"] pub mod rng;
pub mod nn {
    #[path = "SOURCE/nn/activation.rs"] pub mod activation;
    #[path = "SOURCE/nn/cpu/mod.rs"] pub mod cpu;
    #[path = "SOURCE/nn/gradient.rs"] pub(crate) mod gradient;
    #[path = "SOURCE/nn/layer_norm.rs"] mod layer_norm;
    #[path = "SOURCE/nn/mlp.rs"] pub mod mlp;
    #[path = "SOURCE/nn/orthogonal.rs"] pub(crate) mod orthogonal;
    #[path = "SOURCE/nn/shape.rs"] pub mod shape;
    #[path = "SOURCE/nn/tangent.rs"] pub mod tangent;
    #[path = "SOURCE/nn/tape.rs"] pub mod tape;
    pub use crate::machine::Real;
    pub use {activation::Activation, cpu::matrix::Matrix, mlp::Mlp, shape::Shape};
    pub use {tangent::Tangent, tape::{Keep, Tape}};
}
pub fn passes(net: &nn::Mlp<f32>, tape: &mut nn::Tape<f32>, tangent: &mut nn::Tangent<f32>, gradient: &mut [f32]) {
    let rows = 0..tape.rows();
    net.forward(tape, rows.clone());
    net.backward(tape, rows.clone(), Some(gradient), true);
    net.tangent(tape, tangent, rows.clone());
    net.tangent_backward(tape, tangent, rows, Some(gradient), true);
}
"#;

/// Whether the compiler that runs this test can compile for the target.
fn has_target() -> bool {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output().expect("rustc runs");
    let sysroot = PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim());
    sysroot.join("lib/rustlib").join(TARGET).is_dir()
}

/// The assembly of [`ROOT`].
fn assembly() -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("neon");
    std::fs::create_dir_all(folder.join("src")).expect("a folder");
    let manifest = "[package]\nname = \"kernels\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n\
                    [dependencies]\nrayon = \"1\"\n[profile.release]\ncodegen-units = 1\n";
    std::fs::write(folder.join("Cargo.toml"), manifest).expect("written");
    std::fs::copy(source.join("Cargo.lock"), folder.join("Cargo.lock")).expect("copied");
    let root = ROOT.replace("SOURCE", &source.join("src").to_string_lossy());
    std::fs::write(folder.join("src/lib.rs"), root).expect("written");
    let target = folder.join("target");
    let output = Command::new("cargo")
        .args(["rustc", "--release", "--quiet", "--target", TARGET])
        .args(["--", "--emit", "asm", "-C", "symbol-mangling-version=v0"])
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("RUSTFLAGS")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_INCREMENTAL", "0")
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let built = target.join(TARGET).join("release/deps");
    let files = std::fs::read_dir(built).expect("a folder").filter_map(Result::ok);
    let newest = files
        .filter(|file| file.path().extension().is_some_and(|extension| extension == "s"))
        .max_by_key(|file| file.metadata().and_then(|data| data.modified()).ok())
        .expect("an assembly");
    std::fs::read_to_string(newest.path()).expect("text")
}

/// Instructions by function.
fn functions(assembly: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut functions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut name = "";
    for line in assembly.lines() {
        if let Some(label) = line.strip_suffix(':').filter(|label| label.starts_with("_R")) {
            name = label;
        } else if let Some(instruction) = line.strip_prefix('\t').filter(|i| !i.starts_with('.')) {
            functions.entry(name).or_default().push(instruction);
        }
    }
    functions
}

#[test]
fn products_and_weight_gradients_are_fused_vectors_on_aarch64() {
    if !has_target() {
        eprintln!(
            "skipped: no standard library for {TARGET}; `rustup target add {TARGET}` brings it"
        );
        return;
    }
    let assembly = assembly();
    let functions = functions(&assembly);
    let is_vector = |i: &&&str| i.starts_with("fmla") && i.contains(".4s");
    // "13product_panel" is the name as it is mangled: its length and it.
    for (kernel, sums) in [("13product_panel", 24), ("15add_outer_panel", 24), ("9add_block", 16)] {
        let found: Vec<_> = functions.iter().filter(|(name, _)| name.contains(kernel)).collect();
        assert!(!found.is_empty(), "{kernel} not found");
        for (name, instructions) in found {
            let vectors = instructions.iter().filter(is_vector).count();
            assert!(vectors >= sums, "{name}: {vectors} fused multiply-adds of vectors");
            let single = instructions.iter().filter(|i| i.starts_with("fmadd")).count();
            assert_eq!(single, 0, "{name} multiplies and adds single numbers");
            // A loop that keeps sums in memory would load and store one a multiply-add.
            let on_stack = |i: &&&str| {
                (i.starts_with("ldr\tq") || i.starts_with("str\tq")) && i.contains("[sp")
            };
            let spilled = instructions.iter().filter(on_stack).count();
            assert!(
                spilled * 10 < vectors,
                "{name}: {spilled} loads and stores of sums, {vectors} multiply-adds"
            );
        }
    }
    for (name, instructions) in &functions {
        assert!(
            !instructions.iter().any(|i| i.starts_with("bl\t") && i.contains("fma")),
            "{name} calls fma"
        );
    }
}
