//! Every operation's derivative, in both modes, against central differences in double precision.

use ddppo::device::graph::{Graph, Number, ProductPrecision, Value};
use ddppo::device::pjrt::{Buffer, Executable};
use ddppo::rng::Rng;

use crate::plugin::device;

const RUNS: usize = 2;
/// Of a.
const A: [usize; 4] = [RUNS, 1, 3, 4];
/// Of b.
const B: [usize; 4] = [RUNS, 1, 4, 3];

type Case = (&'static str, for<'g> fn(Value<'g>, Value<'g>) -> Value<'g>);

/// An operation each, of a and b of different shapes and with numbers between 0.1 and 1.9.
const CASES: [Case; 31] = [
    ("add", |a, b| a + b.reshape(&A)),
    ("subtract", |a, b| a - b.reshape(&A)),
    ("multiply", |a, b| a * b.reshape(&A)),
    ("divide", |a, b| a / b.reshape(&A)),
    ("max", |a, b| a.max(b.reshape(&A))),
    ("min", |a, b| a.min(b.reshape(&A))),
    ("clamp", |a, _| a.clamp(0.5, 1.2)),
    ("relu", |a, _| (a - 1.0).relu()),
    ("exp", |a, _| a.exp()),
    ("ln", |a, _| a.ln()),
    ("ln_1p", |a, _| a.ln_1p()),
    ("tanh", |a, _| a.tanh()),
    ("logistic", |a, _| a.logistic()),
    ("sqrt", |a, _| a.sqrt()),
    ("abs", |a, _| (a - 1.0).abs()),
    ("negate", |a, _| -a),
    ("silu", |a, _| a.silu()),
    ("softplus", |a, _| (a - 1.0).softplus()),
    ("dot", |a, b| a.dot(b)),
    ("dot, left transposed", |a, b| a.dot_over(b.reshape(&[RUNS, 1, 3, 4]), (0, 0))),
    ("dot, right transposed", |a, b| a.dot_over(b.reshape(&[RUNS, 1, 3, 4]), (1, 1))),
    ("dot, both transposed", |a, b| a.dot_over(b, (0, 1))),
    ("expand", |a, b| a.expand(&[RUNS, 5, 3, 4]) * b.reshape(&A).slice(3, 1, 2)),
    ("slice", |a, _| a.slice(3, 1, 3)),
    ("pad", |a, _| a.pad(3, 2, 7)),
    ("concatenate", |a, b| Value::concatenate(&[a, b.reshape(&A)], 2)),
    ("sum", |a, b| a.sum(3) * b.reshape(&A).sum(2)),
    ("select", |a, b| a.less(b.reshape(&A)).select(a * a, b.reshape(&A))),
    ("with_derivative_of", |a, b| (a * b.reshape(&A)).held().with_derivative_of(a * b.reshape(&A))),
    ("sum_from", |a, b| a.sum_from(1) * b.sum_from(2)),
    ("rearranged", |a, b| {
        // Rows 2 and 0 of a, each between rows of zeros; row 1 comes nowhere.
        let padded = (a * a).reshape(&[RUNS, 3, 4]).pad(1, 0, 4);
        let moved = padded.rearranged(indices(a, &[2, 3, 0, 3]), indices(a, &[2, 4, 0, 4]));
        moved.slice(1, 0, 3).reshape(&A) * b.reshape(&A)
    }),
];

/// The same indices for each run of an array.
fn indices<'g>(of: Value<'g>, list: &[usize]) -> Value<'g> {
    let one = of.slice(2, 0, 1).slice(3, 0, 1).reshape(&[RUNS, 1]).convert(Number::Index);
    Value::concatenate(&list.iter().map(|&i| one.filled(i as f64)).collect::<Vec<_>>(), 1)
}

/// Arguments of a case: a, b, and a direction for each.
type Arguments = [(Vec<f64>, [usize; 4]); 4];

/// An operation in a program of its own: of Σ (½·op² + op) its value, its change along the directions by either mode, and the derivatives
/// of the second of these.
struct Compiled {
    executable: Executable,
    sizes: Vec<usize>,
}

impl Compiled {
    fn new(case: for<'g> fn(Value<'g>, Value<'g>) -> Value<'g>) -> Self {
        let graph = Graph::new();
        let [a, b, va, vb] = [A, B, A, B].map(|shape| graph.argument(&shape, Number::Double));
        let y = case(a, b);
        let loss = (y * y * 0.5 + y).sum_from(1);
        let gradient = graph.gradient(loss, &[a, b]);
        let change = graph.tangents(&[loss], &[(a, va), (b, vb)])[0];
        let along = (gradient[0] * va).sum_from(1) + (gradient[1] * vb).sum_from(1);
        let second = graph.gradient(along, &[a, b]);
        let outputs = [loss, change, along, second[0], second[1]];
        let program = graph.program(&outputs, &[], ProductPrecision::Single);
        let sizes = outputs.iter().map(|t| t.shape().iter().product()).collect();
        let executable = device().compile(&program.text, program.outputs).unwrap();
        Self { executable, sizes }
    }

