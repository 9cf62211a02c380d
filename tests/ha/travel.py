"""Users of west who work at east without pause, and others who come, log out and must be gone."""

from __future__ import annotations

import concurrent.futures
import contextlib
import random
import threading
import time
from dataclasses import dataclass, field

from tests.ha.instances import BACK, answer_at
from tests.kit import http
from tests.kit.waiting import until

#: Seconds between two requests of a user, and before a user tries again.
PAUSE, AGAIN = 0.3, 0.5
DEADLINE = 15.0
#: Until everybody has done something; a busy machine is slow.
PATIENCE = 300.0
#: How often a token is used before its owner logs in anew: a fresh one is known to nobody abroad.
USES = 3
VISITORS = 3
#: Answers that say no, not that nobody can tell.
NO = ("401", "403", "404")


@dataclass(frozen=True)
class Refusal:
    """A request that failed, and failed again; times are those of `time.monotonic`."""

    began: float
    what: str
    answers: tuple[str, str]

    @property
    def says_no(self) -> bool:
        """Whether Keystone did. Glance says 401 too when its Keystone could not tell."""
        return "Glance" not in self.what and any(answer.startswith(NO) for answer in self.answers)


class Travel:
    """Those who may travel; `under_way` has them travel."""

    def __init__(self, west, east):
        self.west, self.east = west, east
        roles = ("member", "reader")
        self.people = [west.person(roles=roles) for _ in range(VISITORS + 1)]
        self.local = east.person(roles=roles)
        for person in self.people:
            east.agree("west", person.project, roles)

    @contextlib.contextmanager
    def under_way(self, bound: float):
        """Meanwhile they travel. Whoever logs out must be gone everywhere within `bound`."""
        load = Load(self)
        departures = Departures(self, bound)
        with load, departures:
            load.goes_round(1)
            yield Journey(load, departures)
            load.goes_round(1)
            departures.go_on(1)


@dataclass
class Journey:
    load: Load
    departures: Departures

    def goes_on(self, seconds: float = 0.0) -> None:
        """Returns when everybody has been everywhere with a fresh login, and somebody has left, and
        so many seconds are over."""
        end = time.monotonic() + seconds
        self.load.goes_round(1)
        self.departures.go_on(1)
        self.load.wait(end - time.monotonic())

    def report(self) -> str:
        return f"{self.load.report()}; {self.departures.report()}"

    def was_smooth(self) -> None:
        assert not self.load.refusals
        self.departures.were_heard()


class Workers:
    """Threads that do something again and again, until the end of a block."""

    def __init__(self):
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._failed: list[BaseException] = []

    def _again(self, work, *arguments) -> None:
        def run() -> None:
            try:
                while not self._stop.is_set():
                    work(*arguments)
            except BaseException as error:
                self._failed.append(error)
                raise

        self._threads.append(threading.Thread(target=run, daemon=True))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(4 * DEADLINE)
            assert not thread.is_alive(), "a request never ended"

    def wait(self, seconds: float) -> None:
        self._stop.wait(max(0.0, seconds))

    def _until(self, condition, what: str, deadline: float) -> None:
        until(lambda: self._failed or condition(), what, deadline)
        assert not self._failed, self._failed


class Load(Workers):
    """Each visitor logs in at west, works at east's Keystone and Glance, and begins again; a user
    of east does the same at home. Each request is tried again once, as a client would."""

    def __init__(self, travel: Travel):
        super().__init__()
        self.west, self.east = travel.west, travel.east
        self.refusals: list[Refusal] = []
        self.requests = self.retried = 0
        self._rounds = [0] * (VISITORS + 1)
        for index, person in enumerate([*travel.people[:VISITORS], travel.local]):
            self._again(self._round, index, person)

    def goes_round(self, rounds: int) -> None:
        """Returns when each of them has logged in and used that token so many times more."""
        wanted = [count + rounds + 1 for count in self._rounds]

        def done() -> bool:
            return all(now >= then for now, then in zip(self._rounds, wanted))

        self._until(done, "everybody has been everywhere", deadline=PATIENCE)

    def _round(self, index: int, person) -> None:
        scope = {"project": {"id": person.project.id}}
        password = {"user": {"id": person.id, "password": person.password}}
        log_in = {"identity": {"methods": ["password"], "password": password}, "scope": scope}
        url = f"{person.cloud.identity}/auth/tokens"
        answer = self._asks(f"login at {person.cloud}", 201, "POST", url, {}, {"auth": log_in})
        if answer:
            sent = {"X-Auth-Token": answer.headers["x-subject-token"]}
            for _ in range(USES):
                url = f"{self.east.identity}/auth/projects"
                self._asks(f"{person.cloud}'s token at Keystone", 200, "GET", url, sent)
                url = f"{self.east.image}/images"
                self._asks(f"{person.cloud}'s token at Glance", 200, "GET", url, sent)
        self._rounds[index] += 1

    def _asks(self, what: str, wanted: int, *request) -> http.Answer | None:
        """The answer that is wanted, if there is one at last."""
        began, answers = time.monotonic(), []
        self.requests += 1
        for _ in range(2):
            self.wait(AGAIN if answers else PAUSE)
            answer, told = _answer(*request)
            if answer and answer.status == wanted:
                self.retried += bool(answers)
                return answer
            answers.append(told)
        self.refusals.append(Refusal(began, what, tuple(answers)))
        return None

    def report(self) -> str:
        text = f"{self.requests} requests, {self.retried} tried again, {len(self.refusals)} refused"
        return text + "".join(f"\n    {one.what}: {one.answers}" for one in self.refusals[:10])


