"""The commands lab/up, lab/down, lab/status, lab/logs, lab/env and lab/venv."""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import dataclasses
import json
import os
import shutil
import signal
import sys
from pathlib import Path

from lab import binary, clients, orchestra, packages, pairing, words
from lab.cache import Environment
from lab.errors import LabError
from lab.services import named, services_of
from lab.services.alliance import Alliance
from lab.services.service import Service
from lab.state import KEYSTONES, PARTS, Cloud, Lab
from lab.words import PROVIDERS, Setting, Wish

DEFAULT_CLOUDS = ("west", "east")


def main(command) -> None:
    """Runs one command; what a person can mend ends as one message and status 1."""
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        sys.exit(command(sys.argv[1:]))
    except LabError as error:
        sys.exit(f"lab: {error}")
    except KeyboardInterrupt:
        print("lab: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader has gone, as in `lab/logs west keystone | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _interrupt(*_) -> None:
    raise KeyboardInterrupt


def up(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="lab/up",
        description="Starts the clouds of the lab, or adds further ones, and pairs them.",
    )
    parser.add_argument(
        "clouds",
        nargs="*",
        metavar="CLOUD[=KIND]",
        help="KIND: a token provider, plain (a stock cloud) or plain:PROVIDER; default: west east",
    )
    parser.add_argument("--unpaired", action="store_true", help="leave the clouds strangers")
    parser.add_argument(
        "--without-alliance",
        action="store_true",
        help="=plain for each: no plugin, no daemon (fixed when a cloud is made)",
    )
    parser.add_argument(
        "--ha",
        action="store_true",
        help="new clouds have three nodes, each a Keystone and a daemon, on one MariaDB behind an "
        "HAProxy",
    )
    parser.add_argument(
        "--galera",
        action="store_true",
        help="as --ha, and MariaDB is a Galera cluster of three; scripts/prerequisites galera "
        "installs it",
    )
    parser.add_argument(
        "--services",
        metavar="NAME,…",
        help=f"which of {', '.join(PARTS)} new clouds have, with what these need; default: all",
    )
    parser.add_argument(
        "--keystone",
        action="append",
        default=[],
        metavar="[CLOUD=]RELEASE",
        help=f"Keystone of new clouds, or of that one: {', '.join(KEYSTONES)}; default: the first",
    )
    parser.add_argument(
        "--token-provider",
        choices=PROVIDERS,
        help="what makes the own tokens of clouds that do not say it, fernet when they are made",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SERVICE.SECTION.OPTION=VALUE",
        help="an option in the configuration of keystone or alliance at these clouds; "
        "without VALUE: as the lab has it",
    )
    options = parser.parse_args(argv)
    lab = Lab()
    lab.folder.parent.mkdir(parents=True, exist_ok=True)
    with lab.locked():
        lab = Lab()
        changed = _granted(lab, options)
        clouds = list(changed)
        _make_software(lab)
        orchestra.stop_all([service for services in changed.values() for service in services])
        for cloud in clouds:
            _choose_ports(cloud)
            secrets = [secret for service in services_of(cloud) for secret in service.secrets]
            cloud.choose_passwords([*clients.users(cloud), *secrets])
            clients.link_openstack(cloud.sub("bin"))
        lab.save()
        clients.write_clouds_yaml(lab)
        orchestra.start(clouds)
        running = [cloud for cloud in lab.clouds.values() if cloud.alliance]
        running = [cloud for cloud in running if Alliance(cloud).process()]
        if not options.unpaired:
            pairing.pair_all(running)
    print(f'lab in {lab.folder}; now: eval "$(lab/env {clouds[0].name})"')
    return 0


def _granted(lab: Lab, options) -> dict[Cloud, list[Service]]:
    """The clouds that are meant, as they are to be; of each, what must start anew for that."""
    meant = options.clouds or list(lab.clouds) or DEFAULT_CLOUDS
    services = words.services(options.services) if options.services else None
    settings = [Setting.parse(word) for word in options.set]
    releases = words.keystone_releases(options.keystone)
    wishes = [Wish.parse(word) for word in dict.fromkeys(meant)]
    strangers = {*releases} - {None, *(wish.name for wish in wishes)}
    if strangers:
        raise LabError(f"--keystone names {min(strangers)!r}, which is not brought up")
    changed: dict[Cloud, list[Service]] = {}
    for wish in wishes:
        wish = dataclasses.replace(
            wish,
            plain=wish.plain or options.without_alliance,
            token_provider=wish.token_provider or options.token_provider,
            services=services,
            keystone_release=releases.get(wish.name) or releases.get(None),
            ha=options.ha or options.galera,
            galera=options.galera,
        )
        cloud, other = wish.grant(lab)
        names = ["keystone"] if other else []
        names += [setting.service for setting in settings if setting.grant(cloud)]
        changed[cloud] = _named(cloud, names)
    return changed


def _make_software(lab: Lab) -> None:
    """Whatever a start needs and this checkout makes. Repeating it is cheap."""
    missing = [name for name in ("memcached", "openssl") if not shutil.which(name)]
    if missing:
        raise LabError(f"not installed: {', '.join(missing)}: run scripts/prerequisites")
    services = [service for cloud in lab.clouds.values() for service in services_of(cloud)]
    needed = [service.environment_name for service in services if service.environment_name]
    for name in dict.fromkeys([*needed, "client"]):
        Environment(name).ensure()
    clients.link_openstack(lab.folder / "_bin")
    clouds = lab.clouds.values()
    for package in {package for cloud in clouds for package in packages.needed(cloud)}:
        package.install(lab)
    if any(cloud.alliance for cloud in clouds):
        binary.build(lab)


def _choose_ports(cloud: Cloud) -> None:
    services = services_of(cloud)
    running = [service for service in services if service.process()]
    for service in services:
        before = [cloud.ports.get(name) for name in service.ports]
        if service not in running:
            service.stop()  # its leader may have left others behind, which hold its port
            for name in service.ports:
                cloud.choose_port(name)
        moved = before != [cloud.ports[name] for name in service.ports]
        if moved and any(before) and any(service.name in other.after for other in running):
            raise LabError(
                f"port {before[0]} of {cloud.name} {service.name} is taken by another program, "
                f"and running services use it: lab/down {cloud.name}, then lab/up {cloud.name}"
            )


def down(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="lab/down", description="Ends what lab/up started; the data stay."
    )
    parser.add_argument("cloud", nargs="?", metavar="CLOUD", help="only this cloud")
    parser.add_argument("services", nargs="*", metavar="SERVICE", help="only these of its services")
    parser.add_argument("--purge", action="store_true", help="remove the data as well")
    options = parser.parse_args(argv)
    if options.purge and options.cloud:
        raise LabError("lab/down --purge removes the whole lab: name no cloud")
    lab = Lab()
    if not lab.exists():
        print(f"no lab in {lab.folder}")
        return 0
    with lab.locked():
        lab = Lab()
        ended = orchestra.stop_all(_selected(lab, options.cloud, options.services))
        print(f"{ended} services ended")
        if options.purge:
            shutil.rmtree(lab.folder)
            print(f"{lab.folder} removed")
    return 0


def restart(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="lab/restart",
        description="Ends services of a cloud and starts them anew with today's plugin and binary.",
    )
    parser.add_argument("cloud", metavar="CLOUD")
    parser.add_argument("services", nargs="*", metavar="SERVICE", help="default: all")
    options = parser.parse_args(argv)
    lab = Lab()
    _selected(lab, options.cloud, options.services)
    with lab.locked():
        _make_software(lab)  # before the old ones end: it can take minutes
    down([options.cloud, *options.services])
    return up(["--unpaired", options.cloud])


def _selected(lab: Lab, cloud: str | None, names: list[str]) -> list[Service]:
    clouds = [lab.cloud(cloud)] if cloud else lab.clouds.values()
    services = [service for each in clouds for service in services_of(each)]
    return _named(lab.cloud(cloud), names) if names else services


def _named(cloud: Cloud, names: list[str]) -> list[Service]:
    found = [service for name in names for service in named(cloud, name)]
    return list({service.name: service for service in found}.values())


def status(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="lab/status", description="Shows what runs. Status 0 when all of it is healthy."
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")
    options = parser.parse_args(argv)
    lab = Lab()
    services = [service for cloud in lab.clouds.values() for service in services_of(cloud)]
    if not services:
        raise LabError(f"no lab in {lab.folder}: lab/up makes one")
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(services)) as pool:
        rows = list(pool.map(_row, services))
        paired = dict(zip(lab.clouds, pool.map(_partners, lab.clouds.values())))
    if options.format == "json":
        kinds = {
            name: {
                "alliance": cloud.alliance,
                "nodes": len(cloud.nodes),
                "keystone": cloud.keystone_release,
                "token_provider": cloud.token_provider,
            }
            for name, cloud in lab.clouds.items()
        }
        told = {"lab": str(lab.folder), "clouds": kinds, "services": rows, "partners": paired}
        print(json.dumps(told, indent=1))
    else:
        print(f"lab in {lab.folder}")
        print(f"{'CLOUD':<15} {'SERVICE':<10} {'PID':>8} {'PORT':>6} {'UP':>8}  HEALTH")
        for row in rows:
            since = f"{row['seconds']:.0f} s" if row["pid"] else "-"
            print(
                f"{row['cloud']:<15} {row['service']:<10} {row['pid'] or '-':>8} "
                f"{row['port'] or '-':>6} {since:>8}  {row['health']}"
            )
        for name, known in paired.items():
            cloud = lab.clouds[name]
            told = [] if cloud.alliance else ["plain"]
            told += [f"{len(cloud.nodes)} nodes"] if cloud.ha else []
            told += [f"Keystone {cloud.keystone_release}", f"{cloud.token_provider} tokens"]
            told += [" ".join(partner) for partner in (known or {}).items()]
            print(f"{name}: " + ", ".join(told))
    return 0 if all(row["health"] == "ok" for row in rows) else 1


def _row(service: Service) -> dict:
    process = service.process()
    health = "stopped" if not process else "ok" if service.healthy() else "no answer"
    return {
        "cloud": service.cloud.name,
        "service": service.name,
        "pid": process.pid if process else None,
        "port": service.port if service.ports else None,
        "seconds": round(process.uptime(), 1) if process else None,
        "health": health,
        "log": str(service.log),
    }


def _partners(cloud: Cloud) -> dict[str, str] | None:
    """Name and status of each partner, None when the daemon does not tell."""
    daemon = Alliance(cloud)
    if not cloud.alliance or not daemon.process():
        return None
    with contextlib.suppress(LabError, ValueError):
        return {each["name"]: each["status"] for each in daemon.ask("partner", "list", timeout=5)}
    return None


def logs(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="lab/logs", description="Prints the log of a service.")
    parser.add_argument("cloud", metavar="CLOUD")
    parser.add_argument("service", metavar="SERVICE")
    parser.add_argument("-f", "--follow", action="store_true", help="and what comes")
    parser.add_argument("-n", "--lines", type=int, help="only the last N lines")
    parser.add_argument("--access", action="store_true", help="the requests instead")
    options = parser.parse_args(argv)
    log = named(Lab().cloud(options.cloud), options.service)[0].log
    if options.access:
        log = log.with_suffix(".access.log")
    if not log.is_file():
        raise LabError(f"nothing logged yet: {log} is not there")
    lines = f"--lines={options.lines}" if options.lines is not None else "--lines=+1"
    sys.stdout.flush()
    os.execvp("tail", ["tail", lines, *(["--follow"] if options.follow else []), str(log)])


def env(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="lab/env", description='Prints export lines: eval "$(lab/env west ann)"'
    )
    parser.add_argument(
        "cloud", nargs="?", metavar="CLOUD", help="without: what `openstack --os-cloud …` needs"
    )
    parser.add_argument("user", nargs="?", metavar="USER", default="admin", help="default: admin")
    parser.add_argument("project", nargs="?", metavar="PROJECT", help="default: the user's first")
    options = parser.parse_args(argv)
    lab = Lab()
    if options.cloud:
        found = clients.variables(lab.cloud(options.cloud), options.user, options.project)
    else:
        found = clients.of_the_lab(lab, lab.folder / "_bin")
    print(clients.shell(found), end="")
    return 0


def venv(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="lab/venv",
        description="Makes a cached Python environment if need be and prints its folder.",
    )
    parser.add_argument("name", metavar="NAME", help="keystone, keystone22, services or client")
    with contextlib.redirect_stdout(sys.stderr):
        path: Path = Environment(parser.parse_args(argv).name).ensure().path
    print(path)
    return 0
