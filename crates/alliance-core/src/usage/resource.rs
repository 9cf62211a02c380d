//! What is metered.

use serde::{Deserialize, Serialize};

use crate::word::words;

/// What kind of thing is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Nova's, from its launch on, as Nova's own usage counts.
    Server,
    /// Cinder's.
    Volume,
    /// Cinder's.
    Snapshot,
    /// Glance's.
    Image,
    /// Neutron's.
    FloatingIp,
}

words!(Kind {
    Kind::Server = "server",
    Kind::Volume = "volume",
    Kind::Snapshot = "snapshot",
    Kind::Image = "image",
    Kind::FloatingIp = "floating_ip",
});

/// One thing. No service uses an id twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Resource {
    /// What it is.
    pub kind: Kind,
    /// Its id at the host.
    pub id: String,
}

/// How big it is. Of what a kind does not have there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Size {
    /// The name of the server's flavor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flavor: Option<String>,
    /// Processors.
    #[serde(default, skip_serializing_if = "is_none")]
    pub vcpus: u64,
    /// Memory, MiB.
    #[serde(default, skip_serializing_if = "is_none")]
    pub ram_mib: u64,
    /// Disk or storage, bytes.
    #[serde(default, skip_serializing_if = "is_none")]
    pub bytes: u64,
}

/// Bytes of a GiB.
const GIB: u64 = 1 << 30;

impl Size {
    /// A server's. Its disk in GiB, root and ephemeral.
    pub fn of_server(flavor: &str, vcpus: u64, ram_mib: u64, disk_gib: u64) -> Self {
        Self {
            flavor: Some(flavor.to_owned()),
            vcpus,
            ram_mib,
            bytes: disk_gib.saturating_mul(GIB),
        }
    }

    /// Disk or storage in GiB, a begun one included.
    pub fn gib(&self) -> u64 {
        self.bytes.div_ceil(GIB)
    }

    /// A volume's or a snapshot's, in GiB.
    pub fn of_volume(gib: u64) -> Self {
        Self::of_image(gib.saturating_mul(GIB))
    }

    /// An image's, in bytes.
    pub fn of_image(bytes: u64) -> Self {
        Self {
            bytes,
            ..Self::default()
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_none(amount: &u64) -> bool {
    *amount == 0
}
