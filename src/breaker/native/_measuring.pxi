# Calls that are measured without the lock: the clock at their beginning and their end.


cdef inline bint look_at_clock(const Rules *r, int64_t *now) noexcept nogil:
    """The clock of calls. False: it is the program's own."""
    cdef uint64_t clock = bk_load(&r.clock)
    if BK_LIKELY(clock == COARSE):
        now[0] = bk_coarse_ns()
    elif clock == PRECISE:
        now[0] = bk_monotonic_ns()
    else:
        return False
    return True


cdef inline bint departs(Core *c, Ticket *ticket) noexcept nogil:
    """Admit a call whose time is measured without the lock. False: it has to be taken."""
    cdef Rules *r = c.here.rules
    if BK_SHARED_CALLS or BK_UNLIKELY(not look_at_clock(r, &ticket.began)):
        return False
    if BK_UNLIKELY(ticket.began >= r.in_flight.end):    # a new beat: does somebody hang?
        return False
    ticket.timed = bk_flights_depart(&r.in_flight)
    return True


cdef inline bint in_time(Core *c, const Ticket *ticket) noexcept nogil:
    """Was a call that succeeded not slow, and is the slice the one it belongs to? False: the lock has to be taken."""
    cdef Rules *r = c.here.rules
    cdef int64_t now
    if (BK_SHARED_CALLS and ticket.timed) or BK_UNLIKELY(not look_at_clock(r, &now)):
        return False
    if ticket.timed and BK_UNLIKELY(now - ticket.began >= <int64_t>bk_load(&r.slow_ns)):
        return False
    if BK_UNLIKELY(now >= <int64_t>bk_load(&r.slice_end)):
        turn_slice(c, now)
    if ticket.timed:
        bk_flights_arrive(&r.in_flight, ticket.timed)
    return True


cdef cold_int turn_slice(Core *c, int64_t now) noexcept nogil:
    """The slice is over: begin the one of now."""
    lock(c)
    if c.here.rules.window != NULL:
        catch_up_locked(c, now)
    unlock(c)
    return 0


cdef apart_int depart(Core *c, Ticket *ticket) noexcept nogil:
    """`departs` for paths that are short where nothing is measured."""
    return departs(c, ticket)


cdef apart_int succeed_measured(PyObject *b, Ticket *ticket, uint64_t passing) noexcept:
    """`succeed_closed` where the end of a call is looked at: no lock either, but the clock. False: not recorded."""
    cdef Core *c = &(<Breaker>b).core
    cdef uint64_t word = bk_load(&c.word)
    if not word & (SLICED | TIMED) or ticket.lease or not ticket.live:
        return False
    if (word & ~(passing | SLICED | TIMED)) != ticket.epoch << EPOCH_SHIFT or not in_time(c, ticket):
        return False
    if bk_claim(&ticket.live) and bk_count(&c.successes):
        bk_share(b)
    return True


cdef cold_int stop_measuring(Breaker b, Ticket *ticket) noexcept nogil:
    """How long this call takes is its consumer's doing."""
    lock(&b.core)
    if ticket.timed:
        bk_flights_arrive(&b.core.here.rules.in_flight, ticket.timed)
        ticket.timed = 0
    unlock(&b.core)
    return 0
