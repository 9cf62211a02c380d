"""Users and projects of a cloud, made for one test."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from tests.kit import known_secrets

#: Whoever was made and has not left.
present: list[Person] = []


@dataclass(frozen=True)
class Domain:
    id: str
    name: str


@dataclass(frozen=True)
class Project:
    id: str
    name: str
    domain_id: str


@dataclass(frozen=True)
class Person:
    """A user and the project that is meant when nothing else is said."""

    cloud: object
    id: str
    name: str
    password: str
    project: Project

    def login(self, project: Project | None = None) -> str:
        """A fresh token for the project."""
        return self.cloud.login(self.id, self.password, scope=project or self.project)

    def logins(self, count: int) -> list[str]:
        """So many tokens of one login."""
        first = self.login()
        return [first] + [self.cloud.sells(first, self.project) for _ in range(count - 1)]

    def unscoped(self) -> str:
        return self.cloud.login(self.id, self.password, scope="unscoped")

    def leaves(self) -> None:
        """Is no user any more, if a test has not seen to that."""
        present.remove(self)
        answer = self.cloud.ask("DELETE", f"/users/{self.id}", self.cloud.login_as("admin"))
        assert answer.status in (204, 404), f"{answer.status} {answer.body!r}"


def password() -> str:
    return known_secrets.note(secrets.token_urlsafe(18), "password")
