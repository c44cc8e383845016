"""The state machine of one breaker and its counters.

    CLOSED ──(failures in a row reach failure_threshold)──▶ OPEN ──(open timeout over, next call)──▶ HALF_OPEN
       ▲                                                     ▲                                                │
       ├──(success_threshold probe successes)────────────────┼────────────────────────────────────────────────┤
       └──(reset)                                            └──(a probe fails, or the visit proves nothing)──┘

Every call takes a *ticket* when it is admitted and gives it back with an outcome when it ends. The ticket holds the
epoch of its admission. Entering a state starts a new epoch, so the result of a call that began before a transition is
known as late: it is counted as that and decides nothing. In HALF_OPEN a ticket also names a *lease*: one of few slots,
for a limited time, so that a caller who never comes back cannot keep it. A probe that has lost its slot so is overdue;
its result still decides. A call inside the function of a probe needs no lease and decides nothing (`_nested.pxi`).

Four rules keep it right under threads, finalizers, signals and listeners that call back:

1. One gate, `enter_locked`, writes the state. It also resets the counts, frees the slots and starts the epoch. It knows
   the legal transitions and their reasons from `breaker.states.TRANSITIONS`.
2. A name that ends in ``_locked`` needs the breaker's lock. Such functions are ``nogil`` and move only C scalars: no
   Python call, no allocation, no reference. What one lacks (room for a lease, the text of an error) it asks for by its
   return value, before it has moved anything; the caller unlocks, makes it, and asks again with the same ``now``.
3. A decision is what happens between `start_decision` and `end_decision`. It moves `Machine`, which is scalars alone,
   and could be made a second time on what it finds then. What must happen once (a count outside of `Machine`, a
   reference that moves, an event's place in the order) it leaves in the `Outbox`; `end_decision` does it, under the
   same lock. All memory that this needs is there before the decision begins, or there is none.
4. Events are made and delivered to the listeners after the lock is released (`_delivery.pxi`).

A call in the closed state with no failures on record needs none of this: `Core.word` says so in one read, before and
after the call (`_calls.pxi`). The clock is read once per decision and passed down as ``now``, in nanoseconds.

Read on: the C structs → the gate → time → begin → settle → the included files.
"""

cimport cython
from cpython.object cimport PyObject, PyTypeObject, traverseproc as cpython_traverseproc
from libc.math cimport llround
from libc.stdint cimport INT64_MAX, INT64_MIN, int8_t, int16_t, int32_t, int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

# All that may fail is imported here, before anything below is changed for good: an import can be tried again.
import os as _os
import sys as _sys
from _functools import _lru_cache_wrapper as _lru_cache, partial as _partial
from builtins import BaseExceptionGroup as _BaseExceptionGroup
from collections.abc import AsyncGenerator as _AsyncGenerator, Coroutine as _Coroutine, Generator as _Generator
from types import CodeType as _CodeType, FunctionType as _FunctionType, MethodType as _MethodType

from breaker.states import TRANSITIONS as _TRANSITIONS, Mode as _Mode, Move as _Move, State as _State

include "native/_capi.pxi"         # what headers declare; owned and borrowed references
include "native/_structs.pxi"      # its words as numbers, and its C structs


# ---- the gate -------------------------------------------------------------------------------------------------

cdef void enter_locked(Core *c, int state, int reason, int64_t now, Outbox *out) noexcept nogil:
    """The one place that writes the state. A new epoch begins, counts start at 0, all slots are free."""
    cdef int before = c.m.state
    cdef int64_t streak = c.m.streak
    cdef bint again = reopens_locked(c, state, now)
    if not LEGAL[before][state][reason]:
        bk_illegal_transition(before, state, reason)
        return
    if before == OPEN:
        c.m.last_span = open_span_locked(c)
    c.m.state_ns[before] += elapsed(c.m.since, now)
    c.m.since = now
    c.m.state = state
    c.here.entered = reason + 1
    c.m.epoch += 1
    c.m.streak = 0
    c.m.would_have_opened = False
    c.m.probe_successes = 0
    c.m.probes_ignored = 0
    c.m.doublings = 0
    c.m.in_flight = 0
    if BK_UNLIKELY(c.here.rules != NULL):
        begin_anew_locked(c, reason, now, out)
    if state == OPEN:
        c.m.growth = grown_locked(c) if again else 1
        c.m.drawn = bk_draw()
        out.last_error = REPLACED
    elif state == CLOSED:
        out.last_error = CLEARED
    if reason == RESET:
        c.m.last_span = 0
    if before != state:
        c.m.transitions[PAIRS[before][state]] += 1
        if reason == PROBE_FAILED:
            streak = 1
        elif reason != TRIPPED and reason != FAILURE_RATE and reason != SLOW_CALL_RATE:
            streak = 0
        note_locked(c, out, STATE_CHANGED, before, state, reason, streak)


