//! Which URLs of a partner's endpoints may stand in a catalog here. A partner's URL is data: clients
//! show a token wherever it leads.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use url::{Host, Url};

/// Where clouds tell their machines who they are, beside the link-local 169.254.0.0/16: Amazon and
/// Google over IPv6, Azure, Oracle, Alibaba.
const METADATA: [IpAddr; 5] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
];
/// The same by name.
const METADATA_NAMES: [&str; 2] = ["metadata.google.internal", "metadata.goog"];

/// What this cloud's operator says of partners' URLs.
#[derive(Debug, Clone, Default)]
pub struct UrlRules {
    /// Whether plain http, and addresses of this machine, are fit: a lab. This cloud's own Keystone
    /// may be on it too.
    pub lab: bool,
    /// Ranges that lead to something of this cloud's own.
    pub refuse: Vec<AddressRange>,
    /// The hosts of this cloud's own Keystone.
    pub own: BTreeSet<String>,
    /// Hosts, as URLs spell them, that are fit wherever they are.
    pub allow: BTreeSet<String>,
}

/// Why an endpoint of a partner is not shown to users.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitUrl {
    /// No URL at all.
    #[error("is not a URL")]
    NotAUrl,
    /// A scheme that is not allowed.
    #[error("has scheme {0:?}, expected https")]
    Scheme(String),
    /// User information in the URL.
    #[error("carries a user name or password")]
    Credentials,
    /// An address in a spelling that programs read differently.
    #[error("spells the address {0} in another way")]
    Spelling(Ipv4Addr),
    /// A host that only makes sense inside a machine or a link.
    #[error("points at {0}, which is not reachable from elsewhere")]
    Local(String),
    /// Where a machine of a cloud is told its secrets.
    #[error("points at {0}, a metadata service")]
    Metadata(String),
    /// A request meant for the partner would reach this cloud's own Keystone.
    #[error("points at {0}, the host of this cloud's own Keystone")]
    OwnKeystone(String),
    /// A range that the operator refuses.
    #[error("points at {host}, in {range} of [catalog] refuse_ranges")]
    Refused {
        /// The host.
        host: String,
        /// The range.
        range: AddressRange,
    },
}

impl UrlRules {
    /// Whether a partner's endpoint URL may stand in a catalog here. Names are not resolved: who
    /// resolves them is the client, later and elsewhere.
    ///
    /// # Errors
    /// Why not.
    pub fn require_fit(&self, url: &str) -> Result<(), UnfitUrl> {
        // Programs differ in what they make of these: one drops them, one takes them for a slash.
        if !url.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
            return Err(UnfitUrl::NotAUrl);
        }
        // The templates of Keystone stand in for a path segment; a URL parser takes them as text.
        let parsed = Url::parse(url).map_err(|_| UnfitUrl::NotAUrl)?;
        match parsed.scheme() {
            "https" => {}
            "http" if self.lab => {}
            other => return Err(UnfitUrl::Scheme(other.to_owned())),
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(UnfitUrl::Credentials);
        }
        let host = parsed.host().ok_or(UnfitUrl::NotAUrl)?;
        if let Host::Ipv4(ip) = host
            && !is_spelt(url, ip)
        {
            return Err(UnfitUrl::Spelling(ip));
        }
        let spelt = plain(&host.to_string());
        if self.allow.contains(&spelt) {
            return Ok(());
        }
        if !self.lab && self.own.contains(&spelt) {
            return Err(UnfitUrl::OwnKeystone(spelt));
        }
        let addresses = match host {
            Host::Domain(_) => {
                if METADATA_NAMES.contains(&spelt.as_str()) {
                    return Err(UnfitUrl::Metadata(spelt));
                }
                if !self.lab && (spelt == "localhost" || spelt.ends_with(".localhost")) {
                    return Err(UnfitUrl::Local(spelt));
                }
                Vec::new()
            }
            Host::Ipv4(ip) => vec![IpAddr::V4(ip)],
            Host::Ipv6(ip) => {
                let within = embedded(ip).into_iter().map(IpAddr::V4);
                within.chain([IpAddr::V6(ip)]).collect()
            }
        };
        addresses
            .into_iter()
            .try_for_each(|address| self.require_fit_address(address, &spelt))
    }

    fn require_fit_address(&self, address: IpAddr, spelt: &str) -> Result<(), UnfitUrl> {
        let host = spelt.to_owned();
        // A metadata service is no part of a lab.
        let is_link_local = match address {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        if METADATA.contains(&address) {
            return Err(UnfitUrl::Metadata(host));
        }
        let is_local = is_link_local || address.is_loopback() || address.is_unspecified();
        if is_local && !self.lab {
            return Err(UnfitUrl::Local(host));
        }
        // What is written in brackets may be one of the own hosts in another family's clothes.
        if !self.lab && self.own.contains(&address.to_string()) {
            return Err(UnfitUrl::OwnKeystone(host));
        }
        let range = self.refuse.iter().find(|range| range.contains(address));
        match range {
            Some(range) => Err(UnfitUrl::Refused {
                host,
                range: *range,
            }),
            None => Ok(()),
        }
    }
}

