"""The state machine of one breaker and its counters.

    CLOSED ──(failures in a row reach failure_threshold)──▶ OPEN ──(open timeout over, next call)──▶ HALF_OPEN
       ▲                                                     ▲                                          │
       ├──(success_threshold probe successes)────────────────┼──────────────────────────────────────────┤
       └──(reset)                                            └──────────────(a probe fails)─────────────┘

Every call takes a *ticket* when it is admitted and gives it back with an outcome when it ends. The ticket holds the
epoch of its admission. Entering a state starts a new epoch, so the result of a call that began before a transition is
known as late: it is counted as that and decides nothing. In HALF_OPEN a ticket also holds a *probe*: one of few slots,
on a lease, so that a caller who never comes back cannot keep it.

Three rules keep it right under threads, finalizers, signals and listeners that call back:

1. One gate, `enter_locked`, writes the state. It also resets the counts, frees the slots and starts the epoch.
2. A name that ends in ``_locked`` needs the breaker's lock. Such functions are ``nogil`` and move only C scalars and
   pointers: no Python call, no allocation, no release of an object. What one lacks (memory for a probe, the text of an
   error) it asks for by its return value; the caller unlocks, makes it, and asks again with the same ``now``.
3. What happened is noted under the lock, numbered, and told to the listeners after it is released (`_delivery.pxi`).

A call in the closed state with no failures on record needs none of this: `Core.word` says so in one read, before and
after the call (`_calls.pxi`). The clock is read once per decision and passed down as ``now``, in nanoseconds.

Read on: the C structs → the gate → time → begin → settle → operator, policy, fork → the included files.
"""

cimport cython
from cpython.object cimport PyObject, PyTypeObject
from libc.math cimport pow
from libc.stdint cimport INT64_MAX, INT64_MIN, int8_t, int32_t, int64_t, uint64_t
from libc.stdlib cimport calloc, free, malloc

import os as _os
from _functools import partial as _partial

from breaker.states import LEGAL_TRANSITIONS as _LEGAL_TRANSITIONS, Mode as _Mode, State as _State

cdef extern from "native/core.h":
    ctypedef struct bk_lock_t:
        pass
    ctypedef struct bk_counter_t:
        pass
    void bk_lock(bk_lock_t *lock) noexcept nogil
    void bk_unlock(bk_lock_t *lock) noexcept nogil
    uint64_t bk_load(const uint64_t *p) noexcept nogil
    void bk_store(uint64_t *p, uint64_t value) noexcept nogil
    bint bk_claim(int *flag) noexcept nogil
    void bk_counter_free(bk_counter_t *counter) noexcept nogil
    bint bk_count(bk_counter_t *counter) noexcept nogil
    uint64_t bk_counted(const bk_counter_t *counter) noexcept nogil
    ctypedef struct bk_member_t:
        pass
    void bk_join(bk_member_t *member, bk_lock_t *lock) noexcept nogil
    void bk_leave(bk_member_t *member) noexcept nogil
    void bk_before_fork() noexcept nogil
    void bk_after_fork(bint in_child) noexcept nogil
    int64_t bk_monotonic_ns() noexcept nogil
    bint BK_LIKELY(bint) noexcept nogil
    bint BK_UNLIKELY(bint) noexcept nogil

cdef extern from "Python.h":
    unsigned long PyThread_get_thread_ident() noexcept nogil
    # On plain pointers: moving one under the lock must not make Cython touch reference counts of its own.
    void Py_INCREF(PyObject *o) noexcept nogil
    void Py_DECREF(PyObject *o) noexcept nogil
    void Py_XINCREF(PyObject *o) noexcept nogil
    void Py_XDECREF(PyObject *o) noexcept nogil
    void PyErr_SetObject(PyObject *kind, PyObject *value) noexcept
    void PyErr_SetString(PyObject *kind, const char *text) noexcept
    PyObject *PyErr_Occurred() noexcept


# ---- the structs ----------------------------------------------------------------------------------------------