cdef inline bint trips_locked(const Core *c, int64_t streak) noexcept nogil:
    """The first trip rule: would this many failures in a row open the breaker? For the others see `_rules.pxi`."""
    return streak >= c.here.numbers.failure_threshold and c.here.numbers.failure_threshold != 0


cdef inline int mode_locked(const Core *c) noexcept nogil:
    """The mode in force: the operator's, else the policy's."""
    return c.m.override if c.m.override >= 0 else c.here.numbers.mode


# ---- time -----------------------------------------------------------------------------------------------------

cdef inline double ceiling_locked(const Core *c) noexcept nogil:
    """How long a grown open timeout may get; the timeout itself is never shortened."""
    return <double>max(c.here.numbers.open_timeout_max_ns, c.here.numbers.open_state_timeout_ns)


cdef int64_t open_span_locked(const Core *c) noexcept nogil:
    """How long this opening lasts by the policy of now: the open timeout, grown, plus the jitter."""
    cdef const PolicyNumbers *by = &c.here.numbers
    cdef double span = <double>by.open_state_timeout_ns
    if by.open_timeout_jitter == 0 and c.m.growth <= 1:
        return by.open_state_timeout_ns
    if c.m.growth > 1:
        span = min(span * c.m.growth, ceiling_locked(c))
    span *= 1 + by.open_timeout_jitter * c.m.drawn
    return llround(span) if span < 9.2e18 else INT64_MAX


cdef double grown_locked(const Core *c) noexcept nogil:
    """The growth after one more reopening, no more than the ceiling has use for."""
    cdef double most = ceiling_locked(c) / <double>c.here.numbers.open_state_timeout_ns
    return min(c.m.growth * c.here.numbers.open_timeout_multiplier, most)


cdef bint reopens_locked(const Core *c, int state, int64_t now) noexcept nogil:
    """Is the state that is entered an opening soon after another one? Flapping is no recovery."""
    return state == OPEN and (
        c.m.state == HALF_OPEN or left_of(c.m.since, c.m.last_span, now) > 0 or is_recovering_locked(c, now))


cdef inline uint64_t elapsed(int64_t start, int64_t now) noexcept nogil:
    """The time between, never negative. Unsigned, so that no clock can make it overflow."""
    return <uint64_t>now - <uint64_t>start if now > start else 0


cdef inline int64_t left_of(int64_t start, int64_t span, int64_t now) noexcept nogil:
    """What is left of a span, never negative."""
    cdef uint64_t gone = elapsed(start, now)
    return span - <int64_t>gone if gone < <uint64_t>span else 0


cdef int64_t wait_locked(const Core *c, int64_t now) noexcept nogil:
    """Nanoseconds until a call can be admitted, as known now."""
    cdef int mode = mode_locked(c)
    if mode != AUTO:
        return c.here.numbers.open_state_timeout_ns if mode == FORCED_OPEN else 0
    if c.m.state == OPEN:
        return left_of(c.m.since, open_span_locked(c), now)
    return recovery_wait_locked(c, now) if c.m.state == CLOSED else wait_for_room_locked(c, now)


# ---- begin: may this call run? --------------------------------------------------------------------------------

cdef int32_t room_locked(const Core *c) noexcept nogil:
    """How many slots may be held at once; less than 1 where the successes of the visit are enough."""
    return min(c.here.numbers.half_open_max_calls, c.here.numbers.success_threshold - c.m.probe_successes)


