# The rules beyond the streak: rates over a window of recent calls, slow calls, calls in flight.
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
    uint64_t slice_end      # these three are read without the lock, where the word says so
    uint64_t slow_ns
    uint64_t clock
    bk_in_flight_t in_flight    # beside them, for a call that is measured touches both
    RuleNumbers numbers
    bk_window_t *window     # NULL: no rate is judged
    uint64_t base           # successes that the window has taken over, by their counter
    uint64_t credit         # of the calls that ask for admission while it recovers, see `let_in_locked`
    uint64_t rejected       # of those
    bk_recording_t *recording   # NULL: nobody wants to know of each call


cdef inline bint has_rates(const RuleNumbers *by) noexcept nogil:
    return by.failure_rate_threshold <= 1 or by.slow_call_rate_threshold <= 1


cdef inline bint needs_rules(const RuleNumbers *by) noexcept nogil:
    return has_rates(by) or by.recovery_time_ns > 0


cdef inline bint has_slow_rule(const RuleNumbers *by) noexcept nogil:
    return by.slow_call_rate_threshold <= 1


# ---- the window -----------------------------------------------------------------------------------------------

cdef inline bint judges_locked(const Core *c) noexcept nogil:
    """Does a result of now enter the window?"""
    cdef int mode = mode_locked(c)
    return mode == SHADOW or (mode == AUTO and c.m.state == CLOSED)


cdef inline uint64_t counted_locked(const Core *c) noexcept nogil:
    return bk_counted(&c.successes)


cdef inline void catch_up_judged_locked(Core *c, int64_t now) noexcept nogil:
    """`catch_up_locked` where results of now enter the window."""
    cdef Rules *r = c.here.rules
    cdef uint64_t counted = counted_locked(c)
    if counted != r.base:
        bk_window_pass(r.window, <int64_t>(counted - r.base))
        r.base = counted
    if bk_window_turn(r.window, now):
        show_slice_locked(r)


cdef void catch_up_locked(Core *c, int64_t now) noexcept nogil:
    """Bring the window up to date: first the successes of the slice that was, then the slice of ``now``."""
    if judges_locked(c):
        catch_up_judged_locked(c, now)
    elif bk_window_turn(c.here.rules.window, now):
        show_slice_locked(c.here.rules)


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
    """By division, as people reckon: 0.07 * 100 is more than 7. It takes long, so most are told by a product first."""
    return (calls >= least and <double>some >= threshold * <double>calls * 0.999999
            and <double>some / <double>calls >= threshold)


cdef inline int rule_locked(const Core *c, int64_t streak, const bk_tally_t *seen) noexcept nogil:
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
    if has_slow_rule(by) and reaches(
            by.slow_call_rate_threshold, seen.slow + late, seen.calls + late, by.minimum_calls):
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
        c.here.shadow_openings += 1
        note_locked(c, out, WOULD_HAVE_OPENED, c.m.state, c.m.state, reason, c.m.streak)


cdef apart_int look_locked(Core *c, const Ticket *ticket, int outcome, const int64_t *read, Outbox *out) noexcept nogil:
    """What such rules ask before an outcome is recorded: how long it took, and is there enough to go on with?"""
    cdef Rules *r = c.here.rules
    out.now = c.m.since
    out.harmless = False
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
    if outcome != FAILURE and not out.slow:
        # It is counted in the slice of now. A ring takes it from the counter when there is more to record.
        if (outcome == SUCCESS and r.window != NULL and r.window.size == 0
                and out.now >= <int64_t>r.slice_end):
            catch_up_locked(c, out.now)
        return DONE
    if r.window != NULL:
        catch_up_judged_locked(c, out.now)
    if mode_locked(c) == AUTO:
        out.harmless = not would_open_locked(c, outcome, out.slow)
        if not out.harmless and (read == NULL or (outcome == FAILURE and out.text == NULL)):
            return NEEDS_MORE
    return DONE


cdef inline bint would_open_locked(const Core *c, int outcome, bint slow) noexcept nogil:
    """Will a rule hold once this is recorded?"""
    cdef bk_tally_t seen = bk_tally_t(calls=0, failures=0, slow=0)
    if c.here.rules.window != NULL:
        seen = bk_window_with(c.here.rules.window, outcome == FAILURE, slow)
    return rule_locked(c, 0 if outcome == SUCCESS else c.m.streak + (outcome == FAILURE), &seen) != NOTHING


cdef inline bint took_long_locked(const Core *c, const Ticket *ticket, const Outbox *out) noexcept nogil:
    """Was it slow, by the policy of now? Both ends are read from the same clock."""
    cdef const Rules *r = c.here.rules
    if ticket.timed == 0 or out.cramped or not has_slow_rule(&r.numbers):
        return False
    return left_of(ticket.began, r.numbers.slow_call_duration_ns,
                   bk_coarse_ns() if r.clock == COARSE else out.now) == 0


cdef apart_int judge_by_rules_locked(Core *c, int outcome, int64_t now, Outbox *out) noexcept nogil:
    """The verdict on a call where there are more rules than the streak. For what it records the window is up to date."""
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
                    catch_up_locked(c, now)
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
    reason = NOTHING if out.harmless else holding_locked(c)
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
