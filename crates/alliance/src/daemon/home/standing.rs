//! How projects of this cloud are, for hosts that are about to stop or delete what they have there.

use std::collections::BTreeMap;

use alliance_cloud::keystone::{KeystoneError, ProjectQuery};
use alliance_core::keystone_id::is_id;
use alliance_core::refusal::Reason;
use alliance_core::retirement::{MOST_PROJECTS, ProjectStandings, Standing};
use alliance_peer::error::ApiError;
use alliance_peer::request_id::RequestId;
use alliance_peer::wire::StandingAnswer;
use futures_util::future::try_join_all;

use super::Home;
use crate::daemon::clock::now;
use crate::daemon::directory::Known;

/// How many questions our Keystone is asked at once.
const AT_ONCE: usize = 4;

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
        let mut projects = BTreeMap::new();
        // What cannot be an id of ours was never there: of that nothing is said.
        let ids: Vec<&String> = project_ids.iter().filter(|id| is_id(id)).collect();
        for some in ids.chunks(AT_ONCE) {
            let asked = some.iter().map(|id| self.stands(id, request_id));
            let found = try_join_all(asked)
                .await
                .map_err(|error| ApiError::unavailable(Reason::HomeError).because(error))?;
            projects.extend(some.iter().map(|id| (*id).clone()).zip(found));
        }
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

    async fn stands(&self, id: &str, request_id: RequestId) -> Result<Standing, KeystoneError> {
        let found = self
            .keystone
            .project_standings(ProjectQuery::Id(id), &request_id.to_string())
            .await?;
        Ok(match found.first() {
            None => Standing::Deleted,
            Some(project) if project.enabled && project.domain_enabled => Standing::Enabled,
            Some(_) => Standing::Disabled,
        })
    }
}