cdef void close_if_done_locked(Core *c, int64_t now, Outbox *out) noexcept nogil:
    """Close a half-open breaker whose policy asks for no more successes than it has, once no slot is held."""
    if (mode_locked(c) == AUTO and c.m.state == HALF_OPEN and c.m.in_flight == 0
            and c.m.probe_successes >= c.here.numbers.success_threshold):
        enter_locked(c, CLOSED, POLICY, now, out)


cdef inline int refuse(Outbox *out, int state, int reason, int64_t wait) noexcept nogil:
    out.refusal.state = state
    out.refusal.reason = reason
    out.refusal.wait = wait
    return REFUSED


cdef int begin_locked(Core *c, int64_t now, const Ticket *around, Ticket *ticket, Outbox *out) noexcept nogil:
    """DONE: the call is admitted, the ticket is filled. REFUSED: the refusal is. NEEDS_ROOM: for one more lease.

    ``around``: the ticket of the probe inside whose function the call is made, if it is inside one.
    """
    cdef int mode = mode_locked(c)
    cdef int64_t left = 0
    cdef uint64_t lease = 0
    cdef bint nested = runs_locked(c, around)
    if nested and mode != FORCED_OPEN:
        ticket[0] = admitted(c.m.epoch, 0)
        return DONE
    if BK_UNLIKELY(c.here.rules != NULL):
        out.now = now
        judge_in_flight_locked(c, now, out)
    now = max(now, c.m.since)  # read before the lock was taken: another thread may have moved on
    if c.m.state == OPEN:
        left = left_of(c.m.since, open_span_locked(c), now)
    if (mode == AUTO and c.m.state != CLOSED and left == 0
            and c.m.leases == c.here.room and c.here.room < MOST_LEASES):
        return NEEDS_ROOM
    if c.m.state == HALF_OPEN and not nested:
        reclaim_locked(c, now, out)
        close_if_done_locked(c, now, out)
    if mode == FORCED_OPEN:
        return refuse(out, OPEN, BY_OPERATOR, wait_locked(c, now))
    if mode == AUTO and c.m.state != CLOSED:
        if left > 0:
            return refuse(out, OPEN, WHILE_OPEN, left)
        if c.m.state == HALF_OPEN and c.m.in_flight >= room_locked(c):
            return refuse(out, HALF_OPEN, WHILE_HALF_OPEN, wait_locked(c, now))
        if c.m.state == OPEN:
            enter_locked(c, HALF_OPEN, TIMEOUT, now, out)
        lease = grant_locked(c, now)
    elif BK_UNLIKELY(c.here.bits & RECOVERING) and mode == AUTO and not let_in_locked(c, now):
        return refuse(out, CLOSED, WHILE_RECOVERING, wait_locked(c, now))
    ticket[0] = admitted(c.m.epoch, lease)
    if BK_UNLIKELY(c.here.rules != NULL):
        measure_locked(c, now, ticket)
    return DONE


# ---- settle: what does this result mean? ----------------------------------------------------------------------

cdef int settle_locked(Core *c, const Ticket *ticket, int outcome, const int64_t *read, Outbox *out) noexcept nogil:
    """Record an outcome, once (the caller has claimed the ticket).

    What changes nothing but counts needs no time and no text: ``read`` may be NULL. NEEDS_MORE: this would, ask again
    with both.
    """
    cdef int mode = mode_locked(c)
    cdef int64_t now = c.m.since
    cdef int16_t place
    if BK_UNLIKELY(c.here.rules != NULL):
        if look_locked(c, ticket, outcome, read, out) != DONE:
            return NEEDS_MORE
        now = out.now
        if c.here.rules.recording != NULL:
            keep_call_locked(c, ticket, outcome, read)
        if ticket.timed:
            bk_flights_arrive(&c.here.rules.in_flight, ticket.timed)
    elif read != NULL:
        now = max(now, read[0])
    elif ticket.epoch == c.m.epoch and (
            c.m.state != CLOSED or (outcome == FAILURE and trips_locked(c, c.m.streak + 1))):
        return NEEDS_MORE
    if outcome == FAILURE:
        note_locked(c, out, CALL_FAILED, c.m.state, c.m.state, 0, 0)
    if ticket.lease:
        place = find_locked(c, ticket.lease)
        if place < 0:
            return DONE
        forget_locked(c, place)
        c.m.probes[outcome if ticket.epoch == c.m.epoch else LATE] += 1
    if ticket.epoch != c.m.epoch:
        c.m.late += 1
        return DONE
    count_locked(c, outcome, out)
    if mode == SHADOW or (mode == AUTO and c.m.state == CLOSED):
        judge_closed_locked(c, outcome, now, out)
    elif mode == AUTO and c.m.state == HALF_OPEN and ticket.lease:
        judge_probe_locked(c, outcome, now, out)
    return DONE


