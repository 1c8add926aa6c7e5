//! The twins that `ddppo bench --against` races, as far as no framework is needed: what is asked of one is measured, as
//! often as it is asked (`benches/reference/harness.py`).

use std::process::Command;

#[test]
fn the_harness_measures_what_it_is_asked_for() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/reference");
    let output = Command::new("python3")
        .args(["-B", "-m", "unittest", "test_harness"])
        .current_dir(folder)
        .output()
        .expect("python3 is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("Ran 3 tests"), "{said}");
}