cdef enum:  # states, in the order of the metric circuit_breaker_state_code
    CLOSED, OPEN, HALF_OPEN
cdef enum:  # modes
    AUTO, FORCED_OPEN, DISABLED, SHADOW
cdef enum:  # outcomes
    SUCCESS, FAILURE, IGNORED
cdef enum:  # why a state was entered
    TRIPPED, TIMEOUT, PROBE_FAILED, RECOVERED, RESET, POLICY
cdef enum:  # what a locked function answers
    DONE, REFUSED, NEEDS_PROBE, NEEDS_MORE
cdef enum:  # what is noted for the listeners
    CREATED, STATE_CHANGED, MODE_CHANGED, POLICY_UPDATED, CALL_FAILED, WOULD_HAVE_OPENED, PROBES_LOST

cdef tuple STATES = (_State.CLOSED, _State.OPEN, _State.HALF_OPEN)
cdef tuple MODES = (_Mode.AUTO, _Mode.FORCED_OPEN, _Mode.DISABLED, _Mode.SHADOW)
cdef tuple REASONS = ("tripped", "timeout", "probe_failed", "recovered", "reset", "policy")
cdef tuple REJECTIONS = ("open", "half_open", "operator")

cdef bint LEGAL[3][3]
cdef int _from, _to
for _from in range(3):
    for _to in range(3):
        LEGAL[_from][_to] = (STATES[_from], STATES[_to]) in _LEGAL_TRANSITIONS

cdef int64_t UNKNOWN = INT64_MIN    # a time that has not been read

# Layout of Core.word: state, mode, a failure is on record, results are judged by a predicate, and the epoch above.
cdef enum:
    OVERLAID = 0b1111       # any bit: not plainly closed, admission needs the lock
    STREAK = 1 << 4
    JUDGED = 1 << 5
    EPOCH_SHIFT = 8


cdef struct Limits:         # a policy in numbers, each by the name of its field; replaced as a whole
    int32_t failure_threshold
    int32_t success_threshold
    int64_t open_state_timeout_ns
    int32_t half_open_max_calls
    int32_t mode
    int64_t probe_timeout_ns
    double open_timeout_multiplier
    int64_t open_timeout_max_ns
    double open_timeout_jitter


cdef struct Probe:          # a half-open slot; its memory belongs to the ticket
    Probe *before
    Probe *after
    int64_t granted
    int64_t lease
    unsigned long owner     # the thread that was admitted, for fork
    bint linked             # holds a slot
    bint lost               # was counted when its slot was taken back


cdef struct Ticket:
    uint64_t epoch
    Probe *probe            # NULL: holds no slot
    int live                # 0: settled


cdef struct Note:           # something to tell the listeners
    int kind
    int before              # state or mode
    int after
    int reason
    uint64_t epoch
    int64_t number          # failures in a row, or probes lost
    int64_t wait
    uint64_t turn           # its place in the order of this breaker's events
    PyObject *error         # owned


cdef struct Outbox:         # what one decision leaves to be done after the lock is released
    bint listening          # is there anybody to tell?
    PyObject *error         # borrowed: text of the failure being recorded, NULL until it is asked for
    PyObject *released[2]   # owned: objects the breaker let go of
    int releases
    int count
    Note notes[6]


cdef struct Refusal:
    int state
    int reason
    int64_t wait
    PyObject *last_error    # owned


cdef struct Post:           # an event on its way, in a list ordered by turn
    uint64_t turn
    PyObject *events        # owned tuple
    Post *after


