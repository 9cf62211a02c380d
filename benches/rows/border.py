"""What a question to another cloud costs when that cloud is far away."""

from __future__ import annotations

import asyncio
import contextlib
import threading

from benches.rows.start import serving
from benches.samples import P50, Row, Series, Target, figure
from benches.stage import Stage
from lab.state import write_secret
from tests.kit.waiting import until

ROUNDS, QUESTIONS = 6, 10
ROUND_TRIP = 0.05


def measure(stage: Stage) -> list[Row]:
    near, far = Series("hard validation"), Series("hard validation, far")
    trips = Series(f"round trips of a hard validation, {ROUND_TRIP * 1000:.0f} ms each", "")
    token = stage.tokens(stage.guest, 1)[0]
    requests = [stage.asks_daemon(token, 0)] * (QUESTIONS + 1)
    with _far_away(stage) as border:
        for _ in range(ROUNDS):
            for series, delay in ((near, 0), (far, ROUND_TRIP / 2)):
                border.delay = delay
                # The first may have to connect.
                series.add(stage.sender.in_order(requests).all_are(200).milliseconds[1:])
    for a, b in zip(far.rounds, near.rounds):
        trips.add([(Series("", "", [a]).at(P50) - Series("", "", [b]).at(P50)) / 1000 / ROUND_TRIP])
    note = (
        "East's daemon asks west's on its warm connection (max_age 0), through a proxy that holds "
        f"each direction back for {ROUND_TRIP * 500:.0f} ms or not at all."
    )
    return [
        figure(trips, Target(1.1), note),
        figure(near, note="Without the distance: both daemons, west's Keystone, two signatures."),
    ]


@contextlib.contextmanager
def _far_away(stage: Stage):
    """West's daemon says that it is reached at a proxy, and east goes there."""
    service = stage.home_daemon
    with Border(service.port) as border:
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


class Border:
    """A TCP proxy that hands everything on `delay` seconds later."""

    def __init__(self, to: int):
        self._to, self.delay = to, 0.0
        self._loop, self.port = asyncio.new_event_loop(), 0

    def __enter__(self) -> Border:
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port = self._run(self._listen())
        return self

    def __exit__(self, *_) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connected(self, reader, writer) -> None:
        there = await asyncio.open_connection("127.0.0.1", self._to)
        await asyncio.gather(self._hand_on(reader, there[1]), self._hand_on(there[0], writer))

    async def _hand_on(self, reader, writer) -> None:
        due = 0.0
        with contextlib.suppress(OSError), contextlib.closing(writer):
            while content := await reader.read(65536):
                # Nothing overtakes what came before it, also when the delay has just become less.
                due = max(due + 1e-6, self._loop.time() + self.delay)
                self._loop.call_at(due, _write, writer, content)


def _write(writer, content: bytes) -> None:
    if not writer.is_closing():
        writer.write(content)
