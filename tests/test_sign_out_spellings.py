"""Strings that mean the same token: what Glance let in before the logout it refuses after it."""

import base64
import zlib

import pytest

from tests.kit import http
from tests.kit.nightly import by_night
from tests.kit.waiting import until
from tests.test_sign_out import SOON, log_out, traveller, visit


def compressed_anew(token: str) -> str:
    """Another PKIZ token of the same content: anybody can make it."""
    tag, _, inner = token.rpartition("~")
    content = zlib.decompress(base64.urlsafe_b64decode(inner.removeprefix("PKIZ_")))
    return f"{tag}~PKIZ_{base64.urlsafe_b64encode(zlib.compress(content, 1)).decode()}"


def spellings(token: str) -> list[str]:
    tag, _, inner = token.rpartition("~")
    padding = "=" * (-len(inner) % 4)
    return [
        token,
        f" {token}",
        f"{token} ",
        f"{token}\t",
        f"{tag}~{inner}{padding}",
        f"{tag}~{inner}=",
        f"{tag}~{inner.replace('-', '/')}",
        f"{tag}~{inner.replace('-', '+').replace('_', '/')}",
        f"{tag.upper()}~{inner}",
        f"{tag}~{tag}~{inner}",
        inner,
    ]


@pytest.mark.parametrize("provider", ["fernet", pytest.param("pkiz", marks=by_night)])
def test_no_spelling_that_was_cached_outlives_the_logout(west, east, provider):
    with west.issuing(provider):
        guest = visit(east, traveller(west, east))
        tried = spellings(guest.origin)
        meant = tried[:4]
        if provider == "pkiz":
            meant.append(compressed_anew(guest.origin))
            tried += meant[-1:]

        def let_in() -> list[str]:
            url = f"{east.image}/images"
            sent = [http.send("GET", url, {"X-Auth-Token": spelling}) for spelling in tried]
            return [spelling for spelling, answer in zip(tried, sent) if answer.status == 200]

        # With blanks around it, it is the same to HTTP.
        assert {*meant} <= {*let_in()}
        log_out(west, guest)
        until(lambda: not let_in(), "Glance refuses all of them", deadline=SOON)
        assert not east.lets_in(guest.origin)
