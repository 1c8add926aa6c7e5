//! Makes every binary, test and example find MuJoCo by itself, and tells the program which revision it is.
//!
//! The run path has, in this order: `../lib/ddppo` beside the program's folder, where an administrator may put the library
//! for all users; a folder of the user's, into which the library is copied here, so that an installed program outlives the
//! source tree; and the folder that the library was found in.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// mujoco-rs's own variable: the lib folder of an installed MuJoCo, used instead of the fetched one.
const INSTALLED: &str = "MUJOCO_DYNAMIC_LINK_DIR";

/// What the program is made of: when a file of it changes, the revision is asked for again.
const SOURCES: [&str; 4] = ["src", "build.rs", "Cargo.toml", "Cargo.lock"];

fn main() {
    println!("cargo::rerun-if-changed=tools/pkg-config");
    println!("cargo::rerun-if-env-changed={INSTALLED}");
    println!("cargo::rustc-env=DDPPO_REVISION={}", revision());

    let folder = env::var_os(INSTALLED).map_or_else(fetched, PathBuf::from);
    // A library that was removed after the first build is fetched again.
    println!("cargo::rerun-if-changed={}", folder.join("libmujoco.so").display());
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib/ddppo");
    if env::var_os(INSTALLED).is_none() {
        match kept(&folder) {
            Ok(kept) => println!("cargo::rustc-link-arg=-Wl,-rpath,{}", kept.display()),
            Err(error) => println!(
                "cargo::warning=the program will need this source tree to run: MuJoCo cannot be copied into a folder of \
                 the user's ({error})"
            ),
        }
    }
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", folder.display());

    // Documentation tests get no link arguments; cargo gives them the search paths that lie inside the target folder.
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let inside = out.join("mujoco");
    if fs::read_link(&inside).ok().as_ref() != Some(&folder) {
        let _ = fs::remove_file(&inside);
        if let Err(error) = std::os::unix::fs::symlink(&folder, &inside) {
            panic!("{} cannot be made: {error}", inside.display());
        }
    }
    println!("cargo::rustc-link-search=native={}", inside.display());
}

/// The folder into which `tools/pkg-config` has put, or now puts, the pinned library.
fn fetched() -> PathBuf {
    let tool = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"))
        .join("tools/pkg-config");
    let output = Command::new(&tool)
        .args(["--variable=libdir", "mujoco"])
        .output()
        .unwrap_or_else(|error| panic!("{} cannot be run: {error}", tool.display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

/// Copies the library into the user's data folder, where it is not yet, and returns its folder there.
fn kept(folder: &Path) -> io::Result<PathBuf> {
    let library = fs::canonicalize(folder.join("libmujoco.so"))?;
    let name = library.file_name().unwrap_or_default();
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = set("XDG_DATA_HOME").filter(|data| data.is_absolute());
    let data = data.or_else(|| Some(set("HOME")?.join(".local/share")));
    let data = data.ok_or_else(|| io::Error::other("HOME is not set"))?;
    let version = name.to_string_lossy().replace("libmujoco.so.", "");
    let home = data.join("ddppo").join(format!("mujoco-{version}"));
    let target = home.join(name);
    println!("cargo::rerun-if-env-changed=XDG_DATA_HOME");
    println!("cargo::rerun-if-env-changed=HOME");
    let size = |path: &Path| fs::metadata(path).map(|found| found.len()).ok();
    if size(&target) != size(&library) {
        fs::create_dir_all(&home)?;
        // Under its name by one step: another build, or a program, may look at the same moment.
        let begun = home.join(format!(".tmp-{}", std::process::id()));
        fs::copy(&library, &begun).and_then(|_| fs::rename(&begun, &target)).inspect_err(|_| {
            let _ = fs::remove_file(&begun);
        })?;
    }
    println!("cargo::rerun-if-changed={}", target.display());
    keep_plugins(folder, &home)?;
    Ok(home)
}

/// Copies MuJoCo's own plugins, which the program looks for beside the library that it runs with.
fn keep_plugins(folder: &Path, home: &Path) -> io::Result<()> {
    let plugins = home.join("plugin");
    let Ok(entries) = fs::read_dir(folder.join("plugin")) else { return Ok(()) };
    println!("cargo::rerun-if-changed={}", folder.join("plugin").display());
    fs::create_dir_all(&plugins)?;
    for entry in entries {
        let (from, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        let (to, begun) =
            (plugins.join(&name), plugins.join(format!(".tmp-{}", std::process::id())));
        if fs::metadata(&to).map(|found| found.len()).ok() != Some(fs::metadata(&from)?.len()) {
            fs::copy(&from, &begun).and_then(|_| fs::rename(&begun, &to)).inspect_err(|_| {
                let _ = fs::remove_file(&begun);
            })?;
        }
    }
    Ok(())
}

/// The revision of this source tree, "-dirty" behind it where the program's files have changed; "unknown" outside a
/// repository. It is asked for when one of those files has changed, not at each commit: that would compile all again.
fn revision() -> String {
    let root = env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.arg("--no-optional-locks").arg("-C").arg(&root).args(arguments);
        // Those of another repository, such as a hook's, must not answer for this one.
        for variable in
            ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX"]
        {
            command.env_remove(variable);
        }
        let output = command.output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    SOURCES.iter().for_each(|path| println!("cargo::rerun-if-changed={path}"));
    // Not the repository of a folder that this tree was unpacked into.
    let own = git(&["rev-parse", "--show-toplevel"])
        .is_some_and(|top| fs::canonicalize(top).ok() == fs::canonicalize(&root).ok());
    let Some(revision) = git(&["rev-parse", "HEAD"]).filter(|_| own) else {
        return "unknown".to_owned();
    };
    let changes = ["status", "--porcelain", "--untracked-files=no", "--"];
    let dirty = git(&[&changes[..], &SOURCES[..]].concat()).is_some_and(|list| !list.is_empty());
    if dirty { revision + "-dirty" } else { revision }
}
