"""The one dynamics: the equations of `inference` as compiled loops over a batch of episodes.

Every view (single, sequential, joint, vector, PettingZoo, SB3) holds one `episodes.Episodes` batch, which calls them.

Errors are computed in units of the level e, which makes a fresh reading's weights constants of the problem: with
c = (δ²u² + dσ²)/e² and s = u/e - 1, device m says of location j a value that is off the level by e(s + a_mj) with
precision 1/(e²(c + b_mj)); a fresh one has c = δ², s = 0. With S0 = Σ 1/(c + b) and S1 = Σ (s + a)/(c + b) equations
(9), (19) and (20) read J = e sqrt(S0 + S1²)/S0. The sums are begun anew in every slot, so that updates cannot drift.

With level-aware inference there are no such sums: `_krige` computes every map from the state, M²N operations each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_name
from numba.core import types
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic
from numba.np.arrayobj import make_array
from numpy.typing import DTypeLike, NDArray

# Whether the core has AVX-512, of which two instructions are called by name.
_FEATURES = getattr(numba.config, "CPU_FEATURES", None)
WIDE = "+avx512f" in (get_host_cpu_features() if _FEATURES is None else _FEATURES).split(",")

_Function = TypeVar("_Function", bound=Callable[..., Any])
_OPTIONS: dict[str, Any] = {
    "nogil": True,  # so that Python threads play side by side
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},  # without nnan and ninf, which silence the checks for NaN
    "error_model": "numpy",  # a division is not checked for zero, which would keep loops from being vectorised
}


def compiled(function: _Function) -> _Function:
    """`numba.njit`, cached on disk where a directory can be written; for what Python calls.

    All arrays belong to the caller and none is made here, so references are not counted, which took most of the time.
    """
    return _jit(function, _nrt=False)


def inner(function: _Function) -> _Function:
    """The same for what only compiled code calls: without the wrappers for Python, and without calls.

    A call hands over all of a setting and an episode, some forty numbers: as long as a loop over thirty locations.
    """
    return _jit(function, _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=True)


def leaf(function: _Function) -> _Function:
    """For loops that decisions seldom need: called, so that each is compiled once. What is inlined passes that on."""
    return _jit(function, _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=False)


def merged(function: _Function) -> _Function:
    """For what few functions call, once each: its code is compiled with theirs, not before them."""
    return cast(_Function, numba.njit(function, inline="always", **_OPTIONS))


def _jit(function: _Function, **options: Any) -> _Function:
    try:
        return cast(_Function, numba.njit(function, cache=True, **_OPTIONS, **options))
    except RuntimeError:
        return cast(_Function, numba.njit(function, **_OPTIONS, **options))


@cast(Any, intrinsic)
def _pointer(context, numbers, start):
    """Where a contiguous array's numbers, or those behind a pointer, begin after the first ``start``.

    Handed over, an array is five numbers and two for each axis, and each index is asked whether it is negative.
    """
    is_array = isinstance(numbers, types.Array) and numbers.layout == "C"
    if not is_array and not isinstance(numbers, types.CPointer):
        raise numba.TypingError(f"_pointer: expected a contiguous array or a pointer, got {numbers}")

    def build(context, builder, signature, arguments):
        given, first = arguments
        data = make_array(numbers)(context, builder, given).data if is_array else given
        return builder.gep(data, [first])

    return types.CPointer(numbers.dtype)(numbers, types.intp), build


@cast(Any, intrinsic)
def _move(context, count, source, target):
    """Copy a literal count of numbers by one load and one store."""
    if not isinstance(count, types.IntegerLiteral):
        raise numba.TypingError(f"_move: expected a literal count, got {count}")

    def build(context, builder, signature, arguments):
        wide = ir.VectorType(context.get_value_type(source.dtype), count.literal_value).as_pointer()
        begin, end = (builder.bitcast(x, wide) for x in arguments[1:])
        builder.store(builder.load(begin, align=source.dtype.bitwidth // 8), end, align=source.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.none(count, source, target), build


@cast(Any, intrinsic)
def _seen_as(context, pointer, kind):
    """A pointer to numbers of another type, where it points to."""
    target = types.CPointer(kind.instance_type)

    def build(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(target))

    return target(pointer, kind), build


@cast(Any, intrinsic)
def _pick(context, count, source, index, factor, target):
    """target[i] = factor[i] source[index[i]] for i < ``count``, at most 16; ``source`` holds 32 numbers.

    For cores that know the instruction. Of ``index`` and ``factor`` 16 are read.
    """

    def build(context, builder, signature, arguments):
        singles, places, word = ir.VectorType(ir.FloatType(), 16), ir.VectorType(ir.IntType(32), 16), ir.IntType(64)
        count, source, index, factor, target = arguments

        def load(pointer, kind):
            return builder.load(builder.bitcast(pointer, kind.as_pointer()), align=4)

        kind = ir.FunctionType(singles, [singles, places, singles])
        choose = builder.module.declare_intrinsic("llvm.x86.avx512.vpermi2var.ps.512", (), kind)
        halves = load(source, singles), load(builder.gep(source, [ir.Constant(word, 16)]), singles)
        found = builder.fmul(load(factor, singles), builder.call(choose, [halves[0], load(index, places), halves[1]]))
        those = builder.sub(builder.shl(ir.Constant(word, 1), count), ir.Constant(word, 1))
        mask = builder.bitcast(builder.trunc(those, ir.IntType(16)), ir.VectorType(ir.IntType(1), 16))
        kind = ir.FunctionType(ir.VoidType(), [singles, singles.as_pointer(), ir.IntType(32), mask.type])
        store = builder.module.declare_intrinsic("llvm.masked.store.v16f32.p0", (), kind)
        target = builder.bitcast(target, singles.as_pointer())
        builder.call(store, [found, target, ir.Constant(ir.IntType(32), 4), mask])
        return context.get_dummy_value()

    return types.none(count, source, index, factor, target), build


@cast(Any, intrinsic)
def _prefetch(context, numbers):
    """Bring a line into the cache; the address need not be one of the program's."""

    def build(context, builder, signature, arguments):
        opaque, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [opaque, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch.p0", (), kind)
        how = [ir.Constant(number, x) for x in (0, 3, 1)]  # to be read, and kept, as data
        builder.call(function, [builder.bitcast(arguments[0], opaque), *how])
        return context.get_dummy_value()

    return types.none(numbers), build


@cast(Any, intrinsic)
def _next_double(context, function, state):
    """What a bit generator's C function draws; both are addresses."""

    def build(context, builder, signature, arguments):
        opaque = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.DoubleType(), [opaque]).as_pointer()
        return builder.call(builder.inttoptr(arguments[0], kind), [builder.inttoptr(arguments[1], opaque)])

    return types.float64(types.intp, types.intp), build


@cast(Any, intrinsic)
def _apart(context):
    """Promise, in a function's first line, that what it writes is reached through one of its pointers only.

    Those inside tuples count. Else its loops compare every pair of rows before they use vector registers.
    """

    def build(context, builder, signature, arguments):
        for argument in builder.function.args:
            if argument.type.is_pointer:
                argument.add_attribute("noalias")
        return context.get_dummy_value()

    return types.none(), build


def entry_point(function: Any, arguments: Sequence[Any]) -> Any:
    """The compiled code that ``function``, called before, calls for arguments of these types; else the function.

    It takes half the time, since it looks at no types: only such arguments may be passed.
    """
    found = getattr(function, "overloads", {}).get(tuple(numba.typeof(x) for x in arguments))
    return function if found is None else found.entry_point


_LINE = 64  # bytes


