//! Makes every binary, test and example find MuJoCo by itself: the folder of the shared library becomes their run path.

use std::path::PathBuf;
use std::process::Command;

/// mujoco-rs's own variable: the lib folder of an installed MuJoCo, used instead of the fetched one.
const INSTALLED: &str = "MUJOCO_DYNAMIC_LINK_DIR";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=tools/pkg-config");
    println!("cargo::rerun-if-env-changed={INSTALLED}");

    let folder = std::env::var_os(INSTALLED).map_or_else(fetched, PathBuf::from);
    // A library that was removed after the first build is fetched again.
    println!("cargo::rerun-if-changed={}", folder.join("libmujoco.so").display());
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", folder.display());

    // Documentation tests get no link arguments; cargo gives them the search paths that lie inside the target folder.
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let inside = out.join("mujoco");
    if std::fs::read_link(&inside).ok().as_ref() != Some(&folder) {
        let _ = std::fs::remove_file(&inside);
        if let Err(error) = std::os::unix::fs::symlink(&folder, &inside) {
            panic!("{} cannot be made: {error}", inside.display());
        }
    }
    println!("cargo::rustc-link-search=native={}", inside.display());
}

/// The folder into which `tools/pkg-config` has put, or now puts, the pinned library.
fn fetched() -> PathBuf {
    let tool = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"))
        .join("tools/pkg-config");
    let output = Command::new(&tool)
        .args(["--variable=libdir", "mujoco"])
        .output()
        .unwrap_or_else(|error| panic!("{} cannot be run: {error}", tool.display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}
