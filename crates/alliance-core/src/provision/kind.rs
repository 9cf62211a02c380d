//! The kinds of resources that a plan may have, and their properties.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::form::Form::{
    Address, List, Network, Object, Of, OneOf, Switch, Text, Url, Whole, Words,
};
use super::form::{Form, Property, maybe, must};

/// What a resource is. Its names are Heat's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A network.
    #[serde(rename = "OS::Neutron::Net")]
    Net,
    /// A subnet.
    #[serde(rename = "OS::Neutron::Subnet")]
    Subnet,
    /// A router.
    #[serde(rename = "OS::Neutron::Router")]
    Router,
    /// A subnet's place at a router.
    #[serde(rename = "OS::Neutron::RouterInterface")]
    RouterInterface,
    /// A security group with its rules.
    #[serde(rename = "OS::Neutron::SecurityGroup")]
    SecurityGroup,
    /// A port.
    #[serde(rename = "OS::Neutron::Port")]
    Port,
    /// A server.
    #[serde(rename = "OS::Nova::Server")]
    Server,
    /// A volume.
    #[serde(rename = "OS::Cinder::Volume")]
    Volume,
    /// A volume's place at a server.
    #[serde(rename = "OS::Cinder::VolumeAttachment")]
    VolumeAttachment,
    /// An image that the host fetches from the web.
    #[serde(rename = "OS::Glance::WebImage")]
    WebImage,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Net,
        Self::Subnet,
        Self::Router,
        Self::RouterInterface,
        Self::SecurityGroup,
        Self::Port,
        Self::Server,
        Self::Volume,
        Self::VolumeAttachment,
        Self::WebImage,
    ];

    /// Heat's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Net => "OS::Neutron::Net",
            Self::Subnet => "OS::Neutron::Subnet",
            Self::Router => "OS::Neutron::Router",
            Self::RouterInterface => "OS::Neutron::RouterInterface",
            Self::SecurityGroup => "OS::Neutron::SecurityGroup",
            Self::Port => "OS::Neutron::Port",
            Self::Server => "OS::Nova::Server",
            Self::Volume => "OS::Cinder::Volume",
            Self::VolumeAttachment => "OS::Cinder::VolumeAttachment",
            Self::WebImage => "OS::Glance::WebImage",
        }
    }

    /// The service types of which an agreement has to name one, if it names any.
    pub fn services(self) -> &'static [&'static str] {
        match self {
            Self::Server | Self::VolumeAttachment => &["compute"],
            Self::Volume => &["block-storage", "volumev3", "block-store", "volume"],
            Self::WebImage => &["image"],
            _ => &["network"],
        }
    }

    pub(super) fn properties(self) -> &'static [Property] {
        match self {
            Self::Net => NET,
            Self::Subnet => SUBNET,
            Self::Router => ROUTER,
            Self::RouterInterface => ROUTER_INTERFACE,
            Self::SecurityGroup => SECURITY_GROUP,
            Self::Port => PORT,
            Self::Server => SERVER,
            Self::Volume => VOLUME,
            Self::VolumeAttachment => VOLUME_ATTACHMENT,
            Self::WebImage => WEB_IMAGE,
        }
    }

    /// Why a property of Heat's is not here, where that is not obvious.
    pub(super) fn why_not(self, property: &str) -> Option<&'static str> {
        match (self, property) {
            (Self::Server, "key_name") => Some(
                "a key pair belongs to one user, and the server is made by the host, which has none of yours; put the public key into user_data",
            ),
            (Self::SecurityGroup | Self::Volume | Self::Net | Self::Router, "description") => {
                Some("the host writes there which plan the resource belongs to")
            }
            (_, "tags" | "value_specs" | "tenant_id" | "project_id" | "shared") => {
                Some("the host decides that")
            }
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or(UnknownKind)
    }
}

/// No such kind, or none that a plan may have.
#[derive(Debug, thiserror::Error)]
#[error(
    "expected one of OS::Neutron::Net, Subnet, Router, RouterInterface, SecurityGroup, Port, OS::Nova::Server, OS::Cinder::Volume, VolumeAttachment, OS::Glance::WebImage"
)]
pub struct UnknownKind;

