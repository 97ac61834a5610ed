"""Checks of a genetic search's state that was read from a file: whatever stands there, it is valid or refused."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

_Set = tuple[int, ...]
_REST = ("rounds", "idle", "evaluations", "seconds", "history", "genes", "values", "known", "generator")


class SavedState(NamedTuple):
    """What a state says, in Python's types."""

    rounds: int
    idle: int
    seconds: float
    history: tuple[tuple[int, float], ...]
    genes: list[_Set]
    known: dict[_Set, float]
    generator: Mapping[str, Any]


def checked_state(state: Any, settings: Mapping[str, Any], most_rounds: int, most_genes: int) -> SavedState:
    """What `GeneticSearch.state` returned, perhaps by way of a JSON file; the errors of the sets are not computed here.

    Args:
        state: any value at all.
        settings: fields that must be as they are here, among them `n_locations` and `n_devices`.
        most_rounds: that the search can have made.
        most_genes: that can survive a round.

    Raises:
        ValueError: it is no such state; the message names the field.
    """
    if not isinstance(state, dict):
        raise _wrong("search", "an object with the state of a search", state)
    absent = [name for name in (*settings, *_REST) if name not in state]
    if absent:
        raise ValueError(f"search: lacks {', '.join(absent)}")
    other = [f"{name} was {_short(state[name])}, here {_short(x)}" for name, x in settings.items() if state[name] != x]
    if other:
        raise ValueError("the search was begun with other settings: " + "; ".join(other))
    known: dict[_Set, float] = {}
    for number, pair in enumerate(_list("known", state["known"])):
        name = f"known[{number}]"
        locations, error = _pair(name, pair)
        known[_locations(name, locations, settings)] = _positive(name, error)
    genes = [_locations(f"genes[{i}]", x, settings) for i, x in enumerate(_list("genes", state["genes"], most_genes))]
    values = _list("values", state["values"])
    if len(known) != len(state["known"]) or len(set(genes)) != len(genes):
        raise ValueError("known, genes: a set stands there twice")
    if any(gene not in known for gene in genes) or values != [known[gene] for gene in genes]:
        raise ValueError("values: expected the errors of the genes, as they stand in known")
    history = tuple(_improvement(i, x, len(known)) for i, x in enumerate(_list("history", state["history"])))
    if any(a >= b or x <= y for (a, x), (b, y) in pairwise(history)):
        raise ValueError("history: expected more evaluations and a smaller error each time")
    if history[-1][1] != min(values):
        raise ValueError(f"history: ends at {history[-1][1]}, but the best gene's error is {min(values)}")
    if _whole("evaluations", state["evaluations"], 1, len(known)) != len(known):
        raise _wrong("evaluations", f"{len(known)}, the number of known sets", state["evaluations"])
    rounds = _whole("rounds", state["rounds"], 0, most_rounds)
    idle, seconds = _whole("idle", state["idle"], 0, rounds), _positive("seconds", state["seconds"])
    return SavedState(rounds, idle, seconds, history, genes, known, _generator(state["generator"]))


def _short(value: Any) -> str:
    short = reprlib.Repr()
    short.maxdict = short.maxstring = short.maxother = 200
    return short.repr(value)


def _wrong(name: str, expected: str, value: Any) -> ValueError:
    return ValueError(f"{name}: expected {expected}, got {_short(value)}")


def _list(name: str, value: Any, most: int | None = None) -> list[Any]:
    if not isinstance(value, list) or not value or len(value) > (most or len(value)):
        raise _wrong(name, "a list that is not empty" + (f", of at most {most}" if most else ""), value)
    return value


def _pair(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) != 2:
        raise _wrong(name, "a list of two", value)
    return value


def _whole(name: str, value: Any, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise _wrong(name, f"a whole number from {least} to {most}", value)
    return value


def _positive(name: str, value: Any) -> float:
    if type(value) is not float or not 0.0 < value < math.inf:
        raise _wrong(name, "a positive number with a decimal point", value)
    return value


def _improvement(number: int, value: Any, most: int) -> tuple[int, float]:
    name = f"history[{number}]"
    at, best = _pair(name, value)
    return _whole(name, at, 1, most), _positive(name, best)


def _locations(name: str, value: Any, settings: Mapping[str, Any]) -> _Set:
    n, m = settings["n_locations"], settings["n_devices"]
    places = tuple(_whole(name, x, 0, n - 1) for x in _list(name, value, m))
    if list(places) != sorted(set(places)):
        raise _wrong(name, "different locations in ascending order", value)
    return places


def _generator(state: Any) -> Mapping[str, Any]:
    trial = np.random.default_rng().bit_generator
    try:
        trial.state = state
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise ValueError(f"generator: expected the state of NumPy's {type(trial).__name__}, got {error}") from error
    if trial.state != state:
        raise _wrong("generator", f"the state of NumPy's {type(trial).__name__}", state)
    return trial.state
