# The rules beyond the streak: rates over a window of recent calls, slow calls, calls in flight, gradual recovery.
#
# All of it lies behind one pointer, so that a breaker without such a rule pays eight bytes. Three things keep a success
# free. It can only lower a failure rate, so nobody judges at one, and the window takes successes over from their counter
# when a failure, a slow call or a reader needs them (`catch_up_locked`). In a ring they are a run of zeros. By time, what
# was counted since a slice began belongs to that slice, so a success only has to see that the slice is not over.

cdef enum:  # how a call's time is read
    COARSE, PRECISE, CUSTOM

cdef double NO_RATE = 2.0           # a threshold that nothing reaches
cdef str SLOW_CALL = "slow call"    # the last error of an opening without a failure


# The rest of a policy in numbers, as in `PolicyNumbers`. Of the window one number is 0.
cdef struct RuleNumbers:
    double failure_rate_threshold
    double slow_call_rate_threshold
    int64_t slow_call_duration_ns
    int64_t window_calls
    int64_t window_ns
    int64_t minimum_calls
    int64_t recovery_time_ns


cdef struct Rules:          # made when a policy first needs it, kept as long as the breaker
    RuleNumbers numbers
    bk_window_t *window     # NULL: no rate is judged
    uint64_t base           # successes that the window has taken over, by their counter
    bk_in_flight_t in_flight
    uint64_t credit         # of the calls that ask for admission while it recovers, see `let_in_locked`
    uint64_t rejected       # of those
    uint64_t slice_end      # these three are read without the lock, where the word says so
    uint64_t slow_ns
    uint64_t clock
    bk_recording_t *recording   # NULL: nobody wants to know of each call


# ---- memory ---------------------------------------------------------------------------------------------------

cdef struct NewRules:       # what a policy needs and the breaker has not: made before the lock, freed after it
    Rules *rules
    bk_window_t *window


cdef inline bint has_rates(const RuleNumbers *by) noexcept nogil:
    return by.failure_rate_threshold <= 1 or by.slow_call_rate_threshold <= 1


cdef inline bint needs_rules(const RuleNumbers *by) noexcept nogil:
    return has_rates(by) or by.recovery_time_ns > 0


cdef inline bint has_slow_rule(const RuleNumbers *by) noexcept nogil:
    return by.slow_call_rate_threshold <= 1


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


# ---- another policy -------------------------------------------------------------------------------------------

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
        if by.recovery_time_ns == 0:
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


# ---- the window -----------------------------------------------------------------------------------------------

cdef inline bint judges_locked(const Core *c) noexcept nogil:
    """Does a result of now enter the window?"""
    cdef int mode = mode_locked(c)
    return mode == SHADOW or (mode == AUTO and c.m.state == CLOSED)


cdef inline uint64_t counted_locked(const Core *c) noexcept nogil:
    return bk_counted(&c.successes)


cdef void catch_up_locked(Core *c, int64_t now) noexcept nogil:
    """Bring the window up to date: first the successes of the slice that was, then the slice of ``now``."""
    cdef Rules *r = c.here.rules
    cdef uint64_t counted
    if judges_locked(c):
        counted = counted_locked(c)
        if counted != r.base:
            bk_window_pass(r.window, <int64_t>(counted - r.base))
            r.base = counted
    if bk_window_turn(r.window, now):
        show_slice_locked(r)


cdef cold_int begin_anew_locked(Core *c, int reason, int64_t now, const Outbox *out) noexcept nogil:
    """A state was entered: the window is empty, calls in flight will be late, and after a recovery few are admitted."""
    cdef Rules *r = c.here.rules
    c.here.bits &= ~RECOVERING
    if c.m.state == CLOSED and reason != RESET and r.numbers.recovery_time_ns > 0:
        c.here.bits |= RECOVERING
        r.credit = 9 * measure_of(r.numbers.recovery_time_ns).whole  # the first one is let in
    if r.window != NULL:
        bk_window_empty(r.window, now)
        r.base = counted_locked(c) + out.succeeded  # the success of this decision is counted at its end
    bk_flights_forget(&r.in_flight)
    show_slice_locked(r)
    return 0


cdef cold_int pass_over_locked(Core *c) noexcept nogil:
    """Another mode is in force: what was counted while nobody judged is not of the window."""
    if c.here.rules.window != NULL:
        c.here.rules.base = counted_locked(c)
    return 0


# ---- the rules ------------------------------------------------------------------------------------------------

cdef inline bint reaches(double threshold, int64_t some, int64_t calls, int64_t least) noexcept nogil:
    """By division, as people reckon: 0.07 * 100 is more than 7."""
    return calls >= least and threshold <= 1 and <double>some / <double>calls >= threshold


