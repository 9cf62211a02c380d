"""Words of `lab/up` that say how a cloud is made: `west=pkiz`, `north=plain:uuid`, `--set …`."""

from __future__ import annotations

import json
from dataclasses import dataclass

from lab.errors import LabError
from lab.state import KEYSTONES, PARTS, RETIRED, TODAYS, Cloud, Lab

PLAIN = "plain"
PROVIDERS = TODAYS + RETIRED
#: Services whose configuration files take settings.
SETTABLE = ("keystone", "alliance")


@dataclass(frozen=True)
class Wish:
    """What one word says of a cloud; None: nothing."""

    name: str
    plain: bool = False
    token_provider: str | None = None
    services: tuple[str, ...] | None = None
    keystone_release: str | None = None
    ha: bool = False
    galera: bool = False

    @classmethod
    def parse(cls, word: str) -> Wish:
        name, _, kind = word.partition("=")
        plain = kind == PLAIN or kind.startswith(f"{PLAIN}:")
        provider = kind.removeprefix(PLAIN).removeprefix(":") if plain else kind
        if word not in (name, f"{name}={PLAIN}") and provider not in PROVIDERS:
            raise LabError(
                f"{word!r}: say CLOUD, CLOUD=PROVIDER, CLOUD={PLAIN} or CLOUD={PLAIN}:PROVIDER, "
                f"where PROVIDER is one of {', '.join(PROVIDERS)}"
            )
        return cls(name, plain, provider or None)

    def grant(self, lab: Lab) -> tuple[Cloud, bool]:
        """The cloud as wished for, and whether its token provider is another now."""
        services = self.services or tuple(PARTS)
        if self.ha and self.plain:
            raise LabError(f"{self.name}: a stock cloud has one node, --ha needs Alliance")
        cloud = lab.add(
            self.name, not self.plain, services, self.keystone_release, self.ha, self.galera
        )
        if self.services and {*self.services} != {*cloud.services}:
            raise LabError(
                f"{cloud.name} was made with {','.join(cloud.services)}: choose another name, or "
                "another folder with ALLIANCE_LAB, or lab/down --purge first"
            )
        if self.keystone_release not in (None, cloud.keystone_release):
            raise LabError(
                f"{cloud.name} was made with Keystone {cloud.keystone_release}: choose another "
                "name, or another folder with ALLIANCE_LAB, or lab/down --purge first"
            )
        if self.ha and not cloud.ha:
            raise LabError(
                f"{cloud.name} was made with one node: choose another name, or another folder with "
                "ALLIANCE_LAB, or lab/down --purge first"
            )
        if self.galera and not cloud.galera:
            raise LabError(
                f"{cloud.name} was made with one MariaDB: choose another name, or another folder "
                "with ALLIANCE_LAB, or lab/down --purge first"
            )
        if self.plain and cloud.alliance:
            raise LabError(
                f"{cloud.name} was made with Alliance: choose another name, or another folder with "
                "ALLIANCE_LAB, or lab/down --purge first"
            )
        before = cloud.token_provider
        cloud.token_provider = self.token_provider or before
        return cloud, cloud.token_provider != before


@dataclass(frozen=True)
class Setting:
    """One option of a configuration file. Value None: as the lab has it."""

    service: str
    section: str
    option: str
    value: object

    @classmethod
    def parse(cls, word: str) -> Setting:
        path, equals, text = word.partition("=")
        parts = path.split(".")
        if not equals or len(parts) != 3 or parts[0] not in SETTABLE:
            raise LabError(
                f"{word!r}: say SERVICE.SECTION.OPTION=VALUE, where SERVICE is one of "
                f"{', '.join(SETTABLE)}"
            )
        try:
            value = json.loads(text) if text else None
        except ValueError:
            value = text
        return cls(*parts, value)

    def grant(self, cloud: Cloud) -> bool:
        """Whether that changes anything at this cloud."""
        section = cloud.settings.setdefault(self.service, {}).setdefault(self.section, {})
        before = section.get(self.option)
        if self.value is None:
            section.pop(self.option, None)
        else:
            section[self.option] = self.value
        return before != self.value


def services(words: str) -> tuple[str, ...]:
    """Those of `--services`; Keystone is always one."""
    named = tuple(dict.fromkeys(["keystone", *words.split(",")]))
    unknown = [name for name in named if name not in PARTS]
    if unknown:
        raise LabError(f"no service {unknown[0]!r}: there are {', '.join(PARTS)}")
    return named


def keystone_releases(words: list[str]) -> dict[str | None, str]:
    """What `--keystone RELEASE` and `--keystone CLOUD=RELEASE` say: the release of each cloud, that
    of all others under None."""
    said: dict[str | None, str] = {}
    for word in words:
        name, equals, release = word.rpartition("=")
        if release not in KEYSTONES or bool(name) != bool(equals):
            raise LabError(
                f"{word!r}: say RELEASE or CLOUD=RELEASE, where RELEASE is one of "
                f"{', '.join(KEYSTONES)}"
            )
        said[name or None] = release
    return said