/// A URL's host as [`UrlRules::own`] and [`UrlRules::allow`] have it: lower case, no brackets, no dot
/// at its end.
pub fn plain(host: &str) -> String {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// Whether the URL has the address in its usual spelling, not as `0x7f.1` or `2130706433`.
fn is_spelt(url: &str, ip: Ipv4Addr) -> bool {
    let after = url.split_once("://").map(|(_, after)| after);
    let rest = after.and_then(|after| after.strip_prefix(&ip.to_string()));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/', '?', '#']))
}

/// The IPv4 addresses to which an IPv6 address may lead: mapped, compatible, NAT64 (RFC 6052,
/// RFC 8215), 6to4 (RFC 3056).
fn embedded(ip: Ipv6Addr) -> Vec<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match [a, b, c, d, e, f] {
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0] if g == 0 => Vec::new(),
        [0, 0, 0, 0, 0, 0 | 0xffff] | [0, 0, 0, 0, 0xffff, 0] => vec![of(g, h)],
        [0x64, 0xff9b, 0 | 1, ..] => vec![of(g, h)],
        [0x2002, ..] => vec![of(b, c)],
        _ => Vec::new(),
    }
}

/// Addresses that begin alike: `10.0.0.0/8`, `fd00::/8`, or a single one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    first: IpAddr,
    bits: u8,
}

/// Not a range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no range: expected an address, a slash and a number of bits, as 10.0.0.0/8 or fd00::/8"
)]
pub struct NotARange(String);

impl AddressRange {
    /// Whether an address is in it; one of IPv4 in IPv6's spelling (`::ffff:…`) is not in a range of
    /// IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let length = width(address);
        length == width(self.first)
            && (value(address) ^ value(self.first))
                .checked_shr(u32::from(length - self.bits))
                .unwrap_or_default()
                == 0
    }
}

impl FromStr for AddressRange {
    type Err = NotARange;

