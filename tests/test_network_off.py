"""The guard of the root conftest.py itself."""

from __future__ import annotations

import socket

import pytest


def test_a_connection_that_would_leave_this_machine_fails() -> None:
    with socket.socket() as sock, pytest.raises(pytest.fail.Exception, match="network is off"):
        sock.connect(("192.0.2.1", 80))


def test_a_connection_within_this_machine_is_let_through() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as sock:
        sock.connect(server.getsockname())
