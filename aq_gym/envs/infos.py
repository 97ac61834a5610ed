"""Vector infos whose entries are made when somebody looks at them."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

STATE = ("action_mask", "slot", "turn", "energy", "delay", "record", "level", "capped")
_KEYS = (*STATE, "forced")
_told = itemgetter(*_KEYS)
_new = dict.__new__


class Infos(dict[str, Any]):
    """What a vector environment tells of its episodes; a dict like any other, and copied and pickled as one."""

    # What it is made of when it is first read: the type of a row of the state; rows (K, ...) that nobody else writes to
    # as long as the info lives; what `blank_of` returns; in which episodes (K,) a slot ended, None: in none.
    __slots__ = ("source",)
    source: tuple[np.dtype[np.void], NDArray[np.int64], dict[str, Any], NDArray[np.bool_] | None] | None

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """A dict, for who makes another of an info's type out of its entries."""
        return dict(*args, **kwargs)

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)


class UnreadInfos(Infos):
    """The same before anything was asked of it: it holds a copy of the state, of which the first question makes arrays.

    A step of 64 episodes takes a fifth longer with them, and most are thrown away. The question also makes it `Infos`,
    so that later ones cost nothing. C code that walks through a dict's memory, beneath its methods, finds nothing yet:
    ``dict(infos)`` is an ordinary one.
    """

    __slots__ = ()

    def _fill(self) -> None:
        if self.source is None:  # filled by another thread meanwhile
            return
        row, rows, blank, closed = self.source
        state: NDArray[Any] = np.ndarray(len(rows), row, rows)
        entries = blank.copy()
        (
            entries["action_mask"],
            entries["slot"],
            entries["turn"],
            entries["energy"],
            entries["delay"],
            entries["record"],
            entries["level"],
            entries["capped"],
            entries["forced"],
        ) = _told(state)  # half as long as `update`
        if closed is not None:
            entries["joint_error"], entries["_joint_error"] = np.where(closed, state["last"], 0.0), closed
        dict.update(self, entries)
        self.__class__ = Infos  # type: ignore[assignment]
        self.source = None


def blank_of(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """What infos are filled from: the keys in order, with the mask (K,) of each."""
    return {name: mask for key in _KEYS for name in (key, "_" + key)}


def unread() -> UnreadInfos:
    """An info not read yet, without a source."""
    infos: UnreadInfos = _new(UnreadInfos)
    infos.source = None
    dict.__setitem__(infos, "action_mask", None)  # an encoder of JSON takes what seems empty for empty
    return infos


def _after_filling(name: str) -> Callable[..., Any]:
    read = getattr(Infos, name)

    def method(self: UnreadInfos, *args: Any, **kwargs: Any) -> Any:
        UnreadInfos._fill(self)
        for each in args:
            if isinstance(each, UnreadInfos):
                UnreadInfos._fill(each)
        return read(self, *args, **kwargs)

    method.__name__, method.__doc__ = name, getattr(dict, name).__doc__
    return method


for _name in (
    *("__contains__", "__delitem__", "__eq__", "__getitem__", "__ior__", "__iter__", "__len__", "__ne__", "__or__"),
    *("__reduce__", "__reduce_ex__", "__repr__", "__reversed__", "__ror__", "__setitem__"),
    *("clear", "copy", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values"),
):
    setattr(UnreadInfos, _name, _after_filling(_name))
