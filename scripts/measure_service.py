"""Measure a running service on loopback: readings a second, in batches of 100 and one by one.

    AQ_GYM_OPERATOR_TOKEN=... python -m scripts.measure_service --url http://127.0.0.1:8000 --seconds 10

The service must be started with the same token. Readings of slot 0 are repeated, so little is stored.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import urllib.request
from collections.abc import Sequence

import numpy as np

from scripts.command import enter


def main(args: argparse.Namespace) -> None:
    for size in (100, 1):
        readings = [{"device": "device_0", "slot": 0, "value": 20.0}] * size
        body = json.dumps({"readings": readings}).encode()
        seconds: list[float] = []
        end = time.perf_counter() + args.seconds
        while time.perf_counter() < end:
            began = time.perf_counter()
            _post(args.url, body)
            seconds.append(time.perf_counter() - began)
        rate, p99 = size * len(seconds) / sum(seconds), 1000.0 * np.quantile(seconds, 0.99)
        print(f"batches of {size}: {rate:.0f} readings/s, p99 {p99:.1f} ms")


def _post(url: str, body: bytes) -> None:
    token = os.environ.get("AQ_GYM_OPERATOR_TOKEN", "")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url + "/api/v1/readings", body, headers), timeout=20) as answer:
        answer.read()


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each of the two")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    enter(main, parse)
