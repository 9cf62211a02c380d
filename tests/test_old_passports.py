"""A passport that nobody used in time: issued before the other tests of passports, it has aged
meanwhile."""

import time

from tests.kit.statements import payload
from tests.kit.waiting import until

#: A login passport can be used for so long, in seconds.
LIFETIME = 60


def test_a_passport_lasts_a_minute(east, early_passport):
    claims = payload(early_passport)
    assert claims["exp"] - claims["iat"] == LIFETIME
    until(lambda: time.time() > claims["exp"] + 1, "it has expired", deadline=LIFETIME + 5)
    assert east.refuses(early_passport) == "expired"
