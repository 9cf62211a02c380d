//! The id that follows one request through both clouds, in the form that OpenStack uses.

use std::fmt;
use std::str::FromStr;

use http::HeaderName;
use uuid::Uuid;

/// The header that carries it.
pub const HEADER: HeaderName = HeaderName::from_static("x-openstack-request-id");

const PREFIX: &str = "req-";

/// `req-<uuid>`. Only this form is taken from others: the id ends in logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(Uuid);

/// A string of another form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected req- and a UUID")]
pub struct NotARequestId;

impl RequestId {
    /// A new one.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// What is unique in it.
    pub fn uuid(&self) -> Uuid {
        self.0
    }
}

impl FromStr for RequestId {
    type Err = NotARequestId;

    fn from_str(text: &str) -> Result<Self, NotARequestId> {
        let uuid = text.strip_prefix(PREFIX).ok_or(NotARequestId)?;
        let id = Self(uuid.parse().map_err(|_| NotARequestId)?);
        // One spelling: with dashes, in lowercase, as every OpenStack service writes it.
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(NotARequestId)
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_form_of_openstack_is_taken() {
        let id = RequestId::random();
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in [
            "",
            "req-",
            "req-1",
            "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b",
            "req-1B4E28BA-2FA1-4D3B-A3F5-EF19B5A7633B",
            "req-1b4e28ba2fa14d3ba3f5ef19b5a7633b",
            "req-1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b\n",
        ] {
            assert_eq!(wrong.parse::<RequestId>(), Err(NotARequestId), "{wrong:?}");
        }
    }
}
