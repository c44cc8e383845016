# What an operator or another policy changes.


cdef void notice_mode_locked(Core *c, Outbox *out) noexcept nogil:
    """Where the decision brought another mode into force: end the shadow episode and note it."""
    cdef int mode = mode_locked(c)
    cdef int before = shown_mode_locked(c)
    if mode != before:
        c.m.would_have_opened = False
        note_locked(c, out, MODE_CHANGED, before, mode, 0, 0)
        if BK_UNLIKELY(c.here.rules != NULL):
            pass_over_locked(c)


cdef void override_locked(Core *c, int mode, Outbox *out) noexcept nogil:
    if BK_UNLIKELY(c.here.rules != NULL) and c.here.rules.window != NULL:
        catch_up_locked(c, FIRST)
    c.m.override = mode
    notice_mode_locked(c, out)


cdef void reset_locked(Core *c, int64_t now, Outbox *out) noexcept nogil:
    enter_locked(c, CLOSED, RESET, max(now, c.m.since), out)
    override_locked(c, -1, out)


cdef int replace_locked(Core *c, const PolicyNumbers *numbers, const RuleNumbers *rules, NewRules *new, bint custom,
                        int64_t now, Outbox *out) noexcept nogil:
    """Take a new policy. State, epoch, counts and slots stay; only a half-open breaker may close by it.

    NEEDS_ROOM: in ``new``, for its window. ``custom``: the clock is the program's own.
    """
    if lack_locked(c, rules, new):
        return NEEDS_ROOM
    now = max(now, c.m.since)
    take_rules_locked(c, rules, new, custom, now)
    c.here.numbers = numbers[0]
    if holding_locked(c) == NOTHING:
        c.m.would_have_opened = False
    note_locked(c, out, POLICY_UPDATED, c.m.state, c.m.state, 0, 0)
    notice_mode_locked(c, out)
    close_if_done_locked(c, now, out)
    return DONE
