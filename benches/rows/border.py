"""What a question to another cloud costs when that cloud is far away."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from benches.rows.start import serving
from benches.samples import P50, Row, Series, Target, figure, quantile
from benches.stage import Stage
from lab.state import write_secret
from tests.kit.proxy import Connection, Passed, Proxy
from tests.kit.waiting import until

ROUNDS, QUESTIONS = 6, 10
#: Milliseconds.
ROUND_TRIP = 50.0
#: Bytes of neither question nor answer, but of HTTP/2's own affairs.
SMALL = 200


def measure(stage: Stage) -> list[Row]:
    near, far = Series("hard validation without distance"), Series("hard validation, 50 ms away")
    away = Series("of it the distance as the proxy made it")
    own = Series("of it the issuer's own time")
    rest = Series("neither: the host's own time")
    trips = Series("round trips of a hard validation", "")
    token = stage.tokens(stage.guest, 1)[0]
    requests = [stage.asks_daemon(token, 0)] * (QUESTIONS + 1)
    with far_away(stage) as border:
        for _ in range(ROUNDS):
            border.delay = 0.0
            # The first may have to connect.
            without = stage.sender.in_order(requests).all_are(200).milliseconds[1:]
            border.delay = ROUND_TRIP / 1000 / 2
            before = {each: len(each.passed) for each in border.connections}
            took = stage.sender.in_order(requests).all_are(200).milliseconds[1:]
            passed = _exchanges(border, before)[1:]
            if len(passed) != len(took):
                # The daemons had something else to say to each other meanwhile.
                continue
            near.add(without)
            far.add(took)
            away.add([each.distance for each in passed])
            own.add([each.issuers for each in passed])
            rest.add([whole - each.distance - each.issuers for whole, each in zip(took, passed)])
            trips.add([(quantile(took, P50) - quantile(without, P50)) / ROUND_TRIP])
    assert rest.rounds, "no round was undisturbed"
    note = (
        "East's daemon asks west's on its warm connection (max_age 0), through a proxy that holds "
        f"each direction back for {ROUND_TRIP / 2:.0f} ms. The issuer's own time, that of west's "
        "daemon and Keystone, is from when the proxy hands on the question until it has the answer."
    )
    return [
        figure(far, note=note),
        figure(away),
        figure(own),
        figure(rest, Target(2), "The total without the two above: east's daemon, one round trip."),
        figure(trips, Target(1.1), "What distance adds to the median, in units of 50 ms."),
        figure(near, note="Through the same proxy, which then holds nothing back."),
    ]


@dataclass(frozen=True)
class Exchange:
    """A question and its answer as they passed the proxy, in milliseconds."""

    #: For which they were held back, together.
    distance: float
    issuers: float


def _exchanges(border: Proxy, before: dict[Connection, int]) -> list[Exchange]:
    """What passed since `before`, on that connection which has carried most of it."""
    since = [each.passed[before.get(each, 0) :] for each in border.connections]
    pairs: list[tuple[Passed, Passed]] = []
    question = None
    for passed in max(since, key=len):
        if passed.size < SMALL:
            continue
        if passed.sent:
            question = passed
        elif pairs and pairs[-1][0] is question:
            # A further part of the same answer.
            pairs[-1] = (question, passed)
        elif question:
            pairs.append((question, passed))
    return [_exchange(*pair) for pair in pairs]


def _exchange(question: Passed, answer: Passed) -> Exchange:
    held = question.left - question.arrived + answer.left - answer.arrived
    return Exchange(held * 1000, (answer.arrived - question.left) * 1000)


@contextlib.contextmanager
def far_away(stage: Stage):
    """West's daemon says that it is reached at a proxy, and east goes there."""
    service = stage.home_daemon
    with Proxy(service.port) as border:
        ours = f'url = "https://127.0.0.1:{service.port}"'
        theirs = f'url = "https://127.0.0.1:{border.port}"'
        configuration = service.folder / "far.toml"
        write_secret(configuration, service.configuration.read_text().replace(ours, theirs))
        try:
            with stage.west.stopped("alliance"), serving(service, configuration):
                _follow(stage, border.port)
                yield border
        finally:
            # While the proxy is there: where west has gone, east learns where it was.
            border.delay = 0.0
            _follow(stage, service.port)


def _follow(stage: Stage, port: int) -> None:
    def follows() -> bool:
        stage.east.alliance("partner", "repair", "west")
        told = stage.east.told("partner", "show", "west")
        return told["peer_url"].rstrip("/").endswith(f":{port}")

    until(follows, f"east reaches west at port {port}", deadline=40)
