//! A state as named tensors and values: what the trainer hands to the checkpoint store and takes back.
//!
//! Whatever restores itself *takes* its entries out and ends with [`Snapshot::finish`], so that an entry that nobody
//! asked for is an error as much as one that is missing.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The numbers of a tensor, row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// 32-bit floats: networks, moments, replay rows.
    F32(Vec<f32>),
    /// 64-bit floats: physics.
    F64(Vec<f64>),
    /// 64-bit words: generators, counters.
    U64(Vec<u64>),
    /// 32-bit indices.
    U32(Vec<u32>),
    /// Bytes: flags.
    U8(Vec<u8>),
}

impl Data {
    /// Name of the element type, as in messages and safetensors headers.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::F32(_) => f32::NAME,
            Self::F64(_) => f64::NAME,
            Self::U64(_) => u64::NAME,
            Self::U32(_) => u32::NAME,
            Self::U8(_) => u8::NAME,
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::F64(v) => v.len(),
            Self::U64(v) => v.len(),
            Self::U32(v) => v.len(),
            Self::U8(v) => v.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An element type that a [`Tensor`] can hold.
pub trait Element: Copy {
    /// Name, as in messages and safetensors headers.
    const NAME: &'static str;
    /// Wraps a vector.
    fn wrap(values: Vec<Self>) -> Data;
    /// Unwraps a vector of this type, or gives the data back.
    fn unwrap(data: Data) -> Result<Vec<Self>, Data>;
}

macro_rules! element {
    ($type:ty, $variant:ident, $name:literal) => {
        impl Element for $type {
            const NAME: &'static str = $name;
            fn wrap(values: Vec<Self>) -> Data {
                Data::$variant(values)
            }
            fn unwrap(data: Data) -> Result<Vec<Self>, Data> {
                match data {
                    Data::$variant(values) => Ok(values),
                    other => Err(other),
                }
            }
        }
    };
}
element!(f32, F32, "F32");
element!(f64, F64, "F64");
element!(u64, U64, "U64");
element!(u32, U32, "U32");
element!(u8, U8, "U8");

/// An array of numbers with its shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Sizes, outermost first. Empty for a single number.
    pub shape: Vec<usize>,
    /// As many elements as the sizes' product, row-major.
    pub data: Data,
}

impl Tensor {
    /// A tensor of `shape`.
    ///
    /// # Panics
    /// When `values` are not as many as `shape` says: a mistake in the program, never in its input.
    pub fn new<T: Element>(shape: &[usize], values: Vec<T>) -> Self {
        assert_eq!(
            shape.iter().product::<usize>(),
            values.len(),
            "elements of a tensor of shape {shape:?}"
        );
        Self { shape: shape.to_vec(), data: T::wrap(values) }
    }
}

/// An entry of a saved state that does not fit.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum SnapshotError {
    /// An entry is not there.
    #[error("the saved state has no entry `{key}`, which should be {expected}")]
    Missing {
        /// Name of the entry.
        key: String,
        /// What should be there.
        expected: String,
    },
    /// An entry has another type or shape.
    #[error("entry `{key}` of the saved state is {found} where {expected} is needed")]
    Mismatch {
        /// Name of the entry.
        key: String,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Entries that nothing asked for: the state belongs to another configuration or version.
    #[error("the saved state has entries that this configuration does not know: {keys}")]
    Unknown {
        /// Their names, separated by commas.
        keys: String,
    },
}

impl SnapshotError {
    /// An entry of the right type whose numbers cannot be right.
    pub fn invalid(key: &str, expected: &str) -> Self {
        Self::Mismatch {
            key: key.to_owned(),
            expected: expected.to_owned(),
            found: "something else".to_owned(),
        }
    }
}

/// Everything of a run that changes, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Arrays stored whole: weights, moments, generators, physics states.
    pub tensors: BTreeMap<String, Tensor>,
    /// Tables that only ever grow, such as the replay buffer. The first size is the number of rows; stored as segments
    /// to which each checkpoint adds what is new.
    pub rows: BTreeMap<String, Tensor>,
    /// Counters, flags and names. Floats belong into `tensors`: JSON has no NaN.
    pub values: Map<String, Value>,
}

fn describe(type_name: &str, shape: &[usize]) -> String {
    format!("{type_name} of shape {shape:?}")
}

impl Snapshot {
    /// An empty state.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an array. A name may be used once.
    ///
    /// # Panics
    /// When the name is taken or `values` do not fill `shape`: mistakes in the program.
    pub fn put<T: Element>(&mut self, key: &str, shape: &[usize], values: Vec<T>) {
        let previous = self.tensors.insert(key.to_owned(), Tensor::new(shape, values));
        assert!(previous.is_none(), "two entries of a saved state are called `{key}`");
    }

    /// Adds a table of `values.len() / width` rows of shape `[width]`.
    ///
    /// # Panics
    /// As [`Snapshot::put`], and when `width` is 0.
    pub fn put_rows<T: Element>(&mut self, key: &str, width: usize, values: Vec<T>) {
        let shape = [values.len() / width, width];
        let previous = self.rows.insert(key.to_owned(), Tensor::new(&shape, values));
        assert!(previous.is_none(), "two tables of a saved state are called `{key}`");
    }

    /// Adds a counter, flag or name.
    pub fn put_value(&mut self, key: &str, value: impl Into<Value>) {
        let previous = self.values.insert(key.to_owned(), value.into());
        assert!(previous.is_none(), "two values of a saved state are called `{key}`");
    }

    /// Adds any serialisable structure.
    pub fn put_structure<T: Serialize>(&mut self, key: &str, value: &T) {
        self.put_value(
            key,
            serde_json::to_value(value).expect("plain structures with string keys serialise"),
        );
    }

