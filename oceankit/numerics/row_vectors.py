"""Weighted sums over rows of a field, and along them, written as LLVM vectors.

Sums over rows take eight columns to a vector. Sums along rows take eight rows: cells lie side by side in a ``pack``
(cells, eight), where a target's cell is the same for all rows, so that nothing is gathered. All sums are float64.
"""

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.ir as ir
from numba import types
from numba.extending import intrinsic

from oceankit.numerics.vectors import EIGHT, F64, I32, I64, called, folded, load, loaded, spread, turned

__all__ = [
    "any_missing",
    "any_there",
    "blend_rows",
    "fill_missing",
    "lay_rows",
    "mend_means",
    "sum_laid",
    "sum_rows",
    "sum_valid_laid",
]

_WIDE = ir.VectorType(F64, EIGHT)
_NONE = ir.Constant(_WIDE, None)
_BYTE = ir.IntType(8).as_pointer()
_LINE = 64
# Vectors that are summed at a time: enough to hide how long one sum takes.
_TOGETHER = 8


class _Rows:
    """A C-contiguous array of rows; eight of a row at a time, of which the last may be fewer."""

    def __init__(self, context: Any, builder: ir.IRBuilder, kind: Any, value: Any):
        self.builder, self.array = builder, context.make_array(kind)(context, builder, value)
        element = ir.FloatType() if kind.dtype == types.float32 else F64
        self.narrow, self.bytes = ir.VectorType(element, EIGHT), kind.dtype.bitwidth // 8
        self.width = builder.extract_value(self.array.shape, kind.ndim - 1)

    def place(self, row: Any, column: Any) -> Any:
        at = self.builder.add(self.builder.mul(row, self.width), column)
        return self.builder.bitcast(self.builder.gep(self.array.data, [at]), self.narrow.as_pointer())

    def _there(self, column: Any) -> Any:
        """Which of eight columns there are."""
        left = spread(self.builder, self.builder.sub(self.width, column), ir.VectorType(I64, EIGHT))
        return self.builder.icmp_signed("<", ir.Constant(left.type, list(range(EIGHT))), left)

    @property
    def _name(self) -> str:
        return f"v{EIGHT}f{8 * self.bytes}.p0"

    def load(self, row: Any, column: Any, partly: bool = False) -> Any:
        """As float64; zero past the end of the row."""
        builder, place = self.builder, self.place(row, column)
        if partly:
            given = place, ir.Constant(I32, self.bytes), self._there(column), ir.Constant(self.narrow, None)
            x = called(builder, f"llvm.masked.load.{self._name}", self.narrow, *given)
        else:
            x = load(builder, place, self.bytes)
        return x if self.narrow == _WIDE else builder.fpext(x, _WIDE)

    def store(self, value: Any, row: Any, column: Any, partly: bool = False) -> None:
        builder, place = self.builder, self.place(row, column)
        value = value if self.narrow == _WIDE else builder.fptrunc(value, self.narrow)
        if partly:
            given = value, place, ir.Constant(I32, self.bytes), self._there(column)
            called(builder, f"llvm.masked.store.{self._name}", ir.VoidType(), *given)
        else:
            builder.store(value, place).align = self.bytes

    def ask_for(self, row: Any, column: Any, vectors: int) -> None:
        """Have so many vectors fetched into the second cache; more can be under way there than to the first."""
        builder, place = self.builder, self.builder.bitcast(self.place(row, column), _BYTE)
        for offset in range(0, vectors * EIGHT * self.bytes, _LINE):
            there = builder.gep(place, [ir.Constant(I64, offset)])
            called(builder, "llvm.prefetch.p0", ir.VoidType(), there, *(ir.Constant(I32, n) for n in (0, 2, 1)))


def _number(k: int) -> Any:
    return ir.Constant(I64, k)


def _sum(builder: ir.IRBuilder, w: Any, x: Any, total: Any) -> Any:
    return called(builder, f"llvm.fmuladd.v{EIGHT}f64", _WIDE, w, x, total)


def _element(builder: ir.IRBuilder, array: Any, k: Any) -> Any:
    return builder.load(builder.gep(array.data, [k]))


def _weight(builder: ir.IRBuilder, array: Any, k: Any) -> Any:
    """One weight in every lane."""
    return spread(builder, _element(builder, array, k), _WIDE)


