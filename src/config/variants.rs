//! The paper's variants of DDPPO, compiled in as small overlays that change a few settings of any preset.

use super::suggest;
use super::{Config, ConfigError};

/// Name and overlay of each variant.
const VARIANTS: [(&str, &str); 4] = [
    ("no-gradient-loss", include_str!("../methods/ddppo/variants/no_gradient_loss.toml")),
    ("single-model", include_str!("../methods/ddppo/variants/single_model.toml")),
    ("prediction-gradients", include_str!("../methods/ddppo/variants/prediction_gradients.toml")),
    ("doubled", include_str!("../methods/ddppo/variants/doubled.toml")),
];

/// Names of the variants.
pub fn variants() -> impl Iterator<Item = &'static str> {
    VARIANTS.iter().map(|&(name, _)| name)
}

impl Config {
    /// The configuration with a variant's settings on top.
    ///
    /// # Errors
    /// When there is no such variant: the message names those that there are.
    pub fn with_variant(&self, name: &str) -> Result<Self, ConfigError> {
        let Some((_, overlay)) = VARIANTS.iter().find(|(known, _)| *known == name) else {
            return Err(ConfigError::NoVariant {
                variant: name.to_owned(),
                hint: suggest::hint(name, variants()),
                known: variants().collect::<Vec<_>>().join(", "),
            });
        };
        self.with_overlay(overlay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Algorithm, GradientSource, tasks_with_presets};

    #[test]
    fn each_variant_resolves_to_what_the_paper_describes() {
        for task in tasks_with_presets(Algorithm::Ddppo) {
            let base = Config::preset(Algorithm::Ddppo, task).unwrap();
            let of = |name: &str| base.with_variant(name).unwrap();
            let mut expected = base.clone();
            expected.gradient_loss.weight = 0.0;
            assert_eq!(of("no-gradient-loss"), expected, "two models, without R");
            expected.policy.gradient_source = GradientSource::PredictionModel;
            assert_eq!(of("prediction-gradients"), expected, "one model, without R");
            expected.model.hidden = 285;
            assert_eq!(of("doubled"), expected, "a larger one");
            let mut expected = base.clone();
            expected.model.single_model = true;
            assert_eq!(of("single-model"), expected, "one model, with R");
        }
    }

    #[test]
    fn doubled_has_the_parameters_of_two_models() {
        for task in tasks_with_presets(Algorithm::Ddppo) {
            let base = Config::preset(Algorithm::Ddppo, task).unwrap();
            let world = crate::env::task(task).unwrap();
            let (s, a) = (world.observation_dim(), world.action_dim());
            let parameters = |config: &Config| {
                let mut rng = crate::rng::Rng::new(0, "variants test");
                let model = crate::model::DynamicsModel::<f32>::new(s, a, &config.model, &mut rng);
                (model.members.len() * model.shape().parameter_len()) as f64
            };
            let ratio =
                parameters(&base.with_variant("doubled").unwrap()) / (2.0 * parameters(&base));
            assert!((0.92..1.08).contains(&ratio), "{task}: {ratio}");
        }
    }

    #[test]
    fn a_missing_variant_is_named() {
        let base = Config::preset(Algorithm::Ddppo, "Hopper").unwrap();
        let message = base.with_variant("single_modle").unwrap_err().to_string();
        assert!(message.contains("`single_modle` (did you mean `single-model`?)"), "{message}");
    }
}
