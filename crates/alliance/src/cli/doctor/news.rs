//! What partners are now, not what they were at the daemon's last pull.

use std::time::Duration;

use alliance_core::partner::{Kind, Status};
use futures_util::stream::{self, StreamExt};
use tokio::time::timeout;

use crate::cli::socket::Daemon;
use crate::wire::PartnerView;

/// How long a partner's news are waited for: a little longer than the daemon waits for it.
const WAIT: Duration = Duration::from_secs(6);
/// How many partners are asked at once.
const AT_ONCE: usize = 16;

/// Has the daemon ask each active partner that has a daemon for its news. What comes of it is what the
/// daemon says of the partner afterwards.
pub(super) async fn fetch(daemon: &Daemon) {
    let listing = timeout(WAIT, daemon.get(&["partners"]).send::<Vec<PartnerView>>());
    let Ok(Ok(partners)) = listing.await else {
        return;
    };
    let wanted = partners.iter().filter(|view| is_asked(view));
    stream::iter(wanted)
        .for_each_concurrent(AT_ONCE, |view| async {
            let refresh = daemon.post(&["partners", &view.partner.name, "refresh"]);
            // That it came to nothing is a fact that the daemon keeps.
            let _ = timeout(WAIT, refresh.send::<PartnerView>()).await;
        })
        .await;
}

fn is_asked(view: &PartnerView) -> bool {
    view.partner.status == Status::Active && view.partner.kind == Kind::Alliance
}
