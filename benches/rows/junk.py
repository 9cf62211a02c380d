"""A cloud's own users while strings that look like tokens pour in from the Internet."""

from benches.client import Request, to_cloud
from benches.samples import P99, Row, Series, Target, ratio
from benches.stage import Stage, junk

ROUNDS, SECONDS = 4, 5
LOCAL, JUNK, LITTLE = 40, 500, 50
CONNECTIONS = 64


def measure(stage: Stage) -> list[Row]:
    quiet, flooded = Series("no junk"), Series("foreign junk")
    rained = Series("some foreign junk")
    stock = Series("stock Keystone, junk")
    ours = stage.validates(stage.tokens(stage.native, 1)[0])
    stock_token = stage.stock.login_as("ann")
    theirs = to_cloud(
        "GET",
        f"{stage.stock.identity}/auth/tokens",
        {"X-Auth-Token": stage.stock.admin, "X-Subject-Token": stock_token},
    )
    answered: dict[str, list[float]] = {flooded.what: [], rained.what: [], stock.what: []}
    for _ in range(ROUNDS):
        quiet.add(_local(stage, ours))
        floods = (
            (flooded, JUNK, ours, stage.east.identity, stage.west.tag),
            (rained, LITTLE, ours, stage.east.identity, stage.west.tag),
            (stock, JUNK, theirs, stage.stock.identity, ""),
        )
        for series, rate, validation, identity, tag in floods:
            requests = [_use(identity, junk(tag)) for _ in range(rate * SECONDS)]
            with stage.sender.meanwhile(requests, rate, SECONDS, CONNECTIONS) as pouring:
                series.add(_local(stage, validation))
                refused = pouring.answers().all_are(401, 503)
                answered[series.what].append(refused.per_second)
    reached = {what: sum(rates) / ROUNDS for what, rates in answered.items()}
    return [
        ratio(
            flooded,
            quiet,
            Target(1.2),
            f"A service's validations at {LOCAL}/s, counted from when each was due. The junk is "
            f"GET /v3/auth/projects over at most {CONNECTIONS} connections; of {JUNK}/s due "
            f"{reached[flooded.what]:.0f}/s were answered.",
            P99,
            f"p99 of local validation, {JUNK}/s foreign junk / none",
        ),
        ratio(
            rained,
            quiet,
            None,
            f"A tenth of it; {reached[rained.what]:.0f}/s were answered.",
            P99,
            f"the same, {LITTLE}/s foreign junk / none",
        ),
        ratio(
            flooded,
            stock,
            None,
            f"The same flood, without a tag, at a stock Keystone: {reached[stock.what]:.0f}/s.",
            P99,
            f"p99 of local validation, {JUNK}/s foreign junk / stock's own",
        ),
    ]


def _use(identity: str, token: str) -> Request:
    return to_cloud("GET", f"{identity}/auth/projects", {"X-Auth-Token": token})


def _local(stage: Stage, validation: Request) -> list[float]:
    answers = stage.sender.at_rate([validation], LOCAL, SECONDS, CONNECTIONS).all_are(200)
    # The junk begins a little earlier or later: not the first half second.
    return answers.milliseconds[LOCAL // 2 :]
