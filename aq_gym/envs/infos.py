"""Vector infos whose entries are made when somebody looks at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

STATE = ("action_mask", "slot", "turn", "energy", "delay", "record", "level", "capped")
_TOLD = (*STATE, "forced")


class Infos(dict[str, Any]):
    """What a vector environment tells of its episodes; a dict like any other, and copied and pickled as one."""

    __slots__ = ("source",)
    source: tuple[np.dtype[np.void], NDArray[np.int64], NDArray[np.bool_]] | None

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)


class UnreadInfos(Infos):
    """The same before anything was asked of it: it holds a copy of the state, of which the first question makes arrays.

    A step of 64 episodes takes a fifth longer with them, and most are thrown away. The question also makes it `Infos`,
    so that later ones cost nothing.

    Who makes one sets ``source``: the type of a row of the state, rows that nobody else writes to as long as the info
    lives, and the mask (K,) of every key.
    """

    __slots__ = ()

    def _fill(self) -> None:
        assert self.source is not None, "an info is unread or filled"
        row, rows, mask = self.source
        self.__class__, self.source = Infos, None  # type: ignore[assignment]
        told = np.ndarray(len(rows), row, rows.data)
        for key in _TOLD:
            self[key], self["_" + key] = told[key], mask


def _after_filling(name: str) -> Callable[..., Any]:
    def method(self: UnreadInfos, *args: Any, **kwargs: Any) -> Any:
        self._fill()
        return getattr(self, name)(*args, **kwargs)

    method.__name__, method.__doc__ = name, getattr(dict, name).__doc__
    return method


for _name in (
    *("__contains__", "__delitem__", "__eq__", "__getitem__", "__ior__", "__iter__", "__len__", "__ne__", "__or__"),
    *("__reduce__", "__reduce_ex__", "__repr__", "__reversed__", "__ror__", "__setitem__"),
    *("clear", "copy", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values"),
):
    setattr(UnreadInfos, _name, _after_filling(_name))
