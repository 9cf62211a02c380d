"""Cloud's own users while strings that look like tokens pour in from the Internet."""

from benches.client import Request, to_cloud
from benches.samples import P99, Row, Series, Target, ratio
from benches.stage import Stage, junk

ROUNDS, SECONDS = 4, 5
LOCAL, JUNK = 40, 500
CONNECTIONS = 64


def measure(stage: Stage) -> list[Row]:
    quiet = Series("local validation without junk")
    foreign = Series(f"local validation, {JUNK}/s foreign junk")
    own = Series(f"local validation, {JUNK}/s junk without a tag")
    achieved: dict[str, list[float]] = {foreign.what: [], own.what: []}
    validation = stage.validates(stage.tokens(stage.native, 1)[0])
    for _ in range(ROUNDS):
        for series, tag in ((quiet, None), (foreign, stage.west.tag), (own, "")):
            if tag is None:
                series.add(_local(stage, validation))
                continue
            requests = [_use(stage, junk(tag)) for _ in range(JUNK * SECONDS)]
            with stage.sender.meanwhile(requests, JUNK, SECONDS, CONNECTIONS) as pouring:
                series.add(_local(stage, validation))
                answers = pouring.answers().all_are(401, 503)
                achieved[series.what].append(answers.per_second)
    rates = {what: sum(rates) / len(rates) for what, rates in achieved.items()}
    note = (
        f"p99 of a service's validations at {LOCAL}/s, counted from when each was due. Junk: "
        f"GET /v3/auth/projects, {JUNK}/s due over at most {CONNECTIONS} connections, "
        "{:.0f}/s answered: "
    )
    return [
        ratio(
            foreign,
            quiet,
            Target(1.2),
            note.format(rates[foreign.what]) + "the processors are busy with it.",
            P99,
            f"p99 of local validation, {JUNK}/s foreign junk / none",
        ),
        ratio(
            own,
            quiet,
            None,
            note.format(rates[own.what]) + "what the same flood costs without Alliance's part.",
            P99,
            f"p99 of local validation, {JUNK}/s untagged junk / none",
        ),
        ratio(
            foreign,
            own,
            None,
            "",
            P99,
            "p99 of local validation, foreign junk / untagged junk",
        ),
    ]


def _use(stage: Stage, token: str) -> Request:
    return to_cloud("GET", f"{stage.east.identity}/auth/projects", {"X-Auth-Token": token})


def _local(stage: Stage, validation: Request) -> list[float]:
    answers = stage.sender.at_rate([validation], LOCAL, SECONDS, CONNECTIONS).all_are(200)
    # The junk begins a little earlier or later: not the first half second.
    return answers.milliseconds[LOCAL // 2 :]
