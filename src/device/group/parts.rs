//! What a device learns in place of a method: the method's parts.

use crate::critic::{Critic, TargetRule};
use crate::data::Replay;
use crate::env::Task;
use crate::methods::Method;
use crate::methods::ddppo::Ddppo;
use crate::methods::maac::Maac;
use crate::methods::mbpo::Mbpo;
use crate::methods::sac::Sac;
use crate::model::{GradientData, Imagined, LearnedModel};
use crate::policy::{Exploration, Head, Policy, Temperature};
use crate::rng::Rng;

/// The parts of a method that the programs know.
pub(super) struct LearnedParts<'m> {
    pub policy: &'m mut Policy<f32>,
    pub critic: &'m mut Critic<f32>,
    pub temperature: &'m mut Temperature,
    /// Real transitions.
    pub real: &'m Replay,
    /// Draws of the policy's updates.
    pub policy_stream: &'m mut Rng,
    /// Draws of the critic's updates.
    pub critic_stream: &'m mut Rng,
    /// Of a method that has models.
    pub models: Option<ModelParts<'m>>,
}

/// The models of a method.
pub(super) struct ModelParts<'m> {
    /// M^p.
    pub prediction: &'m mut LearnedModel,
    /// M^g; `None` where M^p plays its role.
    pub gradient: Option<&'m mut LearnedModel>,
    /// For R, where it is part of a loss.
    pub data: Option<&'m mut GradientData>,
    pub imagined: &'m mut Imagined,
    pub task: &'m dyn Task,
}

macro_rules! parts {
    ($method:ident, $models:expr) => {
        LearnedParts {
            policy: &mut $method.policy,
            critic: &mut $method.critic,
            temperature: &mut $method.temperature,
            real: &$method.real,
            policy_stream: $method.policy_update.stream_mut(),
            critic_stream: $method.critic_update.stream_mut(),
            models: $models,
        }
    };
}

macro_rules! one_model {
    ($method:ident) => {
        Some(ModelParts {
            prediction: &mut $method.model,
            gradient: None,
            data: None,
            imagined: &mut $method.imagined,
            task: &*$method.task,
        })
    };
}

impl<'m> LearnedParts<'m> {
    /// Those of a method; `None` where no program is for it.
    pub fn of(method: &'m mut dyn Method) -> Option<Self> {
        // Each kind is asked for before it is taken, so that the method is lent once.
        let kind = &*method;
        if kind.downcast::<Sac>().is_some() {
            return method.downcast_mut::<Sac>().map(|sac| parts!(sac, None));
        }
        if kind.downcast::<Maac>().is_some() {
            return method.downcast_mut::<Maac>().map(|maac| parts!(maac, one_model!(maac)));
        }
        if kind.downcast::<Mbpo>().is_some() {
            return method.downcast_mut::<Mbpo>().map(|mbpo| parts!(mbpo, one_model!(mbpo)));
        }
        method.downcast_mut::<Ddppo>().map(|ddppo| {
            let models = ModelParts {
                prediction: &mut ddppo.prediction_model,
                gradient: ddppo.gradient_model.as_mut(),
                data: ddppo.gradient_data.as_mut(),
                imagined: &mut ddppo.imagined,
                task: &*ddppo.task,
            };
            parts!(ddppo, Some(models))
        })
    }

    /// Whether the programs compute what these parts do.
    pub fn fits(&self) -> bool {
        let Policy { head, exploration, input, adam, .. } = &*self.policy;
        *head == Head::Gaussian
            && *exploration == Exploration::Sampled
            && input.is_none()
            && !adam.is_rectified()
            && matches!(self.critic.target_rule(), TargetRule::Polyak(_))
    }

    /// Whether there is a model that has been trained.
    pub fn has_model(&self) -> bool {
        self.models.as_ref().is_some_and(|models| models.prediction.is_trained())
    }
}
