"""Kernels of heatwaves and cold spells: days beyond the threshold, the events they make, and what is measured of them.

Each cell is followed day by day by a few numbers (its status); what is measured of an event is added up day by day once its
days are certain. Whole series and single new days go through the same sums in the same order, so that what is updated day by
day equals what is computed at once, to the bit. Cold spells are heatwaves of the values times -1.
"""

import numpy as np

from oceankit.numerics.bits import next_clear, next_set, pack_ones, words_for
from oceankit.numerics.compiling import helper, kernel

__all__ = ["COLUMNS", "IDLE", "LASTING", "N_STATUS", "categories_of", "flags_of", "follow", "glance"]

# Columns of a record. Sums are of departures from the first day's value, so that variances are exact.
START, END, PEAK, DAYS, MAX, REL_AT_PEAK, ABS_AT_PEAK, REL_MAX, ABS_MAX, CATEGORY = range(10)
SHIFT_A, SUM_A, SQUARE_A, SHIFT_R, SUM_R, SQUARE_R, SHIFT_X, SUM_X, SQUARE_X = range(10, 19)
MODERATE = 19  # strong, severe and extreme follow
BEFORE, FIRST, LAST, AFTER, TOP_A, TOP_R, TOP_X, MISSING = range(23, 31)
COLUMNS = 31

# What is kept of a cell besides its record: status; warm days of the current run; missing days since the last known one; cool
# days since the last warm one of the event; first day of the current run; last day of the event; and the last
# day that the record counts, before the first where it counts none.
STATUS, RUN, HOLE, GAP, RUN_START, EVENT_END, COUNTED = range(7)
N_STATUS = 7
IDLE, STARTING, LASTING, PAUSED, RESUMING = range(5)

_COOL, _WARM, _UNKNOWN = 0, 1, 2
# Events of a cell that there is room for at once in so many steps; more is made where they are more.
_STEPS_AN_EVENT = 96


@helper
def _value(stored, sign, scale, offset):
    return sign * (np.float64(stored) * scale + offset)


@kernel
def flags_of(row, packing, sign, limits, segments, flags):
    """Whether each day is cool (0), warm (1) or unknown (2).

    Parameters
    ----------
    row : (steps,) stored values
    packing : (missing, other missing, scale, offset)
    limits : (places,) float64
        Thresholds times ``sign``, NaN where threshold or mean is missing.
    segments : (k, 3) int64
        First step, its place and the number of steps whose places follow each other: there loops become vectors.
    flags : (steps,) uint8
        Is written.
    """
    missing, other, scale, offset = packing
    for n in range(segments.shape[0]):
        step, place, size = segments[n, 0], segments[n, 1], segments[n, 2]
        some, level, out = row[step : step + size], limits[place : place + size], flags[step : step + size]
        for i in range(size):
            value = _value(some[i], sign, scale, offset)
            known = (some[i] != missing) & (some[i] != other) & (value == value) & (level[i] == level[i])
            out[i] = np.uint8(value > level[i]) if known else np.uint8(_UNKNOWN)


@helper
def _limits(sign, mean, threshold, limits):
    for place in range(threshold.size):
        limits[place] = np.nan if np.isnan(mean[place]) else sign * threshold[place]


@helper
def _category(above, unit):
    """How many times the distance from mean to threshold, from 1 to 4; all times where there is no distance."""
    return 1 + int(above >= unit) + int(above >= 2.0 * unit) + int(above >= 3.0 * unit)


