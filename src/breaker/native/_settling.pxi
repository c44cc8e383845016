# What every call path begins and ends with: admit, and settle once.
#
# Functions here and in the files that follow are `noexcept` and work on plain pointers: a Python error is set and NULL
# or -1 returned by hand, so that neither a reference count nor a traceback entry of ours is added to a call or to the
# exception that leaves it.

# Cython gives a function that may raise a traceback entry at each of its callers. Called through these types it does
# not, and the answer is looked at by hand.
ctypedef int (*quiet_settle)(Breaker, const Ticket *, int, PyObject *) noexcept
ctypedef PyObject *(*quiet_object)(Breaker, Ticket *, PyObject *) noexcept
ctypedef int (*quiet_flush)(Breaker, Outbox *, PyObject *, PyObject *) noexcept


# ---- admission ------------------------------------------------------------------------------------------------

cdef inline bint begin_closed(const Core *c, Ticket *ticket) noexcept:
    """Admit a call that needs no lock for it: closed, no overlay. False: it is not admitted yet."""
    cdef uint64_t word = bk_load(&c.word)
    if BK_UNLIKELY((word & OVERLAID) != 0):
        return False
    ticket[0] = admitted(word >> EPOCH_SHIFT, 0)
    return True


cdef int admit_quietly(Breaker b, Ticket *ticket) noexcept:
    """Admit or set an error: 0 or -1."""
    cdef Outbox out
    cdef int verdict
    cdef int64_t now
    ticket[0] = NOT_ADMITTED
    if b.clock is None:
        now = bk_monotonic_ns()
    else:
        now = (<int64_t (*)(Breaker) noexcept>now_of)(b)
        if now == -1 and PyErr_Occurred() != NULL:
            return -1
    open_outbox(b, &out)
    while True:
        start_decision(&b.core, &out)
        verdict = begin_locked(&b.core, now, ticket, &out)
        end_decision(&b.core, &out)
        if verdict != NEEDS_ROOM:
            break
        if grow_leases(&b.core) < 0:
            return -1
    if out.count or out.releases:
        if flush_quietly(b, &out) < 0:  # a listener's Ctrl-C: the call will not run, its slot is free again
            if verdict == DONE:
                give_up(b, ticket)
            else:
                Py_XDECREF(out.refusal.last_error)
            return -1
    if verdict == REFUSED:
        raise_refusal(b, &out.refusal)
        return -1
    return 0


cdef int flush_quietly(Breaker b, Outbox *out) noexcept:
    return (<quiet_flush>flush)(b, out, <PyObject *>None, <PyObject *>None)


cdef void raise_refusal(Breaker b, const Refusal *no) noexcept:
    """Set the `BreakerOpenError` of a refusal, whose reference is taken."""
    cdef BreakerOpenError error = BreakerOpenError.__new__(BreakerOpenError)
    error.name = b.name
    error.state_code = no.state
    error.reason_code = no.reason
    error.retry_after = no.wait / 1e9
    if no.last_error != NULL:
        error.last_error = steal(no.last_error)
    PyErr_SetObject(<PyObject *>BreakerOpenError, <PyObject *>error)


# ---- settling -------------------------------------------------------------------------------------------------

cdef inline bint succeed_closed(PyObject *b, Ticket *ticket, uint64_t passing) noexcept:
    """Record a success that needs no lock: nothing has changed since admission and no failure is on record.

    ``b`` is a `Breaker`; ``passing``: bits of the word that do not matter here.
    """
    cdef Core *c = &(<Breaker>b).core
    if BK_LIKELY((bk_load(&c.word) & ~passing) == ticket.epoch << EPOCH_SHIFT and ticket.lease == 0):
        if bk_claim(&ticket.live):
            if bk_count(&c.successes):
                bk_share(b)
        return True
    return False


cdef int settle(Breaker b, Ticket *ticket, int outcome, error) except -1:
    """Record an outcome once. ``error``: the exception, or the text of a failure without one, else None."""
    return settle_claimed(b, ticket, outcome, error) if bk_claim(&ticket.live) else 0


