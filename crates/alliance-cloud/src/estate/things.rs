//! What there is.

use alliance_core::label::clean;
use reqwest::Method;
use serde_json::Value;

use super::Site;
use crate::services::{Service, ServiceError, Session, found};

/// Longest name that is kept, in characters.
const NAME: usize = 200;

/// What kind of thing, in the order in which things are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is what its service calls it")]
pub enum Kind {
    Server,
    ServerGroup,
    Backup,
    Snapshot,
    Volume,
    Image,
    Trunk,
    FloatingIp,
    Router,
    Port,
    Subnet,
    Network,
    SubnetPool,
    AddressScope,
    SecurityGroup,
}

impl Kind {
    /// All, in the order in which they are deleted.
    pub const ALL: [Self; 15] = [
        Self::Server,
        Self::ServerGroup,
        Self::Backup,
        Self::Snapshot,
        Self::Volume,
        Self::Image,
        Self::Trunk,
        Self::FloatingIp,
        Self::Router,
        Self::Port,
        Self::Subnet,
        Self::Network,
        Self::SubnetPool,
        Self::AddressScope,
        Self::SecurityGroup,
    ];

    /// Its name in journals and receipts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::ServerGroup => "server_group",
            Self::Backup => "backup",
            Self::Snapshot => "snapshot",
            Self::Volume => "volume",
            Self::Image => "image",
            Self::Trunk => "trunk",
            Self::FloatingIp => "floating_ip",
            Self::Router => "router",
            Self::Port => "port",
            Self::Subnet => "subnet",
            Self::Network => "network",
            Self::SubnetPool => "subnet_pool",
            Self::AddressScope => "address_scope",
            Self::SecurityGroup => "security_group",
        }
    }

    /// Whether its service deletes it after it has answered.
    pub fn is_slow(self) -> bool {
        matches!(
            self,
            Self::Server | Self::Backup | Self::Snapshot | Self::Volume
        )
    }

    pub(super) fn service(self) -> Service {
        match self {
            Self::Server | Self::ServerGroup => Service::Nova,
            Self::Backup | Self::Snapshot | Self::Volume => Service::Cinder,
            Self::Image => Service::Glance,
            _ => Service::Neutron,
        }
    }

    /// The path of the collection.
    pub(super) fn path(self) -> &'static [&'static str] {
        match self {
            Self::Server => &["servers"],
            Self::ServerGroup => &["os-server-groups"],
            Self::Backup => &["backups"],
            Self::Snapshot => &["snapshots"],
            Self::Volume => &["volumes"],
            Self::Image => &["v2", "images"],
            Self::Trunk => &["v2.0", "trunks"],
            Self::FloatingIp => &["v2.0", "floatingips"],
            Self::Router => &["v2.0", "routers"],
            Self::Port => &["v2.0", "ports"],
            Self::Subnet => &["v2.0", "subnets"],
            Self::Network => &["v2.0", "networks"],
            Self::SubnetPool => &["v2.0", "subnetpools"],
            Self::AddressScope => &["v2.0", "address-scopes"],
            Self::SecurityGroup => &["v2.0", "security-groups"],
        }
    }

    /// What the collection is called in an answer.
    fn list(self) -> &'static str {
        match self {
            Self::ServerGroup => "server_groups",
            Self::AddressScope => "address_scopes",
            Self::SecurityGroup => "security_groups",
            other => other.path().last().copied().unwrap_or_default(),
        }
    }
}

/// Something that the project has.
#[derive(Debug, Clone, PartialEq)]
pub struct Thing {
    /// What it is.
    pub kind: Kind,
    /// Its id.
    pub id: String,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// As its service shows it.
    pub(super) shown: Value,
}

impl Thing {
    fn new(kind: Kind, shown: Value) -> Option<Self> {
        let text = |name: &str| shown.get(name).and_then(Value::as_str);
        let name = match kind {
            Kind::FloatingIp => text("floating_ip_address"),
            _ => text("name"),
        };
        Some(Self {
            kind,
            id: text("id")?.to_owned(),
            name: name
                .filter(|name| !name.is_empty())
                .map(|name| clean(name, NAME)),
            shown,
        })
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.shown.get(name).and_then(Value::as_str)
    }
}

