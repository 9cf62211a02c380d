"""One token, two clouds: the whole thread, told with the commands that operators and users type."""

from __future__ import annotations

import subprocess
import sys
import time

from demo import clouds
from demo.formats import Formats
from demo.proofs import Proofs
from demo.sessions import Sessions
from demo.stage import perform
from demo.terminal import CHECKOUT, IMAGES, PROJECTS, Terminal, chapter, say

INVITATION = r"(alliance1-[\w-]+)"

SDK = """\
import openstack
west = openstack.connect()
east = openstack.connection.Connection(session=west.session, region_name="east")
print("west:", *[image.name for image in west.image.images()])
print("east:", *[image.name for image in east.image.images()])
"""
SDK_SHOWS = ("west: west-tides", "east: east-tides")


class Story:
    def __init__(self):
        self.proofs = Proofs()

    def tell(self) -> None:
        self.set_up()
        self.strangers()
        self.pairing()
        self.agreement()
        self.images()
        Sessions(self.east, self.ann, self.proofs).tell()
        self.no_agreement()
        self.suspension()
        self.identity_provider()
        Formats(self.east, self.ann, self.proofs).tell()

    def set_up(self) -> None:
        chapter(
            "Two clouds",
            "Each is a Keystone, a Glance, a memcached and an alliance daemon of its own,",
            *(["Keystone and daemon three times, behind an HAProxy,"] if clouds.HA else []),
            "with its own users. Nobody knows anybody.",
        )
        words = ("--unpaired", *clouds.NODES, "--services", "glance", "west", "east")
        started = clouds.lab("up", *words, whole=True)
        self.proofs.add("two separate clouds run", started)
        self.west = Terminal("west", "west")
        self.east = Terminal("east", "east")
        self.ann = Terminal("ann@west", "west", "ann")
        self.bob = Terminal("bob@west", "west", "bob", "bio")
        self.local = Terminal("ann@east", "east", "ann")
        sdk = subprocess.check_output([CHECKOUT / "lab" / "venv", "client"], text=True).strip()
        for person in (self.ann, self.bob):
            person.variables["EAST"] = self.east.variables["OS_AUTH_URL"]
            person.variables["EAST_IMAGE"] = clouds.image_url("east")
            person.variables["PATH"] = f"{sdk}/bin:{person.variables['PATH']}"
        say(f"   $EAST is east's Keystone, {self.ann.variables['EAST']};")
        say(f"   $EAST_IMAGE its Glance, {self.ann.variables['EAST_IMAGE']}.")

    def strangers(self) -> None:
        chapter("Strangers", "A token of west is worth nothing at east, and nobody is asked.")
        self.ann.types("openstack token issue -f value -c id", into="TOKEN")
        answer = self.ann.sends("$TOKEN", PROJECTS, "401")
        self.proofs.add("a stranger's token is refused", answer.seconds)

    def pairing(self) -> None:
        chapter(
            "Pairing",
            "West's operator invites; the invitation goes to east's operator by any channel.",
            "Both compare the fingerprint before they say yes.",
        )
        began = time.monotonic()
        inviting = self.west.opens("alliance partner invite east --role host")
        self.east.variables["INVITATION"] = inviting.until(INVITATION, shorten=INVITATION)
        accepting = self.east.opens('alliance partner accept "$INVITATION"')
        accepting.until(r"\[y/N\]")
        accepting.answers("y")
        inviting.until(r"\[y/N\]")
        inviting.answers("y")
        inviting.ends_well()
        accepting.ends_well()
        self.proofs.add("two commands pair two clouds", time.monotonic() - began)
        show = "alliance partner show {} | grep -E '^ *(status|fingerprint)'"
        at_west = self.west.types(show.format("east"), shows=("active",))
        words = tuple(at_west.text.split())
        at_east = self.east.types(show.format("west"), shows=words)
        self.east.types("alliance partner list", shows=("west", "active"))
        self.proofs.add("both show each other active, with the same words", at_east.seconds)

    def agreement(self) -> None:
        chapter(
            "An agreement",
            "Paired clouds still grant each other nothing: the host says what, to which project.",
        )
        refused = self.ann.sends("$TOKEN", PROJECTS, "401")
        self.proofs.add("a partner's token is refused without an agreement", refused.seconds)
        self.east.types("alliance agreement create west --project science --role member")
        self.east.types("alliance agreement list", shows=("science", "member"))
        used = self.ann.sends("$TOKEN", PROJECTS, "200")
        self.proofs.add("the first use of a west token at east", used.seconds)
        self.ann.sends("$TOKEN", PROJECTS, "200")

    def images(self) -> None:
        chapter(
            "One login, two regions",
            "East's region is in the catalog of ann's project now. She installs nothing.",
        )
        self.west.types("alliance region list", shows=("east", "image"), retry=20)
        show = "openstack catalog list"
        self.ann.types(show, shows=(self.ann.variables["EAST_IMAGE"],), retry=20)
        self.ann.types("head -c 300000 /dev/urandom > $ALLIANCE_LAB/tides.img")
        create = "image create --file $ALLIANCE_LAB/tides.img --disk-format raw -c name -c status"
        self.ann.types(f"openstack {create} west-tides", shows=("active",))
        create = f"openstack --os-region-name east {create} east-tides"
        uploaded = self.ann.types(create, shows=("active",))
        self.proofs.add("ann of west uploads an image to east", uploaded.seconds)

        say("   From here on she has the token only, no password.")
        ann = self.ann.without("OS_PASSWORD", "OS_USERNAME", "OS_USER_DOMAIN")
        ann.types("export OS_AUTH_TYPE=v3token OS_TOKEN=$TOKEN")
        ann.variables["OS_AUTH_TYPE"], ann.variables["OS_TOKEN"] = "v3token", ann.variables["TOKEN"]
        listing = "openstack --os-region-name {} image list -c Name -c Status"
        ann.types(listing.format("west"), shows=("west-tides",), hides=("east-tides",))
        listed = ann.types(listing.format("east"), shows=("east-tides",), hides=("west-tides",))
        self.proofs.add("the openstack client lists both with one token", listed.seconds)
        listed = ann.types(f"python3 - <<'END'\n{SDK}END", shows=SDK_SHOWS)
        self.proofs.add("openstacksdk lists both in one session", listed.seconds)
        command = 'curl -sS -m 30 -H "X-Auth-Token: $TOKEN" $EAST_IMAGE/v2/images'
        listed = ann.types(f"{command} | python3 -m json.tool | grep name", shows=("east-tides",))
        self.proofs.add("curl lists east's images with the bare token", listed.seconds)

    def no_agreement(self) -> None:
        chapter("A project without an agreement", "bob works in west's project bio.")
        listing = "openstack --os-region-name east image list"
        refused = self.bob.types(listing, ends="badly", hides=("east-tides",))
        self.proofs.add("in a project without agreement there is no east", refused.seconds)
        self.bob.types("openstack token issue -f value -c id", into="TOKEN")
        refused = self.bob.sends("$TOKEN", IMAGES, "401")
        self.proofs.add("nor is there by the bare token", refused.seconds)
        self.east.variables["TOKEN"] = self.bob.variables["TOKEN"]
        ask = 'alliance token validate - <<< "$TOKEN"'
        self.east.types(ask, ends="badly", shows=("no_agreement",))

    def suspension(self) -> None:
        chapter(
            "Cut off",
            "East suspends west. Its Keystone and its Glance have ann's token in their caches.",
        )
        self.ann.sends("$TOKEN", IMAGES, "200")
        self.ann.sends("$TOKEN", PROJECTS, "200")
        began = time.monotonic()
        self.east.types("alliance partner suspend west")
        self.ann.sends("$TOKEN", IMAGES, "401")
        self.ann.sends("$TOKEN", PROJECTS, "401")
        self.proofs.add("the next request is refused, at Glance too", time.monotonic() - began)
        listed = self.local.types("openstack image list -f value -c Name")
        self.proofs.add("east's own users notice nothing", listed.seconds)
        began = time.monotonic()
        self.east.types("alliance partner resume west")
        self.ann.sends("$TOKEN", PROJECTS, "200")
        self.ann.sends("$TOKEN", IMAGES, "200")
        self.proofs.add("after resume the same token works again", time.monotonic() - began)

    def identity_provider(self) -> None:
        chapter(
            "The operator's hand",
            "East's operator disables the identity provider west in Keystone itself.",
        )
        self.east.types("openstack identity provider set --disable west")
        self.ann.sends("$TOKEN", IMAGES, "401")
        refused = self.ann.sends("$TOKEN", PROJECTS, "401")
        self.proofs.add("with its identity provider disabled: refused", refused.seconds)
        self.east.types("alliance partner show west", shows=("disabled",))


sys.exit(perform(Story()))
