"""Single sign-on and single sign-out: logins abroad by token and by passport, and one logout."""

from __future__ import annotations

import time

from demo.proofs import Proofs
from demo.terminal import IMAGES, PROJECTS, Terminal, chapter, say
from lab import packages
from lab.state import Lab

ISSUE = "openstack token issue -f value -c id"
ABROAD = "OS_AUTH_TYPE=v3token OS_AUTH_URL=$EAST OS_PROJECT_DOMAIN_NAME=west"
BY_PASSPORT = "OS_AUTH_TYPE=v3alliancetoken OS_PARTNER=east"


class Sessions:
    def __init__(self, east: Terminal, ann: Terminal, proofs: Proofs):
        self.east, self.ann, self.proofs = east, ann, proofs

    def tell(self) -> None:
        self.sign_on()
        self.sign_out()

    def sign_on(self) -> None:
        chapter(
            "Single sign-on",
            "With her token of west ann buys one of east. And she logs in at east by passport:",
            "west vouches for her, for one login, and no token of west's leaves west.",
        )
        ann = self.ann.without("OS_PASSWORD", "OS_USERNAME", "OS_USER_DOMAIN", "OS_PROJECT_DOMAIN")
        ann.variables["OS_TOKEN"] = self.ann.variables["TOKEN"]
        ann.variables["OS_PROJECT_DOMAIN_NAME"] = "Default"
        bought = ann.types(f"{ABROAD} OS_PROJECT_NAME=science@Default {ISSUE}", into="BOUGHT")
        self.proofs.add("a west token buys a native one at east", bought.seconds)
        packages.CLIENT.install(Lab())
        ann.variables["PYTHONPATH"] = str(packages.CLIENT.path(Lab()))
        say("   The package keystoneauth1-alliance is there now: auth_type v3alliance.")
        issued = ann.types(f"{BY_PASSPORT} {ISSUE}", into="BY_PASSPORT")
        self.proofs.add("a login at east by passport", issued.seconds)
        for name in ("BOUGHT", "BY_PASSPORT"):
            self.ann.variables[name] = ann.variables[name]
        for token in ("$TOKEN", "$BOUGHT", "$BY_PASSPORT"):
            self.ann.sends(token, IMAGES, "200")
        self.east.types("alliance session list", shows=("west",))

    def sign_out(self) -> None:
        chapter(
            "Single sign-out",
            "East's Keystone and its Glance have all three in their caches. ann logs out at west.",
        )
        began = time.monotonic()
        self.ann.types('openstack token revoke "$TOKEN"')
        # The news takes a moment: home's Keystone is read, east's is told, its caches are swept.
        for token in ("$TOKEN", "$BOUGHT", "$BY_PASSPORT"):
            self.ann.sends(token, IMAGES, "401", retry=5)
            self.ann.sends(token, PROJECTS, "401", retry=5)
        ended = time.monotonic() - began
        self.proofs.add("one logout ends all three, at Glance too", ended)
        self.ann.types(ISSUE, into="TOKEN")
        back = self.ann.sends("$TOKEN", IMAGES, "200")
        self.proofs.add("a new login works at once", back.seconds)
