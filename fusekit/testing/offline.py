"""Refusing and recording network connections while a component is checked."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock


@contextmanager
def offline() -> Iterator[list[str]]:
    """Refuse network connections inside of the ``with`` block.

    Yields:
        The attempted connections, including those whose error the component ignored.
    """
    attempts: list[str] = []
    connect = socket.socket.connect

    def refuse(what: str) -> None:
        attempts.append(what)
        raise OSError(f"the network is disabled while a component is checked ({what})")

    def refuse_name(host: Any, *_: Any, **__: Any) -> Any:
        refuse(f"address of {host}")

    def refuse_connection(address: Any, *_: Any, **__: Any) -> Any:
        refuse(f"connection to {address}")

    def refuse_internet(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            refuse(f"connection to {address}")
        return connect(self, address)  # local sockets between processes are allowed

    with (
        mock.patch.object(socket, "getaddrinfo", refuse_name),
        mock.patch.object(socket, "create_connection", refuse_connection),
        mock.patch.object(socket.socket, "connect", refuse_internet),
    ):
        yield attempts
