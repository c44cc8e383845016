# Gradual recovery.
#
# The part of the calls that is admitted grows from a tenth to all of them. No dice: each call brings its part as credit,
# and one that finds credit for a whole call is let in. In whole numbers, a part is (time + 9 * gone) / (10 * time).

cdef struct Measure:
    uint64_t whole
    int shift               # by which it was made to fit


cdef inline Measure measure_of(int64_t time) noexcept nogil:
    cdef Measure m = Measure(whole=<uint64_t>time, shift=0)
    while m.whole >> 59:
        m.whole >>= 1
        m.shift += 1
    return m


cdef inline bint is_recovering_locked(const Core *c, int64_t now) noexcept nogil:
    return (c.here.bits & RECOVERING) != 0 and left_of(c.m.since, c.here.rules.numbers.recovery_time_ns, now) > 0


cdef cold_int let_in_locked(Core *c, int64_t now) noexcept nogil:
    """May this call run while the breaker recovers? It also notices when that is over."""
    cdef Rules *r = c.here.rules
    cdef Measure m = measure_of(r.numbers.recovery_time_ns)
    if not is_recovering_locked(c, now):
        c.here.bits &= ~RECOVERING
        return True
    r.credit += m.whole + 9 * (elapsed(c.m.since, now) >> m.shift)
    if r.credit < 10 * m.whole:
        return False
    r.credit -= 10 * m.whole
    return True


cdef double recovery_share_locked(const Core *c, int64_t now) noexcept nogil:
    """The part of the calls that is admitted while the breaker recovers; -1: it does not."""
    if c.m.state != CLOSED or not is_recovering_locked(c, now):
        return -1
    return 0.1 + 0.9 * (<double>elapsed(c.m.since, now) / <double>c.here.rules.numbers.recovery_time_ns)


cdef int64_t recovery_wait_locked(const Core *c, int64_t now) noexcept nogil:
    """Nanoseconds until the next call is let in, if it is the only one; a second at most, for others bring credit too."""
    cdef Measure m
    cdef uint64_t needed, gone
    if BK_LIKELY((c.here.bits & RECOVERING) == 0) or not is_recovering_locked(c, now):
        return 0
    m = measure_of(c.here.rules.numbers.recovery_time_ns)
    needed = 9 * m.whole - min(c.here.rules.credit, 9 * m.whole)
    needed = needed // 9 + (needed % 9 != 0)
    gone = elapsed(c.m.since, now) >> m.shift
    if gone >= needed:
        return 0
    return <int64_t>min(<uint64_t>SECOND >> m.shift, needed - gone) << m.shift
