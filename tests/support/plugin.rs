//! The CPU plugin on which tests run device programs.
//!
//! Include it from a test with `#[path = "support/plugin.rs"] mod plugin;`.
#![allow(dead_code)] // Not every test opens it itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use ddppo::device::pjrt::Device;

/// Names another plugin's file, so that the same tests can be run on a card.
const VARIABLE: &str = "DDPPO_TEST_PLUGIN";

/// Its file, fetched by `tools/pjrt-cpu` on first use: a test that needs it and cannot have it fails.
pub fn path() -> PathBuf {
    if let Some(path) = std::env::var_os(VARIABLE) {
        return path.into();
    }
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/pjrt-cpu");
    let output = Command::new(&tool).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    String::from_utf8(output.stdout).unwrap().trim().into()
}

/// The device, opened once for all tests of a process.
pub fn device() -> &'static Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE.get_or_init(|| Device::open(&path()).unwrap())
}
