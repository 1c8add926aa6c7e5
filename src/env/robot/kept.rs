//! The robot in a run's folder.
//!
//! `robot/task.toml` is the task file, `robot/model/` holds the model and all that it refers to, placed among each other as
//! they were, and `robot/origin.toml` lists them with their checksums. The folder may come from anywhere: no link is
//! followed, and no name leads out of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::RobotError;
use crate::env::Task;
use crate::env::mujoco::{ModelFiles, MujocoTask, read_file};
use crate::run::storage::{Disk, Storage, StorageError};
use crate::run::text::printable;

/// Where a run keeps its robot.
const FOLDER: &str = "robot";
/// Where it is put together.
const TEMPORARY: &str = ".tmp-robot";
const MODEL: &str = "model";
const TASK: &str = "task.toml";
const ORIGIN: &str = "origin.toml";
/// What `model` says in runs that an older program started with a model that referred to no other file.
const OLD_MODEL: &str = "model.xml";

/// Most files that a robot may have.
const MOST_FILES: usize = 100_000;

/// What a run remembers of its robot.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Origin {
    /// The model, as a path within `model/`.
    model: String,
    /// The folder that `model/` is a copy from. A name only, by which the model's absolute references are understood:
    /// nothing is read from there.
    root: String,
    /// Checksum of `task.toml`.
    task: String,
    /// The model and all files that it refers to.
    file: Vec<KeptFile>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptFile {
    /// Path within `model/`.
    path: String,
    /// Of its content.
    checksum: String,
}

/// What an older program wrote: where the model is, and one checksum of model and task file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OldOrigin {
    model: String,
    checksum: String,
}

enum Remembered {
    Files(Origin),
    Old(OldOrigin),
}

/// CRC-32 and length: enough to notice what changes by accident.
fn checksum(content: &[u8]) -> String {
    format!("{:08x}-{}", crc32fast::hash(content), content.len())
}

/// What a run that is started with these files remembers; the files in the order of their names.
fn origin(task: &str, files: &ModelFiles) -> Origin {
    let root = common_folder(files);
    let files_kept = files
        .contents
        .iter()
        .map(|(path, content)| KeptFile { path: within(&root, path), checksum: checksum(content) });
    Origin {
        model: within(&root, &files.main),
        root: root.display().to_string(),
        task: checksum(task.as_bytes()),
        file: files_kept.collect(),
    }
}

/// What the robot of the run in `run` has other than this one, or other than a built-in task where there is none; `None` where they are
/// the same.
pub(super) fn difference(
    run: &Path,
    robot: Option<(&str, &ModelFiles)>,
) -> Result<Option<String>, RobotError> {
    let (there, task, files) = match (remembered(run)?, robot) {
        (None, None) => return Ok(None),
        (None, Some(_)) => return Ok(Some("its task is a built-in one".to_owned())),
        (Some(_), None) => return Ok(Some("its task is not the built-in one".to_owned())),
        (Some(there), Some((task, files))) => (there, task, files),
    };
    let there = match there {
        Remembered::Files(there) => there,
        Remembered::Old(there) => {
            let mut crc = crc32fast::Hasher::new();
            crc.update(task.as_bytes());
            crc.update(&files.contents[&files.main]);
            let same = format!("{:08x}", crc.finalize()) == there.checksum;
            return Ok((!same).then(|| "model or task file had another content".to_owned()));
        }
    };
    let here = origin(task, files);
    if there.task != here.task {
        return Ok(Some("its task file had another content".to_owned()));
    }
    let of_files = |origin: Origin| -> BTreeMap<String, String> {
        origin.file.into_iter().map(|file| (file.path, file.checksum)).collect()
    };
    let model = there.model != here.model;
    let (there, here) = (of_files(there), of_files(here));
    let names: BTreeSet<&String> = there.keys().chain(here.keys()).collect();
    let other = names.into_iter().find(|name| there.get(*name) != here.get(*name));
    Ok(match other {
        Some(name) => Some(match (there.contains_key(name), here.contains_key(name)) {
            (true, true) => format!("`{}` had another content", printable(name)),
            (true, false) => format!("its model used `{}`, too", printable(name)),
            _ => format!("its model did not use `{}`", printable(name)),
        }),
        None => model.then(|| "its model was another of the same files".to_owned()),
    })
}