cdef int rule_locked(const Core *c, int64_t streak, const bk_tally_t *seen) noexcept nogil:
    """The first trip rule that holds, or NOTHING. Calls that are slow already in flight count as slow calls."""
    cdef const Rules *r = c.here.rules
    cdef const RuleNumbers *by = &r.numbers
    cdef int64_t late = r.in_flight.late
    if trips_locked(c, streak):
        return TRIPPED
    if r.window == NULL:
        return NOTHING
    if reaches(by.failure_rate_threshold, seen.failures, seen.calls, by.minimum_calls):
        return FAILURE_RATE
    if reaches(by.slow_call_rate_threshold, seen.slow + late, seen.calls + late, by.minimum_calls):
        return SLOW_CALL_RATE
    return NOTHING


cdef int holding_locked(const Core *c) noexcept nogil:
    """The trip rule that holds now, or NOTHING; the window is up to date."""
    if c.here.rules == NULL:
        return TRIPPED if trips_locked(c, c.m.streak) else NOTHING
    return rule_locked(c, c.m.streak, &c.here.rules.window.all if c.here.rules.window != NULL else NULL)


cdef void carry_out_locked(Core *c, int reason, int64_t now, Outbox *out) noexcept nogil:
    """A trip rule holds: open, or in shadow mode note it, once per episode."""
    cdef const Rules *r = c.here.rules
    cdef const bk_tally_t *seen
    cdef int64_t late
    if reason != TRIPPED:
        seen = &r.window.all
        late = r.in_flight.late
        out.failure_rate = -1 if r.numbers.failure_rate_threshold > 1 or seen.calls == 0 else (
            <double>seen.failures / <double>seen.calls)
        out.slow_call_rate = -1 if not has_slow_rule(&r.numbers) or seen.calls + late == 0 else (
            <double>(seen.slow + late) / <double>(seen.calls + late))
        out.calls = seen.calls + late if reason == SLOW_CALL_RATE else seen.calls
    if mode_locked(c) == AUTO:
        enter_locked(c, OPEN, reason, now, out)
    elif not c.m.would_have_opened:
        c.m.would_have_opened = True
        c.m.shadow_openings += 1
        note_locked(c, out, WOULD_HAVE_OPENED, c.m.state, c.m.state, reason, c.m.streak)


cdef cold_int look_locked(Core *c, const Ticket *ticket, int outcome, const int64_t *read, Outbox *out) noexcept nogil:
    """What such rules ask before an outcome is recorded: how long it took, and is there enough to go on with?"""
    cdef Rules *r = c.here.rules
    cdef bk_tally_t seen = bk_tally_t(calls=0, failures=0, slow=0)
    out.now = c.m.since
    if r.recording != NULL and read == NULL:
        return NEEDS_MORE
    if ticket.epoch != c.m.epoch:
        if read != NULL:
            out.now = max(out.now, read[0])
        return DONE
    if read != NULL:
        out.now = read[0]
    elif c.m.state != CLOSED:
        return NEEDS_MORE
    elif judges_locked(c) and (ticket.timed or (c.here.bits & SLICED and outcome != IGNORED)):
        if r.clock == CUSTOM:
            return NEEDS_MORE
        out.now = bk_coarse_ns() if r.clock == COARSE else bk_monotonic_ns()
    out.slow = took_long_locked(c, ticket, out)
    out.now = max(out.now, c.m.since)
    if not judges_locked(c):
        return DONE
    if r.window != NULL:
        catch_up_locked(c, out.now)
        seen = bk_window_with(r.window, outcome == FAILURE, out.slow)
    if outcome != FAILURE and not out.slow:
        return DONE
    if (read == NULL or (outcome == FAILURE and out.text == NULL)) and mode_locked(c) == AUTO and rule_locked(
            c, 0 if outcome == SUCCESS else c.m.streak + (outcome == FAILURE), &seen) != NOTHING:
        return NEEDS_MORE
    return DONE


cdef bint took_long_locked(const Core *c, const Ticket *ticket, const Outbox *out) noexcept nogil:
    """Was it slow, by the policy of now? Both ends are read from the same clock."""
    cdef const Rules *r = c.here.rules
    cdef int64_t end = bk_coarse_ns() if r.clock == COARSE else out.now
    return (ticket.timed != 0 and has_slow_rule(&r.numbers) and not out.cramped
            and left_of(ticket.began, r.numbers.slow_call_duration_ns, end) == 0)


