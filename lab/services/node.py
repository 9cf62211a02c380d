"""A service of which a cloud with several nodes has one on each."""

from lab.services.service import Service
from lab.state import Cloud


class NodeService(Service):
    """On one node of such a cloud its name and those of its ports end in the node's number. Where
    no node is named, the first is meant."""

    def __init__(self, cloud: Cloud, node: int = 1):
        super().__init__(cloud)
        self.node = node
        if cloud.ha:
            self.name = f"{self.kind}-{node}"
            self.ports = tuple(f"{port}-{node}" for port in self.ports)
            if node > 1:  # what they share is made by the first
                self.after = (*self.after, f"{self.kind}-1")

    @property
    def kind(self) -> str:
        """Its name without the node."""
        return type(self).name
