//! Deployments.

use virtengine_provider_core::market::Deployment;

use super::{WireError, deployment_id, group_id, group_spec, hash, readable, required};
use crate::proto::virtengine::deployment::{v1, v1beta4 as wire};

/// A deployment with its groups that can be read, in order of `gseq`. One odd group, which is all its tenant's, hides neither
/// the others nor that the deployment is closed.
///
/// # Errors
/// A field of the deployment itself is absent or out of range.
pub fn deployment(answer: &wire::QueryDeploymentResponse) -> Result<Deployment, WireError> {
    use v1::deployment::State;
    let deployment = required("deployment", answer.deployment.as_ref())?;
    let active = match State::try_from(deployment.state) {
        Ok(State::Active) => true,
        Ok(State::Closed) => false,
        Ok(State::Invalid) | Err(_) => {
            return Err(WireError::field("deployment.state", deployment.state, "1 or 2"));
        }
    };
    let read = |group: &wire::Group| {
        Ok((
            group_id(group.id.as_ref())?,
            group_spec(group.group_spec.as_ref())?,
        ))
    };
    let mut groups = readable("group", &answer.groups, read);
    groups.sort_by(|(left, _), (right, _)| left.cmp(right));
    Ok(Deployment {
        id: deployment_id(deployment.id.as_ref())?,
        active,
        manifest_hash: hash("deployment.hash", &deployment.hash)?,
        groups,
    })
}
