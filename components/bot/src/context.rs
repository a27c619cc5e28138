//! What every step of a story needs: the world, the settings, and whose work it is.

use crate::settings::SlackCommandSettings;
use domain::names::DeploymentId;

/// For a step that carries a deployment out, or that answers a question.
pub(crate) struct Context<'a, W> {
    pub(crate) world: &'a W,
    pub(crate) settings: &'a SlackCommandSettings,
    /// For the log: the deployment, or the question.
    pub(crate) id: &'a DeploymentId,
}
