"""The daemon's answer from its memory against a route that does nothing."""

from benches.client import to_daemon
from benches.samples import Row, Series, Target, ratio
from benches.stage import Stage

ROUNDS, SECONDS = 6, 1.5
CONNECTIONS = 16


def measure(stage: Stage) -> list[Row]:
    token = stage.tokens(stage.guest, 1)[0]
    cached = stage.asks_daemon(token, 60)
    ping = to_daemon(stage.daemon.socket, "GET", "/v1/ping")
    stage.sender.in_order([cached]).all_are(200)
    rates = Series("daemon's cached answer", "/s"), Series("ping", "/s")
    single = Series("the same, one connection"), Series("ping")
    asked = stage.questions()
    for _ in range(ROUNDS):
        for request, status, series in ((cached, 200, rates[0]), (ping, 204, rates[1])):
            answers = stage.sender.repeated([request], CONNECTIONS, SECONDS).all_are(status)
            series.add([answers.per_second])
        took = stage.sender.in_order([cached, ping] * 500).all_are(200, 204).milliseconds
        single[0].add(took[0::2])
        single[1].add(took[1::2])
    note = (
        f"POST /v1/tokens/validate against GET /v1/ping over {CONNECTIONS} kept-alive connections "
        f"to the unix socket; the issuer was asked {stage.questions() - asked} times meanwhile."
    )
    return [
        ratio(*rates, Target(0.8, "≥"), note),
        ratio(*single, note="Time, not rate: more is slower."),
    ]
