//! `tools/pkg-config`, which brings MuJoCo at the first build: what it says when it cannot, and that nothing half is left.

use std::ffi::OsStr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder with a copy of the tool, as fresh clones have it.
fn clone(test: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("env fetch").join(test);
    let _ = std::fs::remove_dir_all(&root);
    std::fs::create_dir_all(root.join("tools")).unwrap();
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/pkg-config");
    std::fs::copy(tool, root.join("tools/pkg-config")).unwrap();
    root
}

fn ask(root: &Path, arguments: &[&str], variables: &[(&str, &OsStr)]) -> Output {
    // Through the shell: executing a file just written fails while another test's fork still holds it open for writing.
    let mut command = Command::new("sh");
    command
        .arg(root.join("tools/pkg-config"))
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

/// The last line said, which is ours; and the folders left in `.mujoco`.
fn failure(root: &Path, output: &Output) -> (String, usize) {
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8_lossy(&output.stderr).trim().lines().last().unwrap().to_owned();
    let left = std::fs::read_dir(root.join(".mujoco")).map_or(0, Iterator::count);
    (said, left)
}

#[test]
fn without_python_it_says_what_to_install() {
    let root = clone("no-python");
    let bin = root.join("bin");
    std::fs::create_dir(&bin).unwrap();
    for tool in ["sh", "dirname", "uname", "mktemp", "mkdir", "rm", "find"] {
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|folder| folder.join(tool))
            .find(|path| path.exists())
            .unwrap();
        symlink(found, bin.join(tool)).unwrap();
    }
    let output = ask(&root, &["--libs", "mujoco"], &[("PATH", bin.as_os_str())]);
    let (said, left) = failure(&root, &output);
    assert!(
        said.contains("install python3 with pip") && said.contains("MUJOCO_DYNAMIC_LINK_DIR"),
        "{said}"
    );
    assert_eq!(left, 0);
}

#[test]
fn without_network_it_says_so_and_leaves_nothing() {
    let root = clone("no-network");
    let output = ask(&root, &["--libs", "mujoco"], &[("PIP_NO_INDEX", OsStr::new("1"))]);
    let (said, left) = failure(&root, &output);
    assert!(
        said.contains("could not download MuJoCo 3.17.0: ") || said.contains("check the network"),
        "{said}"
    );
    assert_eq!(left, 0);
}

#[test]
fn a_library_that_is_there_is_not_fetched_again() {
    let root = clone("there");
    let home = root.join(".mujoco/3.17.0");
    std::fs::create_dir_all(&home).unwrap();
    std::fs::write(home.join("libmujoco.so"), "").unwrap();
    let answer = |arguments: &[&str]| {
        let output = ask(&root, arguments, &[("PIP_NO_INDEX", OsStr::new("1"))]);
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(answer(&["--modversion", "mujoco"]), "3.17.0");
    assert_eq!(answer(&["--variable=libdir", "mujoco"]), home.display().to_string());
    // The folder of this test has a space in its name.
    let flags = format!("-L{} -lmujoco", home.display().to_string().replace(' ', "\\ "));
    assert_eq!(answer(&["--libs", "--cflags", "mujoco", "mujoco = 3.17.0"]), flags);
}
