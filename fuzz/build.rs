//! The fuzz targets find MuJoCo as the program does: the folder that `tools/pkg-config` names becomes their run path.

use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=MUJOCO_DYNAMIC_LINK_DIR");
    let folder = std::env::var("MUJOCO_DYNAMIC_LINK_DIR").unwrap_or_else(|_| {
        let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
        let output = Command::new(here.join("../tools/pkg-config"))
            .args(["--variable=libdir", "mujoco"])
            .output()
            .expect("tools/pkg-config can be run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    });
    println!("cargo::rustc-link-arg=-Wl,-rpath,{folder}");
}
