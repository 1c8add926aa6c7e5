//! How networks and their moments are saved: layer by layer, row-major `[inputs, outputs]`, whatever the layout in memory.

use super::adam::Adam;
use super::mlp::Mlp;
use super::shape::Shape;
use crate::run::{Entries, SnapshotError};

/// Visits a vector laid out like the parameters of `shape`.
fn visit_vector(
    entries: &mut Entries<'_>,
    (name, suffix): (&str, &str),
    shape: &Shape,
    vector: &mut [f32],
) -> Result<(), SnapshotError> {
    for (l, layer) in shape.layers.iter().enumerate() {
        let (mut weight, mut bias) = shape.export(l, vector);
        let sizes = [layer.inputs, layer.outputs];
        entries.array(&format!("{name}/{l}/weight{suffix}"), &sizes, &mut weight)?;
        entries.array(&format!("{name}/{l}/bias{suffix}"), &sizes[1..], &mut bias)?;
        if entries.restores() {
            shape.import(l, &weight, &bias, vector);
        }
    }
    Ok(())
}

impl Mlp<f32> {
    /// Saves or restores the parameters under `name`.
    ///
    /// # Errors
    /// When an entry is missing or of another size.
    pub fn visit(&mut self, name: &str, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        if let Entries::Save(_) = entries {
            let mut parameters = self.parameters().to_vec();
            return visit_vector(entries, (name, ""), self.shape(), &mut parameters);
        }
        let mut result = Ok(());
        self.update(|parameters, shape| {
            result = visit_vector(entries, (name, ""), shape, parameters);
        });
        result
    }
}

impl Adam<f32> {
    /// Saves or restores the moments of a network of this shape under the network's name.
    ///
    /// # Errors
    /// When an entry is missing or of another size.
    pub fn visit(
        &mut self,
        name: &str,
        shape: &Shape,
        entries: &mut Entries<'_>,
    ) -> Result<(), SnapshotError> {
        let Self { first, second, updates, learning_rate: _, rectified: _ } = self;
        visit_vector(entries, (name, ".first_moment"), shape, first)?;
        visit_vector(entries, (name, ".second_moment"), shape, second)?;
        entries.value(&format!("{name}/updates"), updates)
    }
}