def _any(builder: ir.IRBuilder, truths: Sequence[Any]) -> Any:
    """Whether any lane of any is true."""
    truths = list(truths)
    while len(truths) > 1:
        odd = truths[len(truths) & ~1 :]
        truths = [builder.or_(a, b) for a, b in zip(truths[::2], truths[1::2], strict=False)] + odd
    bits = builder.bitcast(truths[0], ir.IntType(EIGHT))
    return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))


def _missing(builder: ir.IRBuilder, vectors: Sequence[Any]) -> Any:
    """Whether any is NaN."""
    return _any(builder, [builder.fcmp_unordered("uno", x, x) for x in vectors])


def _add_valid(builder: ir.IRBuilder, w: Any, x: Any, total: Any, share: Any) -> tuple[Any, Any]:
    """The sum and that of the weights with one value more, as they were where that is missing."""
    there = builder.fcmp_ordered("ord", x, x)
    return (
        builder.select(there, _sum(builder, w, x, total), total),
        builder.select(there, builder.fadd(share, w), share),
    )


# ---- over rows ----------------------------------------------------------------------------------------------------------


def _over(builder: ir.IRBuilder, begin: Any, end: Any, body: Callable[[Any, int, bool], None]) -> None:
    """``body(column, vectors, partly)`` from one column to another: many vectors at a time, then one, which may be partly
    past the end."""

    def loop(begin: Any, vectors: int, partly: bool) -> Any:
        before, step = builder.block, _number(vectors * EIGHT)
        head, inside, after = (builder.append_basic_block(n) for n in ("columns", "some", "rest"))
        builder.branch(head)
        builder.position_at_end(head)
        x = builder.phi(I64)
        x.add_incoming(begin, before)
        last = x if partly else builder.add(x, _number(vectors * EIGHT - 1))
        builder.cbranch(builder.icmp_signed("<", last, end), inside, after)
        builder.position_at_end(inside)
        body(x, vectors, partly)
        x.add_incoming(builder.add(x, step), builder.block)
        builder.branch(head)
        builder.position_at_end(after)
        return x

    loop(loop(begin, _TOGETHER, False), 1, True)


def _bending(builder: ir.IRBuilder, weights: Any, k: Any) -> list[Any]:
    """The weight of an entry, and what it bends by with the first and the second power."""
    many = builder.extract_value(weights.shape, 1)
    return [_weight(builder, weights, builder.add(k, builder.mul(many, _number(p)))) for p in range(3)]


class _Entries:
    """Entries of a target: the numbers of its rows, and its weights."""

    def __init__(self, context: Any, builder: ir.IRBuilder, kinds: Any, args: Any):
        self.builder = builder
        self.which, self.weights = (
            context.make_array(k)(context, builder, a) for k, a in zip(kinds, args, strict=True)
        )
        self.size = builder.extract_value(self.which.shape, 0)

    def row(self, k: Any) -> Any:
        return _element(self.builder, self.which, k)

    def weight(self, first: Any, k: Any) -> Any:
        """The k-th weight, where the first stands at ``first``."""
        return _weight(self.builder, self.weights, self.builder.add(first, k))