const NAME: Form = Text(255);
const NET_OR_NAME: Form = Of(&[Kind::Net], true);
const GROUPS: Form = List(&Of(&[Kind::SecurityGroup], true));

const NET: &[Property] = &[
    maybe("name", NAME),
    maybe("admin_state_up", Switch),
    maybe("port_security_enabled", Switch),
];

const SUBNET: &[Property] = &[
    must("network", Of(&[Kind::Net], false)),
    must("cidr", Network),
    maybe("name", NAME),
    maybe("ip_version", Whole(4, 6)),
    maybe("gateway_ip", Address),
    maybe("enable_dhcp", Switch),
    maybe("dns_nameservers", List(&Address)),
    maybe("allocation_pools", List(&Object(POOL))),
];

const POOL: &[Property] = &[must("start", Address), must("end", Address)];

const ROUTER: &[Property] = &[
    maybe("name", NAME),
    maybe("admin_state_up", Switch),
    maybe("external_gateway_info", Object(GATEWAY)),
];

const GATEWAY: &[Property] = &[must("network", NAME)];

const ROUTER_INTERFACE: &[Property] = &[
    must("router", Of(&[Kind::Router], false)),
    must("subnet", Of(&[Kind::Subnet], false)),
];

const SECURITY_GROUP: &[Property] = &[maybe("name", NAME), maybe("rules", List(&Object(RULE)))];

const RULE: &[Property] = &[
    maybe("direction", OneOf(&["ingress", "egress"])),
    maybe("ethertype", OneOf(&["IPv4", "IPv6"])),
    maybe(
        "protocol",
        OneOf(&["tcp", "udp", "icmp", "ipv6-icmp", "sctp"]),
    ),
    maybe("port_range_min", Whole(0, 65_535)),
    maybe("port_range_max", Whole(0, 65_535)),
    maybe("remote_ip_prefix", Network),
];

const PORT: &[Property] = &[
    must("network", NET_OR_NAME),
    maybe("name", NAME),
    maybe("admin_state_up", Switch),
    maybe("fixed_ips", List(&Object(FIXED_IP))),
    maybe("security_groups", GROUPS),
];

const FIXED_IP: &[Property] = &[
    maybe("subnet", Of(&[Kind::Subnet], false)),
    maybe("ip_address", Address),
];

const SERVER: &[Property] = &[
    must("flavor", NAME),
    must("image", Of(&[Kind::WebImage], true)),
    maybe("name", NAME),
    maybe("networks", List(&Object(SERVER_NETWORK))),
    maybe("security_groups", GROUPS),
    maybe("metadata", Words),
    maybe("user_data", Text(16 << 10)),
    maybe("user_data_format", OneOf(&["RAW"])),
    maybe("config_drive", Switch),
    maybe("availability_zone", NAME),
];

const SERVER_NETWORK: &[Property] = &[
    maybe("network", NET_OR_NAME),
    maybe("port", Of(&[Kind::Port], false)),
    maybe("fixed_ip", Address),
];

const VOLUME: &[Property] = &[
    must("size", Whole(1, 1 << 20)),
    maybe("name", NAME),
    maybe("volume_type", NAME),
    maybe("availability_zone", NAME),
    maybe("metadata", Words),
];

const VOLUME_ATTACHMENT: &[Property] = &[
    must("instance_uuid", Of(&[Kind::Server], false)),
    must("volume_id", Of(&[Kind::Volume], false)),
    maybe("mountpoint", NAME),
];

const WEB_IMAGE: &[Property] = &[
    must("location", Url),
    must(
        "disk_format",
        OneOf(&["raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx", "iso"]),
    ),
    must("container_format", OneOf(&["bare"])),
    maybe("name", NAME),
    maybe("min_disk", Whole(0, 1 << 20)),
    maybe("min_ram", Whole(0, 1 << 20)),
];
