//! The bits of all passes: the same in every instruction set that has a fused multiply-add, and the same as they always were.

use crate::machine::Real;
use crate::machine::isa::{FORCED, Level, has_wide_tiles, level};
use crate::nn::{Activation, Keep, Matrix, Mlp, Shape, Tangent, Tape};
use crate::rng::Rng;

/// Layer sizes: with whole panels and without, with outputs and inputs of one number, and wide enough for zeros to be left out.
const SIZES: [&[usize]; 7] = [
    &[1, 1],
    &[3, 5, 2],
    &[23, 128, 128, 1],
    &[23, 200, 200, 36],
    &[5, 40, 40, 3],
    &[30, 48, 48, 48],
    &[11, 330, 330, 7],
];
/// Heights of one tile and of several, and more rows than an outer product sums at a time.
const ROWS: [usize; 6] = [1, 5, 13, 26, 64, 129];

/// FNV-1a over the bits of all results.
struct Digest(u64);

impl Digest {
    fn add<T: Real>(&mut self, numbers: &[T]) {
        for x in numbers {
            self.0 = (self.0 ^ x.to_f64().to_bits()).wrapping_mul(0x0100_0000_01B3).rotate_left(7);
        }
    }

    fn add_rows<T: Real>(&mut self, matrix: &Matrix<T>) {
        (0..matrix.rows()).for_each(|row| self.add(matrix.row(row)));
    }
}

/// What hidden layers do: a nonlinearity, and whether they are normalised.
type Kind = (Activation, bool);

/// Values, gradients and tangents, there and, but for normalised layers, back, of one network.
fn passes<T: Real>(sizes: &[usize], (activation, normed): Kind, rows: usize, digest: &mut Digest) {
    let mut rng = Rng::new(rows as u64, "bits");
    let shape = Shape::new(sizes, activation);
    let shape = if normed { shape.with_layer_norm(|_| 0.1) } else { shape };
    let mut network = Mlp::<T>::xavier(shape.clone(), &mut rng);
    network.update(|parameters, shape| {
        for l in &shape.layers {
            rng.fill_normal(&mut parameters[l.bias.start..l.bias.start + l.outputs]);
        }
    });
    let mut tape = Tape::new(&shape, rows, Keep::Curves);
    let mut tangent = Tangent::new(&shape, shape.outputs(), rows, 2);
    for i in 0..rows {
        rng.fill_normal(tape.input.row_mut(i));
        rng.fill_normal(tape.output_adjoint.row_mut(i));
    }
    for t in 0..2 * rows {
        rng.fill_normal(tangent.input.row_mut(t));
        rng.fill_normal(tangent.output_adjoint.row_mut(t));
    }
    let mut gradients = [(); 2].map(|()| vec![T::ZERO; shape.parameter_len()]);
    let [gradient, tangent_gradient] = &mut gradients;
    network.forward(&mut tape, 0..rows);
    network.backward(&mut tape, 0..rows, Some(gradient), true);
    digest.add_rows(&tape.output);
    digest.add_rows(&tape.input_adjoint);
    network.tangent(&tape, &mut tangent, 0..rows);
    if !normed {
        network.tangent_backward(&mut tape, &mut tangent, 0..rows, Some(tangent_gradient), true);
    }
    digest.add_rows(&tangent.output);
    digest.add_rows(&tangent.input_adjoint);
    digest.add_rows(&tape.input_adjoint);
    for gradient in &gradients {
        for l in 0..shape.layers.len() {
            let (weight, bias) = shape.export(l, gradient);
            digest.add(&weight);
            digest.add(&bias);
        }
    }
}

/// The digest of all passes of every network, computed with an instruction set.
fn digest<T: Real>(forced: Option<(Level, bool)>, kinds: &[Kind]) -> u64 {
    FORCED.set(forced);
    let mut digest = Digest(0xCBF2_9CE4_8422_2325);
    for sizes in SIZES {
        for (&kind, rows) in kinds.iter().flat_map(|kind| ROWS.map(|rows| (kind, rows))) {
            passes::<T>(sizes, kind, rows, &mut digest);
        }
    }
    FORCED.set(None);
    digest.0
}

const KINDS: [Kind; 3] =
    [(Activation::Relu, false), (Activation::Silu, false), (Activation::Silu, true)];

#[test]
fn bits_are_those_of_every_instruction_set_with_a_fused_multiply_add() {
    let best = (level(), has_wide_tiles());
    let mut others = match best {
        (Level::Avx512, _) => vec![(Level::Avx512, false), (Level::Avx2, false)],
        _ => vec![],
    };
    others.retain(|&other| other != best);
    if others.is_empty() {
        eprintln!("only one instruction set here: nothing to compare");
    }
    let expected = (digest::<f32>(None, &KINDS), digest::<f64>(None, &KINDS));
    for other in others {
        let found = (digest::<f32>(Some(other), &KINDS), digest::<f64>(Some(other), &KINDS));
        assert_eq!(found, expected, "{other:?} against {best:?}");
    }
    // Rounding twice shows: the comparison sees something.
    if best.0 != Level::Baseline && cfg!(target_arch = "x86_64") {
        assert_ne!(digest::<f32>(Some((Level::Baseline, false)), &KINDS), expected.0);
    }
}

/// Of `f32`, whose functions are all our own: no system library's rounding is in it.
#[test]
fn bits_are_what_they_always_were() {
    if level() == Level::Baseline && cfg!(target_arch = "x86_64") {
        eprintln!("no fused multiply-add here: other bits");
        return;
    }
    let found = KINDS.map(|kind| digest::<f32>(None, &[kind]));
    assert_eq!(
        found,
        [0x4B8E_08E5_6C31_AA77, 0xE1A3_708A_C6C3_5DB6, 0x9E94_20F9_7EBE_E9FA],
        "{found:#018X?}"
    );
}