cdef struct Core:
    uint64_t word           # read without the lock; written by store_word_locked alone
    bk_counter_t successes  # counted without the lock
    bk_lock_t lock
    # All below is guarded by the lock. Small beside small: a breaker is half a kilobyte.
    int8_t judged           # a failed_result predicate exists
    int8_t would_have_opened  # a shadow episode goes on
    int8_t state
    int8_t mode             # the overlay in force
    int8_t override         # the operator's own, -1: none
    bk_member_t member      # of all breakers, for fork; guarded by a lock of its own
    uint64_t epoch
    int64_t streak          # failures in a row
    int64_t probe_successes
    int64_t in_flight       # probes that hold a slot
    Probe *probes
    int64_t since           # when the state was entered
    int64_t state_ns[3]     # time spent in each state before that
    int64_t reopenings      # failed half-open visits since it was closed
    double drawn            # the random part of this opening, 0 … 1
    uint64_t random
    Limits limits
    PyObject *policy        # owned
    PyObject *last_error    # owned text, or NULL
    uint64_t failures
    uint64_t ignored
    uint64_t late
    uint64_t lost
    uint64_t rejected[3]    # by reason
    uint64_t generation     # of forks; see adopt_locked
    uint64_t noted          # turns given out
    uint64_t delivered      # turns delivered
    uint64_t abandoned_below       # turns below it belong to the parent's threads: what is missing will not come
    Post *posts
    unsigned long deliverer    # the thread that delivers, 0: none


# ---- the gate and what it resets ------------------------------------------------------------------------------

cdef void store_word_locked(Core *c) noexcept nogil:
    """Make `Core.word` say what the fields say; called wherever one of them changes."""
    cdef uint64_t word = (c.epoch << EPOCH_SHIFT) | <uint64_t>(c.mode << 2) | <uint64_t>c.state
    if c.streak:
        word |= STREAK
    if c.judged:
        word |= JUDGED
    bk_store(&c.word, word)


cdef void enter_locked(Core *c, int state, int reason, int64_t now, Outbox *out) noexcept nogil:
    """The one place that writes the state. A new epoch begins, counts start at 0, all slots are free."""
    cdef int before = c.state
    cdef int64_t streak = c.streak
    if not LEGAL[before][state]:
        return
    c.state_ns[before] += now - c.since
    c.since = now
    c.state = state
    c.epoch += 1
    c.streak = 0
    c.would_have_opened = False
    c.probe_successes = 0
    while c.probes != NULL:
        unlink_locked(c, c.probes)
    if state == OPEN:
        c.reopenings = c.reopenings + 1 if before == HALF_OPEN else 0
        c.drawn = draw_locked(c)
        exchange_error_locked(c, out, out.error)
    elif state == CLOSED:
        c.reopenings = 0
        exchange_error_locked(c, out, NULL)
    store_word_locked(c)
    if before != state:
        if reason == PROBE_FAILED:
            streak = 1
        elif reason != TRIPPED:
            streak = 0
        note_locked(c, out, STATE_CHANGED, before, state, reason, streak)


cdef void exchange_error_locked(Core *c, Outbox *out, PyObject *error) noexcept nogil:
    release_locked(out, c.last_error)
    Py_XINCREF(error)
    c.last_error = error


cdef void release_locked(Outbox *out, PyObject *owned) noexcept nogil:
    """Give up an object: its reference is dropped after the lock, for that may run Python code."""
    if owned != NULL:
        out.released[out.releases] = owned
        out.releases += 1


cdef void link_locked(Core *c, Probe *probe, int64_t now) noexcept nogil:
    probe.granted = now
    probe.lease = c.limits.probe_timeout_ns
    probe.owner = PyThread_get_thread_ident()
    probe.linked = True
    probe.lost = False
    probe.before = NULL
    probe.after = c.probes
    if c.probes != NULL:
        c.probes.before = probe
    c.probes = probe
    c.in_flight += 1


cdef void unlink_locked(Core *c, Probe *probe) noexcept nogil:
    if probe.before != NULL:
        probe.before.after = probe.after
    else:
        c.probes = probe.after
    if probe.after != NULL:
        probe.after.before = probe.before
    probe.linked = False
    c.in_flight -= 1