impl Site<'_> {
    /// Everything of one kind that the project has. Empty where this region has no such service.
    ///
    /// # Errors
    /// See [`ServiceError`]. Nothing may be concluded from what a listing lacks then.
    pub async fn things(&self, kind: Kind) -> Result<Vec<Thing>, ServiceError> {
        if !self.session.has(kind.service()) {
            return Ok(Vec::new());
        }
        let project = self.project.as_str();
        let of_tenant: &[_] = &[("all_tenants", "1"), ("project_id", project)];
        let lists: &[&[_]] = match kind {
            Kind::Server | Kind::Backup | Kind::Snapshot | Kind::Volume => &[of_tenant],
            Kind::ServerGroup => &[&[("all_projects", "True")]],
            // Hidden images are listed apart.
            Kind::Image => &[
                &[("owner", project), ("visibility", "all")],
                &[
                    ("owner", project),
                    ("visibility", "all"),
                    ("os_hidden", "true"),
                ],
            ],
            // Asked for those of one project, Neutron makes its default group anew.
            Kind::SecurityGroup => &[&[
                ("fields", "id"),
                ("fields", "name"),
                ("fields", "project_id"),
            ]],
            _ => &[&[("project_id", project)]],
        };
        let mut path = kind.path().to_vec();
        if matches!(
            kind,
            Kind::Server | Kind::Backup | Kind::Snapshot | Kind::Volume
        ) {
            path.push("detail");
        }
        let mut found = Vec::new();
        for query in lists {
            let listed = listed(self.session, kind, &path, query).await?;
            found.extend(listed.into_iter().filter(|item| self.is_ours(kind, item)));
        }
        Ok(found
            .into_iter()
            .filter_map(|item| Thing::new(kind, item))
            .collect())
    }

    /// Whether it is the project's. Whatever was asked for, what is answered decides.
    fn is_ours(&self, kind: Kind, item: &Value) -> bool {
        let names: &[&str] = match kind {
            Kind::Server => &["tenant_id"],
            Kind::ServerGroup => &["project_id"],
            Kind::Backup => &["os-backup-project-attr:project_id"],
            Kind::Snapshot => &["os-extended-snapshot-attributes:project_id"],
            Kind::Volume => &["os-vol-tenant-attr:tenant_id"],
            Kind::Image => &["owner"],
            _ => &["project_id", "tenant_id"],
        };
        let owner = names.iter().find_map(|name| item.get(name)?.as_str());
        // Neutron's own ports go with what they serve.
        let served = item.get("device_owner").and_then(Value::as_str);
        let is_neutrons =
            kind == Kind::Port && served.is_some_and(|owner| owner.starts_with("network:"));
        owner == Some(self.project.as_str()) && !is_neutrons
    }

    /// The ports by which a router is in networks.
    pub(super) async fn interfaces(&self, router: &str) -> Result<Vec<String>, ServiceError> {
        let path = ["v2.0", "ports"];
        let query = [("device_id", router)];
        let ports = self.session.list(Service::Neutron, &path, "ports", &query);
        let ports = ports.await?.into_iter();
        let text = |port: &Value, name: &str| Some(port.get(name)?.as_str()?.to_owned());
        Ok(ports
            .filter(|port| {
                let owner = text(port, "device_owner").unwrap_or_default();
                owner.contains("router_interface") || owner.contains("ha_router_replicated")
            })
            .filter_map(|port| text(&port, "id"))
            .collect())
    }
}

/// A collection; one that this cloud's service does not have is empty.
async fn listed(
    session: &Session,
    kind: Kind,
    path: &[&str],
    query: &[(&str, &str)],
) -> Result<Vec<Value>, ServiceError> {
    let listed = session.list(kind.service(), path, kind.list(), query);
    Ok(found(listed.await)?.unwrap_or_default())
}

impl Site<'_> {
    /// A request about one thing.
    pub(super) async fn ask(
        &self,
        method: Method,
        thing: &Thing,
        further: &[&str],
        body: Option<&Value>,
    ) -> Result<Value, ServiceError> {
        let mut path = thing.kind.path().to_vec();
        path.push(&thing.id);
        path.extend(further);
        self.session
            .ask(thing.kind.service(), method, &path, body)
            .await
    }
}