cdef int settle_claimed(Breaker b, const Ticket *ticket, int outcome, error) except -1:
    """The same for a ticket that the caller has claimed.

    Whatever the clock or the error's own ``__str__`` raises, the outcome is recorded first.
    """
    cdef Outbox out
    cdef str text = None
    cdef int64_t now = UNKNOWN + 1  # should the clock fail: before all times, so the state's own beginning
    open_outbox(b, &out)
    trouble = None
    try:
        now = now_of(b)
        if outcome == FAILURE:
            text = describe(error)
    except BaseException as raised:
        trouble = raised
    if outcome == FAILURE:
        text = text or type(error).__name__
        out.error = <PyObject *>text
    settle_now(b, ticket, outcome, now, &out)
    flush(b, &out, text, None)
    if trouble is not None:
        raise trouble
    return 0


cdef int settle_now(Breaker b, const Ticket *ticket, int outcome, int64_t now, Outbox *out) noexcept:
    start_decision(&b.core, out)
    cdef int verdict = settle_locked(&b.core, ticket, outcome, now, out)
    end_decision(&b.core, out)
    return verdict


cdef int settle_quietly(Breaker b, Ticket *ticket, int outcome, PyObject *error) noexcept:
    """`settle` without a traceback entry: 0, or -1 with an error set. What moves nothing needs no clock, no Python."""
    cdef Outbox out
    if not bk_claim(&ticket.live):
        return 0
    open_outbox(b, &out)
    if not (outcome == FAILURE and out.listening) and settle_now(b, ticket, outcome, UNKNOWN, &out) == DONE:
        return flush_quietly(b, &out) if out.count or out.releases else 0
    return (<quiet_settle>settle_claimed)(b, ticket, outcome, error)


cdef void give_up(Breaker b, Ticket *ticket) noexcept:
    """Settle as ignored while an error is set; the error stays, or the one that this raises takes its place."""
    cdef PyObject *error = bk_take_exception()
    if settle_quietly(b, ticket, IGNORED, <PyObject *>None) < 0:
        Py_XDECREF(error)
    elif error != NULL:
        bk_give_exception(error)


cdef void settle_raised(Breaker b, Ticket *ticket) noexcept:
    """Settle by the exception that is set, and leave it set."""
    cdef PyObject *error = bk_take_exception()
    cdef int outcome = outcome_of(b, error)
    if outcome < 0:
        give_up(b, ticket)
        bk_chain_exception(error)
    elif settle_quietly(b, ticket, outcome, error) < 0:
        bk_chain_exception(error)
    else:
        bk_give_exception(error)


cdef int settle_by(Breaker b, Ticket *ticket, error) except -1:
    """Settle by what an exception means, once."""
    cdef int outcome = outcome_of(b, <PyObject *>error)
    if outcome < 0:
        give_up(b, ticket)
        return -1
    return settle(b, ticket, outcome, error)


cdef object judge(Breaker b, Ticket *ticket, value):
    """Settle by what ``failed_result`` says of a value. Its own exception is raised from the call."""
    cdef bint failed
    try:
        failed = bool(b.failed_result(value))
    except BaseException as error:
        settle(b, ticket, FAILURE if isinstance(error, Exception) else IGNORED, error)
        raise
    settle(b, ticket, FAILURE if failed else SUCCESS, "failed result" if failed else None)
    return value


cdef PyObject *settle_value(Breaker b, Ticket *ticket, PyObject *value) noexcept:
    """Settle by a value, whose reference is taken; returns it, or NULL with an error set."""
    cdef PyObject *judged
    if b.failed_result is not None:
        judged = (<quiet_object>judge)(b, ticket, value)
        Py_DECREF(value)
        return judged
    if settle_quietly(b, ticket, SUCCESS, <PyObject *>None) < 0:
        Py_DECREF(value)
        return NULL
    return value


cdef void drop(PyObject *self, Breaker b, Ticket *ticket) noexcept:
    """Settle the ticket of an object that is being freed. It lives a moment longer, for listeners may run in here."""
    cdef PyObject *error = bk_take_exception()
    PyObject_GC_UnTrack(self)
    Py_SET_REFCNT(self, 1)
    if settle_quietly(b, ticket, IGNORED, <PyObject *>None) < 0:
        PyErr_WriteUnraisable(<PyObject *>b)
    Py_SET_REFCNT(self, 0)
    if error != NULL:
        bk_give_exception(error)
