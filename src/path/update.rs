//! One step of the policy down its objective's gradient.

use super::objective::PolicyReport;
use super::workspace::PolicyWorkspace;
use crate::methods::learner::Learner;
use crate::methods::method;
use crate::methods::report::LearnError;
use crate::nn::cpu::vector::all_finite;
use crate::policy::Policy;

/// The states in which an objective starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starts {
    /// Drawn from the real transitions.
    Real,
    /// Those of the critic's last minibatch, of which there must be one.
    CriticMinibatch,
}

impl Learner {
    /// One Adam step of the policy on its method's objective; none while the method lacks what it needs for it.
    ///
    /// # Errors
    /// When an imagined state, the loss, an adjoint or the gradient is not finite, or the loss beyond the guard.
    pub fn improve_policy(&mut self, starts: Starts) -> Result<Option<PolicyReport>, LearnError> {
        let mut workspace = self.policy_workspace.take();
        let report = self.descend(&mut workspace, starts);
        self.policy_workspace = workspace;
        report
    }

    fn descend(
        &mut self,
        workspace: &mut Option<PolicyWorkspace<f32>>,
        starts: Starts,
    ) -> Result<Option<PolicyReport>, LearnError> {
        let Some(objective) = method(self.config.algorithm).objective(self) else {
            return Ok(None);
        };
        let batch = self.config.training.batch_size;
        let horizon = objective.imagination.map_or(0, |_| self.config.policy.horizon);
        let workspace =
            workspace.get_or_insert_with(|| PolicyWorkspace::new(&objective, batch, horizon));
        let mut stream = self.streams.policy.clone();
        match (starts, &self.critic_workspace) {
            (Starts::CriticMinibatch, Some(critic)) => {
                workspace.draw(&objective, |row, _| critic.state(row), &mut stream);
            }
            _ => workspace.draw(
                &objective,
                |_, rng| self.real.get(rng.below(self.real.len())).observation,
                &mut stream,
            ),
        }
        let report = workspace.differentiate(&objective);
        self.streams.policy = stream;
        if report.broken > 0 {
            return Err(LearnError::NonFinite("the prediction model's output"));
        }
        LearnError::check("the policy's loss", report.loss, self.config.guards.max_loss)?;
        if !report.mean_abs_adjoint.is_finite() {
            return Err(LearnError::NonFinite("the policy's adjoint"));
        }
        if !all_finite(workspace.gradient()) {
            return Err(LearnError::NonFinite("the policy's gradient"));
        }
        let Policy { network, adam, .. } = &mut self.policy;
        let clip = self.config.policy.gradient_clip;
        network.update(|parameters, _| adam.update_clipped(parameters, workspace.gradient(), clip));
        Ok(Some(report))
    }
}