cdef void note_locked(Core *c, Outbox *out, int kind, int before, int after, int reason, int64_t number) noexcept nogil:
    """Remember an event for the listeners and give it its place in the order."""
    cdef Note *note
    if not out.listening:
        return
    note = &out.notes[out.count]
    out.count += 1
    note.kind, note.before, note.after, note.reason, note.number = kind, before, after, reason, number
    note.epoch = c.epoch
    note.wait = open_span_locked(c) if kind == STATE_CHANGED and after == OPEN else 0
    note.turn = c.noted
    note.error = c.last_error
    Py_XINCREF(note.error)
    c.noted += 1


# ---- time -----------------------------------------------------------------------------------------------------

cdef double draw_locked(Core *c) noexcept nogil:
    """A random number in [0, 1), by splitmix64: good enough to spread restarts, and needs no Python."""
    cdef uint64_t z
    c.random += <uint64_t>0x9E3779B97F4A7C15ULL
    z = c.random
    z = (z ^ (z >> 30)) * <uint64_t>0xBF58476D1CE4E5B9ULL
    z = (z ^ (z >> 27)) * <uint64_t>0x94D049BB133111EBULL
    z ^= z >> 31
    return <double>(z >> 11) * (1.0 / 9007199254740992.0)


cdef int64_t open_span_locked(Core *c) noexcept nogil:
    """How long this opening lasts by the policy of now: the open timeout, grown per reopening, plus the jitter."""
    cdef double span
    cdef double ceiling
    if c.limits.open_timeout_jitter == 0 and (c.limits.open_timeout_multiplier == 1 or c.reopenings == 0):
        return c.limits.open_state_timeout_ns
    span = <double>c.limits.open_state_timeout_ns
    ceiling = <double>max(c.limits.open_timeout_max_ns, c.limits.open_state_timeout_ns)
    span = min(span * pow(c.limits.open_timeout_multiplier, <double>c.reopenings), ceiling)
    span *= 1 + c.limits.open_timeout_jitter * c.drawn
    return <int64_t>span if span < 9.2e18 else INT64_MAX


cdef int64_t left_of(int64_t start, int64_t span, int64_t now) noexcept nogil:
    """What is left of a span, never negative. Unsigned, so that no clock can make it overflow."""
    cdef uint64_t elapsed
    if now <= start:
        return span
    elapsed = <uint64_t>now - <uint64_t>start
    return span - <int64_t>elapsed if elapsed < <uint64_t>span else 0


cdef int64_t wait_locked(Core *c, int64_t now) noexcept nogil:
    """Nanoseconds until a call can be admitted, as known now."""
    cdef Probe *probe
    cdef int64_t wait
    if c.mode != AUTO:
        return c.limits.open_state_timeout_ns if c.mode == FORCED_OPEN else 0
    if c.state == OPEN:
        return left_of(c.since, open_span_locked(c), now)
    if c.state == CLOSED or c.probes == NULL or has_room_locked(c):
        return 0
    wait = INT64_MAX
    probe = c.probes
    while probe != NULL:
        wait = min(wait, left_of(probe.granted, probe.lease, now))
        probe = probe.after
    return wait


# ---- begin: may this call run? --------------------------------------------------------------------------------

cdef bint has_room_locked(Core *c) noexcept nogil:
    return c.in_flight < c.limits.half_open_max_calls and c.in_flight + c.probe_successes < c.limits.success_threshold


cdef void reclaim_locked(Core *c, int64_t now, Outbox *out) noexcept nogil:
    """Take back the slots whose lease is over. Their results will change nothing."""
    cdef Probe *probe = c.probes
    cdef Probe *following
    cdef int64_t lost = 0
    while probe != NULL:
        following = probe.after
        if left_of(probe.granted, probe.lease, now) == 0:
            unlink_locked(c, probe)
            probe.lost = True
            lost += 1
        probe = following
    if lost:
        c.lost += lost
        note_locked(c, out, PROBES_LOST, c.state, c.state, 0, lost)


