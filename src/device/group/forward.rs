//! Many rows through one member of each run's model, to be timed.

use crate::device::graph::{Graph, Number, ProductPrecision, Value};
use crate::device::pjrt::{Buffer, Device, DeviceError, Executable};
use crate::device::programs::{DrawnMembers, ElitesShape};
use crate::rng::Rng;

/// Rows of a run.
const FORWARD_ROWS: usize = 10_000;

/// A member of each run on rows of random numbers.
pub(super) struct ForwardProgram {
    program: Executable,
    arguments: Vec<Buffer>,
    slots: usize,
}

impl ForwardProgram {
    /// Arguments: those of a model with one elite, rows `[slots, 1, FORWARD_ROWS, …]` of (s, a), and noise of (r, Δs). It returns (r, s')
    /// and Σ r, `[slots, 1, 1, 1]`, which is what is fetched.
    pub fn compile(
        device: &Device,
        shape: &ElitesShape,
        precision: ProductPrecision,
    ) -> Result<Self, DeviceError> {
        let mut shape = shape.clone();
        shape.stack.networks = 1;
        let (slots, inputs, s) = (shape.stack.runs, shape.stack.sizes[0], shape.observation_dim());
        let graph = Graph::new();
        let model = shape.arguments(&graph);
        let sizes = [[slots, 1, FORWARD_ROWS, inputs], [slots, 1, FORWARD_ROWS, 1 + s]];
        let [rows, noise] = sizes.map(|sizes| graph.argument(&sizes, Number::Single));
        let (states, actions) = (rows.slice(3, 0, s), rows.slice(3, s, inputs));
        let output =
            shape.forward(&model, states, actions, DrawnMembers::Numbers(rows.slice(3, 0, 1)));
        let step = shape.sampled_step(&model, output, states, noise);
        let result = Value::concatenate(&[step.rewards, step.states], 3);
        let program = graph.program(&[result, step.rewards.sum_from(1)], &[], precision);
        let program = device.compile(&program.text, program.outputs)?;
        let mut rng = Rng::new(0, "bench forward");
        let row = |size: usize| [slots, 1, 1, size];
        let of_model =
            shape.stack.arrays().into_iter().chain([inputs, inputs, 1 + s, 1 + s].map(row));
        let arguments = of_model.chain(sizes).map(|sizes| {
            let mut numbers = vec![0.0_f32; sizes.iter().product()];
            rng.fill_normal(&mut numbers);
            // Deviations and the like are to be well away from 0.
            numbers.iter_mut().for_each(|x| *x = 0.1 * *x + 0.05 * x.signum());
            device.upload(&numbers, &sizes)
        });
        let arguments = arguments.collect::<Result<_, _>>()?;
        Ok(Self { program, arguments, slots })
    }

    /// Runs it so often, and waits.
    pub fn run(&self, times: usize) -> Result<(), DeviceError> {
        let arguments: Vec<&Buffer> = self.arguments.iter().collect();
        let mut last = None;
        for _ in 0..times {
            last = self.program.run(&arguments)?.pop();
        }
        let mut sums = vec![0.0_f32; self.slots];
        last.map_or(Ok(()), |last| last.download(&mut sums))
    }
}