@intrinsic
def sum_rows(typingctx, rows, which, weights, firsts, begin, end, ahead, out, i):  # noqa: ARG001
    """``out[i, x] = sum(weights[0, first + k] * rows[which[k], x] for k)`` for the columns x from ``begin`` to ``end``.

    ``firsts`` is a tuple of ``first``, or of two where row i + 1 of ``out`` is made of the same rows: they are read once.
    ``begin`` is a multiple of eight; ``end`` is one, too, or the width. The rows that many ``ahead`` are asked for, where
    that is not 0.
    """
    number = types.int64
    signature = types.void(rows, which, weights, firsts, number, number, number, out, number)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        kinds = signature.args
        source, target = (_Rows(context, builder, kinds[k], args[k]) for k in (0, 7))
        entries, ahead = _Entries(context, builder, kinds[1:3], args[1:3]), args[6]
        firsts = [builder.extract_value(args[3], t) for t in range(kinds[3].count)]

        def sums(x: Any, vectors: int, partly: bool) -> None:
            places = [builder.add(x, _number(EIGHT * v)) for v in range(vectors)]

            def step(k: Any, *totals: Any) -> list[Any]:
                row = entries.row(k)
                if not partly:
                    with builder.if_then(builder.icmp_signed("!=", ahead, _number(0))):
                        source.ask_for(builder.add(row, ahead), x, vectors)
                values = [source.load(row, p, partly) for p in places]
                return [
                    _sum(builder, entries.weight(first, k), value, totals[vectors * t + v])
                    for t, first in enumerate(firsts)
                    for v, value in enumerate(values)
                ]

            totals = folded(builder, entries.size, 1, [_NONE] * vectors * len(firsts), step)
            for n, total in enumerate(totals):
                t, v = divmod(n, vectors)
                target.store(total, builder.add(args[8], _number(t)), places[v], partly)

        _over(builder, args[4], args[5], sums)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def blend_rows(typingctx, rows, one, other, weights, firsts, bend, begin, end, out, i):  # noqa: ARG001
    """``out[i, x] = w * rows[one, x] + (1 - w) * rows[other, x]`` with ``w = w0 + b (w1 + b w2)``, b in ``bend[x]``.

    w0, w1, w2 are ``weights[:, first]``; ``firsts`` and the columns are as in :func:`sum_rows`.
    """
    number = types.int64
    signature = types.void(rows, number, number, weights, firsts, bend, number, number, out, number)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        kinds = signature.args
        source, powers, target = (_Rows(context, builder, kinds[k], args[k]) for k in (0, 5, 8))
        weights = context.make_array(kinds[3])(context, builder, args[3])
        bending = [_bending(builder, weights, builder.extract_value(args[4], t)) for t in range(kinds[4].count)]

        def blend(x: Any, vectors: int, partly: bool) -> None:
            for v in range(vectors):
                place = builder.add(x, _number(EIGHT * v))
                b = powers.load(_number(0), place, partly)
                p, q = (source.load(args[k], place, partly) for k in (1, 2))
                difference = builder.fsub(p, q)
                for t, (w0, w1, w2) in enumerate(bending):
                    w = _sum(builder, b, _sum(builder, b, w2, w1), w0)
                    mean = _sum(builder, w, difference, q)
                    target.store(mean, builder.add(args[9], _number(t)), place, partly)

        _over(builder, args[6], args[7], blend)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def mend_means(typingctx, rows, which, weights, first, column, mean, share, i):  # noqa: ARG001
    """Mend eight columns of row i of ``mean``, which :func:`sum_rows` made with weights that add up to one.

    What is missing becomes the sum over what is not, and ``share`` that of its weights. Elsewhere the share is one.
    """
    number = types.int64
    signature = types.void(rows, which, weights, number, number, mean, share, number)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        kinds = signature.args
        source, mean, share = (_Rows(context, builder, kinds[k], args[k]) for k in (0, 5, 6))
        entries = _Entries(context, builder, kinds[1:3], args[1:3])
        first, column, i = args[3], args[4], args[7]

        def there(k: Any, before: Any) -> list[Any]:
            x = source.load(entries.row(k), column, True)
            return [builder.or_(before, builder.fcmp_ordered("ord", x, x))]

        def add(k: Any, total: Any, weight: Any) -> list[Any]:
            x = source.load(entries.row(k), column, True)
            return list(_add_valid(builder, entries.weight(first, k), x, total, weight))

        def store(old: Any, total: Any, weight: Any) -> None:
            gap = builder.fcmp_unordered("uno", old, old)
            mean.store(builder.select(gap, total, old), i, column)
            share.store(builder.select(gap, weight, one), i, column)

        one, old = ir.Constant(_WIDE, [1.0] * EIGHT), mean.load(i, column)
        with builder.if_else(_missing(builder, [old])) as (gaps, whole):
            with whole:
                share.store(one, i, column)
            with gaps:
                # Most of what misses anything misses all.
                nowhere = ir.Constant(ir.VectorType(ir.IntType(1), EIGHT), None)
                anything = _any(builder, folded(builder, entries.size, 1, [nowhere], there))
                with builder.if_else(anything) as (some, none):
                    with none:
                        store(old, _NONE, _NONE)
                    with some:
                        store(old, *folded(builder, entries.size, 1, [_NONE] * 2, add))
        return context.get_dummy_value()

    return signature, generate


# ---- along rows ---------------------------------------------------------------------------------------------------------


