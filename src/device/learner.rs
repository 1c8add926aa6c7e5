//! Who learns for runs in lockstep: a group that learns step by step, or one that learns in blocks.

use super::graph::ProductPrecision;
use super::group::blocks::BlockGroup;
use super::group::{DeviceGroup, GroupRun};
use super::pjrt::{Device, DeviceError};
use crate::config::Config;
use crate::methods::Method;
use crate::methods::ddppo_plus::DdppoPlus;
use crate::nn::LearnError;

/// The method that learns in blocks.
const IN_BLOCKS: &str = "ddppo-plus";

/// Runs that learn together on a device.
pub enum DeviceLearner {
    /// After each environment step.
    Steps(Box<DeviceGroup>),
    /// In blocks.
    Blocks(Box<BlockGroup>),
}

/// As the method that learns in blocks.
fn in_blocks(method: &mut dyn Method) -> Result<&mut DdppoPlus, DeviceError> {
    let unknown = || DeviceError::Unsupported("these runs have no device programs".to_owned());
    method.downcast_mut::<DdppoPlus>().ok_or_else(unknown)
}

impl DeviceLearner {
    /// Whether a configuration's method has device programs.
    ///
    /// # Errors
    /// When it has none, in one sentence.
    pub fn check(config: &Config) -> Result<(), DeviceError> {
        if Self::is_in_blocks(config) { Ok(()) } else { DeviceGroup::check(config) }
    }

    /// Whether a configuration's runs learn in blocks.
    pub fn is_in_blocks(config: &Config) -> bool {
        config.algorithm() == IN_BLOCKS
    }

    /// Bytes that a group of `runs` runs like this one takes of its device at most, about, when each has so many transitions.
    ///
    /// # Errors
    /// When no program is for such runs.
    pub fn memory(
        config: &Config,
        method: &mut dyn Method,
        runs: usize,
        transitions: usize,
    ) -> Result<u64, DeviceError> {
        if Self::is_in_blocks(config) {
            let method = in_blocks(method)?;
            let memory = BlockGroup::memory(&config.view(), method, runs, transitions)?;
            return Ok(memory.most());
        }
        DeviceGroup::memory(config, method, runs, transitions).map(|memory| memory.most())
    }

    /// Brings runs to a device, whose configurations may differ in the seed and, where models are trained step by step, in R.
    ///
    /// # Errors
    /// When no program is for such runs, or the device fails.
    pub fn new(
        device: Device,
        config: &Config,
        methods: &mut [&mut dyn Method],
        precision: ProductPrecision,
    ) -> Result<Self, DeviceError> {
        if !Self::is_in_blocks(config) {
            let group = DeviceGroup::new(device, config, methods, precision)?;
            return Ok(Self::Steps(Box::new(group)));
        }
        let runs = methods.iter_mut().map(|method| in_blocks(&mut **method));
        let mut runs = runs.collect::<Result<Vec<_>, _>>()?;
        let group = BlockGroup::new(device, config.view(), &mut runs, precision)?;
        Ok(Self::Blocks(Box::new(group)))
    }

    /// All learning after step number `step` of every run; whether each that is there learned. A run that failed must not be in later steps.
    ///
    /// # Errors
    /// When the device fails, and with it all runs.
    pub fn learn(
        &mut self,
        step: u64,
        runs: &mut [GroupRun<'_>],
    ) -> Result<Vec<Result<(), LearnError>>, DeviceError> {
        let group = match self {
            Self::Steps(group) => return group.learn(step, runs),
            Self::Blocks(group) => group,
        };
        let mut own = Vec::new();
        for run in runs {
            own.push(match run {
                Some((method, tally)) => Some((in_blocks(&mut **method)?, &mut **tally)),
                None => None,
            });
        }
        group.learn(step, &mut own)
    }

    /// Brings everything that is learned back into the methods, as a checkpoint or an analysis needs it.
    ///
    /// # Errors
    /// When the device fails.
    pub fn fetch(&mut self, runs: &mut [Option<&mut dyn Method>]) -> Result<(), DeviceError> {
        match self {
            Self::Steps(group) => group.fetch(runs),
            // It is there since the end of the last block.
            Self::Blocks(_) => Ok(()),
        }
    }
}
