"""The other cloud's servers: a new user of west, and nothing but a clouds.yaml."""

from __future__ import annotations

import secrets
import sys
import time

from demo import clouds
from demo.proofs import Proofs
from demo.stage import perform
from demo.terminal import Terminal, chapter, say

CLOUDS = """\
clouds:
  west:
    auth: {auth_url: $WEST, username: eve, password: $PASSWORD, project_name: science}
    domain_id: default
    regions: [west, east]
"""
OPENSTACK = "openstack --os-cloud west --os-region-name"


class Servers:
    def __init__(self):
        self.proofs = Proofs()

    def tell(self) -> None:
        self.set_up()
        self.new_user()
        self.abroad()

    def set_up(self) -> None:
        chapter(
            "Two whole clouds",
            "Each has a Keystone, Glance, Placement, Nova, Neutron and Cinder; servers are",
            "pretended. Their operators have paired them. East has an image for all, and a flavor.",
        )
        started = clouds.lab("up", *clouds.NODES, "west", "east", whole=True)
        self.proofs.add("two whole clouds run", started)
        self.west, self.east = Terminal("west", "west"), Terminal("east", "east")
        self.east.types("head -c 65536 /dev/zero > $ALLIANCE_LAB/tide.img")
        create = "--disk-format raw -f value -c status tide"
        self.east.types(f"openstack image create --public --file $ALLIANCE_LAB/tide.img {create}")
        self.east.types("openstack flavor create --ram 64 --disk 1 small -f value -c name")

    def new_user(self) -> None:
        chapter(
            "A new user",
            "Eve is a user of west. East lets the members of her project in, and nobody knows her.",
        )
        self.west.variables["PASSWORD"] = secrets.token_urlsafe(12)
        self.west.types('openstack user create --password "$PASSWORD" eve -f value -c name')
        self.west.types("openstack role add --user eve --project science member")
        self.east.types("alliance agreement create west --project science --role member")
        self.west.types("alliance region list", shows=("east", "compute"), retry=20)

    def abroad(self) -> None:
        chapter(
            "Nothing but a clouds.yaml",
            "She makes a network and a server at east, looks at it, and deletes it again.",
        )
        eve = Terminal("eve@west", "west", "ann").without("OS_", "ALLIANCE_")
        eve.variables |= {
            "PASSWORD": self.west.variables["PASSWORD"],
            "WEST": self.west.variables["OS_AUTH_URL"],
            "OS_CLIENT_CONFIG_FILE": f"{self.west.variables['ALLIANCE_LAB']}/eve.yaml",
        }
        eve.types(f"cat > $OS_CLIENT_CONFIG_FILE <<END\n{CLOUDS}END")
        began = time.monotonic()
        eve.types(f"{OPENSTACK} east network create tidal -f value -c status", shows=("ACTIVE",))
        subnet = "subnet create tides --network tidal --subnet-range 10.9.0.0/24"
        eve.types(f"{OPENSTACK} east {subnet} -f value -c cidr")
        create = "server create buoy --image tide --flavor small --network tidal --wait"
        shown = "-c name -c status -c addresses"
        eve.types(f"{OPENSTACK} east {create} {shown}", shows=("ACTIVE", "10.9.0."))
        self.proofs.add("a network and a server at east", time.monotonic() - began)
        listing = f"{OPENSTACK} {{}} server list -c Name -c Status"
        listed = eve.types(listing.format("east"), shows=("buoy", "ACTIVE"))
        self.proofs.add("she sees it there", listed.seconds)
        listed = eve.types(listing.format("west"), hides=("buoy",))
        self.proofs.add("in the region west there is none", listed.seconds)
        self.east.types("alliance project list", shows=("science",))
        deleted = eve.types(f"{OPENSTACK} east server delete buoy --wait")
        eve.types(listing.format("east"), hides=("buoy",))
        eve.types(f"{OPENSTACK} east network delete tidal")
        self.proofs.add("it is deleted", deleted.seconds)
        say("   What else is in a cloud, she may as well: volumes, ports, security groups.")


sys.exit(perform(Servers()))
