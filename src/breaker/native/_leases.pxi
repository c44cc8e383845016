# Half-open slots. Each is a lease, an entry in one array, where the first `Machine.in_flight` hold a slot.
#
# The others were granted in visits that are over. They stay until their tickets report: so a late result is known from
# that of a lost probe, whose lease was removed when its slot was taken back.


cdef uint64_t grant_locked(Core *c, int64_t now) noexcept nogil:
    """Give out a slot: the id of its lease.

    A permit that nobody settles must not take memory for ever: where the array may not grow, a lease of an earlier
    visit goes, and its ticket is counted as late now instead of when it reports.
    """
    cdef Lease *leases = c.here.leases
    if c.m.leases == c.here.room:
        forget_locked(c, c.m.in_flight)
        c.m.late += 1
        c.m.probes[LATE] += 1
    c.m.granted += 1
    leases[c.m.leases] = leases[c.m.in_flight]
    leases[c.m.in_flight] = Lease(
        id=c.m.granted, granted=now, span=c.here.numbers.probe_timeout_ns, owner=PyThread_get_thread_ident())
    c.m.leases += 1
    c.m.in_flight += 1
    return c.m.granted


cdef int16_t find_locked(const Core *c, uint64_t lease) noexcept nogil:
    """The place of a lease, -1 where it is gone: it was taken back, and counted then."""
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


cdef void reclaim_locked(Core *c, int64_t now, Outbox *out) noexcept nogil:
    """Take back the slots whose lease is over. Their results will change nothing."""
    cdef int16_t i = 0
    cdef int64_t lost = 0
    while i < c.m.in_flight:
        if left_of(c.here.leases[i].granted, c.here.leases[i].span, now) == 0:
            forget_locked(c, i)
            lost += 1
        else:
            i += 1
    if lost:
        c.m.lost += lost
        note_locked(c, out, PROBES_LOST, c.m.state, c.m.state, 0, lost)


cdef int grow_leases(Core *c) noexcept:
    """Make room for more leases: 0, or -1 with an error set. The caller does not hold the lock."""
    cdef int16_t room = <int16_t>min(max(4, 2 * c.here.room), MOST_LEASES)
    cdef Lease *larger = <Lease *>PyMem_RawMalloc(<size_t>room * sizeof(Lease))
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