@dataclass
class Departure:
    """A token of west and one of east that was bought with it; both ended by one logout."""

    at: float
    tokens: tuple[str, ...]
    #: For each place, after how many seconds it refused both.
    gone: dict[str, float] = field(default_factory=dict)


class Departures(Workers):
    """Somebody logs in at west, is served by each node of east, and logs out: then looks at each of
    these nodes until it refuses. Who has left stays away."""

    def __init__(self, travel: Travel, bound: float):
        super().__init__()
        self.west, self.east = travel.west, travel.east
        self.made: list[Departure] = []
        self.late: list[str] = []
        self.back: list[str] = []
        self.failed: list[str] = []
        self._person, self._bound, self._heard = travel.people[VISITORS], bound, 0
        self._again(self._leave)

    def go_on(self, count: int) -> None:
        """Returns when so many more have left and it is known everywhere, or should be."""
        wanted = self._heard + count + 1
        self._until(lambda: self._heard >= wanted, "somebody has left", deadline=PATIENCE)

    def _leave(self) -> None:
        self.wait(PAUSE)
        # While a cloud's database is away nobody can log in or out.
        try:
            token = self._person.login()
            scope = {"project": {"id": self._project_at_east(token)}}
            bought = self.east.sells(token, scope)
            path = "/auth/tokens"
            assert self.west.ask("DELETE", path, token, X_Subject_Token=token).status == 204
            self._watch(Departure(time.monotonic(), tuple(filter(None, (token, bought)))))
        except (AssertionError, OSError) as error:
            self.failed.append(repr(error))
        for departure in random.sample(self.made, min(2, len(self.made))):
            for token in departure.tokens:
                self.back += [place for place, ask in self._places() if ask(token) == 200]

    def _project_at_east(self, token: str) -> str:
        answer = self.east.validate(token)
        assert answer.status == 200, f"{answer.status} {answer.body!r}"
        return answer.json()["token"]["project"]["id"]

    def _places(self):
        for node in self.east.nodes:
            yield f"node {node}", lambda token, node=node: answer_at(self.east, node, token)
        yield "Glance", self._at_glance

    def _at_glance(self, token: str) -> int:
        try:
            return self.east.images(token)
        except OSError:
            return 503

    def _watch(self, departure: Departure) -> None:
        def gone(place) -> float:
            name, ask = place
            while any(ask(token) == 200 for token in departure.tokens):
                if time.monotonic() > departure.at + self._bound:
                    self.late.append(f"{name}: served {self._bound:.0f} s after the logout")
                    break
                time.sleep(0.1)
            return time.monotonic() - departure.at

        places = list(self._places())
        with concurrent.futures.ThreadPoolExecutor(len(places)) as pool:
            took = pool.map(gone, places)
            departure.gone = dict(zip((name for name, _ in places), took))
        self.made.append(departure)
        self._heard += 1

    def were_heard(self) -> None:
        """In time and for good: each token is refused, not only because nobody can tell."""
        assert self.made
        assert not self.late
        assert not self.back
        for departure in self.made:
            for token in departure.tokens:
                for place, ask in self._places():
                    until(
                        lambda token=token, ask=ask: ask(token) == 401,
                        f"{place} refuses who has left",
                        deadline=BACK,
                    )

    def report(self) -> str:
        slowest = sorted(max(departure.gone.values()) for departure in self.made)
        if not slowest:
            return "nobody left"
        middle = slowest[len(slowest) // 2]
        text = f"{len(slowest)} logouts, known everywhere after {middle:.1f} to {slowest[-1]:.1f} s"
        return text + "".join(f"\n    {error[:300]}" for error in self.failed[:5])


def _answer(method: str, url: str, headers: dict, body=None):
    """An answer, or None; and what to say of it."""
    try:
        answer = http.send(method, url, headers, body, deadline=DEADLINE)
    except (OSError, AssertionError, ValueError) as error:
        return None, repr(error)
    return answer, f"{answer.status} {answer.body[:120]!r}"