/// Writes the robot's folder beside its place, and renames it into it.
pub(super) fn keep(run: &Path, task: &str, files: &ModelFiles) -> Result<(), StorageError> {
    let folder = run.join(TEMPORARY);
    if folder.symlink_metadata().is_ok() {
        Disk.remove_directory(&folder).map_err(StorageError::of("remove", &folder))?;
    }
    let mut folders = BTreeSet::from([folder.clone(), folder.join(MODEL)]);
    let origin = origin(task, files);
    let mut contents: Vec<(PathBuf, &[u8])> = vec![(folder.join(TASK), task.as_bytes())];
    for (file, content) in origin.file.iter().zip(files.contents.values()) {
        let kept = folder.join(MODEL).join(&file.path);
        folders.extend(
            kept.ancestors().skip(1).take_while(|above| *above != folder).map(Path::to_owned),
        );
        contents.push((kept, content));
    }
    let text = toml::to_string(&origin).expect("strings are TOML");
    contents.push((folder.join(ORIGIN), text.as_bytes()));
    // In order, so that a folder comes after the one that it lies in.
    for folder in &folders {
        Disk.create_directory(folder).map_err(StorageError::of("create", folder))?;
    }
    for (path, content) in contents {
        Disk.write(&path, content).map_err(StorageError::of("write", &path))?;
    }
    for folder in folders.iter().rev() {
        Disk.sync_directory(folder).map_err(StorageError::of("sync", folder))?;
    }
    let place = run.join(FOLDER);
    if place.symlink_metadata().is_ok() {
        Disk.remove_directory(&place).map_err(StorageError::of("remove", &place))?;
    }
    Disk.rename(&folder, &place).map_err(StorageError::of("write", &place))?;
    Disk.sync_directory(run).map_err(StorageError::of("sync", run))
}

/// The innermost folder that all files lie in.
fn common_folder(files: &ModelFiles) -> PathBuf {
    let mut common = files.main.parent().unwrap_or(Path::new("/")).to_owned();
    for path in files.contents.keys() {
        while !path.starts_with(&common) {
            if !common.pop() {
                break;
            }
        }
    }
    common
}

