//! MuJoCo behind a safe face: stepping, and what becomes of its warnings and errors.
//!
//! MuJoCo reports an error by calling a handler that must not return, and by default prints and ends the process. Here the
//! handler unwinds out of MuJoCo to the call that started it, which then returns an error; nothing is printed and no
//! log file is left. While MuJoCo's compiler runs, in a process of its own, `compile.rs` has another handler.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Once};

use mujoco_rs::mujoco_c::{mjData, mjLogMessage, mjModel, mjtState, mjtWarning};
use mujoco_rs::wrappers::{MjData, MjModel};

/// What [`Simulation::state`] holds: everything that MuJoCo's next step depends on, warm start included.
const STATE: u32 = mjtState::mjSTATE_INTEGRATION as u32;

/// `mjtLogLevel` of an error; lower levels are warnings and information.
const LOG_ERROR: i32 = 3;

/// Receives a message; must not return from an error.
pub(super) type LogHandler = unsafe extern "C-unwind" fn(*const mjLogMessage);

// mujoco-rs declares these `extern "C"`, through which nothing may unwind.
unsafe extern "C-unwind" {
    fn mju_setLogHandler(handler: Option<LogHandler>) -> Option<LogHandler>;
    fn mj_makeData(model: *const mjModel) -> *mut mjData;
    fn mj_deleteData(data: *mut mjData);
    fn mj_step(model: *const mjModel, data: *mut mjData);
    fn mj_forward(model: *const mjModel, data: *mut mjData);
    fn mj_ray(
        model: *const mjModel,
        data: *const mjData,
        from: *const [f64; 3],
        direction: *const [f64; 3],
        groups: *const u8,
        with_static: bool,
        excluded_body: c_int,
        geom: *mut c_int,
        normal: *mut [f64; 3],
    ) -> f64;
}

/// The message of an error raised inside MuJoCo, on its way out.
struct Raised(String);

/// Receives every message of MuJoCo outside model compilation (the compiler returns its own as text).
unsafe extern "C-unwind" fn on_message(message: *const mjLogMessage) {
    // SAFETY: MuJoCo passes a message that lives through the call.
    let message = unsafe { &*message };
    if is_error(message) {
        // Unwinding passes MuJoCo's C frames only: they hold no destructors, and x86-64 and aarch64 libraries carry
        // unwind tables. MuJoCo sets no recursion guard for errors, since its handlers are meant to jump away.
        resume_unwind(Box::new(Raised(message.subject().to_owned())));
    }
    // Warnings are counted by MuJoCo in `mjData.warning`, where `Simulation::step` reads them.
}

/// Whether a message is one that its handler must not return from.
pub(super) fn is_error(message: &mjLogMessage) -> bool {
    message.level() as i32 == LOG_ERROR
}

/// Diverts MuJoCo's messages, once a process, before its first use.
pub(super) fn divert_messages() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| set_message_handler(on_message));
}

/// Has this process's messages of MuJoCo received by a function that lives as long as the program.
pub(super) fn set_message_handler(handler: LogHandler) {
    // SAFETY: a function lives as long as the program; it is called with a message that lives through the call.
    unsafe { mju_setLogHandler(Some(handler)) };
}

/// Runs `call`, and returns the text of a MuJoCo error raised in it.
pub(super) fn guarded<R>(call: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| match payload.downcast::<Raised>() {
        Ok(raised) => raised.0,
        Err(other) => resume_unwind(other),
    })
}

/// How a step of the physics ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stability {
    /// The state reached is finite.
    Regular,
    /// Positions, velocities or accelerations became huge or not finite. MuJoCo has put the model back to its initial
    /// state, which says nothing about the step.
    Unstable,
}

impl Stability {
    /// Whether the state reached says something.
    pub fn is_regular(self) -> bool {
        self == Self::Regular
    }
}

/// Where a ray met the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Hit {
    /// The geom met.
    pub geom: usize,
    /// Distance from the origin of the ray, in lengths of its direction.
    pub distance: f64,
    /// Unit normal of the surface there.
    pub normal: [f64; 3],
}

/// One MuJoCo simulation of a shared model.
pub(crate) struct Simulation {
    data: MjData<Arc<MjModel>>,
    /// An error left MuJoCo's working memory undefined: it must be reset before anything else.
    broken: Option<String>,
}

