//! How projects of this cloud are, for hosts that are about to stop or delete what they have there.

use std::collections::BTreeMap;

use alliance_core::keystone_id::is_id;
use alliance_core::refusal::Reason;
use alliance_core::retirement::{MOST_PROJECTS, ProjectStandings, Standing};
use alliance_peer::error::ApiError;
use alliance_peer::request_id::RequestId;
use alliance_peer::wire::StandingAnswer;

use super::Home;
use crate::daemon::clock::now;
use crate::daemon::directory::Known;

impl Home {
    /// Our word, for `host`, about how these projects are now.
    ///
    /// # Errors
    /// If our Keystone does not say of all of them.
    pub(crate) async fn standing(
        &self,
        host: &Known,
        project_ids: &[String],
        request_id: RequestId,
    ) -> Result<StandingAnswer, ApiError> {
        if project_ids.len() > MOST_PROJECTS {
            let error = format!("at most {MOST_PROJECTS} projects may be asked about at once");
            return Err(ApiError::malformed(error));
        }
        let iat = now();
        // What cannot be an id of ours was never there: of that nothing is said.
        let ids: Vec<&str> = project_ids
            .iter()
            .map(String::as_str)
            .filter(|id| is_id(id))
            .collect();
        let _place = self.shares.place(&host.partner.cloud_id).await?;
        let found = self
            .keystone
            .standings_of(&ids, &request_id.to_string())
            .await
            .map_err(|error| ApiError::unavailable(Reason::HomeError).because(error))?;
        let mut projects: BTreeMap<String, Standing> = ids
            .iter()
            .map(|id| ((*id).to_owned(), Standing::Deleted))
            .collect();
        projects.extend(found.into_iter().map(|project| {
            let standing = match project.enabled && project.domain_enabled {
                true => Standing::Enabled,
                false => Standing::Disabled,
            };
            (project.id, standing)
        }));
        let said = ProjectStandings {
            iss: self.identity.cloud_id().clone(),
            aud: host.partner.cloud_id.clone(),
            iat,
            projects,
        };
        Ok(StandingAnswer {
            standing: self.sign(&said)?,
        })
    }
}
