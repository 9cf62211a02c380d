//! A cloud that pairs with this one, shown to the operator who decides.

use alliance_core::descriptor::Region;
use alliance_core::label::clean;
use alliance_core::partner::Role;
use alliance_core::token::Login;

use super::table::card;
use crate::wire::CloudView;

/// Who it is, with the words to compare.
pub(super) fn describe(cloud: &CloudView) -> String {
    card([
        ("calls itself", clean(&cloud.name, 64)),
        ("cloud id", cloud.cloud_id.to_string()),
        ("answers at", cloud.peer_url.clone()),
        ("regions", regions(&cloud.regions)),
        ("fingerprint", cloud.fingerprint.clone()),
    ])
}

/// What a partner of this role may do, and what that costs.
pub(super) fn meaning(name: &str, role: Role, login: Login) -> String {
    let (seen_here, seen_there) = match login {
        Login::Passport => {
            let stays = "Logins are by passport only: tokens stay at home, and no token of home's is taken.";
            (stays.to_owned(), stays.to_owned())
        }
        Login::Bearer | Login::Both => (
            format!(
                "Tokens are bearer tokens: this cloud sees theirs and could use them at {name}, as those users, until they expire."
            ),
            format!(
                "Tokens are bearer tokens: {name} sees those of your users who visit it and could use them here, as those users, until they expire (--login passport: it sees none)."
            ),
        ),
    };
    let guest = format!(
        "{name} becomes a guest: its users may come here as far as agreements that you make allow, none for now. {seen_here}"
    );
    let host = format!(
        "{name} becomes a host: your users may go there as far as agreements that its operator makes allow. {seen_there}"
    );
    match role {
        Role::Guest => guest,
        Role::Host => host,
        Role::Both => format!("{guest}\n{host}"),
    }
}

fn regions(regions: &[Region]) -> String {
    let regions = regions.iter().map(|region| {
        let services: Vec<_> = region.services.iter().map(|s| s.kind.as_str()).collect();
        if services.is_empty() {
            clean(&region.id, 64)
        } else {
            format!("{} ({})", clean(&region.id, 64), services.join(", "))
        }
    });
    regions.collect::<Vec<_>>().join("; ")
}
