"""Answers from memory, in process, by how many tokens are live."""

from __future__ import annotations

from benches import programs
from benches.samples import Row, Series, Target, figure, ratio
from benches.stage import Stage

FEW, MANY = 100_000, 1_000_000
ROUNDS, SECONDS = 5, 0.4
QUANTILES = ("p50", "p99", "p99.9")
MEMORY = Target(400)


def measure(stage: Stage) -> list[Row]:
    token = stage.tokens(stage.guest, 1)[0]
    sample = {"token": token, "passport": stage.told_by_daemon(token)["passport"]}
    speed = programs.told(
        stage.programs / "inside-answers",
        *("--tokens", FEW, "--tokens", MANY, "--rounds", ROUNDS, "--seconds", SECONDS),
        stdin=sample,
    )
    return [*_memory(stage, sample), *_most(speed), *_at_load(speed)]


def _memory(stage: Stage, sample: dict) -> list[Row]:
    rows = []
    for count in (FEW, MANY):
        told = programs.told(stage.programs / "inside-memory", "--tokens", count, stdin=sample)
        per_token = (told["counted"] / count - told["passport"], told["resident"] / count)
        remembered = told["remembered"] / count
        series = Series(f"memory for each of {count:,} answers, beside the passport", "B")
        series.add([per_token[0]])
        note = (
            f"As asked of the allocator. A passport is {told['passport']} bytes; with it, and as "
            f"the kernel sees it, {per_token[1]:,.0f} B. {remembered:.2%} are remembered."
        )
        rows.append(figure(series, MEMORY, note))
    return rows


def _most(speed: list[dict]) -> list[Row]:
    def series(tokens: int, threads: int) -> Series:
        return _series(speed, tokens, threads, "/s", lambda told: told["most"])

    rows = [
        ratio(
            series(MANY, threads),
            series(FEW, threads),
            what=f"answers from memory, {threads} thread{'s'[: threads - 1]}, {MANY:,} / {FEW:,}",
        )
        for threads in (1, 2)
    ]
    note = (
        "In process: a token's string recognised and hashed, its answer found, agreements "
        "consulted; no socket, HTTP and JSON. Tokens at random."
    )
    both = (series(MANY, 2), series(MANY, 1))
    return [*rows, ratio(*both, note=note, what=f"the same, {MANY:,}, 2 threads / 1")]


def _at_load(speed: list[dict]) -> list[Row]:
    rows = []
    for threads in (1, 2):
        for at, quantile in enumerate(QUANTILES):
            pair = [
                _series(speed, tokens, threads, "µs", lambda told, at=at: told["took"][at])
                for tokens in (MANY, FEW)
            ]
            note = "Due at random times, counted from then." if not rows else ""
            what = f"{quantile} at 80 % of that, {threads} thread{'s'[: threads - 1]}"
            rows.append(ratio(*pair, note=note, what=f"{what}, {MANY:,} / {FEW:,}"))
    return rows


def _series(speed: list[dict], tokens: int, threads: int, unit: str, of) -> Series:
    series = Series(f"{tokens:,} tokens", unit)
    for told in speed:
        if (told["tokens"], told["threads"]) == (tokens, threads):
            series.add([of(told)])
    return series
