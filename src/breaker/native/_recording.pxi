# Each call of a breaker, kept while a recorder wants them: what `breaker.replay` records.
#
# A bit of the word sends every call to the lock meanwhile. There it is measured as by a slow-call rule, and kept in an
# array that the recorder exchanges for an empty one. Without a recorder this costs nothing.

cdef tuple ENDS = ("success", "failure", "ignored", "rejected")


cdef cold_int keep_call_locked(Core *c, const Ticket *ticket, int outcome, const int64_t *read) noexcept nogil:
    """The end of a call. One that was not measured, or whose clock failed, has an end alone."""
    cdef bk_recording_t *kept = c.here.rules.recording
    cdef int64_t end = c.m.since if read[0] == FIRST else read[0]
    if ticket.timed and read[0] != FIRST:
        bk_recording_keep(kept, ticket.began, <int64_t>elapsed(ticket.began, end), outcome)
    else:
        bk_recording_keep(kept, end, -1, outcome)
    return 0


cdef cold_int keep_rejection_locked(Core *c, int64_t now) noexcept nogil:
    if c.here.rules.recording != NULL:
        bk_recording_keep(c.here.rules.recording, now, -1, REJECTED)
    return 0


cdef void set_recording_locked(Core *c, bk_recording_t *fresh, int64_t now) noexcept nogil:
    """Keep calls in this array from now on; NULL: nowhere. Those in flight are not measured."""
    cdef Rules *r = c.here.rules
    cdef int64_t before = followed_locked(r, &r.numbers)
    r.recording = fresh
    if followed_locked(r, &r.numbers) != before:
        bk_flights_follow(&r.in_flight, followed_locked(r, &r.numbers), now)
    c.here.bits = (c.here.bits & ~RECORDED) | (RECORDED if fresh != NULL else 0)
    if r.clock != CUSTOM:
        choose_clock_locked(r)
    show_slice_locked(r)
    store_word_locked(c)


def record_calls(Breaker b, Py_ssize_t size, double share=1.0):
    """Keep the calls of a breaker until `recorded_calls` fetches them.

    Args:
        size: For how many calls there is room; 0: keep none any more, and forget those that were not fetched.
        share: The share of the calls that is kept, by chance; more than 0, at most 1.

    Raises:
        MemoryError: There is none for so many calls.
    """
    cdef bk_recording_t *fresh = NULL
    cdef bk_recording_t *old = NULL
    cdef NewRules new = NewRules(rules=NULL, window=NULL)
    cdef RuleNumbers none = RuleNumbers(failure_rate_threshold=NO_RATE, slow_call_rate_threshold=NO_RATE)
    cdef int64_t now = now_of(b)
    if size > 0:
        make_rules(&none, &new)
        fresh = bk_recording_make(size, share)
        if fresh == NULL:
            free_rules(&new)
            raise MemoryError(f"breaker: no memory to record {size} calls")
    lock(&b.core)
    if b.core.here.rules == NULL and fresh != NULL:
        begin_rules_locked(&b.core, &new, b.clock is not None)
    if b.core.here.rules != NULL:
        old = b.core.here.rules.recording
        set_recording_locked(&b.core, fresh, now)
    unlock(&b.core)
    PyMem_RawFree(old)
    free_rules(&new)


def recorded_calls(Breaker b):
    """The calls that a breaker has kept since they were fetched last.

    Returns:
        A list of ``(began, took, outcome)`` in nanoseconds of the provider's clock, in the order of their ends, and
        the number of those that were lost for want of room. ``took`` is None where it is not known: of streams, whose
        consumers decide it, of calls that began before the recorder did, of rejections; ``began`` is the end then.
    """
    cdef bk_recording_t *fresh = NULL
    cdef bk_recording_t *kept = NULL
    cdef int64_t size = 0
    cdef double share = 1
    lock(&b.core)
    if b.core.here.rules != NULL and b.core.here.rules.recording != NULL:
        kept = b.core.here.rules.recording
        if kept.count or kept.lost:
            size, share = kept.size, kept.share
    unlock(&b.core)
    if size == 0:
        return [], 0
    fresh = bk_recording_make(size, share)
    if fresh == NULL:
        raise MemoryError(f"breaker: no memory to record {size} calls")
    lock(&b.core)
    kept = b.core.here.rules.recording
    if kept != NULL:  # another thread may have ended it
        b.core.here.rules.recording = fresh
        fresh = NULL
    unlock(&b.core)
    PyMem_RawFree(fresh)
    if kept == NULL:
        return [], 0
    try:
        calls = []
        for i in range(kept.count):
            took = None if kept.calls[i].took < 0 else kept.calls[i].took
            calls.append((kept.calls[i].began, took, ENDS[kept.calls[i].outcome]))
        return calls, kept.lost
    finally:
        PyMem_RawFree(kept)