cdef void count_locked(Core *c, int outcome, Outbox *out) noexcept nogil:
    if outcome == SUCCESS:
        out.succeeded = True
    elif outcome == FAILURE:
        c.m.failures += 1
    else:
        c.m.ignored += 1


cdef void judge_closed_locked(Core *c, int outcome, int64_t now, Outbox *out) noexcept nogil:
    """The verdict by the trip rule. In shadow mode it is noted instead of carried out, once per episode."""
    if BK_UNLIKELY(c.here.rules != NULL):
        judge_by_rules_locked(c, outcome, now, out)
        return
    if outcome == IGNORED:
        return
    if outcome == SUCCESS:
        c.m.streak = 0
        c.m.would_have_opened = False
        return
    c.m.streak += 1
    if trips_locked(c, c.m.streak):
        carry_out_locked(c, TRIPPED, now, out)


cdef void judge_probe_locked(Core *c, int outcome, int64_t now, Outbox *out) noexcept nogil:
    """The half-open verdict: the first failure reopens, enough successes close, and nothing but ignored ends reopen.

    A slow probe has failed, however it ended.
    """
    if BK_UNLIKELY(c.here.rules != NULL) and out.slow and outcome != FAILURE:
        outcome = FAILURE
        out.text = <PyObject *>SLOW_CALL
    if outcome == FAILURE:
        enter_locked(c, OPEN, PROBE_FAILED, now, out)
        return
    if outcome == SUCCESS:
        c.m.probe_successes += 1
        if c.m.probe_successes >= c.here.numbers.success_threshold:
            enter_locked(c, CLOSED, RECOVERED, now, out)
        return
    c.m.probes_ignored += 1
    if out.cramped:
        return  # the next call that asks for admission closes, the next that is ignored reopens
    if c.m.probe_successes == 0 and c.m.probes_ignored > IGNORED_PER_SLOT * c.here.numbers.half_open_max_calls:
        enter_locked(c, OPEN, INCONCLUSIVE, now, out)
    else:
        close_if_done_locked(c, now, out)


# ---- what uses it ---------------------------------------------------------------------------------------------

include "native/_operating.pxi"    # modes, reset, another policy
include "native/_decision.pxi"     # from the lock to the outbox and back
include "native/_leases.pxi"       # half-open slots, for a time
include "native/_rules.pxi"        # rates, slow calls, calls in flight
include "native/_taking_rules.pxi"  # by another policy
include "native/_recovering.pxi"   # gradual recovery
include "native/_measuring.pxi"    # the clock at the ends of calls that take no lock
include "native/_recording.pxi"    # each call, for a recorder
include "native/_nested.pxi"       # calls inside a probe's function
include "native/_fork.pxi"         # what a child process takes over
include "native/_texts.pxi"        # what is said of a failure
include "native/_errors.pxi"       # BreakerError, BreakerOpenError
include "native/_outcomes.pxi"     # which exception means which outcome
include "native/_breaker.pxi"      # Breaker: reading, operating
include "native/_turns.pxi"        # who delivers, and who comes next
include "native/_delivery.pxi"     # what was noted, delivered in order
include "native/_settling.pxi"     # admit a call and settle it, outside the lock
include "native/_calls.pxi"        # do and the decorator
include "native/_permits.pxi"      # acquire
include "native/_registry.pxi"     # breakers by name
include "native/_function_kinds.pxi"   # does a call finish at once, or run later?
include "native/_flows.pxi"        # what runs later, in steps
include "native/_coroutines.pxi"   # coroutines and generators
include "native/_async_generators.pxi"
include "native/_awaitables.pxi"   # futures, other awaitables, context managers
