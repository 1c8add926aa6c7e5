use ddppo::nn::{Activation, Keep, Mlp, Shape, Tape};
use ddppo::rng::Rng;
use std::time::Instant;

fn time(mut f: impl FnMut()) -> f64 {
    for _ in 0..20 {
        f();
    }
    let mut best = Vec::new();
    for _ in 0..15 {
        let t = Instant::now();
        for _ in 0..20 {
            f();
        }
        best.push(t.elapsed().as_secs_f64() / 20.0);
    }
    best.sort_by(f64::total_cmp);
    best[3]
}

fn main() {
    let mut rng = Rng::new(0, "x");
    for (name, sizes, act, rows) in [
        ("critic", &[23usize, 256, 256, 1][..], Activation::Relu, 128),
        ("model", &[23, 200, 200, 200, 200, 36][..], Activation::Silu, 128),
        ("model26", &[23, 200, 200, 200, 200, 36][..], Activation::Silu, 26),
        ("model256", &[23, 200, 200, 200, 200, 36][..], Activation::Silu, 256),
    ] {
        let shape = Shape::new(sizes, act);
        let net: Mlp<f32> = Mlp::xavier(shape.clone(), &mut rng);
        let mut tape = Tape::new(&shape, rows, Keep::Slopes);
        let mut vtape = Tape::new(&shape, rows, Keep::Values);
        for i in 0..rows {
            rng.fill_normal(tape.input.row_mut(i));
            rng.fill_normal(vtape.input.row_mut(i));
            rng.fill_normal(tape.output_adjoint.row_mut(i));
        }
        let macs: f64 = sizes.windows(2).map(|p| (p[0] * p[1] * rows) as f64).sum();
        let mut g = vec![0.0f32; shape.parameter_len()];
        let fv = time(|| net.forward(&mut vtape, 0..rows));
        let f = time(|| net.forward(&mut tape, 0..rows));
        let bi = time(|| net.backward(&mut tape, 0..rows, None, true));
        let bp = time(|| net.backward(&mut tape, 0..rows, Some(&mut g), false));
        let gf = |t: f64, k: f64| 2.0 * macs * k / t / 1e9;
        println!(
            "{name:9} fwd values {:6.1} us {:5.1} GF  fwd slopes {:6.1} us {:5.1}  back inputs {:6.1} {:5.1}  back params {:6.1} {:5.1}",
            fv * 1e6,
            gf(fv, 1.0),
            f * 1e6,
            gf(f, 1.0),
            bi * 1e6,
            gf(bi, 1.0),
            bp * 1e6,
            gf(bp, 2.0)
        );
    }
}