cdef void close_if_done_locked(Core *c, int reason, int64_t now, Outbox *out) noexcept nogil:
    """Close a half-open breaker that has its successes, once nothing is in flight."""
    if (c.mode == AUTO and c.state == HALF_OPEN and c.in_flight == 0
            and c.probe_successes >= c.limits.success_threshold):
        enter_locked(c, CLOSED, reason, now, out)


cdef int refuse_locked(Core *c, int state, int reason, int64_t now, Refusal *no) noexcept nogil:
    c.rejected[reason] += 1
    no.state = state
    no.reason = reason
    no.wait = wait_locked(c, now)
    no.last_error = c.last_error
    Py_XINCREF(no.last_error)
    return REFUSED


cdef int begin_locked(Core *c, int64_t now, Ticket *ticket, Probe *spare, Refusal *no, Outbox *out) noexcept nogil:
    """Admit a call (DONE: the ticket is filled), refuse it (REFUSED: the refusal is), or ask for a spare probe."""
    now = max(now, c.since)  # read before the lock was taken: another thread may have moved on
    if c.state == HALF_OPEN:
        reclaim_locked(c, now, out)
        close_if_done_locked(c, POLICY, now, out)
    if c.mode == FORCED_OPEN:
        return refuse_locked(c, OPEN, 2, now, no)
    ticket.probe = NULL
    if c.mode == AUTO and c.state != CLOSED:
        if c.state == OPEN and left_of(c.since, open_span_locked(c), now) > 0:
            return refuse_locked(c, OPEN, 0, now, no)
        if c.state == HALF_OPEN and not has_room_locked(c):
            return refuse_locked(c, HALF_OPEN, 1, now, no)
        if spare == NULL:
            return NEEDS_PROBE
        if c.state == OPEN:
            enter_locked(c, HALF_OPEN, TIMEOUT, now, out)
        link_locked(c, spare, now)
        ticket.probe = spare
    ticket.epoch = c.epoch
    ticket.live = 1
    return DONE


# ---- settle: what does this result mean? ----------------------------------------------------------------------

cdef int settle_locked(Core *c, Ticket *ticket, int outcome, int64_t now, Outbox *out) noexcept nogil:
    """Record an outcome, once (the caller has claimed the ticket).

    What changes nothing but counts needs no time and no text. NEEDS_MORE: this would, ask again with both.
    """
    cdef Probe *probe = ticket.probe
    if now == UNKNOWN and ticket.epoch == c.epoch and (
            c.state != CLOSED or (outcome == FAILURE and c.streak + 1 >= c.limits.failure_threshold)):
        return NEEDS_MORE
    now = max(now, c.since)
    if outcome == FAILURE:
        note_locked(c, out, CALL_FAILED, c.state, c.state, 0, 0)
    if probe != NULL and probe.lost:
        return DONE
    if ticket.epoch != c.epoch:
        c.late += 1
        return DONE
    if probe != NULL:
        unlink_locked(c, probe)
    count_locked(c, outcome)
    if c.mode == SHADOW or (c.mode == AUTO and c.state == CLOSED):
        judge_closed_locked(c, outcome, now, out)
    elif c.mode == AUTO and c.state == HALF_OPEN and probe != NULL:
        judge_probe_locked(c, outcome, now, out)
    return DONE


cdef void count_locked(Core *c, int outcome) noexcept nogil:
    if outcome == SUCCESS:
        bk_count(&c.successes)
    elif outcome == FAILURE:
        c.failures += 1
    else:
        c.ignored += 1


cdef void judge_closed_locked(Core *c, int outcome, int64_t now, Outbox *out) noexcept nogil:
    """The trip rule. In shadow mode it tells instead of tripping, once per episode."""
    if outcome == IGNORED:
        return
    if outcome == SUCCESS:
        c.streak = 0
        c.would_have_opened = False
    else:
        c.streak += 1
        if c.streak >= c.limits.failure_threshold:
            if c.mode == AUTO:
                enter_locked(c, OPEN, TRIPPED, now, out)
            elif not c.would_have_opened:
                c.would_have_opened = True
                note_locked(c, out, WOULD_HAVE_OPENED, c.state, c.state, 0, c.streak)
    store_word_locked(c)