def aligned(shape: tuple[int, ...], dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """Zeros that begin on a line of the cache, so that no vector register's load touches two."""
    each = np.dtype(dtype).itemsize
    size = int(np.prod(shape))
    room = np.zeros(size + _LINE // each, dtype)
    begin = -room.ctypes.data % _LINE // each
    return room[begin : begin + size].reshape(shape)


def aligned_copy(array: NDArray[Any]) -> NDArray[Any]:
    """The same numbers, beginning on a line of the cache."""
    copy = aligned(array.shape, array.dtype)
    copy[...] = array
    return copy


class Constants(NamedTuple):
    """What a problem's kernels are given."""

    relation: NDArray[np.float64]  # (M, 4P) a, b, 1/(δ² + b), a/(δ² + b), in blocks; P = N padded; see `_krige`
    # (M + 2, 4P) the same in single precision; then 2P of scratch and 2P of zeros; then the devices' locations as int32
    near: NDArray[np.float32]
    numbers: NDArray[np.float64]  # (5 + 5 + M + L,) delta2 ... top_level, traits, quality, learned of Setting
    sizes: NDArray[np.int64]  # (13 + 3M,) n_devices ... path_at, places, spots, marks of Setting
    work: NDArray[np.float64]  # (3P + K,) scratch of the episode at hand, in blocks: J now, if on, if off; `_krige`'s


def row_type(n_devices: int, joint: bool) -> np.dtype[np.void]:
    """The type of a row of `State.whole`, part by part; its length is one of whole lines of the cache."""
    m = (n_devices,)
    head = [(name, "i8") for name in ("slot", "turn", "capped")]
    head += [(name, "f8") for name in ("now", "last", "total", "level")]
    devices = [("energy", "i8", m), ("delay", "i8", m), ("record", "f8", m)]
    # What is allowed: off, on; in the joint view of each device 0 off, 1 on, 2 free. What was not done as asked.
    told = [("action_mask", "i1", m), ("forced", "?", m)] if joint else [("action_mask", "i1", (2,)), ("forced", "?")]
    rest = _LINE - 8 * len(head)  # in the head's line there is room for what one device is told
    room = [("room", f"V{rest}")] if joint else [*told, ("room", f"V{rest - 3}")]
    parts = np.dtype([*head, *room, *devices, *(told if joint else [])])
    fields = {name: x for name, x in (parts.fields or {}).items() if name != "room"}
    size = -(-parts.itemsize // _LINE) * _LINE
    formats, offsets = [x[0] for x in fields.values()], [x[1] for x in fields.values()]
    return np.dtype({"names": list(fields), "formats": formats, "offsets": offsets, "itemsize": size})


class State(NamedTuple):
    """The state of K episodes: copies, or views of one array, `Episodes.block`, in which an episode is one row."""

    whole: NDArray[np.int64]  # (K, ...) rows of `row_type`; as float64: record, score [µg/m³]; as int8: mask, forced
    real: NDArray[np.float64]  # (K, T + 1) path [µg/m³]
    sums: NDArray[np.float64]  # (K, 4P) in blocks, see the indices below; level-aware: (M,) errors at the devices
    shown: NDArray[np.float32]  # (K, 7P) what the full observation is made of; or (K, 0)

    @property
    def clock(self) -> NDArray[np.int64]:
        """(K, 3) slot (T + 1 = over), turn, device-slots in which the delay was capped."""
        return self.whole[:, :N_CLOCK]

    @property
    def path(self) -> NDArray[np.float64]:
        """(K, T + 1) levels [µg/m³]."""
        return self.real


class SmallNetwork(NamedTuple):
    """A ReLU network on the compact observation, and room for its layers.

    With an encoder it reads the ``per_device`` observation: every device's row is encoded by the same layers, and the
    mean of the codes joins the compact numbers at the entrance of the network.
    """

    widths: NDArray[np.int64]  # of the layers, inputs first, 1 last
    weights: NDArray[np.float32]  # layer after layer, (inputs, outputs) row by row and then the biases
    encoder_widths: NDArray[np.int64]  # the same of the encoder; empty without one
    encoder_weights: NDArray[np.float32]
    inputs: NDArray[np.float32]  # (observation,) scratch
    mixed: NDArray[np.float32]  # (widths[0],) scratch
    layers: NDArray[np.float32]  # (2, widest) scratch


class Branches(NamedTuple):
    """Room for what `branch` remembers of one episode and its n branches."""

    block: NDArray[np.float64]  # the state of n episodes
    batteries: NDArray[np.int64]  # (T + 2, 2, M) at the opening of each slot
    records: NDArray[np.float64]  # (T + 2, M)
    totals: NDArray[np.float64]  # (T + 2,)
    chosen: NDArray[np.int64]  # (n,)
    actions: NDArray[np.int64]  # (decisions left,) as they were executed
    watched: NDArray[np.bool_]  # (decisions left,) at which a cut falls
    seen: NDArray[np.float32]  # (decisions left, size) what the play observed there


class Setting(NamedTuple):
    """The constants as the equations read them. Arrays are pointers to their first numbers, see `_pointer`."""

    relation: Any
    near: Any
    traits: Any  # (5,) what tells this problem from others, see `observation.traits`
    quality: Any  # (M,) the same of each device
    marks: Any  # (M,) where those stand in a row of ``shown``
    learned: Any  # (L,) of level-aware inference, see `_krige`
    places: Any  # (M,) of the devices' locations in ``work``
    spots: Any  # (M,) the devices' locations
    work: Any
    delta2: float
    sigma2: float
    delta: float
    error_scale: float
    top_level: float
    n_devices: int
    n_locations: int
    horizon: int
    budget: int
    max_sleep: int
    fuse: int
    joint: int
    aware: int  # 1: level-aware inference
    # LANES, but except in `advance_full_few` the compiler only knows multiples: else it unrolls some loops instead of
    # using vector registers
    lanes: int
    roomy: int  # 1: whole blocks of LANES may be written into a full observation
    kept_at: int  # where the numbers behind ``shown`` stand in the row of an episode; see `_draw`
    path_at: int
    never: int  # 0, unknown to the compiler, which else counts up forty addresses in a loop over episodes: k ^ never
    blocks: int  # of LANES locations in a row
    kept: int  # 1: ``shown`` is in use


class Episode(NamedTuple):
    """Pointers to the state of one episode, see State."""

    clock: Any
    energy: Any
    delay: Any
    record: Any
    path: Any
    sums: Any
    shown: Any
    kept: Any  # what is drawn behind it, see `_draw`
    aside: Any  # what is not told: INVERSE, LATEST
    score: Any
    mask: Any
    forced: Any


# Rows of locations lie in blocks: the first LANES locations of every row, then the next. The compiler can tell such
# rows apart, so whole vector registers pass through loops that read and write many of them.
LANES = 32
A, B, FRESH, FRESH_A = (np.uint64(n * LANES) for n in range(4))  # relation
S0, S1 = np.uint64(0), np.uint64(LANES)  # sums: now
MORE, MORE_A = (
    np.uint64(2 * LANES),
    np.uint64(3 * LANES),
)  # by which they grow if it and the later ones with energy sense
NOW_AT = np.uint64(0)  # work: J now
ON_AT = np.uint64(LANES)  # J if the device senses; in the joint view, if all with energy do
OFF_AT = np.uint64(2 * LANES)  # J if it sleeps and the later ones with energy sense
RATIO, ZEROTH, FIRST, OVER_ZEROTH = (np.uint64(n * LANES) for n in range(4))  # shown: J/e, S0, S1, 1/S0
# 0 where it was measured in this slot and behind the last location, -1 where a later device with energy stands, else 1;
# the deciding device's own means nothing until `_show` has written 1
MARK = np.uint64(4 * LANES)
REST, REST_A = np.uint64(5 * LANES), np.uint64(6 * LANES)  # what is to come of S0, S1
N_FIELD, N_WORK, N_SHOWN, N_SIZES = 4, 3, 7, 13
SLOT, TURN, CAPPED = range(3)  # clock
ENERGY, DELAY = range(2)  # battery
NOW, LAST, TOTAL, LEVEL = range(4)  # score
# aside: 1/level; where ``shown`` is in use, a device behind which none has energy, -1 only if none had any when the
# slot began
INVERSE, LATEST = range(2)
N_CLOCK, N_SCORE, N_HEAD, N_ASIDE = 3, 4, 8, 8
N_COMPACT, N_DEVICE, N_TRAITS = 32, 18, 5  # numbers of the compact observation, of each device's row, of the problem
BEGIN, WAIT, PLACE = 2, 3, 4  # beside 0 off and 1 on: what an episode may be told


@inner
def _setting(relation, near, x, n, work):
    return _setting_of(relation, near, x, n, work, n[6], n[7], n[10], *_sizes_of(relation, n))


@inner
def _sizes_of(relation, n):
    """``blocks`` and ``lanes``, unknown to the compiler."""
    return relation.shape[1] // (N_FIELD * LANES), n[8] & -LANES


@inner
def _setting_of(relation, near, x, n, work, joint, aware, kept, blocks, lanes):
    m, quality = n[0], 5 + N_TRAITS
    devices = N_SIZES
    told = _pointer(x, 5), _pointer(x, quality), _pointer(n, devices + 2 * m), _pointer(x, quality + m)
    places = _pointer(n, devices), _pointer(n, devices + m)
    numbers, counts = (x[0], x[1], x[2], x[3], x[4]), (m, n[1], n[2], n[3], n[4], n[5], joint, aware)
    sizes = lanes, n[9], n[11], n[12], n[8] - LANES, blocks, kept
    return Setting(
        _pointer(relation, 0), _pointer(near, 0), *told, *places, _pointer(work, 0), *numbers, *counts, *sizes
    )


@inner
def _row(array, k):
    """Row k of an array of two axes."""
    return _pointer(array, k * array.shape[1])


@inner
def _relations(p, m):
    """Device m's rows of locations."""
    return _pointer(p.relation, m * p.blocks * N_FIELD * LANES)


@inner
def _episode(p, k, block):
    """In a row: ``sums``, ``shown`` if it is in use, ``aside``, a `row_type`, ``kept``, ``path``."""
    m, row = p.n_devices, _row(block, k)
    maps = p.blocks * (N_FIELD * LANES + p.kept * N_SHOWN * LANES // 2)
    head = _pointer(row, maps + N_ASIDE)
    devices = _pointer(head, N_HEAD)
    energy, record = _seen_as(devices, np.int64), _pointer(devices, 2 * m)
    rows = _pointer(row, p.path_at), row, _seen_as(_pointer(row, p.blocks * N_FIELD * LANES), np.float32)
    beside = _seen_as(_pointer(row, p.kept_at), np.float32), _pointer(row, maps)
    mask = _seen_as(_pointer(record, m) if p.joint else _pointer(head, N_CLOCK + N_SCORE), np.int8)
    allowed = mask, _pointer(mask, m if p.joint else 2)
    battery = energy, _pointer(energy, m)
    return Episode(_seen_as(head, np.int64), *battery, record, *rows, *beside, _pointer(head, N_CLOCK), *allowed)


@inner
def _source(p, s, m, over):
    """Device m's variance over e² without the spatial part, and its record's relative deviation; ``over``: 1/e."""
    relative = s.record[m] * over
    return p.delta2 * relative * relative + p.sigma2 * over * over * s.delay[m], relative - 1.0


# In double precision most cores divide, and draw roots, at a fraction of the speed of single precision, and nothing
# else here takes as long. A step of Newton's method squares the relative error of 1e-7: what is left is some 1e-14.
# AMD's cores divide as fast as those steps take.
_DIVIDES = (getattr(numba.config, "CPU_NAME", None) or get_host_cpu_name()).startswith("znver")


@inner
def _reciprocal(x):
    if _DIVIDES:
        return 1.0 / x
    near = np.float64(np.float32(1.0) / np.float32(x))
    return near * (2.0 - x * near)


@inner
def _relative_error(zeroth, first):
    """J / e = sqrt(S0 + S1²)/S0."""
    square = zeroth + first * first
    if _DIVIDES:
        return np.sqrt(square) / zeroth
    near = np.float64(np.float32(1.0) / (np.sqrt(np.float32(square)) * np.float32(zeroth)))  # 1/(root S0)
    ratio = square * near
    root = ratio * zeroth
    return ratio + 0.5 * near * (square - root * root)


@leaf
def _infer_rows(lanes, blocks, e, rest, sums, work, row):
    """J now, or if ``rest`` is 1 with what is more, into a row of ``work``."""
    _apart()
    for block in range(blocks):
        f, w = np.uint64(block * N_FIELD * LANES), np.uint64(block * N_WORK * LANES)
        for i in range(lanes):
            j = f + np.uint64(i)
            zeroth, first = sums[j + S0] + rest * sums[j + MORE], sums[j + S1] + rest * sums[j + MORE_A]
            work[w + row + np.uint64(i)] = e * _relative_error(zeroth, first)


@inner
def _two_reciprocals(x, y):
    """By one division, where double precision has its range."""
    if not _DIVIDES:
        return _reciprocal(x), _reciprocal(y)
    both = _reciprocal(x * y)
    return y * both, x * both


@inner
def _add_two(lanes, blocks, about, others, relation, other, sums):
    """Add two devices; ``about`` and ``others`` hold c and the deviation of each."""
    _apart()
    for block in range(blocks):
        f = np.uint64(block * N_FIELD * LANES)
        for i in range(lanes):
            j = f + np.uint64(i)
            one, two = _two_reciprocals(about[0] + relation[j + B], others[0] + other[j + B])
            sums[j + S0] += one + two
            sums[j + S1] += one * (about[1] + relation[j + A]) + two * (others[1] + other[j + A])


@inner
def _add_two_of_rest(lanes, blocks, about, others, relation, other, sums):
    """Add two devices, and what their fresh readings are more, times the third number about each."""
    _apart()
    for block in range(blocks):
        f = np.uint64(block * N_FIELD * LANES)
        for i in range(lanes):
            j = f + np.uint64(i)
            one, two = _two_reciprocals(about[0] + relation[j + B], others[0] + other[j + B])
            one_a, two_a = one * (about[1] + relation[j + A]), two * (others[1] + other[j + A])
            sums[j + S0] += one + two
            sums[j + S1] += one_a + two_a
            sums[j + MORE] += about[2] * (relation[j + FRESH] - one) + others[2] * (other[j + FRESH] - two)
            sums[j + MORE_A] += about[2] * (relation[j + FRESH_A] - one_a) + others[2] * (other[j + FRESH_A] - two_a)


@leaf
def _add_device(lanes, blocks, c, deviation, relation, sums):
    _apart()
    for block in range(blocks):
        f = np.uint64(block * N_FIELD * LANES)
        for i in range(lanes):
            j = f + np.uint64(i)
            weight = _reciprocal(c + relation[j + B])
            sums[j + S0] += weight
            sums[j + S1] += weight * (deviation + relation[j + A])


@leaf
def _add_device_of_rest(lanes, blocks, c, deviation, relation, sums):
    """Add a device, and what its fresh reading is more."""
    _apart()
    for block in range(blocks):
        f = np.uint64(block * N_FIELD * LANES)
        for i in range(lanes):
            j = f + np.uint64(i)
            weight = _reciprocal(c + relation[j + B])
            weighted = weight * (deviation + relation[j + A])
            sums[j + S0] += weight
            sums[j + S1] += weighted
            sums[j + MORE] += relation[j + FRESH] - weight
            sums[j + MORE_A] += relation[j + FRESH_A] - weighted


@leaf
def _suppose(lanes, blocks, e, c, deviation, rest, relation, sums, work):
    """J with the device fresh, and as it is with the later ones fresh; ``rest``: 1 if it has energy."""
    _apart()
    for block in range(blocks):
        f, w = np.uint64(block * N_FIELD * LANES), np.uint64(block * N_WORK * LANES)
        for i in range(lanes):
            j, k = f + np.uint64(i), w + np.uint64(i)
            weight = _reciprocal(c + relation[j + B])
            more = relation[j + FRESH] - weight
            more_a = relation[j + FRESH_A] - weight * (deviation + relation[j + A])
            work[k + ON_AT] = e * _relative_error(sums[j + S0] + more, sums[j + S1] + more_a)
            zeroth, first = sums[j + MORE] - rest * more, sums[j + MORE_A] - rest * more_a
            work[k + OFF_AT] = e * _relative_error(sums[j + S0] + zeroth, sums[j + S1] + first)


@inner
def _freshen(lanes, blocks, c, deviation, relation, sums):
    """A device senses: what its fresh reading is more is known now, and no longer to come."""
    _apart()
    for block in range(blocks):
        f = np.uint64(block * N_FIELD * LANES)
        for i in range(lanes):
            j = f + np.uint64(i)
            weight = _reciprocal(c + relation[j + B])
            more = relation[j + FRESH] - weight
            more_a = relation[j + FRESH_A] - weight * (deviation + relation[j + A])
            sums[j + S0] += more
            sums[j + S1] += more_a
            sums[j + MORE] -= more
            sums[j + MORE_A] -= more_a


@inner
def _pass_over(lanes, blocks, c, deviation, relation, sums):
    """A device with energy sleeps."""
    _apart()
    for block in range(blocks):
        f = np.uint64(block * N_FIELD * LANES)
        for i in range(lanes):
            j = f + np.uint64(i)
            weight = _reciprocal(c + relation[j + B])
            sums[j + MORE] -= relation[j + FRESH] - weight
            sums[j + MORE_A] -= relation[j + FRESH_A] - weight * (deviation + relation[j + A])


@leaf
def _show_decreases(work, row, scale, n, out):
    """What J at the first n locations falls by, over its bound; zeros without a ``scale``."""
    if scale == 0.0:
        for i in range(n):
            out[i] = np.float32(0.0)
        return
    whole = n // LANES
    for block in range(whole):
        w, o = np.uint64(block * N_WORK * LANES), np.uint64(block * LANES)
        for i in range(LANES):
            j = np.uint64(i)
            out[o + j] = (work[w + NOW_AT + j] - work[w + row + j]) * scale
    w, o = np.uint64(whole * N_WORK * LANES), np.uint64(whole * LANES)
    for i in range(n - whole * LANES):
        j = np.uint64(i)
        out[o + j] = (work[w + NOW_AT + j] - work[w + row + j]) * scale


@leaf
def _average(work, row, n):
    total, whole = 0.0, n // LANES
    for block in range(whole):
        w = np.uint64(block * N_WORK * LANES) + row
        for i in range(LANES):
            total += work[w + np.uint64(i)]
    w = np.uint64(whole * N_WORK * LANES) + row
    for i in range(n - whole * LANES):
        total += work[w + np.uint64(i)]
    return total / n


@inner
def _sources(n, delta2, drift, over, record, delay, about):
    """`_source` of n devices: c of each, then the deviations."""
    _apart()
    for i in range(n):
        relative = record[i] * over
        about[i] = delta2 * relative * relative + drift * delay[i]
        about[n + i] = relative - 1.0


@inner
def _about(p, s, m):
    """Of device m: c, the deviation, and 1.0 if it may yet sense in this slot."""
    return p.work[m], p.work[p.n_devices + m], 1.0 if m >= s.clock[TURN] and s.energy[m] > 0 else 0.0


@inner
def _latest(p, s):
    """The last device with energy, -1 for none; searched from where it was before, where that is known."""
    last = np.int64(s.aside[LATEST]) if p.kept else p.n_devices - 1
    while last >= 0 and s.energy[last] == 0:
        last -= 1
    return last


@inner
def _open_slot(p, s):
    if p.aware:
        return
    sums, over = s.sums, s.aside[INVERSE]
    for j in range(p.blocks * N_FIELD * LANES):
        sums[j] = 0.0
    _sources(p.n_devices, p.delta2, p.sigma2 * over * over, over, s.record, s.delay, p.work)
    pairs, last = p.n_devices // 2, p.n_devices - 1
    alive = min(pairs, (_latest(p, s) + 2) // 2)
    for i in range(alive):
        one, two = _about(p, s, 2 * i), _about(p, s, 2 * i + 1)
        if one[2] + two[2] > 0.0:
            _add_two_of_rest(p.lanes, p.blocks, one, two, _relations(p, 2 * i), _relations(p, 2 * i + 1), sums)
        else:
            _add_two(p.lanes, p.blocks, one, two, _relations(p, 2 * i), _relations(p, 2 * i + 1), sums)
    for i in range(alive, pairs):
        about = _pointer(p.work, 2 * i)
        one, two = (about[0], about[p.n_devices]), (about[1], about[p.n_devices + 1])
        _add_two(p.lanes, p.blocks, one, two, _relations(p, 2 * i), _relations(p, 2 * i + 1), sums)
    if last == 2 * pairs:
        c, deviation, rest = _about(p, s, last)
        if rest > 0.0:
            _add_device_of_rest(p.lanes, p.blocks, c, deviation, _relations(p, last), sums)
        else:
            _add_device(p.lanes, p.blocks, c, deviation, _relations(p, last), sums)


@leaf
def _krige(lanes, blocks, e, n_devices, max_sleep, learned, relation, work, row):
    """J of level-aware inference: the deviation that `estimation.LevelAware` claims, into a row of ``work``.

    ``learned`` holds ν², drift, floor, then rho (D + 1), the devices' parts 1 + m (M) and covariances C (M, M); the
    rows of ``relation`` are a device's C and, the same for all devices, the locations' parts and variances C_jj.
    Behind the rows ``work`` holds delay and record (M each) of the state that is asked about, then room: (M,), (M, M)
    for the Cholesky factor, (M, LANES).
    """
    m, n_work = n_devices, N_WORK * LANES
    unsure, drift, floor = learned[0] * e * e, learned[1], learned[2]
    rho, part, own = _pointer(learned, 3), _pointer(learned, 4 + max_sleep), _pointer(learned, 4 + max_sleep + m)
    delay = _pointer(work, blocks * n_work)
    record, left, factor = _pointer(delay, m), _pointer(delay, 2 * m), _pointer(delay, 3 * m)
    solved = _pointer(factor, m * m)
    for i in range(m):
        walked, noise = drift * delay[i], learned[0] * (record[i] * record[i] + e * e)
        left[i] = walked * noise / (walked + noise) if walked > 0.0 and noise > 0.0 else 0.0
    for i in range(m):
        for j in range(i + 1):
            lag = np.int64(abs(delay[i] - delay[j]))
            total = own[i * m + j] * rho[lag] * record[i] * record[j]
            total += part[i] * part[j] * (min(left[i], left[j]) + unsure)
            if i == j:
                total += floor
            for k in range(j):
                total -= factor[i * m + k] * factor[j * m + k]
            factor[i * m + j] = 1.0 / np.sqrt(total) if i == j else total * factor[j * m + j]  # 1/L on the diagonal
    for block in range(blocks):
        f, w = block * N_FIELD * LANES, block * n_work + np.int64(row)
        for x in range(lanes):
            location = relation[f + np.int64(B) + x]
            work[w + x] = relation[f + np.int64(FRESH) + x] * e * e + unsure * location * location
        for i in range(m):
            alike, common = rho[np.int64(delay[i])] * record[i] * e, unsure * part[i]
            covariance = _pointer(relation, i * blocks * N_FIELD * LANES + f)
            for x in range(lanes):
                solved[i * LANES + x] = alike * covariance[x] + common * relation[f + np.int64(B) + x]
            for k in range(i):
                for x in range(lanes):
                    solved[i * LANES + x] -= factor[i * m + k] * solved[k * LANES + x]
            for x in range(lanes):
                found = solved[i * LANES + x] * factor[i * m + i]
                solved[i * LANES + x] = found
                work[w + x] -= found * found
        for x in range(lanes):
            work[w + x] = np.sqrt(max(work[w + x], 0.0) + floor)


@inner
def _ask(p, s, row, fresh, later):
    """Level-aware: the map if device ``fresh`` (-1: none) senses, and those from ``later`` on with energy do."""
    e, m = s.score[LEVEL], p.n_devices
    at = p.blocks * N_WORK * LANES
    for i in range(m):
        senses = i == fresh or (i >= later and s.energy[i] > 0)
        p.work[at + i] = 0.0 if senses else s.delay[i]
        p.work[at + m + i] = e if senses else s.record[i]
    _krige(p.lanes, p.blocks, e, m, p.max_sleep, p.learned, p.relation, p.work, row)


@inner
def _keep_measured(p, s, row, e):
    """A location measured in this slot is not inferred: J = δe (III-B, rule of inference)."""
    if p.fuse == 0:
        for i in range(p.n_devices):
            if s.delay[i] == 0:
                p.work[np.uint64(p.places[i]) + row] = p.delta * e


@inner
def _infer(p, s):
    """The map as it is now."""
    if p.aware:
        _ask(p, s, NOW_AT, -1, p.n_devices)
        for i in range(p.n_devices):  # for `_error_at`
            s.sums[i] = p.work[np.uint64(p.places[i]) + NOW_AT]
        return
    e = s.score[LEVEL]
    _infer_rows(p.lanes, p.blocks, e, 0.0, s.sums, p.work, NOW_AT)
    _keep_measured(p, s, NOW_AT, e)


@inner
def _infer_one(zeroth, first, shown, k):
    """J/e at one location, also into ``shown``."""
    square, short = zeroth + first * first, np.float32(zeroth)
    over = np.float32(1.0) / short
    near = np.float64(over / np.sqrt(np.float32(square)))
    ratio = square * near  # as where cores divide slowly: 1/S0 is needed in single precision anyway
    rounded = ratio * zeroth
    ratio += 0.5 * near * (square - rounded * rounded)
    shown[k + RATIO] = ratio
    shown[k + ZEROTH] = short
    shown[k + FIRST] = first
    shown[k + OVER_ZEROTH] = over
    return ratio


@inner
def _infer_shown(lanes, blocks, sums, shown):
    """The map as it is now, and what is to come, into ``shown``.

    Returns the sum of J/e at the locations that are inferred, and how many they are.
    """
    _apart()
    total, inferred = 0.0, 0.0
    for block in range(blocks):
        f, v = np.uint64(block * N_FIELD * LANES), np.uint64(block * N_SHOWN * LANES)
        for i in range(lanes):
            j, k = f + np.uint64(i), v + np.uint64(i)
            ratio = _infer_one(sums[j + S0], sums[j + S1], shown, k)
            mark = np.float64(abs(shown[k + MARK]))
            total += mark * ratio
            inferred += mark
            shown[k + REST] = sums[j + MORE]
            shown[k + REST_A] = sums[j + MORE_A]
    return total, inferred


@inner
def _freshen_shown(lanes, blocks, c, deviation, relation, sums, shown):
    """`_freshen` and `_infer_shown`."""
    _apart()
    total, inferred = 0.0, 0.0
    for block in range(blocks):
        f, v = np.uint64(block * N_FIELD * LANES), np.uint64(block * N_SHOWN * LANES)
        for i in range(lanes):
            j, k = f + np.uint64(i), v + np.uint64(i)
            weight = _reciprocal(c + relation[j + B])
            more = relation[j + FRESH] - weight
            more_a = relation[j + FRESH_A] - weight * (deviation + relation[j + A])
            zeroth, first = sums[j + S0] + more, sums[j + S1] + more_a
            rest, rest_a = sums[j + MORE] - more, sums[j + MORE_A] - more_a
            ratio = _infer_one(zeroth, first, shown, k)
            mark = np.float64(abs(shown[k + MARK]))
            total += mark * ratio
            inferred += mark
            sums[j + S0] = zeroth
            sums[j + S1] = first
            sums[j + MORE] = rest
            sums[j + MORE_A] = rest_a
            shown[k + REST] = rest
            shown[k + REST_A] = rest_a
    return total, inferred


@inner
def _pass_over_shown(lanes, blocks, c, deviation, relation, sums, shown):
    """`_pass_over`, and into ``shown`` what is left to come."""
    _apart()
    for block in range(blocks):
        f, v = np.uint64(block * N_FIELD * LANES), np.uint64(block * N_SHOWN * LANES)
        for i in range(lanes):
            j, k = f + np.uint64(i), v + np.uint64(i)
            weight = _reciprocal(c + relation[j + B])
            rest = sums[j + MORE] - (relation[j + FRESH] - weight)
            rest_a = sums[j + MORE_A] - (relation[j + FRESH_A] - weight * (deviation + relation[j + A]))
            sums[j + MORE] = rest
            sums[j + MORE_A] = rest_a
            shown[k + REST] = rest
            shown[k + REST_A] = rest_a


@inner
def _sums_at(spot):
    """Where a location stands in a row of ``sums`` or of a relation."""
    return np.uint64(spot // LANES * N_FIELD * LANES + spot % LANES)


@inner
def _average_shown(p, s, total, inferred):
    """The average joint error: what was measured in this slot has J = δe."""
    return s.score[LEVEL] * ((total + p.delta * (p.n_locations - inferred)) / p.n_locations)


@inner
def _assess(p, s):
    """Infer the map as it is now; returns its average joint error."""
    if p.kept:
        total, inferred = _infer_shown(p.lanes, p.blocks, s.sums, s.shown)
        return _average_shown(p, s, total, inferred)
    _infer(p, s)
    return _average(p.work, NOW_AT, p.n_locations)


@inner
def _error_at(p, s, m):
    """J at device m's location, after the end that of the last slot (whose readings are one slot old by then)."""
    if p.aware:
        return s.sums[m]
    over = s.clock[SLOT] > p.horizon
    e = s.score[LEVEL]
    if p.fuse == 0 and (s.delay[m] == 0 or (over and s.delay[m] == 1 and s.record[m] == e)):
        return p.delta * e
    at = _sums_at(p.spots[m])
    return e * _relative_error(s.sums[at + S0], s.sums[at + S1])


@inner
def _ask_ahead(p, s):
    """Level-aware: what `_consider` asks."""
    turn = s.clock[TURN]
    _ask(p, s, ON_AT, turn, p.n_devices)
    _ask(p, s, OFF_AT, -1, turn + 1)


@inner
def _consider(p, s):
    """What the map becomes if the device whose turn it is senses, and if it sleeps and the later ones sense."""
    m = s.clock[TURN]
    if p.aware:
        _ask_ahead(p, s)
        return
    e = s.score[LEVEL]
    c, deviation = _source(p, s, m, s.aside[INVERSE])
    _suppose(p.lanes, p.blocks, e, c, deviation, 1.0 if s.energy[m] > 0 else 0.0, _relations(p, m), s.sums, p.work)
    if p.fuse == 0:
        known = p.delta * e
        p.work[np.uint64(p.places[m]) + ON_AT] = known
        for i in range(m):
            if s.delay[i] == 0:
                p.work[np.uint64(p.places[i]) + ON_AT] = known
                p.work[np.uint64(p.places[i]) + OFF_AT] = known
        for i in range(m + 1, p.n_devices):
            if s.energy[i] > 0:
                p.work[np.uint64(p.places[i]) + OFF_AT] = known


@inner
def _meet(p, s):
    """The level of the slot that begins; after the end that of the last slot stays."""
    if s.clock[SLOT] <= p.horizon:
        s.score[LEVEL] = s.path[s.clock[SLOT]]
        s.aside[INVERSE] = 1.0 / s.score[LEVEL]


@inner
def _close_slot(p, s):
    """The slot's error counts (10), every delay grows by one up to D, and the next slot begins."""
    s.score[LAST] = s.score[NOW]
    s.score[TOTAL] += s.score[NOW]
    capped = 0
    for i in range(p.n_devices):
        longest = 1 if s.delay[i] >= p.max_sleep else 0
        s.delay[i] += 1 - longest
        capped += longest
    s.clock[CAPPED] += capped
    s.clock[TURN] = 0
    s.clock[SLOT] += 1
    _meet(p, s)


@inner
def _executed(energy, delay, max_sleep, action):
    if energy == 0:
        return 0
    if delay == max_sleep:
        return 1
    return action


@inner
def _carry_out(p, s, m, on):
    """Device m, which has energy, senses or sleeps."""
    if p.aware == 0:
        c, deviation = _source(p, s, m, s.aside[INVERSE])
        if on:
            _freshen(p.lanes, p.blocks, c, deviation, _relations(p, m), s.sums)
        else:
            _pass_over(p.lanes, p.blocks, c, deviation, _relations(p, m), s.sums)
    if on:
        _sense(s, m)


@inner
def _sense(s, m):
    s.energy[m] -= 1
    s.delay[m] = 0
    s.record[m] = s.score[LEVEL]


@inner
def _carry_out_shown(p, s, m, on):
    """The same where ``shown`` is in use, and the average joint error anew if it senses."""
    if p.blocks == 1:  # ``sums`` and ``shown`` of many episodes leave the first cache; of two lines one brings both
        after = _pointer(s.sums, (p.path_at + p.horizon + 8) // 8 * 8)
        for line in range(0, N_FIELD * LANES + N_SHOWN * LANES // 2, 16):
            _prefetch(_pointer(after, line))
    c, deviation = _source(p, s, m, s.aside[INVERSE])
    if on == 0:
        _pass_over_shown(p.lanes, p.blocks, c, deviation, _relations(p, m), s.sums, s.shown)
        return
    total, inferred = _freshen_shown(p.lanes, p.blocks, c, deviation, _relations(p, m), s.sums, s.shown)
    if p.fuse == 0:  # marked now, not before: the loop would wait for it
        spot = _sums_at(p.spots[m])
        total -= _relative_error(s.sums[spot + S0], s.sums[spot + S1])
        inferred -= 1.0
        s.shown[np.uint64(p.marks[m]) + MARK] = 0.0
    _sense(s, m)
    s.score[NOW] = _average_shown(p, s, total, inferred)


@inner
def _decide(p, s, action):
    """The device whose turn it is decides (V-B); returns the reward, the executed action and whose turn it is next."""
    m = s.clock[TURN]
    on = _executed(s.energy[m], s.delay[m], p.max_sleep, action)
    before = s.score[NOW]
    if s.energy[m] > 0:
        if p.kept:
            _carry_out_shown(p, s, m, on)
        else:
            _carry_out(p, s, m, on)
    if on and p.kept == 0:
        s.score[NOW] = _assess(p, s)
    after = s.score[NOW]
    turn = m + 1
    if turn < p.n_devices:
        s.clock[TURN] = turn
    else:
        turn = 0
        _close_slot(p, s)
    return (-after if m == 0 else before - after), on, turn


@inner
def _tell(p, s, turn):
    """Write what is allowed; 2 if the episode is over, 1 if a slot has just begun, else 0."""
    over = s.clock[SLOT] > p.horizon
    if p.joint:
        for m in range(p.n_devices):
            free = 1 if s.delay[m] == p.max_sleep else 2
            s.mask[m] = 0 if over or s.energy[m] == 0 else free
    else:
        on = not over and s.energy[turn] > 0
        s.mask[0] = 0 if on and s.delay[turn] == p.max_sleep else 1
        s.mask[1] = 1 if on else 0
    return 2 if over else 1 if turn == 0 else 0


@merged
def _look_around(p, s, anew):
    """The map's sums and errors, ``anew`` from the raw state; whether the episode goes on."""
    if s.clock[SLOT] > p.horizon:
        return False
    if anew:
        _open_slot(p, s)
        if p.kept:
            _draw(p, s)
        s.score[NOW] = _assess(p, s)
    return True


@merged
def _look_ahead(p, s, anew, only):
    """Prepare the next decision if it is of device ``only`` (-1: of any), for who does not observe empty batteries."""
    goes_on = _look_around(p, s, anew)
    if goes_on and s.energy[s.clock[TURN]] > 0 and (only < 0 or s.clock[TURN] == only):
        _consider(p, s)


@inner
def _decide_together(p, s, actions):
    """All devices decide at once: the simultaneous-action view of the same MDP. Returns the reward."""
    for m in range(p.n_devices):
        on = _executed(s.energy[m], s.delay[m], p.max_sleep, actions[m])
        s.forced[m] = 1 if on != actions[m] else 0
        if on:
            _carry_out(p, s, m, on)
    s.score[NOW] = _assess(p, s)
    reward = -s.score[NOW]
    _close_slot(p, s)
    return reward


@inner
def _suppose_all(p, s):
    """The joint view's: errors if all devices with energy sense."""
    if p.aware:
        _ask(p, s, ON_AT, -1, 0)
        return
    e = s.score[LEVEL]
    _infer_rows(p.lanes, p.blocks, e, 1.0, s.sums, p.work, ON_AT)
    if p.fuse == 0:
        for i in range(p.n_devices):
            if s.energy[i] > 0:
                p.work[np.uint64(p.places[i]) + ON_AT] = p.delta * e


@merged
def _observe_full(p, s, out):
    """The 2N + 6M + 4 numbers of `observation`, in that order."""
    n, n_devices = p.n_locations, p.n_devices
    slot, turn = s.clock[SLOT], s.clock[TURN]
    on, off = 2 * n_devices, 3 * n_devices + n + 1
    tail = off + n + n_devices + 1
    work = p.work
    left = p.horizon - slot + 1
    one, zero = np.float32(1.0), np.float32(0.0)
    by_budget, by_sleep, by_level = 1.0 / p.budget, 1.0 / p.max_sleep, 1.0 / p.top_level
    scale = p.error_scale if left > 0 else 0.0
    scale_off = 0.0 if p.joint or turn == n_devices - 1 else scale  # nobody comes later
    _show_decreases(work, ON_AT, scale, n, _pointer(out, on))
    _show_decreases(work, OFF_AT, scale_off, n, _pointer(out, off))
    for i in range(n_devices):
        energy, at = s.energy[i], np.uint64(p.places[i])
        deficiency = _deficiency(p, energy, left)
        out[i] = zero
        out[n_devices + i] = energy * by_budget
        out[on + n + i] = deficiency * scale * (work[at + NOW_AT] - work[at + ON_AT]) if scale > 0.0 else 0.0
        out[off + n + i] = deficiency * scale * (work[at + NOW_AT] - work[at + OFF_AT]) if scale_off > 0.0 else 0.0
        out[tail + 1 + i] = s.delay[i] * by_sleep
        out[tail + 1 + n_devices + i] = s.record[i] * by_level
    if p.joint == 0:
        out[turn] = one
    out[on + n + n_devices] = one if left > 0 else zero
    out[off + n + n_devices] = one if left > 0 and p.joint == 0 else zero
    out[tail] = left / p.horizon
    out[tail + 1 + 2 * n_devices] = s.score[LEVEL] * by_level


# Little of what the full observation shows changes between the decisions of a slot. `shown` keeps in single precision
# what hypotheticals are computed from, in blocks; `kept` the deficiencies (M) and what is only copied, the numbers
# before the decreases (2M) and behind (2M + 2).


@inner
def _deficiency(p, energy, left):
    """PD (37) over B."""
    return left / (p.horizon * energy) if energy > 0 else 1.0


@inner
def _draw_devices(n, scales, left, energy, delay, record, deficiency, turns, energies, delays, records):
    _apart()
    for i in range(n):
        deficiency[i] = left / (scales[0] * energy[i]) if energy[i] > 0 else 1.0
        turns[i] = 0.0
        energies[i] = energy[i] * scales[1]
        delays[i] = delay[i] * scales[2]
        records[i] = record[i] * scales[3]


@inner
def _forget(p, s):
    """Let `_latest` look for the last device with energy among all."""
    s.aside[LATEST] = p.n_devices - 1


@inner
def _draw(p, s):
    """Write all of ``shown`` that `_infer_shown` does not, but for the marks of other locations than the devices'."""
    m, shown, turn, left = p.n_devices, s.shown, s.clock[TURN], p.horizon - s.clock[SLOT] + 1
    last = np.int64(s.aside[LATEST])
    if p.fuse == 0 and last >= 0:
        for i in range(m):
            later = i > turn and s.energy[i] > 0
            shown[np.uint64(p.marks[i]) + MARK] = 0.0 if s.delay[i] == 0 else -1.0 if later else 1.0
    kept = s.kept
    scales = float(p.horizon), 1.0 / p.budget, 1.0 / p.max_sleep, 1.0 / p.top_level
    rows = kept, _pointer(kept, m), _pointer(kept, 2 * m), _pointer(kept, 3 * m + 1), _pointer(kept, 4 * m + 1)
    _draw_devices(m, scales, float(left), s.energy, s.delay, s.record, *rows)
    kept[m + turn] = 1.0
    kept[3 * m] = left / p.horizon
    kept[5 * m + 1] = s.score[LEVEL] * scales[3]
    last = _latest(p, s)
    s.aside[LATEST] = last if turn == 0 else max(last, 0)  # -1 says that a slot passes without marks


@inner
def _revise(p, s, m, kept, head, tail):
    """Write what changes when device m has decided, into what is kept and its copies; a new slot draws all of it.

    Into both, since a load of many numbers waits for stores of single ones just before it.
    """
    n_devices = p.n_devices
    kept[n_devices + m] = head[m] = 0.0
    kept[n_devices + m + 1] = head[m + 1] = 1.0
    if s.delay[m] == 0:
        kept[m] = _deficiency(p, s.energy[m], p.horizon - s.clock[SLOT] + 1)
        kept[2 * n_devices + m] = head[n_devices + m] = s.energy[m] * (1.0 / p.budget)
        kept[3 * n_devices + 1 + m] = tail[1 + m] = 0.0
        kept[4 * n_devices + 1 + m] = tail[1 + n_devices + m] = s.record[m] * (1.0 / p.top_level)


@inner
def _decrease(q, zeroth, first, over, ratio, more, more_a):
    """What J/e falls by if S0 and S1 grow by more/q and more_a/q.

    Not a difference of two errors, of which single precision would leave few digits: with J/e = r, z = S0, f = S1 and
    dashes on what they become, r - r' = (r² - r'²)/(r + r') and r² = 1/z + (f/z)².
    """
    new, new_first = zeroth * q + more, first * q + more_a
    turned = (first * more - more_a * zeroth) * (first * over * new + new_first)
    return (more * new + turned) * over / (new * np.sqrt(new * q + new_first * new_first) + ratio * (new * new))


@inner
def _show_sensing(p, shown, about, near, out):
    """What J falls by if the device senses, over its bound.

    ``about``: that scale; a unit that keeps products finite; times it c, the excess c - δ² and the deviation.
    """
    _apart()
    scale, unit, c, excess, deviation = about
    for block in range(p.blocks):
        f, v = np.uint64(block * N_FIELD * LANES), np.uint64(block * N_SHOWN * LANES)
        o = np.uint64(block * LANES)
        for i in range(p.lanes):
            j, k = f + np.uint64(i), v + np.uint64(i)
            zeroth, first, over, ratio = shown[k + ZEROTH], shown[k + FIRST], shown[k + OVER_ZEROTH], shown[k + RATIO]
            q, more = c + unit * near[j + B], excess * near[j + FRESH]
            less = _decrease(q, zeroth, first, over, ratio, more, more * near[j + A] - deviation)
            out[o + np.uint64(i)] = less * scale * abs(shown[k + MARK])


@inner
def _show_both(p, shown, about, rest, near, on, off):
    """The same, and what J falls by if it sleeps and the later ones with energy sense; ``rest``: 1 if it has energy."""
    _apart()
    scale, unit, c, excess, deviation = about
    zero, known = np.float32(0.0), np.float32(p.delta)
    for block in range(p.blocks):
        f, v = np.uint64(block * N_FIELD * LANES), np.uint64(block * N_SHOWN * LANES)
        o = np.uint64(block * LANES)
        for i in range(p.lanes):
            j, k = f + np.uint64(i), v + np.uint64(i)
            zeroth, first, over, ratio = shown[k + ZEROTH], shown[k + FIRST], shown[k + OVER_ZEROTH], shown[k + RATIO]
            mark = shown[k + MARK]
            q, more = c + unit * near[j + B], excess * near[j + FRESH]
            more_a = more * near[j + A] - deviation
            less = _decrease(q, zeroth, first, over, ratio, more, more_a)
            on[o + np.uint64(i)] = less * scale * abs(mark)
            more = shown[k + REST] * q - rest * more
            more_a = shown[k + REST_A] * q - rest * more_a
            less = _decrease(q, zeroth, first, over, ratio, more, more_a)
            off[o + np.uint64(i)] = (less * max(mark, zero) + (ratio - known) * max(-mark, zero)) * scale


@inner
def _copy(n, source, target):
    """Copy n numbers, many at a time; the last ones twice where n is no multiple."""
    if n >= 16:
        _move(16, source, target)
        if n > 32:  # a loop alone would be prepared for many rounds
            _move(16, _pointer(source, 16), _pointer(target, 16))
        for at in range(32, n - 16, 16):
            _move(16, _pointer(source, at), _pointer(target, at))
        _move(16, _pointer(source, n - 16), _pointer(target, n - 16))
    elif n >= 8:
        _move(8, source, target)
        _move(8, _pointer(source, n - 8), _pointer(target, n - 8))
    else:
        for i in range(n):
            target[i] = source[i]


@inner
def _weigh_each(p, deficiency, out):
    for i in range(p.n_devices):
        m = np.uint64(i)
        out[np.uint64(p.n_locations) + m] = deficiency[m] * out[np.uint64(p.spots[m])]


if WIDE:

    @inner
    def _weigh_few(p, deficiency, out):
        places = _pointer(p.near, (p.n_devices + 1) * p.blocks * N_FIELD * LANES)
        _pick(p.n_devices, out, places, deficiency, _pointer(out, p.n_locations))

else:
    _weigh_few = _weigh_each


@inner
def _weigh(p, deficiency, out):
    """Behind the decreases of all locations write the devices' own ones times their deficiency, and 1."""
    if p.blocks == 1 and p.roomy and p.n_devices <= 16:
        _weigh_few(p, deficiency, out)
    else:
        _weigh_each(p, deficiency, out)
    out[np.uint64(p.n_locations + p.n_devices)] = 1.0


@inner
def _show_own(p, s, turn, c, deviation, rest, scale, out):
    """What J falls by at the device's own location if it sleeps and the later ones sense.

    Nothing is known of this place as well as by its own reading, so that the others' part is a small difference: the
    sums' increments are taken in double precision.
    """
    spot = p.spots[turn]
    j, r = _sums_at(spot), _relations(p, turn)
    k, shown = np.uint64(p.marks[turn]), s.shown
    weight = 1.0 / (c + r[j + B])
    more = np.float32(s.sums[j + MORE] - rest * (r[j + FRESH] - weight))
    more_a = np.float32(s.sums[j + MORE_A] - rest * (r[j + FRESH_A] - weight * (deviation + r[j + A])))
    zeroth, first, over, ratio = shown[k + ZEROTH], shown[k + FIRST], shown[k + OVER_ZEROTH], shown[k + RATIO]
    out[spot] = _decrease(np.float32(1.0), zeroth, first, over, ratio, more, more_a) * scale


@inner
def _show(p, s, turn, out):
    """The numbers of `_observe_full` while an episode goes on, from ``shown``.

    The rows of locations are written in whole blocks where there is room; what comes after is written later.
    """
    n, m = p.n_locations, p.n_devices
    row = n + m + 1
    on, off, tail = _pointer(out, 2 * m), _pointer(out, 2 * m + row), _pointer(out, 2 * m + 2 * row)
    kept, width = s.kept, p.blocks * N_FIELD * LANES
    near, on_room, off_room = _pointer(p.near, turn * width), on, off
    if p.roomy == 0:
        on_room, off_room = _pointer(p.near, m * width), _pointer(p.near, m * width + p.blocks * LANES)
    c, deviation = _source(p, s, turn, s.aside[INVERSE])
    scale, unit = np.float32(s.score[LEVEL] * p.error_scale), 1.0
    if c > 4.0:  # only then, since all that follows would wait for the division
        unit = 1.0 / c
    numbers = np.float32(unit * c), np.float32(unit * (c - p.delta2)), np.float32(unit * deviation)
    about = scale, np.float32(unit), *numbers
    _copy(2 * m, _pointer(kept, m), out)
    _copy(2 * m + 2, _pointer(kept, 3 * m), tail)
    if turn > 0:
        _revise(p, s, turn - 1, kept, out, tail)
    if turn < np.int64(s.aside[LATEST]):
        rest = np.float32(1.0 if s.energy[turn] > 0 else 0.0)
        _show_both(p, s.shown, about, rest, near, on_room, off_room)
        if p.roomy == 0:
            _copy(n, on_room, on)
            _copy(n, off_room, off)
        _weigh(p, kept, off)
        _show_own(p, s, turn, c, deviation, rest, scale, off)
        off[n + turn] = kept[turn] * off[p.spots[turn]]
    else:
        _show_sensing(p, s.shown, about, near, on_room)
        if p.roomy == 0:
            _copy(n, on_room, on)
        _copy(n + m, _pointer(p.near, m * width + 2 * p.blocks * LANES), off)  # zeros; a loop would call memset
        off[n + m] = 1.0
    _weigh(p, kept, on)
    if p.fuse == 0:
        less = (s.shown[np.uint64(p.marks[turn])] - np.float32(p.delta)) * scale
        on[p.spots[turn]] = less
        on[n + turn] = kept[turn] * less
        s.shown[np.uint64(p.marks[turn]) + MARK] = 1.0


@inner
def _clip(x):
    return min(1.0, max(-1.0, x))


@inner
def _log(x):
    return _clip(log(max(x, 1e-12)) / 8.0)


@inner
def _signed_log(x):
    return _log(1.0 + x) if x >= 0.0 else -_log(1.0 - x)


@inner
def _observe_compact(p, s, out):
    """The numbers of `observation.COMPACT_FEATURES`, in that order."""
    n, n_devices = p.n_locations, p.n_devices
    horizon, budget, sleep = p.horizon, p.budget, p.max_sleep
    slot, turn = s.clock[SLOT], s.clock[TURN]
    over = slot > horizon
    e = s.score[LEVEL]
    left = horizon - slot + 1

    energy_all, alive, alive_later, energy_later, sensed = 0, 0, 0, 0, 0
    freshest, ratios, delays, freshness, product = 0, 0.0, 0.0, 0.0, 1.0
    for i in range(n_devices):
        energy, delay = s.energy[i], s.delay[i]
        energy_all += energy
        if energy > 0:
            alive += 1
        if i > turn:
            energy_later += energy
            if energy > 0:
                alive_later += 1
        if delay == 0:
            sensed += 1
        if delay < s.delay[freshest]:
            freshest = i
        delays += delay
        freshness += 1.0 / (1.0 + delay)
        product *= s.record[i] / e
        if i % 16 == 15:  # a logarithm takes as long as ten other steps
            ratios += log(product)
            product = 1.0
    ratios += log(product)

    energy, delay, u = s.energy[turn], s.delay[turn], s.record[turn]
    error, gain, gain_own, gain_rest = s.score[NOW], 0.0, 0.0, 0.0
    if not over:
        gain = error - _average(p.work, ON_AT, n)
        gain_own = _error_at(p, s, turn) - p.work[np.uint64(p.places[turn]) + ON_AT]
        gain_rest = error - _average(p.work, OFF_AT, n) if turn < n_devices - 1 else 0.0
    share = budget / horizon
    forced = max(0, (left - 1 + delay) // sleep)
    out[0] = left / horizon
    out[1] = turn / n_devices
    out[2] = energy / budget
    out[3] = 1.0 / (1.0 + energy)
    out[4] = _log(left * share / max(energy, 0.5))
    out[5] = _log(left * share * n_devices / max(energy_all, 0.5))
    out[6] = _log(left * share * (n_devices - 1 - turn) / max(energy_later, 0.5)) if turn < n_devices - 1 else 0.0
    out[7] = delay / sleep
    out[8] = _log(1.0 + delay)
    out[9] = _log(1.0 + sleep - delay)
    out[10] = _clip((energy - forced) / budget)
    out[11] = _clip(gain / error)
    out[12] = _clip(1.0 + log(max(gain / e, 1e-4)) / 8.0)
    out[13] = _signed_log(gain)
    out[14] = _clip(gain_own / error)
    out[15] = _clip(gain_rest / error)
    out[16] = _signed_log(gain_rest)
    out[17] = min(1.0, error / e)
    out[18] = _log(error)
    out[19] = e / p.top_level
    out[20] = _log(e)
    out[21] = _clip(4.0 * _log(u / e))
    out[22] = _log(1.0 + abs(u - e))
    out[23] = _log(1.0 + s.delay[freshest])
    out[24] = _log(1.0 + abs(s.record[freshest] - e))
    out[25] = freshness / n_devices
    out[26] = delays / n_devices / sleep
    out[27] = _clip(ratios / n_devices / 2.0)
    out[28] = alive / n_devices
    out[29] = alive_later / n_devices
    out[30] = sensed / n_devices
    out[31] = _log(1.0 + sensed)


@inner
def _observe_per_device(p, s, out):
    """The compact numbers, then those of `observation.DEVICE_FEATURES` of one device after another."""
    _observe_compact(p, s, out)
    slot, turn = s.clock[SLOT], s.clock[TURN]
    over = slot > p.horizon
    e, at = s.score[LEVEL], N_COMPACT
    need, error = (p.horizon - slot + 1) * p.budget / p.horizon, s.score[NOW]
    for i in range(p.n_devices):
        energy, delay, u = s.energy[i], s.delay[i], s.record[i]
        now = _error_at(p, s, i)
        gain = 0.0 if over else now - p.work[np.uint64(p.places[i]) + ON_AT]
        out[at] = 1.0
        out[at + 1] = 1.0 if i == turn and not over else 0.0
        out[at + 2] = 1.0 if i > turn and not over else 0.0
        out[at + 3] = energy / p.budget
        out[at + 4] = 1.0 / (1.0 + energy)
        out[at + 5] = _log(need / max(energy, 0.5))
        out[at + 6] = delay / p.max_sleep
        out[at + 7] = _log(1.0 + delay)
        out[at + 8] = _clip(4.0 * _log(u / e))
        out[at + 9] = _log(1.0 + abs(u - e))
        out[at + 10] = min(1.0, now / e)
        out[at + 11] = _clip(gain / error)
        out[at + 12] = p.quality[i]
        for n in range(N_TRAITS):
            out[at + 13 + n] = p.traits[n]
        at += N_DEVICE


@inner
def _begin(p, s):
    """Start an episode: every device has sensed in slot 0."""
    s.clock[SLOT] = 1
    s.clock[TURN] = 0
    s.clock[CAPPED] = 0
    s.score[TOTAL] = 0.0
    for m in range(p.n_devices):
        s.energy[m] = p.budget
        s.delay[m] = 1
        s.record[m] = s.path[0]
    for n in range(p.n_devices if p.joint else 1):
        s.forced[n] = 0
    _forget(p, s)
    _meet(p, s)


@merged
def _obey(p, s, action, rewards, k):
    """Do what an episode is told: decide, BEGIN, or PLACE (go on from a state that was written from outside).

    Returns what `_tell` does, 0 if it did not decide, and whose turn it is.
    """
    if action == BEGIN:
        _begin(p, s)
    elif action == PLACE:
        _meet(p, s)
        _forget(p, s)
    else:
        rewards[k], on, turn = _decide(p, s, action)
        s.forced[0] = 1 if on != action else 0
        return _tell(p, s, turn), turn
    turn = s.clock[TURN]
    _tell(p, s, turn)
    return 0, turn


# The entry points take the block of the states and the arrays of Constants one by one, since passing a tuple of arrays
# into compiled code costs 2 µs more a call. There is one a kind of observation, so that only what is used is compiled.


@inner
def _report(s, k, told):
    """Copy an episode's row of `State.whole` to whom it is told; ``told`` may be without rows."""
    if told.shape[0] > 0:
        target, at, end = _row(told, k), 0, told.shape[1]
        while at + 32 <= end:
            _move(32, _pointer(s.clock, at), _pointer(target, at))
            at += 32
        while at < end:
            _move(8, _pointer(s.clock, at), _pointer(target, at))
            at += 8


@inner
def _refused(p, actions, block):
    """0, or -1 - k for the first running episode k that is told neither 0 nor 1."""
    others = 0
    for k in range(actions.shape[0]):
        others |= actions[k] >> 1
    if others != 0:
        for k in range(actions.shape[0]):
            if actions[k] >> 1 != 0 and _episode(p, k, block).clock[SLOT] <= p.horizon:
                return -1 - k
    return 0


@compiled
def observe_full(
    observation,
    relation, near, numbers, sizes, work, block,
):  # fmt: skip
    """Write the observation of every episode."""
    p = _setting(relation, near, numbers, sizes, work)
    for i in range(observation.shape[0]):
        k = i ^ p.never
        s = _episode(p, k, block)
        if s.clock[SLOT] <= p.horizon:
            if p.kept:
                _forget(p, s)
                _draw(p, s)
                _assess(p, s)
                _show(p, s, s.clock[TURN], _row(observation, k))
                continue
            _infer(p, s)
            if p.joint:
                _suppose_all(p, s)
            else:
                _ask_ahead(p, s)
        _observe_full(p, s, _row(observation, k))


@compiled
def observe_compact(
    observation,
    relation, near, numbers, sizes, work, block,
):  # fmt: skip
    """Write the observation of every episode."""
    p = _setting(relation, near, numbers, sizes, work)
    for i in range(observation.shape[0]):
        k = i ^ p.never
        s = _episode(p, k, block)
        if s.clock[SLOT] <= p.horizon:
            _consider(p, s)
        _observe_compact(p, s, _row(observation, k))


@compiled
def observe_per_device(
    observation,
    relation, near, numbers, sizes, work, block,
):  # fmt: skip
    """Write the observation of every episode."""
    p = _setting(relation, near, numbers, sizes, work)
    for i in range(observation.shape[0]):
        k = i ^ p.never
        s = _episode(p, k, block)
        if s.clock[SLOT] <= p.horizon:
            _consider(p, s)
        _observe_per_device(p, s, _row(observation, k))


@merged
def _advance_full(p, strict, actions, rewards, ended, observation, told, block):
    most = _refused(p, actions, block) if strict else 0
    if most < 0:
        return most
    for i in range(actions.shape[0]):
        k = i ^ p.never
        s = _episode(p, k, block)
        ended[k] = 0
        if (actions[k] >= BEGIN or s.clock[SLOT] <= p.horizon) and actions[k] != WAIT:
            code, turn = _obey(p, s, actions[k], rewards, k)
            ended[k] = code
            most = max(most, code)
            if _look_around(p, s, turn == 0 or actions[k] == PLACE):
                _show(p, s, turn, _row(observation, k))
            else:
                _observe_full(p, s, _row(observation, k))
        _report(s, k, told)
    return most


@compiled
def advance_full(
    strict, actions, rewards, ended, observation, told,
    relation, near, numbers, sizes, work, block,
):  # fmt: skip
    """One decision, or what else it is told, in every episode that is not over; then its observation.

    ``strict``: 1: refuse what is no decision, see `_refused`; 0: not. ended (K,) receives 1 where a slot ended and 2
    where an episode did, else 0; the largest of them is returned.
    """
    # Known, so that other cases are not compiled.
    p = _setting_of(relation, near, numbers, sizes, work, 0, 0, 1, *_sizes_of(relation, sizes))
    return _advance_full(p, strict, actions, rewards, ended, observation, told, block)


@compiled
def advance_full_few(
    strict, actions, rewards, ended, observation, told,
    relation, near, numbers, sizes, work, block,
):  # fmt: skip
    """The same with at most LANES locations."""
    p = _setting_of(relation, near, numbers, sizes, work, 0, 0, 1, 1, LANES)
    return _advance_full(p, strict, actions, rewards, ended, observation, told, block)


@compiled
def advance_full_aware(
    strict, actions, rewards, ended, observation, told,
    relation, near, numbers, sizes, work, block,
):  # fmt: skip
    """The same with level-aware inference."""
    p = _setting_of(relation, near, numbers, sizes, work, 0, 1, 0, *_sizes_of(relation, sizes))
    most = _refused(p, actions, block) if strict else 0
    if most < 0:
        return most
    for i in range(actions.shape[0]):
        k = i ^ p.never
        s = _episode(p, k, block)
        ended[k] = 0
        if (actions[k] >= BEGIN or s.clock[SLOT] <= p.horizon) and actions[k] != WAIT:
            ended[k], turn = _obey(p, s, actions[k], rewards, k)
            most = max(most, ended[k])
            anew = turn == 0 or actions[k] == PLACE
            if _look_around(p, s, anew):
                if not anew:
                    _ask(p, s, NOW_AT, -1, p.n_devices)
                _ask_ahead(p, s)
            _observe_full(p, s, _row(observation, k))
        _report(s, k, told)
    return most


@compiled
def advance_compact(
    strict, actions, rewards, ended, observation, told,
    relation, near, numbers, sizes, work, block,
):  # fmt: skip
    """One decision, or what else it is told, in every episode that is not over; then its observation.

    ``strict``: 1: refuse what is no decision, see `_refused`; 0: not. ended (K,) receives 1 where a slot ended and 2
    where an episode did, else 0; the largest of them is returned.
    """
    p = _setting(relation, near, numbers, sizes, work)
    most = _refused(p, actions, block) if strict else 0
    if most < 0:
        return most
    for i in range(actions.shape[0]):
        k = i ^ p.never
        s = _episode(p, k, block)
        ended[k] = 0
        if (actions[k] >= BEGIN or s.clock[SLOT] <= p.horizon) and actions[k] != WAIT:
            ended[k], turn = _obey(p, s, actions[k], rewards, k)
            most = max(most, ended[k])
            if _look_around(p, s, turn == 0 or actions[k] == PLACE):
                _consider(p, s)
            _observe_compact(p, s, _row(observation, k))
        _report(s, k, told)
    return most


@compiled
def advance_per_device(
    strict, actions, rewards, ended, observation, told,
    relation, near, numbers, sizes, work, block,
):  # fmt: skip
    """One decision, or what else it is told, in every episode that is not over; then its observation.

    ``strict``: 1: refuse what is no decision, see `_refused`; 0: not. ended (K,) receives 1 where a slot ended and 2
    where an episode did, else 0; the largest of them is returned.
    """
    p = _setting(relation, near, numbers, sizes, work)
    most = _refused(p, actions, block) if strict else 0
    if most < 0:
        return most
    for i in range(actions.shape[0]):
        k = i ^ p.never
        s = _episode(p, k, block)
        ended[k] = 0
        if (actions[k] >= BEGIN or s.clock[SLOT] <= p.horizon) and actions[k] != WAIT:
            ended[k], turn = _obey(p, s, actions[k], rewards, k)
            most = max(most, ended[k])
            if _look_around(p, s, turn == 0 or actions[k] == PLACE):
                _consider(p, s)
            _observe_per_device(p, s, _row(observation, k))
        _report(s, k, told)
    return most


@compiled
def advance_together(
    strict, actions, rewards, ended, observation, told,
    relation, near, numbers, sizes, work, block,
):  # fmt: skip
    """The joint view's: actions are (K, M); BEGIN, WAIT and PLACE stand in the first place."""
    p = _setting(relation, near, numbers, sizes, work)
    most = 0
    for i in range(actions.shape[0]):
        k = i ^ p.never
        s = _episode(p, k, block)
        order = actions[k, 0]
        ended[k] = 0
        if (order >= BEGIN or s.clock[SLOT] <= p.horizon) and order != WAIT:
            if order == BEGIN:
                _begin(p, s)
            elif order == PLACE:
                _meet(p, s)
            else:
                rewards[k] = _decide_together(p, s, actions[k])
            if _look_around(p, s, True):
                _suppose_all(p, s)
            code = _tell(p, s, 0)
            ended[k] = code if order < BEGIN else 0
            most = max(most, ended[k])
            _observe_full(p, s, _row(observation, k))
        _report(s, k, told)
    return most


@inner
def _forward(widths, weights, x, layers):
    """Play features x through the layers; which of the two rows of ``layers`` holds the outcome."""
    at = 0
    for i in range(widths[0]):
        layers[0, i] = x[i]
    for n in range(widths.shape[0] - 1):
        source, target = layers[n % 2], layers[(n + 1) % 2]
        n_in, n_out = widths[n], widths[n + 1]
        bias = weights[at + n_in * n_out : at + (n_in + 1) * n_out]
        for o in range(n_out):
            target[o] = bias[o]
        for i in range(n_in):
            value = source[i]
            if value != 0.0:
                row = weights[at + i * n_out : at + (i + 1) * n_out]
                for o in range(n_out):
                    target[o] += value * row[o]
        if n + 2 < widths.shape[0]:
            for o in range(n_out):
                target[o] = max(target[o], np.float32(0.0))
        at += (n_in + 1) * n_out
    return (widths.shape[0] - 1) % 2


@inner
def _encode(network, n_devices):
    """Prepare the entrance of the network: the compact numbers, and the mean of the devices' codes."""
    inputs, mixed, layers, widths = network.inputs, network.mixed, network.layers, network.encoder_widths
    for i in range(mixed.shape[0]):
        mixed[i] = inputs[i] if i < N_COMPACT else np.float32(0.0)
    share = np.float32(1.0 / n_devices)
    for m in range(n_devices):
        row = _forward(widths, network.encoder_weights, inputs[N_COMPACT + m * N_DEVICE :], layers)
        for i in range(widths[-1]):
            mixed[N_COMPACT + i] += share * max(layers[row, i], np.float32(0.0))


@inner
def _step(p, s, action, only):
    _decide(p, s, action)
    _look_ahead(p, s, s.clock[TURN] == 0, only)


@inner
def _score(p, s, network):
    """Observe, and return the network's advantage of sensing."""
    if network.encoder_widths.shape[0] == 0:
        _observe_compact(p, s, _pointer(network.inputs, 0))
        return network.layers[_forward(network.widths, network.weights, network.inputs, network.layers), 0]
    _observe_per_device(p, s, _pointer(network.inputs, 0))
    _encode(network, p.n_devices)
    return network.layers[_forward(network.widths, network.weights, network.mixed, network.layers), 0]


@inner
def _free(p, s):
    """Whether the device whose turn it is may choose."""
    return s.energy[s.clock[TURN]] > 0 and s.delay[s.clock[TURN]] < p.max_sleep


@compiled
def play(
    network, scores,
    relation, near, numbers, sizes, work, block,
):  # fmt: skip
    """Play every episode from where it stands to its end with a network's policy.

    scores (K, n) receives the advantage of sensing at the first n decisions, NaN where the action was forced.
    """
    p = _setting(relation, near, numbers, sizes, work)
    for i in range(block.shape[0]):
        k = i ^ p.never
        s = _episode(p, k, block)
        _look_ahead(p, s, False, -1)
        decision = 0
        while s.clock[SLOT] <= p.horizon:
            score = _score(p, s, network) if _free(p, s) else np.float32(np.nan)
            if decision < scores.shape[1]:
                scores[k, decision] = score
            _step(p, s, 1 if score > 0.0 else 0, -1)
            decision += 1
        _tell(p, s, s.clock[TURN])


@inner
def _rejoins(p, s, batteries, records):
    """Whether an episode stands, at the opening of a slot, where the recorded play of the same levels stood."""
    slot = s.clock[SLOT]
    for m in range(p.n_devices):
        if (
            s.energy[m] != batteries[slot, ENERGY, m]
            or s.delay[m] != batteries[slot, DELAY, m]
            or s.record[m] != records[slot, m]
        ):
            return False
    return True


@inner
def _look(p, s, network, out):
    """Observe as the network does, also where the action is forced."""
    if s.energy[s.clock[TURN]] == 0:
        _consider(p, s)
    if network.encoder_widths.shape[0] == 0:
        _observe_compact(p, s, out)
    else:
        _observe_per_device(p, s, out)


@compiled
def branch(
    network, points, cuts, alone, features, gains, tails, reached, room,
    relation, near, numbers, sizes, work, block,
):  # fmt: skip
    """Counterfactual pairs: at chosen decisions play on with either action, under the same levels.

    points (K, n) are the numbers of the chosen decisions, never decreasing; features (K, n, size) receives what was
    seen there and gains (K, n, stretches) the total error with off minus the total error with on, or NaN where the
    action was forced. A branch that rejoins the play that it left is not played further: the rest is the same.

    cuts (C,) are numbers of slots, increasing: after so many, on the same device's turn, tails (K, n, C, 2, size)
    receives what is seen with off and with on, and reached (K, n, C) that it was; gains then holds the stretches
    between the cuts, and a branch ends at the last one. ``room`` is a Branches.

    ``alone``: only the device that decided otherwise reacts to it; the others do what they did in the play left.
    """
    p = _setting(relation, near, numbers, sizes, work)
    n_points, horizon = points.shape[1], p.horizon
    batteries, records, totals, chosen = room.batteries, room.records, room.totals, room.chosen
    watched, seen, n_cuts, m = room.watched, room.seen, cuts.shape[0], p.n_devices
    for k in range(points.shape[0]):
        s = _episode(p, k, block)
        first = s.clock[SLOT] * m + s.clock[TURN]
        _look_ahead(p, s, False, -1)
        at, decision = 0, 0
        watched[:] = False
        for i in range(n_points):
            for c in range(n_cuts):
                if points[k, i] + cuts[c] * p.n_devices < watched.shape[0]:
                    watched[points[k, i] + cuts[c] * p.n_devices] = True
        while s.clock[SLOT] <= horizon:
            slot = s.clock[SLOT]
            if s.clock[TURN] == 0:
                totals[slot] = s.score[TOTAL]
                for i in range(m):
                    batteries[slot, ENERGY, i] = s.energy[i]
                    batteries[slot, DELAY, i] = s.delay[i]
                    records[slot, i] = s.record[i]
            free = _free(p, s)
            action = 1 if free and _score(p, s, network) > 0.0 else 0
            if watched[decision]:
                _look(p, s, network, _row(seen, decision))
            while at < n_points and points[k, at] == decision:
                chosen[at] = action if free else -1
                if free:
                    for i in range(network.inputs.shape[0]):
                        features[k, at, i] = network.inputs[i]
                    _copy(block.shape[1], _row(block, k), _row(room.block, at))
                at += 1
            turn = s.clock[TURN]
            room.actions[decision] = _executed(s.energy[turn], s.delay[turn], p.max_sleep, action)
            _step(p, s, action, -1)
            decision += 1
        _tell(p, s, s.clock[TURN])
        for i in range(n_points):
            if i >= at or chosen[i] < 0:
                gains[k, i] = np.nan
                continue
            gains[k, i] = 0.0
            other, sign = _episode(p, i, room.block), 1.0 if chosen[i] == 1 else -1.0
            start, mover, cut, before, rest = other.clock[SLOT], other.clock[TURN], 0, 0.0, s.score[TOTAL]
            only = mover if alone else -1
            _step(p, other, 1 - chosen[i], only)
            while other.clock[SLOT] <= horizon:
                slot = other.clock[SLOT]
                if other.clock[TURN] == 0 and _rejoins(p, other, batteries, records):
                    rest = totals[slot]
                    break
                if cut < n_cuts and other.clock[TURN] == mover and slot == start + cuts[cut]:
                    gain = other.score[TOTAL] - totals[slot]
                    gains[k, i, cut] = sign * (gain - before)
                    reached[k, i, cut] = True
                    _look(p, other, network, _pointer(tails[k, i, cut, 1 - chosen[i]], 0))
                    for n in range(seen.shape[1]):
                        tails[k, i, cut, chosen[i], n] = seen[points[k, i] + cuts[cut] * p.n_devices, n]
                    before = gain
                    cut += 1
                    if cut == n_cuts:
                        break
                turn = other.clock[TURN]
                if alone and turn != mover:
                    action = room.actions[slot * m + turn - first]
                else:
                    action = 1 if _free(p, other) and _score(p, other, network) > 0.0 else 0
                _step(p, other, action, only)
            if n_cuts == 0 or cut < n_cuts:
                gains[k, i, cut] = sign * (other.score[TOTAL] - rest - before)


@inner
def _level(n, cumulative, uniform):
    """The first of n levels, a multiple of LANES, whose cumulative probability is greater: counted, not searched.

    Where a search ends is what the numbers are drawn to be, unforeseeable.
    """
    count = 0
    for i in range(n):
        count += 1 if cumulative[i] <= uniform else 0
    return count


# Episodes take turns within groups, slot by slot: what one draws does not wait for what another drew.
_GROUP = 8


@compiled
def draw(function, states, chain, levels, rows, drawn, length, path_at, block):
    """Levels (7)(8) of ``length`` slots into the paths of episodes ``rows`` (R,), from NumPy's generators.

    ``function`` and ``states`` (R,) are addresses; ``chain`` as for `walk`; ``drawn`` (R,) scratch.
    """
    n, first = chain.shape[1] & -LANES, chain.shape[0] - 1
    for begin in range(0, rows.shape[0], _GROUP):
        for t in range(length):
            for r in range(begin, min(begin + _GROUP, rows.shape[0])):
                i = _level(n, _row(chain, drawn[r] if t > 0 else first), _next_double(function, states[r]))
                drawn[r] = i
                block[rows[r], path_at + t] = levels[i]


@compiled
def walk(uniforms, first, chain, path):
    """Level paths (7)(8) from uniforms (R, T + 1); ``path`` receives level indices.

    ``chain`` (E + 1, multiple of LANES): cumulative probabilities after each level, then those of the start; 2 where
    all are counted. The first number is drawn from row ``first``.
    """
    n = chain.shape[1] & -LANES
    for begin in range(0, uniforms.shape[0], _GROUP):
        for t in range(uniforms.shape[1]):
            for r in range(begin, min(begin + _GROUP, uniforms.shape[0])):
                path[r, t] = _level(n, _row(chain, path[r, t - 1] if t > 0 else first), uniforms[r, t])