    fn from_str(text: &str) -> Result<Self, NotARange> {
        let wrong = || NotARange(text.to_owned());
        let (first, bits) = match text.split_once('/') {
            Some((first, bits)) => (first, Some(bits.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let first: IpAddr = first.parse().map_err(|_| wrong())?;
        let bits = bits.unwrap_or_else(|| width(first));
        if bits > width(first) {
            return Err(wrong());
        }
        Ok(Self { first, bits })
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn value(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(rules: &UrlRules, url: &str) -> String {
        let judged = rules.require_fit(url);
        judged.map_or_else(|error| error.to_string(), |()| "fit".to_owned())
    }

    #[test]
    fn only_https_to_elsewhere_is_fit() {
        let rules = UrlRules::default();
        for right in [
            "https://east.example:9292/v2/%(project_id)s",
            "https://10.0.0.1:9292",
            "https://[2001:db8::1]/",
        ] {
            assert_eq!(judge(&rules, right), "fit", "{right}");
        }
        for wrong in [
            "http://east.example",
            "file:///etc/passwd",
            "https://127.0.0.1:9292",
            "https://[::1]/",
            "https://[fe80::1]/",
            "https://localhost./",
            "https://0.0.0.0/",
            "https://[::]/",
            "https://user@east.example/",
            "https://east.example\\@127.0.0.1/",
            "https://east.example/\u{1b}[2J",
            " https://east.example/",
            "https://east.ex\nample/",
            "image",
            "",
        ] {
            assert_ne!(judge(&rules, wrong), "fit", "{wrong}");
        }
        let lab = UrlRules {
            lab: true,
            own: ["127.0.0.1".to_owned()].into(),
            ..UrlRules::default()
        };
        assert_eq!(judge(&lab, "http://127.0.0.1:9292"), "fit");
    }

    #[test]
    fn a_metadata_service_is_refused_in_every_spelling() {
        let rules = UrlRules::default();
        for wrong in [
            "https://169.254.169.254/latest",
            "https://2852039166/",
            "https://0xa9fea9fe/",
            "https://0251.0376.0251.0376/",
            "https://169.16689662/",
            "https://[::ffff:169.254.169.254]/",
            "https://[::169.254.169.254]/",
            "https://[64:ff9b::a9fe:a9fe]/",
            "https://[64:ff9b:1::a9fe:a9fe]/",
            "https://[2002:a9fe:a9fe::]/",
            "https://[fd00:ec2::254]/",
            "https://[FD00:0EC2:0:0::0254]/",
            "https://168.63.129.16/",
            "https://Metadata.Google.Internal./",
        ] {
            assert_ne!(judge(&rules, wrong), "fit", "{wrong}");
        }
        let lab = UrlRules {
            lab: true,
            ..UrlRules::default()
        };
        assert_ne!(judge(&lab, "http://[fd00:ec2::254]/"), "fit");
    }

    #[test]
    fn an_address_has_one_spelling() {
        let spelt = judge(&UrlRules::default(), "https://0x0a.1/");
        assert_eq!(spelt, "spells the address 10.0.0.1 in another way");
        assert_eq!(judge(&UrlRules::default(), "https://10.0.0.1?x"), "fit");
        assert_ne!(judge(&UrlRules::default(), "https://10.0.0.1./"), "fit");
    }

    #[test]
    fn what_the_operator_refuses_is_refused_unless_the_host_is_allowed_by_name() {
        let ranges = ["10.0.0.0/8", "fd12:3456::/32", "192.0.2.7"];
        let mut rules = UrlRules {
            refuse: ranges.iter().flat_map(|range| range.parse()).collect(),
            own: ["keystone.west.example".to_owned(), "203.0.113.5".to_owned()].into(),
            ..UrlRules::default()
        };
        let wrong = [
            "https://10.255.0.1/",
            "https://[::ffff:10.0.0.1]/",
            "https://[64:ff9b::a00:1]/",
            "https://[fd12:3456:789::1]/",
            "https://192.0.2.7/",
            "https://Keystone.West.Example.:5000/v3",
            "https://203.0.113.5/",
            "https://[::ffff:203.0.113.5]/",
        ];
        for url in wrong {
            assert_ne!(judge(&rules, url), "fit", "{url}");
        }
        for url in [
            "https://11.0.0.1/",
            "https://192.0.2.8/",
            "https://[fd12:3457::1]/",
            "https://west.example/",
        ] {
            assert_eq!(judge(&rules, url), "fit", "{url}");
        }
        assert_eq!(
            judge(&rules, "https://10.1.2.3:9292/v2"),
            "points at 10.1.2.3, in 10.0.0.0/8 of [catalog] refuse_ranges"
        );
        for url in wrong {
            let host = Url::parse(url).map(|url| url.host_str().map(plain));
            rules.allow.extend(host.into_iter().flatten());
        }
        for url in wrong {
            assert_eq!(judge(&rules, url), "fit", "{url}");
        }
    }

    #[test]
    fn a_range_reads_and_shows_itself() {
        for right in [
            "10.0.0.0/8",
            "fd00::/8",
            "0.0.0.0/0",
            "::/0",
            "192.0.2.7/32",
        ] {
            let range: Result<AddressRange, _> = right.parse();
            assert_eq!(range.map(|range| range.to_string()), Ok(right.to_owned()));
        }
        let everything: Result<AddressRange, _> = "0.0.0.0/0".parse();
        let address = IpAddr::V4(Ipv4Addr::new(9, 9, 9, 9));
        assert!(everything.is_ok_and(|range| range.contains(address)));
        for wrong in ["", "10.0.0.0/33", "10/8", "::/129", "10.0.0.0/", "east"] {
            assert!(wrong.parse::<AddressRange>().is_err(), "{wrong}");
        }
    }
}
