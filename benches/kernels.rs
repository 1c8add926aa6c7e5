//! The passes of one network at the shapes of a training, one thread: `cargo bench --bench kernels`. Counted are the
//! multiply-adds that the mathematics needs, so that a rate (items a second, times two) can be held against the peak that
//! `ddppo bench` measures.

use ddppo::nn::{Activation, Keep, Mlp, Shape, Tangent, Tape};
use ddppo::rng::Rng;
use divan::Bencher;
use divan::counter::ItemsCount;

/// The program's, since where memory begins shows (docs/kernels.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// HalfCheetah: 17 numbers of state and 6 of action.
const CRITIC: &[usize] = &[23, 256, 256, 1];
const MODEL: &[usize] = &[23, 200, 200, 200, 200, 36];
/// Outputs of a model's mean head.
const MEANS: usize = 18;
/// A piece of a minibatch, and an elite's part of it.
const ROWS: [usize; 2] = [128, 26];

fn main() {
    divan::main();
}

/// A network, a tape whose rows are filled, and the multiply-adds of one pass.
fn problem(sizes: &[usize], rows: usize, keep: Keep) -> (Mlp<f32>, Tape<f32>, usize) {
    let activation = if sizes == MODEL { Activation::Silu } else { Activation::Relu };
    let shape = Shape::new(sizes, activation);
    let mut rng = Rng::new(0, "bench");
    let network = Mlp::xavier(shape.clone(), &mut rng);
    let mut tape = Tape::new(&shape, rows, keep);
    for i in 0..rows {
        rng.fill_normal(tape.input.row_mut(i));
        if keep > Keep::Nothing {
            rng.fill_normal(tape.output_adjoint.row_mut(i));
        }
    }
    let products = sizes.windows(2).map(|pair| pair[0] * pair[1]).sum::<usize>();
    (network, tape, rows * products)
}

#[divan::bench(args = ROWS, consts = [true, false])]
fn forward<const IS_CRITIC: bool>(bencher: Bencher, rows: usize) {
    let sizes = if IS_CRITIC { CRITIC } else { MODEL };
    let (network, mut tape, products) = problem(sizes, rows, Keep::Nothing);
    bencher.counter(ItemsCount::new(products)).bench_local(|| network.forward(&mut tape, 0..rows));
}

/// A product of 256³ behind a ReLU that leaves this share of its numbers, in hundredths, with a first layer of 8 inputs and a last one of
/// 1 output. Counted is the whole product of 256³: up to two thirds, or three quarters with AVX-512, the zeros are left out.
#[divan::bench(args = [25, 37, 50, 60, 75, 100])]
fn behind_a_relu(bencher: Bencher, share: u32) {
    const ROWS: usize = 256;
    let (mut network, mut tape, _) = problem(&[8, 256, 256, 1], ROWS, Keep::Nothing);
    // Quantiles of the normal distribution, times the deviation of what the first map gives without its bias.
    let quantile = match share {
        25 => -0.674,
        37 => -0.332,
        50 => 0.0,
        60 => 0.253,
        75 => 0.674,
        _ => 10.0,
    };
    let bias = (8.0_f32 * 2.0 / 264.0).sqrt() * quantile;
    network.update(|parameters, shape| parameters[shape.layers[0].bias.clone()].fill(bias));
    bencher
        .counter(ItemsCount::new(256_usize.pow(3)))
        .bench_local(|| network.forward(&mut tape, 0..ROWS));
}

#[divan::bench(args = ROWS, consts = [true, false])]
fn backward_to_input<const IS_CRITIC: bool>(bencher: Bencher, rows: usize) {
    let sizes = if IS_CRITIC { CRITIC } else { MODEL };
    let (network, mut tape, products) = problem(sizes, rows, Keep::Slopes);
    network.forward(&mut tape, 0..rows);
    bencher
        .counter(ItemsCount::new(products))
        .bench_local(|| network.backward(&mut tape, 0..rows, None, true));
}

#[divan::bench(args = ROWS, consts = [true, false])]
fn backward_to_parameters<const IS_CRITIC: bool>(bencher: Bencher, rows: usize) {
    let sizes = if IS_CRITIC { CRITIC } else { MODEL };
    let (network, mut tape, products) = problem(sizes, rows, Keep::Values);
    let mut gradient = vec![0.0; network.parameters().len()];
    network.forward(&mut tape, 0..rows);
    // The first layer has no way further back.
    let back = products - rows * sizes[0] * sizes[1];
    bencher
        .counter(ItemsCount::new(products + back))
        .bench_local(|| network.backward(&mut tape, 0..rows, Some(&mut gradient), false));
}

/// The gradient loss on 25 rows with 5 directions each, or 64 with 2: tangents and their way back.
#[divan::bench(args = [(25, 5), (64, 2)])]
fn gradient_loss(bencher: Bencher, (rows, directions): (usize, usize)) {
    let (network, mut tape, products) = problem(MODEL, rows, Keep::Curves);
    let mut tangent = Tangent::new(network.shape(), MEANS, rows, directions);
    let mut rng = Rng::new(1, "bench");
    for t in 0..rows * directions {
        rng.fill_normal(tangent.input.row_mut(t));
        rng.fill_normal(tangent.output_adjoint.row_mut(t));
    }
    let mut gradient = vec![0.0; network.parameters().len()];
    // Forward; then values and tangents each three times: forward, to inputs, to parameters.
    bencher.counter(ItemsCount::new(products * (3 + 3 * directions))).bench_local(|| {
        network.forward(&mut tape, 0..rows);
        network.tangent(&tape, &mut tangent, 0..rows);
        network.tangent_backward(&mut tape, &mut tangent, 0..rows, Some(&mut gradient), false);
    });
}

/// A model of DDPPO+ on HalfCheetah, with and without layer normalisation: there, and back to the input.
#[divan::bench(args = ROWS, consts = [true, false])]
fn normalised<const NORMED: bool>(bencher: Bencher, rows: usize) {
    let sizes = [23, 256, 256, 256, 18];
    let shape = Shape::new(&sizes, Activation::Silu);
    let shape = if NORMED { shape.with_layer_norm(|_| 0.1) } else { shape };
    let mut rng = Rng::new(0, "bench");
    let network = Mlp::<f32>::xavier(shape.clone(), &mut rng);
    let mut tape = Tape::new(&shape, rows, Keep::Slopes);
    for i in 0..rows {
        rng.fill_normal(tape.input.row_mut(i));
        rng.fill_normal(tape.output_adjoint.row_mut(i));
    }
    let products = sizes.windows(2).map(|pair| pair[0] * pair[1]).sum::<usize>();
    bencher.counter(ItemsCount::new(2 * rows * products)).bench_local(|| {
        network.forward(&mut tape, 0..rows);
        network.backward(&mut tape, 0..rows, None, true);
    });
}
