"""A thousand requests at once for one new token."""

from benches.samples import Row, Series, Target, figure
from benches.stage import Stage
from tests.kit import http

REQUESTS, AT_ONCE = 1000, 1_000_000


def measure(stage: Stage) -> list[Row]:
    at_keystone = Series(f"questions to home, {REQUESTS} requests at Keystone at once", "")
    at_daemon = Series(f"questions to home, {REQUESTS} requests at the daemon at once", "")
    for token in stage.tokens(stage.guest, 2):
        asked = stage.questions()
        url = f"{stage.east.identity}/auth/projects"
        request = url, http.request("GET", url, {"X-Auth-Token": token})
        answers = http.burst([request] * REQUESTS, deadline=150)
        statuses = {answer.status for answer in answers}
        assert statuses == {200}, f"answers other than 200: {statuses}"
        at_keystone.add([stage.questions() - asked])
    for token in stage.tokens(stage.guest, 4):
        asked = stage.questions()
        # Due within a millisecond, each on its own connection.
        answers = stage.sender.at_rate(
            [stage.asks_daemon(token, 60)], AT_ONCE, REQUESTS / AT_ONCE, REQUESTS
        )
        answers.all_are(200)
        at_daemon.add([stage.questions() - asked])
    note = "By alliance_questions_total of east's daemon. Each request on a connection of its own."
    return [figure(at_keystone, Target(1, "="), note), figure(at_daemon, Target(1, "="))]
