//! Tensors and checkpoint headers as bytes: safetensors and JSON. Equal states give equal bytes.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use bytemuck::{cast_slice, pod_collect_to_vec};
use safetensors::tensor::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::snapshot::{Data, Tensor};

/// The layout of checkpoints that this program writes and reads.
pub const FORMAT: u32 = 2;

/// `state.json` of a checkpoint.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    pub format: u32,
    pub version: String,
    pub info: Info,
    pub values: Map<String, Value>,
    pub tables: BTreeMap<String, Vec<Segment>>,
}

/// What a checkpoint says of itself beside the state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Info {
    /// Environment steps done.
    pub step: u64,
    /// Lines of `metrics.jsonl` at that moment: resuming cuts it back to these. (Their length in bytes differs between
    /// equal runs, with the wall-clock figures in them.)
    pub metrics_lines: u64,
    /// The last evaluation up to then. The policy in this checkpoint is the one that was scored only if it was made at the
    /// same step: see [`Info::score`].
    pub evaluation: Option<Evaluation>,
    /// The configuration that led to it, as TOML.
    pub config: String,
}

impl Info {
    /// Mean return of the policy in this checkpoint; `None` when that policy was not evaluated.
    pub fn score(&self) -> Option<f64> {
        let evaluation = self.evaluation.filter(|evaluation| evaluation.step == self.step);
        evaluation.map(|evaluation| evaluation.return_mean).filter(|value| value.is_finite())
    }
}

/// An evaluation's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Environment steps done when it was made.
    pub step: u64,
    /// Mean return over its episodes; finite.
    pub return_mean: f64,
}

/// A file with some rows of a growing table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Segment {
    pub file: String,
    pub first_row: usize,
    pub rows: usize,
    pub crc32: u32,
}

/// Bytes that are no tensors of ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("it is no safetensors file ({0})")]
    Safetensors(#[from] safetensors::SafeTensorError),
    #[error("tensor `{0}` is of type {1:?}, which this program does not use")]
    Type(String, Dtype),
}

// Numbers go to disk as they lie in memory, and safetensors are little-endian.
const _: () =
    assert!(cfg!(target_endian = "little"), "checkpoints are written on little-endian processors");

/// Some rows of a tensor, as they lie in memory.
struct Rows<'t> {
    shape: Vec<usize>,
    dtype: Dtype,
    bytes: &'t [u8],
}

impl<'t> Rows<'t> {
    /// All of a tensor.
    fn all(tensor: &'t Tensor) -> Self {
        let (dtype, bytes) = match &tensor.data {
            Data::F32(v) => (Dtype::F32, cast_slice(v)),
            Data::F64(v) => (Dtype::F64, cast_slice(v)),
            Data::U64(v) => (Dtype::U64, cast_slice(v)),
            Data::U32(v) => (Dtype::U32, cast_slice(v)),
            Data::U8(v) => (Dtype::U8, v.as_slice()),
        };
        Self { shape: tensor.shape.clone(), dtype, bytes }
    }

    /// Rows `first..first + rows`.
    fn some(tensor: &'t Tensor, first: usize, rows: usize) -> Self {
        let Self { mut shape, dtype, bytes } = Self::all(tensor);
        // A table of no rows has no bytes either.
        let row = bytes.len() / shape[0].max(1);
        shape[0] = rows;
        Self { shape, dtype, bytes: &bytes[first * row..][..rows * row] }
    }
}

impl View for Rows<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// Tensors as a safetensors file.
pub(crate) fn encode(tensors: &BTreeMap<String, Tensor>) -> Vec<u8> {
    encode_with_header(tensors, None)
}

/// Tensors as a safetensors file with strings in its header.
pub fn encode_with_header(
    tensors: &BTreeMap<String, Tensor>,
    header: Option<HashMap<String, String>>,
) -> Vec<u8> {
    let views = tensors.iter().map(|(name, tensor)| (name, Rows::all(tensor)));
    safetensors::serialize(views, header).expect("whole tensors with distinct names serialise")
}

/// The tensors of a safetensors file.
pub(crate) fn decode(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, DecodeError> {
    SafeTensors::deserialize(bytes)?
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            let data = match view.dtype() {
                Dtype::F32 => Data::F32(pod_collect_to_vec(view.data())),
                Dtype::F64 => Data::F64(pod_collect_to_vec(view.data())),
                Dtype::U64 => Data::U64(pod_collect_to_vec(view.data())),
                Dtype::U32 => Data::U32(pod_collect_to_vec(view.data())),
                Dtype::U8 => Data::U8(view.data().to_vec()),
                other => return Err(DecodeError::Type(name, other)),
            };
            Ok((name, Tensor { shape: view.shape().to_vec(), data }))
        })
        .collect()
}

/// Rows `first..first + rows` of a table as a file.
pub(crate) fn encode_rows(table: &Tensor, first: usize, rows: usize) -> Vec<u8> {
    let views = [("rows", Rows::some(table, first, rows))];
    safetensors::serialize(views, None).expect("one whole tensor serialises")
}

/// Puts `rows` behind those of `table`. `None` when types or widths differ.
pub(crate) fn append(table: &mut Tensor, rows: Tensor) -> Option<()> {
    if table.shape.get(1..) != rows.shape.get(1..) {
        return None;
    }
    match (&mut table.data, rows.data) {
        (Data::F32(all), Data::F32(more)) => all.extend(more),
        (Data::F64(all), Data::F64(more)) => all.extend(more),
        (Data::U64(all), Data::U64(more)) => all.extend(more),
        (Data::U32(all), Data::U32(more)) => all.extend(more),
        (Data::U8(all), Data::U8(more)) => all.extend(more),
        _ => return None,
    }
    *table.shape.first_mut()? += rows.shape.first()?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_survive_bit_for_bit() {
        let tensors = BTreeMap::from([
            ("a".to_owned(), Tensor::new(&[2, 2], vec![f32::NAN, -0.0, f32::INFINITY, 1e-45])),
            ("b".to_owned(), Tensor::new(&[1], vec![u64::MAX])),
            ("c".to_owned(), Tensor::new(&[], vec![0.1_f64])),
            ("d".to_owned(), Tensor::new(&[0, 3], Vec::<u32>::new())),
            ("e".to_owned(), Tensor::new(&[3], vec![0_u8, 1, 255])),
        ]);
        let bytes = encode(&tensors);
        assert_eq!(encode(&decode(&bytes).unwrap()), bytes);
        assert_eq!(decode(&bytes).unwrap()["b"], tensors["b"]);
        assert!(matches!(&decode(&bytes).unwrap()["a"].data, Data::F32(v) if v[0].is_nan()));
    }

    #[test]
    fn rows_split_and_join() {
        let table = Tensor::new(&[3, 2], vec![1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let part = |first, rows| {
            decode(&encode_rows(&table, first, rows)).unwrap().remove("rows").unwrap()
        };
        let mut joined = part(0, 1);
        append(&mut joined, part(1, 2)).unwrap();
        assert_eq!(joined, table);
        assert!(append(&mut joined, Tensor::new(&[1, 3], vec![0.0_f32; 3])).is_none());
        assert!(append(&mut joined, Tensor::new(&[1, 2], vec![0.0_f64; 2])).is_none());
    }
}
