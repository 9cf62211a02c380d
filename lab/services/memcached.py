"""The cloud's own memcached: two clouds that share one mix up their tokens."""

import os
import socket

from lab.services.service import PROBE, Service


class Memcached(Service):
    name = "memcached"
    ports = ("memcached",)

    def command(self) -> list:
        # Started by root it must be told whom to become.
        become = ["-u", "nobody"] if os.geteuid() == 0 else []
        return ["memcached", "-l", "127.0.0.1", "-p", self.port, "-U", "0", "-m", "64", *become]

    def healthy(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=PROBE) as stream:
                stream.sendall(b"version\r\n")
                return stream.recv(64).startswith(b"VERSION")
        except OSError:
            return False
