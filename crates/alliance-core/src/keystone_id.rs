//! The ids that a partner's things have in this cloud's Keystone. They follow from the partner's
//! cloud id and the id at home, never from a name, so that home can compute them too.

use data_encoding::BASE64URL_NOPAD;
use uuid::Uuid;

use crate::cloud::CloudId;

fn namespace() -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_DNS, b"alliance.openstack")
}

/// The id of the Keystone domain that holds a partner's shadow users and projects: 32 hex digits.
pub fn domain(partner: &CloudId) -> String {
    hex(format!("domain:{partner}"))
}

/// The id that a home project has at a host: 32 hex digits.
pub fn project(home: &CloudId, project_id: &str) -> String {
    hex(format!("project:{home}:{project_id}"))
}

/// The audit id that a host's Keystone gives a token: as home wrote it, it could be that of somebody
/// else's session there. 22 characters of Base64url, as Keystone's own.
pub fn audit_id(home: &CloudId, audit_id: &str) -> String {
    let name = format!("audit:{home}:{audit_id}");
    BASE64URL_NOPAD.encode(Uuid::new_v5(&namespace(), name.as_bytes()).as_bytes())
}

fn hex(name: String) -> String {
    Uuid::new_v5(&namespace(), name.as_bytes())
        .simple()
        .to_string()
}

/// Whether `text` is one of Keystone's ids: 1 to 64 ASCII letters, digits, `-` or `_`
/// (`default`, 32 hex digits of a UUID, 64 of a user behind a driver).
pub fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Whether `text` may be an id in a partner's Keystone: what the columns for ids take, here and there.
/// An old Keystone may use names of LDAP for ids. The plugin's rule is the same.
pub fn is_foreign_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_agree_with_pythons_uuid5() {
        let id: CloudId = "a"
            .repeat(52)
            .parse()
            .unwrap_or_else(|_| CloudId::from_spki(b""));
        // python3 -c 'import uuid; ns = uuid.uuid5(uuid.NAMESPACE_DNS, "alliance.openstack");
        //   print(uuid.uuid5(ns, "domain:" + "a" * 52).hex, uuid.uuid5(ns, "project:" + "a" * 52 + ":p").hex)'
        assert_eq!(domain(&id), "3c403d1f458654a186ce26f020d9e9d5");
        assert_eq!(project(&id, "p"), "ede820c58f225c44aeaae305c0a372ae");
        // base64.urlsafe_b64encode(uuid.uuid5(ns, "audit:" + "a" * 52 + ":x").bytes)
        assert_eq!(audit_id(&id, "x"), "rgDP6UzaVzylszZilGReug");
    }

    #[test]
    fn projects_of_two_clouds_never_share_an_id() {
        let (west, east) = (CloudId::from_spki(b"w"), CloudId::from_spki(b"e"));
        assert_ne!(project(&west, "p"), project(&east, "p"));
    }

    #[test]
    fn only_ids_are_ids() {
        assert!(is_id("default"));
        assert!(is_foreign_id("ann.smith@west") && is_foreign_id(&"a".repeat(64)));
        for wrong in ["", "ann smith", "\u{e4}nn", "a\n", &"a".repeat(65)] {
            assert!(!is_foreign_id(wrong), "{wrong:?}");
        }
        assert!(!is_id("") && !is_id("a/b") && !is_id(&"a".repeat(65)) && !is_id("a\n"));
    }
}