@intrinsic
def lay_rows(typingctx, rows, which, column, pack):  # noqa: ARG001
    """``pack[column + k, r] = rows[which[r], column + k]`` for eight columns of eight rows, zero past the width.

    Returns whether any of them is NaN.
    """
    signature = types.boolean(rows, which, types.int64, pack)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        source, pack = (_Rows(context, builder, signature.args[k], args[k]) for k in (0, 3))
        which = context.make_array(signature.args[1])(context, builder, args[1])
        found = [source.load(_element(builder, which, _number(r)), args[2], True) for r in range(EIGHT)]
        for k, x in enumerate(turned(builder, found)):
            pack.store(x, builder.add(args[2], _number(k)), _number(0))
        return _missing(builder, found)

    return signature, generate


class _Laid:
    """Weighted sums over rows that lie side by side, for eight targets from ``i`` on: a tile of eight rows and eight targets."""

    def __init__(self, context: Any, builder: ir.IRBuilder, kinds: Any, args: Any):
        self.context, self.builder, self.kinds, self.args, self.i = context, builder, kinds, args, args[3]
        self.pack, self.columns, self.values = (
            context.make_array(kinds[k])(context, builder, args[k]) for k in range(3)
        )
        self.most, self.width = (builder.extract_value(self.values.shape, k) for k in range(2))

    def _weight_of(self, k: Any, target: int) -> tuple[Any, Any]:
        at = self.builder.add(self.builder.mul(k, self.width), self.builder.add(self.i, ir.Constant(I64, target)))
        return at, _weight(self.builder, self.values, at)

    def _entry(self, k: Any, target: int) -> tuple[Any, Any]:
        """The k-th weight of a target, and its cell of eight rows."""
        at, w = self._weight_of(k, target)
        cell = self.builder.zext(_element(self.builder, self.columns, at), I64)
        return w, loaded(self.builder, self.pack.data, self.builder.mul(cell, _number(EIGHT)), _WIDE, 8)

    def all(self) -> list[Any]:
        def step(k: Any, *totals: Any) -> list[Any]:
            return [_sum(self.builder, *self._entry(k, t), total) for t, total in enumerate(totals)]

        return folded(self.builder, self.most, 1, [_NONE] * EIGHT, step)

    def valid(self) -> tuple[list[Any], list[Any]]:
        """Sums over what is not missing, and those of its weights."""

        def step(k: Any, *before: Any) -> list[Any]:
            both = [_add_valid(self.builder, *self._entry(k, t), before[t], before[EIGHT + t]) for t in range(EIGHT)]
            return [total for total, _ in both] + [share for _, share in both]

        both = folded(self.builder, self.most, 1, [_NONE] * 2 * EIGHT, step)
        return both[:EIGHT], both[EIGHT:]

    def weights(self) -> list[Any]:
        """What those are where nothing is missing."""

        def step(k: Any, *before: Any) -> list[Any]:
            return [self.builder.fadd(total, self._weight_of(k, t)[1]) for t, total in enumerate(before)]

        return folded(self.builder, self.most, 1, [_NONE] * EIGHT, step)

    def store(self, tile: list[Any], which: int) -> None:
        """Each row's targets to where they belong in one of the arguments."""
        target = _Rows(self.context, self.builder, self.kinds[which], self.args[which])
        for r, row in enumerate(turned(self.builder, tile)):
            target.store(row, _number(r), self.i)


@intrinsic
def sum_laid(typingctx, pack, columns, values, i, out):  # noqa: ARG001
    """``out[r, i:i + 8] = sum(values[k, i:i + 8] * pack[columns[k, i:i + 8], r] for k)`` of eight rows r.

    Returns whether any of them is NaN. ``columns`` and ``values`` are C-contiguous (most entries, targets).
    """
    signature = types.boolean(pack, columns, values, types.int64, out)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        laid = _Laid(context, builder, signature.args, args)
        tile = laid.all()
        laid.store(tile, 4)
        return _missing(builder, tile)

    return signature, generate