cdef void judge_probe_locked(Core *c, int outcome, int64_t now, Outbox *out) noexcept nogil:
    """The half-open verdict: the first failure reopens, enough successes close."""
    if outcome == FAILURE:
        enter_locked(c, OPEN, PROBE_FAILED, now, out)
    elif outcome == SUCCESS:
        c.probe_successes += 1
        close_if_done_locked(c, RECOVERED, now, out)
    else:
        close_if_done_locked(c, POLICY, now, out)


# ---- operator, policy, fork -----------------------------------------------------------------------------------

cdef void set_mode_locked(Core *c, Outbox *out) noexcept nogil:
    """Put the mode in force: the operator's, else the policy's."""
    cdef int before = c.mode
    cdef int mode = c.override if c.override >= 0 else c.limits.mode
    if mode == before:
        return
    c.mode = mode
    c.would_have_opened = False
    store_word_locked(c)
    note_locked(c, out, MODE_CHANGED, before, mode, 0, 0)


cdef void reset_locked(Core *c, int64_t now, Outbox *out) noexcept nogil:
    enter_locked(c, CLOSED, RESET, max(now, c.since), out)
    c.override = -1
    set_mode_locked(c, out)


cdef void replace_locked(Core *c, const Limits *limits, PyObject *policy, int64_t now, Outbox *out) noexcept nogil:
    """Take a new policy. State, epoch, counts and slots stay; only a half-open breaker may close by it."""
    release_locked(out, c.policy)
    c.policy = policy
    c.limits = limits[0]
    if c.streak < c.limits.failure_threshold:
        c.would_have_opened = False
    note_locked(c, out, POLICY_UPDATED, c.state, c.state, 0, 0)
    set_mode_locked(c, out)
    close_if_done_locked(c, POLICY, max(now, c.since), out)


cdef uint64_t generation = 0        # of forks, counted in every process
cdef unsigned long forker = 0       # the thread that forked this process


cdef void adopt_locked(Core *c) noexcept nogil:
    """In a forked child: the parent's other threads are gone, so their slots are free and they deliver no events."""
    cdef Probe *probe = c.probes
    cdef Probe *following
    c.generation = generation
    c.random ^= <uint64_t>bk_monotonic_ns() * <uint64_t>0x9E3779B97F4A7C15ULL
    while probe != NULL:
        following = probe.after
        if probe.owner != forker:
            unlink_locked(c, probe)
            probe.lost = True
            c.ignored += 1
        probe = following
    c.abandoned_below = c.noted
    if c.deliverer != forker:
        c.deliverer = 0


cdef inline void lock(Core *c) noexcept nogil:
    bk_lock(&c.lock)
    if BK_UNLIKELY(c.generation != generation):
        adopt_locked(c)


cdef inline void unlock(Core *c) noexcept nogil:
    bk_unlock(&c.lock)


def _before_fork() -> None:
    snapshot_type()  # if another thread is importing it now, the child would wait for that for ever
    bk_before_fork()


def _after_fork_in_parent() -> None:
    bk_after_fork(False)


def _after_fork_in_child() -> None:
    global generation, forker
    bk_after_fork(True)
    generation += 1
    forker = PyThread_get_thread_ident()


if hasattr(_os, "register_at_fork"):
    _os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


# ---- what uses it ---------------------------------------------------------------------------------------------

include "native/_outcomes.pxi"     # the errors; which exception means which outcome
include "native/_breaker.pxi"      # Breaker: reading, operating
include "native/_delivery.pxi"     # what was noted, told in order
include "native/_calls.pxi"        # do and the decorator: admit, run, settle
include "native/_permits.pxi"      # acquire
include "native/_registry.pxi"     # breakers by name
include "native/_function_kinds.pxi"        # what runs at once, what runs later
include "native/_coroutines.pxi"        # coroutines and generators
include "native/_async_generators.pxi"
