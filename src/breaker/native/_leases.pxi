# Half-open slots. Each is a lease, an entry in one array, where the first `Machine.in_flight` hold a slot.
#
# The others hold none: their probes are overdue, or their visits are over. They stay until their tickets report, for an
# overdue probe is in flight and may have calls inside it. One that is gone before its ticket reports has been counted.


cdef uint64_t grant_locked(Core *c, int64_t now) noexcept nogil:
    """Give out a slot: the id of its lease.

    A permit that nobody settles must not take memory for ever: where the array may not grow, a lease without a slot
    goes, and its ticket is counted as late now instead of when it reports.
    """
    cdef Lease *leases = c.here.leases
    if c.m.leases == c.here.room:
        forget_locked(c, c.m.in_flight)
        c.m.late += 1
        c.m.probes[LATE] += 1
    c.m.granted += 1
    leases[c.m.leases] = leases[c.m.in_flight]
    leases[c.m.in_flight] = Lease(
        id=c.m.granted, granted=now, span=lease_span_locked(c), owner=PyThread_get_thread_ident())
    c.m.leases += 1
    c.m.in_flight += 1
    return c.m.granted


cdef int64_t lease_span_locked(const Core *c) noexcept nogil:
    """How long a probe that is admitted now may keep its slot: doubled where others of this visit were overdue."""
    cdef int64_t span = c.here.numbers.probe_timeout_ns
    if span >= LEASE_BOUND:
        return span
    return span << c.m.doublings if span <= LEASE_BOUND >> c.m.doublings else LEASE_BOUND


cdef int16_t find_locked(const Core *c, uint64_t lease) noexcept nogil:
    """The place of a lease, -1 where it is gone, and was counted then."""
    cdef int16_t place
    for place in range(c.m.leases):
        if c.here.leases[place].id == lease:
            return place
    return -1


cdef void forget_locked(Core *c, int16_t place) noexcept nogil:
    """Remove a lease; one that holds a slot gives it back."""
    cdef Lease *leases = c.here.leases
    if place < c.m.in_flight:
        c.m.in_flight -= 1
        leases[place] = leases[c.m.in_flight]
        place = c.m.in_flight
    c.m.leases -= 1
    leases[place] = leases[c.m.leases]


cdef bint runs_locked(const Core *c, const Ticket *ticket) noexcept nogil:
    """Is this the ticket of a probe of the present visit that has not ended, with or without its slot?"""
    return (c.m.state == HALF_OPEN and ticket.lease != 0 and ticket.epoch == c.m.epoch
            and find_locked(c, ticket.lease) >= 0)


cdef void reclaim_locked(Core *c, int64_t now, Outbox *out) noexcept nogil:
    """Take back the slots whose lease is over. Their probes are overdue and may still decide.

    The next leases are longer, once however many ended: a healthy dependency that is slower than the lease will be
    waited for, and one that hangs gets few calls.
    """
    cdef Lease *leases = c.here.leases
    cdef int16_t i = 0
    cdef int64_t overdue = 0
    while i < c.m.in_flight:
        if left_of(leases[i].granted, leases[i].span, now) == 0:
            c.m.in_flight -= 1
            leases[i], leases[c.m.in_flight] = leases[c.m.in_flight], leases[i]
            overdue += 1
        else:
            i += 1
    if overdue:
        c.m.overdue += overdue
        note_locked(c, out, PROBES_OVERDUE, c.m.state, c.m.state, 0, overdue)
        if lease_span_locked(c) < LEASE_BOUND:
            c.m.doublings += 1


cdef int16_t ending_locked(const Core *c, int64_t now, int64_t within) noexcept nogil:
    """How many slots are free again, if nobody reports, after this time."""
    cdef int16_t ending = 0
    cdef int16_t i
    for i in range(c.m.in_flight):
        if left_of(c.here.leases[i].granted, c.here.leases[i].span, now) <= within:
            ending += 1
    return ending


cdef int64_t wait_for_room_locked(const Core *c, int64_t now) noexcept nogil:
    """Nanoseconds until enough leases have ended that there is room for one more, at most a second.

    At most, for a probe may report at any moment: who waits for the end of a long lease recovers late.
    """
    cdef int32_t needed = c.m.in_flight - max(room_locked(c) - 1, 0)
    cdef int64_t low = -1       # after this time there is no room yet
    cdef int64_t high = SECOND  # there is, or it is the bound
    cdef int64_t middle
    cdef int16_t i
    if needed <= 0:
        return 0
    if needed == 1:  # as nearly always
        for i in range(c.m.in_flight):
            high = min(high, left_of(c.here.leases[i].granted, c.here.leases[i].span, now))
        return high
    if ending_locked(c, now, high) < needed:
        return SECOND
    while high - low > 1:
        middle = (low + high) // 2
        if ending_locked(c, now, middle) < needed:
            low = middle
        else:
            high = middle
    return high


cdef int grow_leases(Core *c) noexcept:
    """Make room for more leases: 0, or -1 with an error set. The caller does not hold the lock."""
    cdef int16_t room
    cdef Lease *larger
    lock(c)
    room = <int16_t>min(max(4, 2 * c.here.room), MOST_LEASES)
    unlock(c)
    larger = <Lease *>PyMem_RawMalloc(<size_t>room * sizeof(Lease))
    if larger == NULL:
        PyErr_SetString(PyExc_MemoryError, "breaker: no memory for a probe")
        return -1
    lock(c)
    if c.here.room < room:
        if c.m.leases:
            memcpy(larger, c.here.leases, <size_t>c.m.leases * sizeof(Lease))
        larger, c.here.leases = c.here.leases, larger
        c.here.room = room
    unlock(c)
    PyMem_RawFree(larger)
    return 0
