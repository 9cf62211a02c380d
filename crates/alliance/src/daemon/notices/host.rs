//! At the host: what a home is told when it asks.

use alliance_core::notice::{BATCH, NoticeBatch, event};
use alliance_peer::error::ApiError;
use alliance_peer::request_id::RequestId;
use alliance_peer::statement;
use alliance_peer::wire::NoticeAnswer;

use crate::daemon::Daemon;
use crate::daemon::clock::now;
use crate::daemon::directory::Known;

impl Daemon {
    /// The next notices for `home`, which has taken in all up to number `after`.
    ///
    /// # Errors
    /// If they cannot be told now.
    pub(crate) async fn tell_notices(
        &self,
        home: &Known,
        after: u64,
        request_id: RequestId,
    ) -> Result<NoticeAnswer, ApiError> {
        let (notices, cloud_id) = (self.store.notices(), &home.partner.cloud_id);
        let heard = notices.acknowledge(cloud_id, after).await;
        heard.map_err(ApiError::internal)?;
        let found = notices.outgoing(cloud_id, after, BATCH).await;
        let found = found.map_err(ApiError::internal)?;
        tracing::debug!(%request_id, partner = home.partner.name, count = found.notices.len(), "notices are told");
        let own = self.identity.cloud_id();
        let told = found.notices.iter();
        let batch = NoticeBatch {
            iss: own.clone(),
            aud: cloud_id.clone(),
            iat: now(),
            after: found.after,
            last: found.last,
            events: told
                .map(|(seq, notice)| event(notice, *seq, own, cloud_id))
                .collect(),
        };
        let more = found
            .notices
            .last()
            .is_some_and(|(seq, _)| *seq < found.last);
        let notices = statement::sign(&batch, self.identity.signing_key());
        Ok(NoticeAnswer {
            notices: notices.map_err(ApiError::internal)?,
            more,
        })
    }
}
