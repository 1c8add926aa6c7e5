//! Names of a model's parts.

use std::ffi::CStr;

use mujoco_rs::mujoco_c::mj_id2name;
use mujoco_rs::wrappers::{MjModel, MjtObjBase};

use crate::config::suggest::hint;

/// The name of a part; `None` where it has none. Bytes that are no UTF-8 are replaced: MuJoCo takes names as they are
/// written, in any encoding.
pub(crate) fn name_of(model: &MjModel, kind: MjtObjBase, id: usize) -> Option<String> {
    // SAFETY: the model is valid; MuJoCo returns null for what has no name or does not exist, or else a text within the
    // model that ends in NUL.
    let name = unsafe {
        let name = mj_id2name(model.ffi(), kind as i32, i32::try_from(id).ok()?);
        (!name.is_null()).then(|| CStr::from_ptr(name))
    }?;
    (!name.is_empty()).then(|| name.to_string_lossy().into_owned())
}

/// All names of a kind, in the order of their ids.
pub(crate) fn names(model: &MjModel, kind: MjtObjBase) -> impl Iterator<Item = (usize, String)> {
    let count = match kind {
        MjtObjBase::mjOBJ_BODY => model.nbody(),
        MjtObjBase::mjOBJ_SITE => model.nsite(),
        MjtObjBase::mjOBJ_CAMERA => model.ncam(),
        MjtObjBase::mjOBJ_KEY => model.nkey(),
        _ => 0,
    };
    (0..count as usize).filter_map(move |id| name_of(model, kind, id).map(|name| (id, name)))
}

/// The id of the part of this name, or a hint at the nearest one.
pub(crate) fn named(model: &MjModel, kind: MjtObjBase, name: &str) -> Result<usize, String> {
    names(model, kind).find(|(_, known)| known == name).map(|(id, _)| id).ok_or_else(|| {
        let known: Vec<String> = names(model, kind).map(|(_, known)| known).collect();
        hint(name, known.iter().map(String::as_str))
    })
}
