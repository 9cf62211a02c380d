"""Users of west who work at east without pause, and others who come, log out and must be gone."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import random
import threading
import time
from dataclasses import dataclass, field

from tests.ha.instances import BACK, answer_at, is_ready
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
#: What Keystone and Glance say to a token that has ended, and that nobody can tell.
REFUSED, UNDECIDED = 401, 503
#: How a request fails that is not answered, or otherwise than it should be.
FAILURES = (OSError, AssertionError, ValueError)


@dataclass(frozen=True)
class Refusal:
    """A request that failed, and failed again; times are those of `time.monotonic`."""

    began: float
    what: str
    answers: tuple[str, str]

    @property
    def says_no(self) -> bool:
        """Whether Keystone did. Glance is told to delay the decision, and says the same 401 when
        its Keystone could not tell: what a service hears from that is asked beside."""
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
            departures.are_heard_of()


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
        assert not self.departures.failed
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
    of east does the same at home. A service asks about their tokens. Each request is tried again
    once, as a client would."""

    def __init__(self, travel: Travel):
        super().__init__()
        self.west, self.east = travel.west, travel.east
        self._service = travel.east.login_as("admin")
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
            asked = {"X-Auth-Token": self._service, "X-Subject-Token": sent["X-Auth-Token"]}
            for _ in range(USES):
                url = f"{self.east.identity}/auth/projects"
                self._asks(f"{person.cloud}'s token at Keystone", 200, "GET", url, sent)
                url = f"{self.east.identity}/auth/tokens"
                self._asks(f"a service about {person.cloud}'s token", 200, "GET", url, asked)
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
    #: Places that let neither in, but could not tell: there is no daemon that they could ask.
    mute: list[str] = field(default_factory=list)