cdef cold_int judge_by_rules_locked(Core *c, int outcome, int64_t now, Outbox *out) noexcept nogil:
    """The verdict on a call where there are more rules than the streak. The window is up to date."""
    cdef Rules *r = c.here.rules
    cdef bk_tally_t seen = bk_tally_t(calls=0, failures=0, slow=0)
    cdef int reason
    if outcome == FAILURE:
        c.m.streak += 1
    elif outcome == SUCCESS:
        c.m.streak = 0
        if not out.slow:
            if c.m.would_have_opened:
                if r.window != NULL:
                    seen = bk_window_with(r.window, False, False)
                if rule_locked(c, 0, &seen) == NOTHING:
                    c.m.would_have_opened = False
            return 0
    elif not out.slow:
        return 0
    if r.window != NULL:
        bk_window_record(r.window, outcome == FAILURE, out.slow)
        if outcome == SUCCESS:
            r.base += 1     # it will be in the counter too
    reason = holding_locked(c)
    if reason == NOTHING:
        c.m.would_have_opened = False
        return 0
    if outcome != FAILURE:
        out.text = <PyObject *>SLOW_CALL
    carry_out_locked(c, reason, now, out)
    return 0


cdef cold_int judge_in_flight_locked(Core *c, int64_t now, Outbox *out) noexcept nogil:
    """Before a call is admitted, once in a beat: may calls that have not ended open the breaker?"""
    cdef Rules *r = c.here.rules
    if not has_slow_rule(&r.numbers):
        return 0
    if r.clock == COARSE:
        now = min(now, bk_coarse_ns())
    if not bk_flights_look(&r.in_flight, now) or r.in_flight.late == 0 or not judges_locked(c):
        return 0
    catch_up_locked(c, now)
    if not reaches(r.numbers.slow_call_rate_threshold, r.window.all.slow + r.in_flight.late,
                   r.window.all.calls + r.in_flight.late, r.numbers.minimum_calls):
        return 0
    out.text = <PyObject *>SLOW_CALL
    carry_out_locked(c, SLOW_CALL_RATE, max(now, c.m.since), out)
    return 0


cdef cold_int measure_locked(Core *c, int64_t now, Ticket *ticket) noexcept nogil:
    """A call is admitted: follow it, if there is a rule for slow calls."""
    cdef Rules *r = c.here.rules
    if has_slow_rule(&r.numbers) or r.recording != NULL:
        ticket.began = bk_coarse_ns() if r.clock == COARSE else now
        ticket.timed = bk_flights_depart(&r.in_flight)
    return 0


# ---- gradual recovery -----------------------------------------------------------------------------------------

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


# ---- without the lock -----------------------------------------------------------------------------------------

cdef inline int64_t reading(const Rules *r) noexcept nogil:
    """The clock of calls, where it is not the program's own."""
    return bk_coarse_ns() if BK_LIKELY(bk_load(&r.clock) == COARSE) else bk_monotonic_ns()


cdef bint in_time(Core *c, const Ticket *ticket) noexcept nogil:
    """Was a call that succeeded not slow, and is the slice the one it belongs to? False: the lock has to be taken."""
    cdef Rules *r = c.here.rules
    cdef int64_t now
    if BK_UNLIKELY(bk_load(&r.clock) == CUSTOM) or (BK_SHARED_CALLS and ticket.timed):
        return False
    now = reading(r)
    if ticket.timed and now - ticket.began >= <int64_t>bk_load(&r.slow_ns):
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


cdef cold_int succeed_measured(PyObject *b, Ticket *ticket, uint64_t passing) noexcept:
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


cdef cold_int depart(Core *c, Ticket *ticket) noexcept:
    """Admit a call whose time is measured without the lock. False: it has to be taken."""
    cdef Rules *r = c.here.rules
    if BK_SHARED_CALLS or bk_load(&r.clock) == CUSTOM:
        return False
    ticket.began = reading(r)
    if ticket.began >= r.in_flight.end:     # a new beat: does somebody hang?
        return False
    ticket.timed = bk_flights_depart(&r.in_flight)
    return True


cdef cold_int stop_measuring(Breaker b, Ticket *ticket) noexcept nogil:
    """How long this call takes is its consumer's doing."""
    lock(&b.core)
    if ticket.timed:
        bk_flights_arrive(&b.core.here.rules.in_flight, ticket.timed)
        ticket.timed = 0
    unlock(&b.core)
    return 0


# ---- reading --------------------------------------------------------------------------------------------------

cdef struct WindowSeen:
    bk_tally_t all
    int64_t late
    uint64_t rejected       # while it recovered


cdef WindowSeen window_seen_locked(Core *c, int64_t now) noexcept nogil:
    """What a snapshot shows. It brings the window up to date and judges nothing."""
    cdef Rules *r = c.here.rules
    cdef WindowSeen seen
    memset(&seen, 0, sizeof(seen))
    if r == NULL:
        return seen
    seen.rejected = r.rejected
    if r.window == NULL:
        return seen
    catch_up_locked(c, max(now, c.m.since))
    seen.all = r.window.all
    seen.late = bk_flights_late(&r.in_flight, bk_coarse_ns() if r.clock == COARSE else now)
    return seen
