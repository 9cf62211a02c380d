"""Its clouds are those of its own lab."""

from tests.kit.own_lab import east, west

__all__ = ["east", "west"]
