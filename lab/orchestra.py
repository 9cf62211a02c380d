"""Starts and stops the services of several clouds at once, each as soon as it can."""

import concurrent.futures
import threading
import time

from lab import identity
from lab.errors import LabError
from lab.services import services_of
from lab.services.service import Service
from lab.state import Cloud


def start(clouds: list[Cloud]) -> None:
    """Starts what does not run. If anything fails, all that this call started is stopped again."""
    cancelled, started = threading.Event(), []
    lanes = [services_of(cloud) for cloud in clouds]
    width = sum(map(len, lanes))
    with concurrent.futures.ThreadPoolExecutor(max_workers=width) as pool:
        futures = []
        for services in lanes:
            ready: dict[str, concurrent.futures.Future] = {}
            for service in services:
                awaited = [ready[name] for name in service.after if name in ready]
                ready[service.name] = pool.submit(
                    _start_one, service, services, awaited, cancelled, started
                )
            futures += ready.values()
        try:
            for future in concurrent.futures.as_completed(futures):
                future.result()
        except BaseException:
            cancelled.set()
            concurrent.futures.wait(futures)
            stop_all(started)
            raise


def _start_one(service: Service, services: list, awaited: list, cancelled, started: list) -> None:
    for future in awaited:
        future.result()
    if cancelled.is_set():
        raise LabError("interrupted")
    began, running = time.monotonic(), service.process()
    if not running:
        started.append(service)
        service.start(cancelled)
    if service.name == ("haproxy" if service.cloud.ha else "keystone"):
        identity.populate(service.cloud, services)
    tell(service, "running" if running else f"ready after {time.monotonic() - began:.1f} s")


def tell(service: Service, what: str) -> None:
    port = f"port {service.port}" if service.ports else ""
    # One write, since several threads tell at once.
    line = f"{service.cloud.name:<8} {service.name:<10} {what:<18} {port}".rstrip()
    print(line + "\n", end="", flush=True)


def stop_all(services: list[Service]) -> int:
    """Stops them all, each when those that need it have ended; returns how many ran."""
    if not services:
        return 0
    stopping: dict[tuple[Cloud, str], concurrent.futures.Future] = {}

    def stop(service: Service, first: list[concurrent.futures.Future]) -> bool:
        for future in first:
            future.result()
        return service.stop()

    with concurrent.futures.ThreadPoolExecutor(max_workers=len(services)) as pool:
        # A cloud lists what is needed before what needs it.
        for service in reversed(services):
            first = [
                stopping[other.cloud, other.name]
                for other in services
                if other.cloud is service.cloud
                and service.name in other.after
                and (other.cloud, other.name) in stopping
            ]
            stopping[service.cloud, service.name] = pool.submit(stop, service, first)
        return sum(future.result() for future in stopping.values())
