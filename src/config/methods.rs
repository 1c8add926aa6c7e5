//! The list of methods: name, what it is, and the settings that its runs do not have.

use serde::{Deserialize, Serialize};

use super::ConfigError;
use super::presets::presets;
use crate::suggest;

/// Makes [`Algorithm`] of one line a method: variant, name (that of its file under `algo/` and of its folder under
/// `presets/`), what it is, and the sections and keys that it has no use for.
macro_rules! methods {
    ($($variant:ident $name:literal, $summary:literal, without [$($unused:literal),*];)*) => {
        /// A method.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum Algorithm {
            $(#[doc = $summary] $variant,)*
        }

        impl Algorithm {
            /// All methods.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The method's name, as in configurations.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it is, in a sentence.
            pub fn summary(self) -> &'static str {
                match self { $(Self::$variant => $summary,)* }
            }

            /// Sections and keys that runs of the method do not have.
            pub fn unused(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$($unused),*],)* }
            }

            /// Task name and text of each preset; that for robots of the user's own comes last.
            pub(super) fn presets(self) -> &'static [(&'static str, &'static str)] {
                match self { $(Self::$variant => presets!($name),)* }
            }
        }
    };
}

methods! {
    Ddppo "ddppo", "Directional-derivative projection policy optimisation, the paper's method.", without [];
    Sac "sac", "Soft actor-critic: no model of the world.", without [
        "analysis", "model", "gradient_loss", "rollout", "policy.horizon", "policy.gradient_source", "training.model_every_steps",
        "training.min_transitions", "training.policy_updates_per_step", "training.real_ratio"
    ];
    Mbpo "mbpo", "Model-based policy optimisation: soft actor-critic on a model's short rollouts.", without [
        "gradient_loss", "model.single_model", "policy.horizon", "policy.gradient_source",
        "training.policy_updates_per_step"
    ];
    Maac "maac", "Model-augmented actor-critic: back-propagation through one model's sampled steps.", without [
        "gradient_loss", "model.single_model"
    ];
}

impl Algorithm {
    /// The method of this name.
    ///
    /// # Errors
    /// When there is none: the message names all.
    pub fn parse(name: &str) -> Result<Self, ConfigError> {
        Self::ALL.iter().copied().find(|method| method.name() == name).ok_or_else(|| {
            let names = || Self::ALL.iter().map(|method| method.name());
            ConfigError::NoMethod {
                name: name.to_owned(),
                hint: suggest::hint(name, names()),
                known: names().collect::<Vec<_>>().join(", "),
            }
        })
    }

    /// Whether runs of the method have this section or key.
    pub fn uses(self, key: &str) -> bool {
        !self.unused().iter().any(|unused| {
            key.strip_prefix(unused).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }
}
