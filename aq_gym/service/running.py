"""Serving until a signal comes, or until a part of the service ends by an error: then all of it ends."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any


class Part(threading.Thread):
    """Runs beside the web server: the control loop, webhooks, a simulated fleet."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._stop_asked = threading.Event()

    def stop(self) -> None:
        """Ask the thread to end and wait for it."""
        self._stop_asked.set()
        self.join()


def check_port(host: str, port: int) -> None:
    """Refuse a port that the web server could not listen on, before anything that takes long; 0 is any free one.

    Raises:
        OSError: the port is taken, or the host is not this machine.
    """
    try:
        for family, kind, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the web server does
                probe.bind(address)
    except OSError as error:
        raise OSError(
            f"--host {host} --port {port}: {error.strerror}; choose others (--port 0: any free one)"
        ) from None


def run(server: Any, parts: Sequence[Part], before_end: Callable[[], None], ready: str) -> list[str]:
    """Start the parts, say so, and answer requests until SIGTERM or SIGINT.

    ``before_end`` ends the streams that the server would wait for. Returns the names of the threads that ended by an
    error; none if a signal ended the service.
    """
    dead: list[str] = []
    started: list[Part] = []

    def give_up(died: threading.ExceptHookArgs) -> None:
        threading.__excepthook__(died)
        dead.append(died.thread.name if died.thread else "?")
        reason = f"{died.exc_type.__name__}: {died.exc_value}"
        print(f"error: the thread {dead[0]!r} ended by {reason}; so does the service", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGTERM)

    def end(number: int, frame: FrameType | None) -> None:
        before_end()
        raise KeyboardInterrupt  # the server ends at one, without a word

    threading.excepthook = give_up
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    try:
        for part in parts:
            part.start()
            started.append(part)
        print(ready, flush=True)
        server.run()
    except KeyboardInterrupt:  # it came before the server ran
        pass
    finally:
        threading.excepthook = threading.__excepthook__
        for part in reversed(started):
            part.stop()
        server.close()
    return dead
