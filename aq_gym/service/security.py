"""Tokens, and how often each may write."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass, field
from threading import Lock


def new_token() -> str:
    """A token of 256 random bits; it is shown once and stored as a hash."""
    return secrets.token_urlsafe(32)


def hash_of(token: str) -> str:
    """The SHA-256 of a token; enough for random ones, which cannot be guessed from a list."""
    return hashlib.sha256(token.encode()).hexdigest()


def same_token(given: str, expected: str) -> bool:
    """Whether two tokens are the same, in a time that does not tell where they differ; an empty one is nobody's."""
    return bool(expected) and hmac.compare_digest(given.encode(), expected.encode())


@dataclass
class RateLimit:
    """A token bucket for each key."""

    per_second: float
    most_keys: int = 10_000
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)  # key -> tokens left, when that was
    _lock: Lock = field(default_factory=Lock)

    def allow(self, key: str, now: float | None = None) -> bool:
        """Take one; False: too many within the last second."""
        now = time.monotonic() if now is None else now
        with self._lock:
            left, then = self._buckets.pop(key, (self.per_second, now))
            left = min(self.per_second, left + (now - then) * self.per_second)
            allowed = left >= 1.0
            self._buckets[key] = (left - 1.0 if allowed else left, now)
            if len(self._buckets) > self.most_keys:
                self._buckets.pop(next(iter(self._buckets)))  # the one that was used least recently
        return allowed
