"""Tokens of every format, a cloud without Alliance, and a home that is away."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from demo import clouds
from demo.clouds import lab
from demo.proofs import Proofs
from demo.terminal import IMAGES, PROJECTS, Terminal, chapter, say

LOGIN = "openstack token issue -f value -c id"
LISTING = "openstack --os-region-name east image list -f value -c Name"
ASKED, READ = "by asking the partner", "by signature and revocation list"
#: What west's Keystone issues in turn, and how east decides.
FORMATS = {"fernet": ASKED, "uuid": ASKED, "jws": READ, "pkiz": READ, "pki": READ}
#: Seconds within which daemons notice: east's, what west has revoked and that it is back; west's,
#: after a start, what its own catalog has.
SOON = 30


@dataclass
class Formats:
    """The chapters about them."""

    east: Terminal
    ann: Terminal
    proofs: Proofs

    def tell(self) -> None:
        self.every_format()
        self.plain_keystone()
        self.home_away()

    def every_format(self) -> None:
        chapter(
            "Every kind of token",
            "West's Keystone issues one format after the other; ann logs in and uses east.",
            "uuid, pkiz and pki are made by a package for labs: no Keystone of today has them.",
        )
        self.east.types("alliance partner repair west | grep '^  Keystone  '", shows=("enabled",))
        for token_format, how in FORMATS.items():
            say()
            lab("up", "--unpaired", f"west={token_format}")
            self.ann.types(LOGIN, into="TOKEN")
            listed = self.ann.types(LISTING, shows=("east-tides",))
            self.explained(token_format, self.ann.variables["TOKEN"], how)
            decided = "east asks west" if how == ASKED else "east verifies the signature"
            self.proofs.add(f"west issues {token_format}: {decided}", listed.seconds)
            if token_format == "fernet":
                say("   She logs in once more, and keeps that token for later.")
                self.ann.types(LOGIN, into="KEPT")

    def explained(self, token_format: str, token: str, how: str) -> None:
        """East's operator looks at what a token is, and at how it is judged."""
        self.east.variables["TOKEN"] = token
        rows = "grep -E '^  (format|tag|length|roles|signer a)'"
        shows = (f"{token_format}\n", str(len(token)))
        self.east.types(f'alliance token inspect - <<< "$TOKEN" | {rows}', shows=shows)
        rows = "grep -E '^  (answer|decided|steps)'"
        ask = f'alliance token validate - <<< "$TOKEN" | {rows}'
        self.east.types(ask, shows=("valid\n", how), retry=SOON)

    def plain_keystone(self) -> None:
        chapter(
            "A cloud without Alliance",
            "north is a stock Keystone with UUID tokens: no plugin, no daemon. Its operator made a",
            "service user for east, whose password east's operator has in a file.",
        )
        lab("up", "--unpaired", "--services", "glance", "north=plain:uuid")
        ann = Terminal("ann@north", "north", "ann")
        file = Path(os.environ["ALLIANCE_LAB"]) / "north.password"
        file.touch(mode=0o600)
        file.write_text(clouds.password("north", "alliance"))
        self.east.variables["NORTH"] = ann.variables["OS_AUTH_URL"]
        began = time.monotonic()
        adding = self.east.opens(
            "alliance partner add-keystone north --auth-url $NORTH --username alliance"
            " --password-file $ALLIANCE_LAB/north.password --token-format uuid"
        )
        adding.until(r"\[y/N\]")
        adding.answers("y")
        adding.ends_well()
        self.proofs.add("a plain Keystone is a partner by one command", time.monotonic() - began)
        create = "alliance agreement create north --project science --role member"
        rows = "grep -E '^  (project|roles|state) '"
        self.east.types(f"{create} | {rows}", shows=("science", "member", "live"))
        ann.types(LOGIN, into="TOKEN")
        ann.variables["EAST"] = self.ann.variables["EAST"]
        say("   North's catalog knows no east: ann names its Keystone, and the project there.")
        at_east = ann.without("OS_")
        at_east.types(
            "export OS_AUTH_TYPE=v3token OS_TOKEN=$TOKEN OS_AUTH_URL=$EAST"
            " OS_PROJECT_NAME=science@Default OS_PROJECT_DOMAIN_NAME=north"
        )
        at_east.variables |= {
            "OS_AUTH_TYPE": "v3token",
            "OS_TOKEN": ann.variables["TOKEN"],
            "OS_AUTH_URL": ann.variables["EAST"],
            "OS_PROJECT_NAME": "science@Default",
            "OS_PROJECT_DOMAIN_NAME": "north",
        }
        create = "openstack image create -f value -c name -c status"
        upload = f"{create} --file $ALLIANCE_LAB/tides.img --disk-format raw north-tides"
        at_east.types(upload, shows=("active",))
        names = "openstack image list -f value -c Name"
        listed = at_east.types(names, shows=("north-tides",), hides=("east-tides",))
        self.explained("uuid", ann.variables["TOKEN"], ASKED)
        self.proofs.add("its user's token opens east's images", listed.seconds)

    def home_away(self) -> None:
        chapter(
            "Home is away",
            "Ann logs in at west. East has seen neither this PKI token nor the Fernet one that she",
            "kept. Then west's Keystone and its daemon stop.",
        )
        self.ann.types(LOGIN, into="TOKEN")
        lab("down", "west", "keystone", "alliance")
        served = self.ann.sends("$TOKEN", IMAGES, "200")
        self.proofs.add("with west down, a PKI token still opens east", served.seconds)
        refused = self.ann.sends("$KEPT", PROJECTS, "503")
        self.east.variables["TOKEN"] = self.ann.variables["KEPT"]
        ask = 'alliance token validate - <<< "$TOKEN"'
        self.east.types(ask, ends="badly", shows=("indeterminate", "unreachable"))
        self.proofs.add("a Fernet token is neither valid nor invalid then", refused.seconds)
        began = time.monotonic()
        lab("up", "--unpaired", "west=fernet")
        self.ann.sends("$KEPT", PROJECTS, "200", retry=SOON)
        self.ann.sends("$TOKEN", IMAGES, "200")
        self.ann.types(LISTING, shows=("east-tides",), retry=SOON)
        self.proofs.add("west is back, and all of it works again", time.monotonic() - began)