    /// Takes an array of exactly this shape.
    pub fn take<T: Element>(
        &mut self,
        key: &str,
        shape: &[usize],
    ) -> Result<Vec<T>, SnapshotError> {
        take_from(&mut self.tensors, key, shape, false)
    }

    /// Takes `[N]` numbers, N known to the compiler: a generator's four words, one counter.
    pub fn take_array<T: Element, const N: usize>(
        &mut self,
        key: &str,
    ) -> Result<[T; N], SnapshotError> {
        let values = self.take(key, &[N])?;
        Ok(values.try_into().unwrap_or_else(|_| unreachable!("`take` checked the length")))
    }

    /// Takes an array whose first size is free and whose others are `row_shape`.
    pub fn take_any<T: Element>(
        &mut self,
        key: &str,
        row_shape: &[usize],
    ) -> Result<Vec<T>, SnapshotError> {
        take_from(&mut self.tensors, key, row_shape, true)
    }

    /// Takes a table with rows of shape `[width]`.
    pub fn take_rows<T: Element>(
        &mut self,
        key: &str,
        width: usize,
    ) -> Result<Vec<T>, SnapshotError> {
        take_from(&mut self.rows, key, &[width], true)
    }

    /// Takes a [`f32`] array.
    pub fn take_f32(&mut self, key: &str, shape: &[usize]) -> Result<Vec<f32>, SnapshotError> {
        self.take(key, shape)
    }

    /// Takes a counter, flag, name or structure.
    pub fn take_value<T: DeserializeOwned>(&mut self, key: &str) -> Result<T, SnapshotError> {
        let expected = || format!("a value of type {}", std::any::type_name::<T>());
        let value = self
            .values
            .shift_remove(key)
            .ok_or_else(|| SnapshotError::Missing { key: key.to_owned(), expected: expected() })?;
        T::deserialize(&value).map_err(|error| SnapshotError::Mismatch {
            key: key.to_owned(),
            expected: expected(),
            found: format!("`{value}` ({error})"),
        })
    }

    /// Ends a restoration: every entry must have been taken.
    pub fn finish(self) -> Result<(), SnapshotError> {
        let Self { tensors, rows, values } = self;
        let left: Vec<&str> =
            tensors.keys().chain(rows.keys()).chain(values.keys()).map(String::as_str).collect();
        if left.is_empty() { Ok(()) } else { Err(SnapshotError::Unknown { keys: left.join(", ") }) }
    }
}

fn take_from<T: Element>(
    map: &mut BTreeMap<String, Tensor>,
    key: &str,
    shape: &[usize],
    any_rows: bool,
) -> Result<Vec<T>, SnapshotError> {
    let expected = || {
        let name = describe(T::NAME, shape);
        if any_rows { format!("rows, each {name}") } else { name }
    };
    let Some(tensor) = map.remove(key) else {
        return Err(SnapshotError::Missing { key: key.to_owned(), expected: expected() });
    };
    let mismatch = |type_name: &str| SnapshotError::Mismatch {
        key: key.to_owned(),
        expected: expected(),
        found: describe(type_name, &tensor.shape),
    };
    let fits = if any_rows { tensor.shape.get(1..) == Some(shape) } else { tensor.shape == shape };
    if !fits {
        return Err(mismatch(tensor.data.type_name()));
    }
    T::unwrap(tensor.data).map_err(|data| mismatch(data.type_name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Snapshot {
        let mut snapshot = Snapshot::new();
        snapshot.put("weights", &[2, 3], vec![0.5_f32; 6]);
        snapshot.put("words", &[4], vec![1_u64, 2, 3, 4]);
        snapshot.put_rows("replay", 2, vec![1.0_f32, 2.0, 3.0, 4.0]);
        snapshot.put_value("step", 7_u64);
        snapshot
    }

    #[test]
    fn what_is_put_in_comes_out() {
        let mut snapshot = sample();
        assert_eq!(snapshot.take_f32("weights", &[2, 3]), Ok(vec![0.5; 6]));
        assert_eq!(snapshot.take_array("words"), Ok([1_u64, 2, 3, 4]));
        assert_eq!(snapshot.take_rows("replay", 2), Ok(vec![1.0_f32, 2.0, 3.0, 4.0]));
        assert_eq!(snapshot.take_value("step"), Ok(7_u64));
        assert_eq!(snapshot.finish(), Ok(()));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let message = |result: Result<Vec<f32>, SnapshotError>| result.unwrap_err().to_string();
        assert_eq!(
            message(sample().take("bias", &[3])),
            "the saved state has no entry `bias`, which should be F32 of shape [3]"
        );
        assert_eq!(
            message(sample().take("weights", &[3, 2])),
            "entry `weights` of the saved state is F32 of shape [2, 3] where F32 of shape [3, 2] is needed"
        );
        assert_eq!(
            message(sample().take("words", &[4])),
            "entry `words` of the saved state is U64 of shape [4] where F32 of shape [4] is needed"
        );
        assert_eq!(
            message(sample().take_rows("replay", 3)),
            "entry `replay` of the saved state is F32 of shape [2, 2] where rows, each F32 of shape [3] is needed"
        );
        let flag = sample().take_value::<bool>("step").unwrap_err().to_string();
        assert!(flag.contains("`step`") && flag.contains('7') && flag.contains("bool"), "{flag}");
    }

    #[test]
    fn what_nobody_takes_is_an_error() {
        let error = sample().finish().unwrap_err();
        assert_eq!(
            error,
            SnapshotError::Unknown { keys: "weights, words, replay, step".to_owned() }
        );
    }
}
