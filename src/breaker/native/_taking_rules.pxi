# Another policy's rules beyond the streak: memory for them, and what is kept of the window.


cdef struct NewRules:       # what a policy needs and the breaker has not: made before the lock, freed after it
    Rules *rules
    bk_window_t *window


cdef bint fits(const bk_window_t *w, const RuleNumbers *by) noexcept nogil:
    """May this window, with what is in it, serve a policy?"""
    if w == NULL:
        return not has_rates(by)
    if not has_rates(by):
        return False
    if by.window_calls == 0:
        return w.size == 0 and w.span == by.window_ns
    return w.size == by.window_calls and (w.slowed != NULL or not has_slow_rule(by))


cdef bint lack_locked(const Core *c, const RuleNumbers *by, const NewRules *new) noexcept nogil:
    """Is memory missing for this policy?"""
    cdef const Rules *r = c.here.rules
    if r == NULL:
        return needs_rules(by) and (new.rules == NULL or (has_rates(by) and new.window == NULL))
    return has_rates(by) and not fits(r.window, by) and new.window == NULL


cdef int make_rules(const RuleNumbers *by, NewRules *new) except -1:
    """Make what a policy needs, all of it. The caller does not hold the lock."""
    if new.rules == NULL:
        new.rules = <Rules *>PyMem_RawMalloc(sizeof(Rules))
    if new.window == NULL and has_rates(by):
        new.window = bk_window_make(by.window_calls, by.window_ns, has_slow_rule(by))
    if new.rules == NULL or (new.window == NULL and has_rates(by)):
        free_rules(new)
        raise MemoryError("breaker: no memory for a window")
    memset(new.rules, 0, sizeof(Rules))
    return 0


cdef void free_rules(NewRules *new) noexcept nogil:
    PyMem_RawFree(new.window)
    PyMem_RawFree(new.rules)
    new.window = NULL
    new.rules = NULL


cdef Rules *begin_rules_locked(Core *c, NewRules *new, bint custom) noexcept nogil:
    """The first ones, with nothing to judge by."""
    cdef Rules *r = new.rules
    c.here.rules = r
    new.rules = NULL
    r.numbers.slow_call_rate_threshold = NO_RATE
    r.numbers.failure_rate_threshold = NO_RATE
    r.clock = CUSTOM if custom else PRECISE
    return r


cdef void take_rules_locked(Core *c, const RuleNumbers *by, NewRules *new, bint custom, int64_t now) noexcept nogil:
    """Go on by other numbers, with what can be kept of the window. The old one is in ``new`` then, for its memory."""
    cdef Rules *r = c.here.rules
    cdef bk_window_t *old
    if r == NULL:
        if not needs_rules(by):
            return
        r = begin_rules_locked(c, new, custom)
    elif r.window != NULL:
        catch_up_locked(c, now)
    old = r.window
    if old != NULL and not has_slow_rule(by):
        bk_window_forget_slow(old)
    if not fits(old, by):
        r.window = new.window if has_rates(by) else NULL
        new.window = old
        if r.window != NULL:
            r.base = counted_locked(c)
            if old == NULL:
                bk_window_empty(r.window, now)
            else:
                bk_window_take(r.window, old, now)
    follow_locked(c, by, now)
    if by.recovery_time_ns != r.numbers.recovery_time_ns:
        r.credit = 0
        if by.recovery_time_ns == 0 or not is_recovering_locked(c, now):    # what is over stays over
            c.here.bits &= ~RECOVERING
    r.numbers = by[0]
    if r.clock != CUSTOM:
        choose_clock_locked(r)
    arm_locked(c)


cdef void follow_locked(Core *c, const RuleNumbers *by, int64_t now) noexcept nogil:
    """Follow calls in flight by another slow duration. With the rule they are forgotten: one that ends after it takes
    the way of a call that was never measured."""
    cdef Rules *r = c.here.rules
    cdef int64_t duration = followed_locked(r, by)
    if duration != followed_locked(r, &r.numbers):
        bk_flights_follow(&r.in_flight, duration, now)


cdef int64_t followed_locked(const Rules *r, const RuleNumbers *by) noexcept nogil:
    """The duration by which calls are followed. One that is recorded is measured, and by itself never late; 0: none is."""
    if has_slow_rule(by):
        return by.slow_call_duration_ns
    return 0 if r.recording == NULL else INT64_MAX


cdef void choose_clock_locked(Rules *r) noexcept nogil:
    """The coarse clock where its step is small beside what is measured."""
    cdef int64_t step = bk_coarse_step()
    cdef bint coarse = step > 0 and r.recording == NULL
    if has_slow_rule(&r.numbers) and r.numbers.slow_call_duration_ns // 64 < step:
        coarse = False
    if r.window != NULL and r.window.size == 0 and r.window.slice // 4 < step:
        coarse = False
    bk_store(&r.clock, COARSE if coarse else PRECISE)


cdef void arm_locked(Core *c) noexcept nogil:
    """Tell the calls that take no lock what they have to look at."""
    cdef Rules *r = c.here.rules
    cdef uint16_t bits = c.here.bits & ~(SLICED | TIMED)
    if r.window != NULL and r.window.size == 0:
        bits |= SLICED
    if has_slow_rule(&r.numbers):
        bits |= TIMED
    c.here.bits = bits
    bk_store(&r.slow_ns, <uint64_t>(r.numbers.slow_call_duration_ns if bits & TIMED else INT64_MAX))
    show_slice_locked(r)


cdef void show_slice_locked(Rules *r) noexcept nogil:
    """When is the slice over? With a clock of the program's own each call asks."""
    cdef int64_t end = INT64_MIN if r.clock == CUSTOM else INT64_MAX
    if r.clock != CUSTOM and r.window != NULL:
        end = bk_window_end(r.window)
    bk_store(&r.slice_end, <uint64_t>end)