    fn at(&self, arguments: &Arguments) -> Vec<Vec<f64>> {
        let buffers: Vec<Buffer> =
            arguments.iter().map(|(data, shape)| device().upload(data, shape).unwrap()).collect();
        let outputs = self.executable.run(&buffers.iter().collect::<Vec<_>>()).unwrap();
        let fetched = outputs.iter().zip(&self.sizes).map(|(output, &size)| {
            let mut data = vec![0.0; size];
            output.download(&mut data).unwrap();
            data
        });
        fetched.collect()
    }
}

#[test]
fn derivatives_of_both_modes_equal_central_differences_and_a_second_derivative_theirs() {
    let mut rng = Rng::new(0, "graph");
    let mut draw = |shape: [usize; 4], low: f64, high: f64| {
        let n = shape.iter().product::<usize>();
        ((0..n).map(|_| rng.uniform_in(low, high)).collect::<Vec<f64>>(), shape)
    };
    let arguments: Arguments =
        [draw(A, 0.1, 1.9), draw(B, 0.1, 1.9), draw(A, -1.0, 1.0), draw(B, -1.0, 1.0)];
    let moved = |h: f64| {
        let mut moved = arguments.clone();
        for of in 0..2 {
            let direction = moved[of + 2].0.clone();
            moved[of].0.iter_mut().zip(direction).for_each(|(x, v)| *x += h * v);
        }
        moved
    };
    for (name, case) in CASES {
        let compiled = Compiled::new(case);
        let base = compiled.at(&arguments);
        let (ahead, behind) = (compiled.at(&moved(1e-6)), compiled.at(&moved(-1e-6)));
        let [loss, change, along, second_a, second_b] = [0, 1, 2, 3, 4];
        for run in 0..RUNS {
            let difference = |of: usize| (ahead[of][run] - behind[of][run]) / 2e-6;
            let size = base[loss][run].abs() + base[change][run].abs();
            let expected = difference(loss);
            for (mode, found) in [("forward", change), ("reverse", along)] {
                let found = base[found][run];
                let close = (found - expected).abs() < 1e-8 * size;
                assert!(close, "{name}, {mode}: {found}, {expected}");
            }
            // d/dh of g(x + h·v)·v is v·H·v.
            let product = |of: usize, v: usize| -> f64 {
                let n = arguments[v].0.len() / RUNS;
                let own = run * n..(run + 1) * n;
                base[of][own.clone()].iter().zip(&arguments[v].0[own]).map(|(x, y)| x * y).sum()
            };
            let found = product(second_a, 2) + product(second_b, 3);
            let expected = difference(along);
            let close = (found - expected).abs() < 1e-7 * (size + found.abs());
            assert!(close, "{name}, twice: {found}, {expected}");
        }
    }
}

#[test]
fn rows_are_gathered_and_arguments_overwritten() {
    let graph = Graph::new();
    let table = graph.argument(&[2, 3, 2], Number::Double);
    let rows = graph.argument(&[2, 2], Number::Index);
    let one = table.gather(rows);
    let program = graph.program(&[one, table + 1.0], &[(table, 1)], ProductPrecision::Single);
    let executable = device().compile(&program.text, 2).unwrap();
    let table = device().upload(&(0..12).map(f64::from).collect::<Vec<_>>(), &[2, 3, 2]).unwrap();
    let rows = device().upload(&[2_i32, 0, 1, 1], &[2, 2]).unwrap();
    let outputs = executable.run(&[&table, &rows]).unwrap();
    let mut found = [0.0; 8];
    outputs[0].download(&mut found).unwrap();
    assert_eq!(found, [4.0, 5.0, 0.0, 1.0, 8.0, 9.0, 8.0, 9.0]);
    let again = executable.run(&[&table, &rows]);
    let message = again.unwrap_err().to_string();
    assert!(message.contains("could not run a program"), "{message}");
}

#[test]
fn rows_of_tables_are_replaced_from_each_runs_start_on() {
    let graph = Graph::new();
    let table = graph.argument(&[2, 4, 1], Number::Single);
    let rows = graph.argument(&[2, 2, 1], Number::Single);
    let starts = graph.argument(&[2, 1], Number::Index);
    let replaced = table.replace_rows(rows, starts);
    let program = graph.program(&[replaced], &[(table, 0)], ProductPrecision::Single);
    let executable = device().compile(&program.text, 1).unwrap();
    let put = |numbers: &[f32], sizes: &[usize]| device().upload(numbers, sizes).unwrap();
    let table = put(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], &[2, 4, 1]);
    let rows = put(&[-1.0, -2.0, -3.0, -4.0], &[2, 2, 1]);
    let starts = device().upload(&[2_i32, 1], &[2, 1]).unwrap();
    let mut found = [0.0_f32; 8];
    executable.run(&[&table, &rows, &starts]).unwrap()[0].download(&mut found).unwrap();
    assert_eq!(found, [0.0, 1.0, -1.0, -2.0, 4.0, -3.0, -4.0, 7.0]);
}