class Departures(Workers):
    """Somebody logs in at west, is served by each node of east, and logs out: then looks at each of
    these nodes until it refuses. Who has left stays away."""

    def __init__(self, travel: Travel, bound: float):
        super().__init__()
        self.west, self.east = travel.west, travel.east
        self._service = travel.east.login_as("admin")
        self.made: list[Departure] = []
        self.late: list[str] = []
        self.back: list[str] = []
        self.failed: list[str] = []
        self._person, self._bound = travel.people[VISITORS], bound
        self._again(self._leave)

    @property
    def heard(self) -> list[Departure]:
        """Those that every place has refused for good reason."""
        places = {name for name, _, _ in self._places()}
        return [departure for departure in self.made if departure.gone.keys() == places]

    def go_on(self, count: int) -> None:
        """Returns when so many more have left, and each place that can tell has heard of it."""
        wanted = len(self.made) + count + 1
        self._come_to(lambda: len(self.made) >= wanted, "somebody has left")

    def are_heard_of(self) -> None:
        """Returns when one more has left, and every place has heard of it."""
        wanted = len(self.heard) + 2
        self._come_to(lambda: len(self.heard) >= wanted, "every place knows who has left")

    def _come_to(self, condition, what: str) -> None:
        # Nothing is waited for that is late already.
        self._until(lambda: self.late or condition(), what, deadline=PATIENCE)

    def _leave(self) -> None:
        self.wait(PAUSE)
        # While a cloud's database is away nobody can log in or out.
        with self._noting():
            token = self._tries(self._person.login)
            scope = {"project": {"id": self._tries(lambda: self._project_at_east(token))}}
            tokens = [token]
            with self._noting():
                tokens.append(self._tries(lambda: self._bought(token, scope)))
            # Not tried again: the first try may have counted.
            path = "/auth/tokens"
            answer = self.west.ask("DELETE", path, token, X_Subject_Token=token)
            assert answer.status == 204, f"logout at {self.west}: {answer.status} {answer.body!r}"
            self._watch(Departure(time.monotonic(), tuple(tokens)))
        for departure in random.sample(self.made, min(2, len(self.made))):
            for token in departure.tokens:
                self.back += [place for place, ask, _ in self._places() if ask(token) == 200]

    @contextlib.contextmanager
    def _noting(self):
        """A departure that fails is kept, and others follow."""
        try:
            yield
        except FAILURES as error:
            self.failed.append(repr(error))

    def _tries(self, step):
        """What a step comes to. It is tried again once, as a client would."""
        try:
            return step()
        except FAILURES:
            self.wait(AGAIN)
            return step()

    def _validated(self, token: str) -> http.Answer:
        """What a service of east is told about a token."""
        return self.east.ask("GET", "/auth/tokens", self._service, X_Subject_Token=token)

    def _project_at_east(self, token: str) -> str:
        answer = self._validated(token)
        assert answer.status == 200, f"{answer.status} {answer.body!r}"
        return answer.json()["token"]["project"]["id"]

    def _bought(self, token: str, scope: dict) -> str:
        answer = self.east.rescope(token, scope)
        assert answer.status == 201, f"bought at {self.east}: {answer.status} {answer.body!r}"
        return answer.headers["x-subject-token"]

    def _places(self):
        """Each with what it says to a token, and whether it has a daemon to ask."""

        def at(node: int, token: str) -> int:
            return _status(lambda: answer_at(self.east, node, token))

        def ready(*nodes: int) -> bool:
            return any(is_ready(self.east, node) for node in nodes)

        for node in self.east.nodes:
            yield f"node {node}", functools.partial(at, node), functools.partial(ready, node)
        yield "Glance", self._at_glance, functools.partial(ready, *self.east.nodes)

    def _at_glance(self, token: str) -> int:
        """Its 401 is a decision if a service hears of one."""
        status = _status(lambda: self.east.images(token))
        if status != REFUSED:
            return status
        told = _status(lambda: self._validated(token).status)
        return REFUSED if told == 404 else UNDECIDED

    def _watch(self, departure: Departure) -> None:
        def goes(place) -> None:
            name, ask, can_tell = place
            while True:
                answers = {ask(token) for token in departure.tokens}
                after = time.monotonic() - departure.at
                if answers == {REFUSED}:
                    departure.gone[name] = after
                    return
                is_served = 200 in answers
                if not is_served and not can_tell():
                    departure.mute.append(name)
                    return
                if after > self._bound + (0 if is_served else BACK):
                    self.late.append(f"{name}: {sorted(answers)} {after:.0f} s after the logout")
                    return
                time.sleep(0.1)

        places = list(self._places())
        with concurrent.futures.ThreadPoolExecutor(len(places)) as pool:
            list(pool.map(goes, places))
        self.made.append(departure)

    def were_heard(self) -> None:
        """In time and for good: each token is refused, not only because nobody can tell."""
        assert self.heard
        assert not self.late
        assert not self.back
        for departure in self.made:
            for token in departure.tokens:
                for place, ask, _ in self._places():
                    until(
                        lambda token=token, ask=ask: ask(token) == REFUSED,
                        f"{place} refuses who has left",
                        deadline=BACK,
                    )

    def report(self) -> str:
        text = f"{len(self.made)} logouts, {len(self.failed)} failed"
        slowest = sorted(max(departure.gone.values()) for departure in self.heard)
        if slowest:
            middle = slowest[len(slowest) // 2]
            text += f", {len(slowest)} known everywhere after {middle:.1f} to {slowest[-1]:.1f} s"
        told = [*self.late[:5], *(error[:300] for error in self.failed[:5])]
        return text + "".join(f"\n    {each}" for each in told)


def _status(ask) -> int:
    """That of an answer; where there is none, nobody could tell."""
    try:
        return ask()
    except FAILURES:
        return UNDECIDED


def _answer(method: str, url: str, headers: dict, body=None):
    """An answer, or None; and what to say of it."""
    try:
        answer = http.send(method, url, headers, body, deadline=DEADLINE)
    except FAILURES as error:
        return None, repr(error)
    return answer, f"{answer.status} {answer.body[:120]!r}"
