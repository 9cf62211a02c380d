"""The daemon's answer from its memory against a route that does nothing."""

from pathlib import Path

from benches.client import Request, to_daemon
from benches.samples import P50, Row, Series, Target, quantile, ratio
from benches.stage import Stage
from lab.services.alliance import Alliance

ROUNDS, SECONDS = 6, 1.2
CONNECTIONS = 16
TARGET = Target(0.8, "≥")


def measure(stage: Stage) -> list[Row]:
    token = stage.tokens(stage.guest, 1)[0]
    stage.sender.in_order([stage.asks_daemon(token, 60)]).all_are(200)
    return [
        _compare(
            stage,
            "cached answer / ping, kept-alive connections",
            stage.asks_daemon(token, 60),
            to_daemon(stage.daemon.socket, "GET", "/v1/ping"),
            f"POST /v1/tokens/validate against GET /v1/ping over {CONNECTIONS} connections to the "
            "unix socket, requests per second.",
            TARGET,
        ),
        _compare(
            stage,
            "the same, a connection for each question",
            stage.asks_daemon(token, 60, Connection="close"),
            to_daemon(stage.daemon.socket, "GET", "/v1/ping", {"Connection": "close"}),
            f"As the plugin asks, {CONNECTIONS} at a time.",
        ),
    ]


def _compare(
    stage: Stage, what: str, cached: Request, ping: Request, note: str, target=None
) -> Row:
    answers, pings = Series("cached answer", "/s"), Series("ping", "/s")
    spent: dict[str, list[float]] = {answers.what: [], pings.what: []}
    for _ in range(ROUNDS):
        for request, status, series in ((cached, 200, answers), (ping, 204, pings)):
            before = _worked(stage.daemon)
            sent = stage.sender.repeated([request], CONNECTIONS, SECONDS).all_are(status)
            worked = _worked(stage.daemon) - before
            series.add([sent.per_second])
            spent[series.what].append(worked * 1e6 / len(sent.statuses))
    cost, least = (quantile(values, P50) for values in spent.values())
    cpu = f" The daemon's own processor time: {cost:.1f} µs against {least:.1f} µs."
    return ratio(answers, pings, target, note + cpu, what=what)


def _worked(service: Alliance) -> float:
    """Seconds of processor time that a daemon has used."""
    tasks = Path(f"/proc/{service.process().pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