impl Simulation {
    /// Allocates a simulation in the model's initial state.
    pub fn new(model: &Arc<MjModel>) -> Result<Self, String> {
        // `MjData::try_new` could not be unwound through, so an allocation that succeeds here is tried first. An error
        // would otherwise end the process.
        guarded(|| {
            // SAFETY: the model is valid; the data is deleted by the function that belongs to it, once.
            unsafe {
                let trial = mj_makeData(model.ffi());
                if !trial.is_null() {
                    mj_deleteData(trial);
                }
            }
        })?;
        let data = MjData::try_new(Arc::clone(model)).map_err(|error| error.to_string())?;
        Ok(Self { data, broken: None })
    }

    /// The model simulated.
    pub fn model(&self) -> &MjModel {
        self.data.model()
    }

    /// Positions, velocities and everything computed from them by the last step.
    pub fn data(&self) -> &MjData<Arc<MjModel>> {
        &self.data
    }

    /// Puts the model into its initial state, or that of a keyframe, lets `place` change positions and velocities, and
    /// computes what follows from them.
    pub fn reset(
        &mut self,
        keyframe: Option<usize>,
        place: impl FnOnce(&mut MjData<Arc<MjModel>>),
    ) -> Result<(), String> {
        match keyframe {
            Some(keyframe) => {
                self.data.reset_keyframe(keyframe).map_err(|error| error.to_string())?;
            }
            None => self.data.reset(),
        }
        self.broken = None;
        place(&mut self.data);
        self.call(mj_forward)
    }

    /// Applies `control` for `substeps` steps of the model's time step.
    pub fn step(&mut self, control: &[f64], substeps: usize) -> Result<Stability, String> {
        if let Some(reason) = &self.broken {
            return Err(format!("{reason} (the simulation was not reset since)"));
        }
        self.data.ctrl_mut().copy_from_slice(control);
        for warning in self.data.warning_mut() {
            warning.number = 0;
        }
        for _ in 0..substeps {
            self.call(mj_step)?;
        }
        let raised = |kind: mjtWarning| self.data.warning()[kind as usize].number > 0;
        let unstable = raised(mjtWarning::mjWARN_BADQPOS)
            || raised(mjtWarning::mjWARN_BADQVEL)
            || raised(mjtWarning::mjWARN_BADQACC)
            // The last substep's result is checked by MuJoCo only at the start of the next one.
            || !self.data.qpos().iter().chain(self.data.qvel()).all(|x| x.is_finite());
        Ok(if unstable { Stability::Unstable } else { Stability::Regular })
    }

    /// Changes positions and velocities in the middle of an episode and computes the places of bodies and sites from
    /// them; everything else, the warm start of the solver too, stays.
    pub fn place(&mut self, change: impl FnOnce(&mut MjData<Arc<MjModel>>)) {
        change(&mut self.data);
        self.data.kinematics();
    }

    fn call(
        &mut self,
        function: unsafe extern "C-unwind" fn(*const mjModel, *mut mjData),
    ) -> Result<(), String> {
        let model: *const mjModel = self.data.model().ffi();
        // SAFETY: `data` was made for this model, nothing else uses either during the call, and after an error `broken`
        // keeps the data from being used before a reset.
        let result = guarded(|| unsafe { function(model, self.data.ffi_mut()) });
        self.broken = result.as_ref().err().cloned();
        result
    }

    /// The first geom of the `groups` that a ray from a point meets, in the places of the last step or reset. Geoms that
    /// are wholly transparent are not met.
    pub fn cast(&self, groups: &[u8; 6], from: [f64; 3], direction: [f64; 3]) -> Option<Hit> {
        let (mut geom, mut normal) = (-1, [0.0; 3]);
        // SAFETY: model and data belong together and are only read, so that many threads may cast at once; all pointers
        // are to arrays of the sizes declared (MuJoCo has six groups); no body is excluded (-1). The one error that
        // the function raises is for a direction of no length, which is caught like all others.
        let distance = guarded(|| unsafe {
            mj_ray(
                self.model().ffi(),
                self.data.ffi(),
                &from,
                &direction,
                groups.as_ptr(),
                true,
                -1,
                &mut geom,
                &mut normal,
            )
        });
        let distance = distance.ok().filter(|&distance| distance >= 0.0)?;
        Some(Hit { geom: usize::try_from(geom).ok()?, distance, normal })
    }

    /// Length of [`Simulation::state`].
    pub fn state_len(&self) -> usize {
        self.model().state_size(STATE)
    }

    /// Writes the full integration state, `[state_len]`.
    pub fn read_state(&self, state: &mut [f64]) {
        self.data.read_state_into(STATE, state);
    }

    /// Continues from a state, `[state_len]`.
    pub fn set_state(&mut self, state: &[f64]) -> Result<(), String> {
        if self.broken.take().is_some() {
            self.data.reset();
        }
        self.data.set_state(state, STATE).map_err(|error| error.to_string())
    }
}