@kernel
def _measure(record, row, flags, first, until, packing, sign, mean, threshold, places, status):
    """Add to the record the days that it does not count yet, until a day (included); days are numbered from ``first``."""
    _, _, scale, offset = packing
    days, top, peak = record[DAYS], record[MAX], record[PEAK]
    rel_peak, abs_peak, rel_max, abs_max = record[REL_AT_PEAK], record[ABS_AT_PEAK], record[REL_MAX], record[ABS_MAX]
    shift_a, sum_a, square_a = record[SHIFT_A], record[SUM_A], record[SQUARE_A]
    shift_r, sum_r, square_r = record[SHIFT_R], record[SUM_R], record[SQUARE_R]
    shift_x, sum_x, square_x = record[SHIFT_X], record[SUM_X], record[SQUARE_X]
    top_a, top_r, top_x, last = record[TOP_A], record[TOP_R], record[TOP_X], record[LAST]
    strong, severe, extreme, all_days, missing = 0, 0, 0, 0, 0
    for day in range(status[COUNTED] + 1, until + 1):
        step = np.uint64(day - first)
        if flags[step] == _UNKNOWN:
            missing += 1
            continue
        place = places[step]
        value = _value(row[step], sign, scale, offset)
        usual, limit = sign * mean[place], sign * threshold[place]
        anomaly, above = value - usual, value - limit
        if days == 0.0:
            shift_a, shift_r, shift_x = anomaly, above, value
            record[FIRST] = anomaly
            top, rel_max, abs_max, top_a, top_r, top_x = -np.inf, -np.inf, -np.inf, -np.inf, -np.inf, -np.inf
        days += 1.0
        a, r, x = anomaly - shift_a, above - shift_r, value - shift_x
        sum_a += a
        square_a += a * a
        sum_r += r
        square_r += r * r
        sum_x += x
        square_x += x * x
        # Chosen between values, not between ways: a branch that is guessed wrong takes longer than a day.
        top_a = _greater(top_a, sum_a + days * shift_a)
        top_r = _greater(top_r, sum_r + days * shift_r)
        top_x = _greater(top_x, sum_x + days * shift_x)
        higher = anomaly > top
        top = anomaly if higher else top
        peak = np.float64(day) if higher else peak
        rel_peak = above if higher else rel_peak
        abs_peak = value if higher else abs_peak
        rel_max = _greater(rel_max, above)
        abs_max = _greater(abs_max, value)
        unit = limit - usual
        all_days += above >= 0.0
        strong += (above >= 0.0) & (above >= unit)
        severe += (above >= 0.0) & (above >= 2.0 * unit)
        extreme += (above >= 0.0) & (above >= 3.0 * unit)
        last = anomaly
    record[DAYS], record[MAX], record[PEAK], record[LAST] = days, top, peak, last
    record[REL_AT_PEAK], record[ABS_AT_PEAK], record[REL_MAX], record[ABS_MAX] = rel_peak, abs_peak, rel_max, abs_max
    record[MISSING] += missing
    record[MODERATE] += all_days - strong
    record[MODERATE + 1] += strong - severe
    record[MODERATE + 2] += severe - extreme
    record[MODERATE + 3] += extreme
    for level in range(4):
        if record[MODERATE + level] > 0.0:
            record[CATEGORY] = level + 1.0
    record[SHIFT_A], record[SUM_A], record[SQUARE_A] = shift_a, sum_a, square_a
    record[SHIFT_R], record[SUM_R], record[SQUARE_R] = shift_r, sum_r, square_r
    record[SHIFT_X], record[SUM_X], record[SQUARE_X] = shift_x, sum_x, square_x
    record[TOP_A], record[TOP_R], record[TOP_X] = top_a, top_r, top_x
    record[END] = until
    status[COUNTED] = until


@helper
def _greater(a, b):
    return b if b > a else a


@helper
def _anomaly(row, step, packing, sign, mean, places):
    return _value(row[step], sign, packing[2], packing[3]) - sign * mean[places[step]]


@kernel
def _room(cells, records, n, more):
    """The same arrays with room for ``more`` entries behind the first ``n``."""
    if n + more <= cells.size:
        return cells, records
    size = max(2 * cells.size, n + more)
    longer, wider = np.empty(size, np.int64), np.empty((size, COLUMNS))
    # Whole slices would bring Numba's messages about shapes with them, which take seconds to compile.
    for k in range(n):
        longer[k] = cells[k]
        for column in range(COLUMNS):
            wider[k, column] = records[k, column]
    return longer, wider