/// A file's path within a folder that it lies in. Names of files are UTF-8 here: [`super::Robot::from_files`] sees to it.
fn within(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

/// The task of the run in the folder `run`: its own robot, or else the built-in task `name`.
///
/// # Errors
/// When the robot's files are gone, unusable or changed, or no built-in task has this name.
pub fn task_of_run(run: &Path, name: &str) -> Result<Arc<dyn Task>, RobotError> {
    let task_name = run.join(FOLDER).join(TASK).display().to_string();
    let (model_name, task, files) = match remembered(run)? {
        None => return Ok(crate::env::task(name)?),
        Some(Remembered::Files(origin)) => {
            let task = task_text(run, &origin.task)?;
            (run.join(FOLDER).join(MODEL).join(&origin.model), task, kept_files(run, &origin)?)
        }
        Some(Remembered::Old(origin)) => {
            if origin.model != OLD_MODEL {
                let (run, model) = (run.display().to_string(), printable(&origin.model));
                return Err(RobotError::Outside { run, model });
            }
            old_files(run, &origin)?
        }
    };
    let model_name = model_name.display().to_string();
    Ok(Arc::new(MujocoTask::from_model_files((&model_name, &files), (&task_name, &task))?))
}

/// What tells a run's robot from others of its name: equal for runs whose files are equal, and `None` for a built-in task.
///
/// # Errors
/// When what the run says of its robot cannot be read.
pub fn identity(run: &Path) -> Result<Option<String>, RobotError> {
    Ok(remembered(run)?.map(|remembered| match remembered {
        Remembered::Files(origin) => {
            let of_file = |file: &KeptFile| format!("{} {}\n", file.path, file.checksum);
            let all: String = origin.file.iter().map(of_file).collect();
            checksum(format!("{}\n{}\n{all}", origin.task, origin.model).as_bytes())
        }
        Remembered::Old(origin) => printable(&origin.checksum),
    }))
}

/// What the run says of its robot, every path in it checked; `None` where it has none of its own.
fn remembered(run: &Path) -> Result<Option<Remembered>, RobotError> {
    let folder = run.join(FOLDER);
    if folder.symlink_metadata().is_err() {
        return Ok(None);
    }
    let file = folder.join(ORIGIN).display().to_string();
    let unusable = |message: String| RobotError::Origin { file: file.clone(), message };
    let content = read_within(run, Path::new(FOLDER).join(ORIGIN).as_path()).map_err(&unusable)?;
    let text = std::str::from_utf8(&content).map_err(|_| unusable("it is no text".to_owned()))?;
    let message = match toml::from_str::<Origin>(text) {
        Ok(origin) => {
            check(&origin).map_err(unusable)?;
            return Ok(Some(Remembered::Files(origin)));
        }
        Err(error) => printable(error.message()),
    };
    toml::from_str(text).map(Remembered::Old).map(Some).map_err(|_| unusable(message))
}

/// Whether all paths stay within the folder, and the model is one of the files.
fn check(origin: &Origin) -> Result<(), String> {
    if origin.file.len() > MOST_FILES {
        return Err(format!("it lists more than {MOST_FILES} files"));
    }
    if !Path::new(&origin.root).is_absolute() {
        return Err("`root` is no absolute path".to_owned());
    }
    for KeptFile { path, .. } in &origin.file {
        if path.is_empty() || !is_inside(Path::new(path)) {
            return Err(format!("the path `{}` leads out of it", printable(path)));
        }
    }
    if !origin.file.iter().any(|file| file.path == origin.model) {
        return Err("the model is not among its files".to_owned());
    }
    Ok(())
}

fn is_inside(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// The content of a file within a run, no part of whose path may be a link.
fn read_within(run: &Path, path: &Path) -> Result<Box<[u8]>, String> {
    let mut place = run.to_owned();
    for part in path.components() {
        place.push(part);
        let is_link = fs::symlink_metadata(&place).is_ok_and(|found| found.is_symlink());
        if is_link {
            return Err(format!("cannot be read: {} is a link", place.display()));
        }
    }
    read_file(&place)
}

/// A file of the robot, unchanged.
fn unchanged(run: &Path, path: &Path, expected: &str) -> Result<Box<[u8]>, RobotError> {
    let changed = |how: String| RobotError::Changed {
        run: run.display().to_string(),
        file: printable(&run.join(path).display().to_string()),
        how,
    };
    let content = read_within(run, path).map_err(changed)?;
    if checksum(&content) == expected {
        Ok(content)
    } else {
        Err(changed("has another content".to_owned()))
    }
}

fn task_text(run: &Path, expected: &str) -> Result<String, RobotError> {
    let content = unchanged(run, &Path::new(FOLDER).join(TASK), expected)?;
    // What was kept was text.
    Ok(String::from_utf8_lossy(&content).into_owned())
}

/// The model's files under the names by which it refers to them.
fn kept_files(run: &Path, origin: &Origin) -> Result<ModelFiles, RobotError> {
    let root = Path::new(&origin.root);
    let mut contents = BTreeMap::new();
    for KeptFile { path, checksum } in &origin.file {
        let content = unchanged(run, &Path::new(FOLDER).join(MODEL).join(path), checksum)?;
        contents.insert(root.join(path), content);
    }
    Ok(ModelFiles { main: root.join(&origin.model), contents })
}

/// The robot of an older run, whose one checksum is of both texts.
fn old_files(run: &Path, origin: &OldOrigin) -> Result<(PathBuf, String, ModelFiles), RobotError> {
    let (model, task) = (Path::new(FOLDER).join(OLD_MODEL), Path::new(FOLDER).join(TASK));
    let changed = |path: &Path, how: String| RobotError::Changed {
        run: run.display().to_string(),
        file: run.join(path).display().to_string(),
        how,
    };
    let model_text = read_within(run, &model).map_err(|how| changed(&model, how))?;
    let task_text = read_within(run, &task).map_err(|how| changed(&task, how))?;
    let mut crc = crc32fast::Hasher::new();
    crc.update(&task_text);
    crc.update(&model_text);
    if format!("{:08x}", crc.finalize()) != origin.checksum {
        let how = format!("or {} has another content", run.join(&task).display());
        return Err(changed(&model, how));
    }
    let main = PathBuf::from("/").join(OLD_MODEL);
    let contents = BTreeMap::from([(main.clone(), model_text)]);
    let task_text = String::from_utf8_lossy(&task_text).into_owned();
    Ok((run.join(&model), task_text, ModelFiles { main, contents }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out() {
        for path in ["a.xml", "meshes/a b.stl", "..x/y", "größe.xml"] {
            assert!(is_inside(Path::new(path)), "{path}");
        }
        for path in ["../a", "a/../../b", "/etc/passwd", "./../x", "a/.."] {
            assert!(!is_inside(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn files_are_placed_below_their_common_folder() {
        let files = |paths: &[&str]| ModelFiles {
            main: paths[0].into(),
            contents: paths.iter().map(|path| (path.into(), Box::from([]))).collect(),
        };
        for (paths, root) in [
            (&["/home/me/robot.xml"][..], "/home/me"),
            (&["/home/me/robot.xml", "/home/me/meshes/a.stl"], "/home/me"),
            (&["/home/me/r/robot.xml", "/home/me/assets/a.stl"], "/home/me"),
            (&["/home/me/robot.xml", "/opt/a.stl"], "/"),
            (&["/robot.xml", "/home/mesh.stl"], "/"),
            (&["/home/me/robot.xml", "/home/me2/a.stl"], "/home"),
        ] {
            assert_eq!(common_folder(&files(paths)), Path::new(root), "{paths:?}");
        }
    }
}