@intrinsic
def sum_valid_laid(typingctx, pack, columns, values, i, valid, weight):  # noqa: ARG001
    """The same over what is not missing, and the sums of its weights; returns whether there is anything."""
    signature = types.boolean(pack, columns, values, types.int64, valid, weight)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        laid = _Laid(context, builder, signature.args, args)
        tile = laid.all()
        with builder.if_else(_missing(builder, tile)) as (gaps, whole):
            with gaps:
                totals, weights = laid.valid()
                laid.store(totals, 4)
                laid.store(weights, 5)
                some = _any(builder, [builder.fcmp_ordered("!=", w, _NONE) for w in weights])
                mended = builder.block
            with whole:
                laid.store(tile, 4)
                laid.store(laid.weights(), 5)
                all_there = builder.block
        there = builder.phi(some.type)
        there.add_incoming(some, mended)
        there.add_incoming(ir.Constant(some.type, 1), all_there)
        return there

    return signature, generate


# ---- what is missing ----------------------------------------------------------------------------------------------------


@intrinsic
def any_missing(typingctx, rows, j, i):  # noqa: ARG001
    """Whether any of ``rows[j, i:i + 8]`` is NaN."""
    signature = types.boolean(rows, types.int64, types.int64)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        rows = _Rows(context, builder, signature.args[0], args[0])
        return _missing(builder, [rows.load(args[1], args[2], True)])

    return signature, generate


@intrinsic
def any_there(typingctx, rows, row, begin, end):  # noqa: ARG001
    """Whether any of ``rows[row, begin:end]`` is not NaN; the row may be read from an eight of columns to the next."""
    number = types.int64
    signature = types.boolean(rows, number, number, number)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        rows = _Rows(context, builder, signature.args[0], args[0])
        nowhere = ir.Constant(ir.VectorType(ir.IntType(1), EIGHT), None)

        def step(k: Any, before: Any) -> list[Any]:
            x = rows.load(args[1], builder.add(args[2], k), True)
            return [builder.or_(before, builder.fcmp_ordered("ord", x, x))]

        return _any(builder, folded(builder, builder.sub(args[3], args[2]), EIGHT, [nowhere], step))

    return signature, generate


@intrinsic
def fill_missing(typingctx, valid, weight, which, factors, first, bend, least, out, j, i):  # noqa: ARG001
    """Weighted means over rows for what is NaN in ``out[j, i:i + 8]``, where their weights reach ``least``.

    Sums go over ``valid[which[k], i:i + 8]``, and over ``weight[which[k], i:i + 8]``, for all k. The share of each is
    ``w0 + b (w1 + b w2)`` with ``factors[:, first + k]`` (w0, w1, w2) and b in ``bend[i:i + 8]``; the factors may be one
    row, w0, alone.
    """
    number = types.int64
    signature = types.void(valid, weight, which, factors, number, bend, types.float64, out, number, number)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        kinds = signature.args
        valid, weight, powers, out = (_Rows(context, builder, kinds[k], args[k]) for k in (0, 1, 5, 7))
        entries = _Entries(context, builder, kinds[2:4], args[2:4])
        first, least, j, i = args[4], args[6], args[8], args[9]
        b = powers.load(_number(0), i)
        bends = builder.icmp_signed(">", builder.extract_value(entries.weights.shape, 0), _number(1))

        def factor(k: Any) -> Any:
            w0, straight = entries.weight(first, k), builder.block
            with builder.if_then(bends):
                _, w1, w2 = _bending(builder, entries.weights, builder.add(first, k))
                bent, turned_to = _sum(builder, b, _sum(builder, b, w2, w1), w0), builder.block
            by = builder.phi(_WIDE)
            by.add_incoming(w0, straight)
            by.add_incoming(bent, turned_to)
            return by

        def over(rows: _Rows) -> Any:
            def step(k: Any, total: Any) -> list[Any]:
                return [_sum(builder, factor(k), rows.load(entries.row(k), i), total)]

            return folded(builder, entries.size, 1, [_NONE], step)[0]

        share = over(weight)
        enough = builder.and_(
            builder.fcmp_ordered(">=", share, spread(builder, least, _WIDE)), builder.fcmp_ordered(">", share, _NONE)
        )
        # Within what is missing altogether, which is most of it, there is nothing to do.
        with builder.if_then(_any(builder, [enough])):
            old = out.load(j, i, True)
            new = builder.and_(enough, builder.fcmp_unordered("uno", old, old))
            out.store(builder.select(new, builder.fdiv(over(valid), share), old), j, i, True)
        return context.get_dummy_value()

    return signature, generate