@kernel
def _mark(days, row, flags, warm, packing, sign, mean, threshold, places, min_duration, max_missing):
    """Write the category of each warm day of a run that lasts."""
    steps = row.size
    step = next_set(warm, 0, steps)
    while step < steps:
        start, end = step, next_clear(warm, step, steps)
        run, step = end - start, end
        while step < steps and flags[step] == _UNKNOWN:
            # The run may go on behind what is not known.
            hole = step
            while step < steps and flags[step] == _UNKNOWN:
                step += 1
            if step - hole > max_missing or step == steps or flags[step] == _COOL:
                break
            end = next_clear(warm, step, steps)
            run, step = run + end - step, end
        if run >= min_duration:
            for day in range(start, end):
                if flags[day] == _WARM:
                    usual, limit = sign * mean[places[day]], sign * threshold[places[day]]
                    value = _value(row[day], sign, packing[2], packing[3])
                    days[day] = _category(value - limit, limit - usual)
        step = next_set(warm, step, steps)


@kernel
def follow(
    rows, packing, sign, mean, threshold, places, segments, first, skip, lasts, min_duration, max_gap, max_missing,
    status, records, previous, days,
):  # fmt: skip
    """Follow the events of each cell through more days.

    Parameters
    ----------
    rows : (n, steps) array
        Stored values.
    packing : tuple of float
        Missing, another missing, scale and offset: ``value = scale * stored + offset``.
    sign : float
        1, or -1 for cold spells.
    mean, threshold : (n, places) float64
        In units of the values.
    places : (steps,) uint32
        Place of each day in the climatology.
    segments : (k, 3) int64
        As in :func:`flags_of`.
    first : int
        Number of the first step, counted from the beginning of the record.
    skip : int
        Steps that were followed before, and are given because they may come to belong to an event.
    lasts : bool
        Whether the record goes on: events that have not ended are then kept, otherwise they end with the last step.
    min_duration, max_gap, max_missing : int
        In days.
    status : (n, N_STATUS) int64, records : (n, COLUMNS) float64
        Of each cell after the days before; overwritten with those after the new ones.
    previous : (n,) float64
        Anomaly of the day before the new ones, NaN where it is unknown; overwritten likewise.
    days : (n, steps) int8
        Zeros, where the category from 1 to 4 of each warm day of a run that lasts is written; or (0, steps).

    Returns
    -------
    cells : (events,) int64
        Row of each event that has ended, ascending, and by time in each.
    ended : (events, COLUMNS) float64
    """
    steps = rows.shape[1]
    warm = np.empty(words_for(steps), np.uint64)
    flags = np.empty(steps, np.uint8)
    limits = np.empty(threshold.shape[1])
    # Arrays that grow within the loop over days would slow it down tenfold.
    most = steps // (min_duration + max_gap + 1) + 2
    room = most + rows.shape[0] * (steps // _STEPS_AN_EVENT)
    cells, ended, n = np.empty(room, np.int64), np.empty((room, COLUMNS)), 0
    for cell in range(rows.shape[0]):
        cells, ended = _room(cells, ended, n, most)
        row, normal, level, kept, record = rows[cell], mean[cell], threshold[cell], status[cell], records[cell]
        _limits(sign, normal, level, limits)
        flags_of(row, packing, sign, limits, segments, flags)
        pack_ones(flags, warm)
        if days.shape[0] > 0:
            _mark(days[cell], row, flags, warm, packing, sign, normal, level, places, min_duration, max_missing)
        state, run, hole, gap = kept[STATUS], kept[RUN], kept[HOLE], kept[GAP]
        step = skip
        while step < steps:
            flag = flags[step]
            if state == IDLE:
                # Runs that are too short make nothing, unless they end where it is not known whether they do.
                step = next_set(warm, step, steps)
                end = next_clear(warm, step, steps)
                while end < steps and end - step < min_duration and flags[end] == _COOL:
                    step = next_set(warm, end, steps)
                    end = next_clear(warm, step, steps)
                if step == steps:
                    continue
                flag = flags[step]
                kept[RUN_START] = first + step
                kept[COUNTED] = first + step - 1
                record[BEFORE] = np.nan
                if step == skip:
                    record[BEFORE] = previous[cell]
                elif flags[step - 1] != _UNKNOWN:
                    record[BEFORE] = _anomaly(row, step - 1, packing, sign, normal, places)
                state, run, hole, gap = STARTING, 0, 0, 0
            closed = False
            if flag == _WARM:
                begin = step
                step = next_clear(warm, step, steps) - 1
                run += step - begin + 1
                hole = 0
                if state == PAUSED:
                    state = RESUMING
                    kept[RUN_START] = first + begin
                if state == STARTING and run >= min_duration:
                    before = record[BEFORE]
                    record[:] = 0.0
                    record[BEFORE], record[AFTER], record[START] = before, np.nan, kept[RUN_START]
                if run >= min_duration or state == LASTING:
                    state = LASTING
                    kept[EVENT_END] = first + step
            elif flag == _COOL:
                if state == STARTING:
                    state = IDLE
                else:
                    if state == LASTING:
                        record[AFTER] = np.nan
                        if hole == 0:
                            record[AFTER] = _anomaly(row, step, packing, sign, normal, places)
                        gap = 0
                    gap += 1 + (run if state == RESUMING else 0)
                    state, run = PAUSED, 0
                    closed = gap > max_gap
                hole = 0
            else:
                hole += 1
                if state == LASTING and hole == 1:
                    record[AFTER] = np.nan
                if hole > max_missing:
                    # A hole that is too long was cool from its first day on.
                    cool = hole if hole == max_missing + 1 else 1
                    if state == STARTING:
                        state = IDLE
                    else:
                        if state == LASTING:
                            gap = 0
                        gap += cool + (run if state == RESUMING else 0)
                        state, run = PAUSED, 0
                        closed = gap > max_gap
            step += 1
            if closed or (step == steps and state >= LASTING):
                _measure(record, row, flags, first, kept[EVENT_END], packing, sign, normal, level, places, kept)
                if closed or not lasts:
                    cells[n] = cell
                    for column in range(COLUMNS):
                        ended[n, column] = record[column]
                    n += 1
                    state, run, hole, gap = IDLE, 0, 0, 0
        kept[STATUS], kept[RUN], kept[HOLE], kept[GAP] = state, run, hole, gap
        if steps > skip:
            known = flags[steps - 1] != _UNKNOWN
            previous[cell] = _anomaly(row, steps - 1, packing, sign, normal, places) if known else np.nan
    return cells[:n], ended[:n]


@kernel
def categories_of(rows, packing, sign, mean, threshold, places, segments, min_duration, max_missing):
    """Categories of the days as :func:`follow` writes them; (n, steps) int8. Arguments as there."""
    steps = rows.shape[1]
    warm = np.empty(words_for(steps), np.uint64)
    flags = np.empty(steps, np.uint8)
    limits = np.empty(threshold.shape[1])
    days = np.zeros((rows.shape[0], steps), np.int8)
    for cell in range(rows.shape[0]):
        row, normal, level = rows[cell], mean[cell], threshold[cell]
        _limits(sign, normal, level, limits)
        flags_of(row, packing, sign, limits, segments, flags)
        pack_ones(flags, warm)
        _mark(days[cell], row, flags, warm, packing, sign, normal, level, places, min_duration, max_missing)
    return days


@kernel
def glance(rows, packing, sign, mean, threshold, places):
    """What a few days say of each cell by themselves.

    Arguments as :func:`follow`, ``places`` within the (n, places) statistics.

    Returns
    -------
    warm : (n,) bool
        Whether a day is beyond the threshold.
    anomaly : (n,) float64
        Of the last day, times ``sign``; NaN where it is unknown.
    category : (n,) int8
        Of the last day, 0 where it is not beyond the threshold.
    """
    missing, other, scale, offset = packing
    n, steps = rows.shape
    warm, anomaly, category = np.zeros(n, np.bool_), np.full(n, np.nan), np.zeros(n, np.int8)
    for cell in range(n):
        for step in range(steps):
            stored, place = rows[cell, step], places[step]
            usual, limit = sign * mean[cell, place], sign * threshold[cell, place]
            value = _value(stored, sign, scale, offset)
            known = (stored != missing) & (stored != other) & (value == value) & (usual == usual) & (limit == limit)
            beyond = known & (value > limit)
            warm[cell] |= beyond
            if step == steps - 1 and known:
                anomaly[cell] = value - usual
                if beyond:
                    category[cell] = _category(value - limit, limit - usual)
    return warm, anomaly, category
