# What every call path begins and ends with: admit, and settle once.
#
# Functions here and in the files that follow are `noexcept` and work on plain pointers: a Python error is set and NULL
# or -1 returned by hand, so that neither a reference count nor a traceback entry of ours is added to a call or to the
# exception that leaves it.

# Cython gives a function that may raise a traceback entry at each of its callers. Called through these types it does
# not, and the answer is looked at by hand.
ctypedef int64_t (*quiet_clock)(Breaker) noexcept
ctypedef PyObject *(*quiet_text)(PyObject *) noexcept
ctypedef PyObject *(*quiet_object)(Breaker, Ticket *, PyObject *) noexcept


# ---- admission ------------------------------------------------------------------------------------------------

cdef inline bint begin_closed(const Core *c, Ticket *ticket) noexcept:
    """Admit a call that needs no lock for it: closed, no overlay. False: it is not admitted yet."""
    cdef uint64_t word = bk_load(&c.word)
    ticket[0] = admitted(word >> EPOCH_SHIFT, 0)
    return BK_LIKELY((word & DIVERTED) == 0) or ((word & LOCKED) == 0 and depart(<Core *>c, ticket))


cdef int admit_quietly(Breaker b, Ticket *ticket) noexcept:
    """Admit or set an error: 0 or -1."""
    cdef Outbox out
    cdef int verdict
    cdef int64_t now
    cdef Ticket around = probe_around(b)
    ticket[0] = NOT_ADMITTED
    if b.clock is None:
        now = bk_monotonic_ns()
    else:
        now = (<quiet_clock>now_of)(b)
        if now == -1 and PyErr_Occurred() != NULL:
            return -1
    open_outbox(b, &out)
    while True:
        if start_decision(&b.core, &out) < 0:
            return -1
        verdict = begin_locked(&b.core, now, &around, ticket, &out)
        end_decision(&b.core, &out)
        if BK_LIKELY(verdict != NEEDS_ROOM):
            break
        if grow_leases(&b.core) < 0:
            return -1
    if BK_UNLIKELY(out.undelivered or out.releases):
        if flush(b, &out) < 0:  # a listener's Ctrl-C: the call will not run, its slot is free again
            if verdict == DONE:
                give_up(b, ticket)
            else:
                Py_XDECREF(out.refusal.last_error)
            return -1
    if verdict == REFUSED:
        raise_refusal(b, &out.refusal)
        return -1
    return 0


cdef void raise_refusal(Breaker b, const Refusal *no) noexcept:
    """Set the `BreakerOpenError` of a refusal, whose reference is taken, or the error of having no memory for it."""
    cdef PyObject *last_error = no.last_error
    if last_error == NULL:
        last_error = new_reference(None)
    cdef PyObject *error = bk_new_rejection(
        <PyTypeObject *>BreakerOpenError, <PyObject *>b.name, PyTuple_GET_ITEM_(<PyObject *>STATES, no.state),
        no.wait / 1e9, PyTuple_GET_ITEM_(<PyObject *>REJECTIONS, no.reason), last_error)
    if BK_UNLIKELY(error == NULL):
        return
    PyErr_SetObject(<PyObject *>BreakerOpenError, error)
    Py_DECREF(error)


# ---- settling -------------------------------------------------------------------------------------------------

cdef inline bint succeed_plainly(PyObject *b, Ticket *ticket, uint64_t passing) noexcept:
    """Record a success that is nothing but a count: nothing has changed since admission and no failure is on record.

    ``b`` is a `Breaker`; ``passing``: bits of the word that do not matter here.
    """
    cdef Core *c = &(<Breaker>b).core
    if BK_UNLIKELY((bk_load(&c.word) & ~passing) != ticket.epoch << EPOCH_SHIFT or ticket.lease != 0):
        return False
    if bk_claim(&ticket.live) and bk_count(&c.successes):
        bk_share(b)
    return True


cdef inline bint succeed_closed(PyObject *b, Ticket *ticket, uint64_t passing) noexcept:
    """The same, and where the end of a call is measured: neither needs the lock."""
    return BK_LIKELY(succeed_plainly(b, ticket, passing)) or succeed_measured(b, ticket, passing)


cdef str _FAILED_RESULT = "failed result"
cdef str _CLOSE = "close"


cdef int settle(Breaker b, Ticket *ticket, int outcome, error) except -1:
    """Record an outcome once. ``error``: the exception, or the text of a failure without one, else None."""
    return settle_claimed(b, ticket, outcome, <PyObject *>error) if bk_claim(&ticket.live) else 0


# `last_error` of an opening that no failure caused.
cdef str NO_VERDICT = "inconclusive: no probe of the visit succeeded or failed"


cdef int settle_claimed(Breaker b, const Ticket *ticket, int outcome, PyObject *error) noexcept:
    """The same for a ticket that the caller has claimed. 0, or -1 with an error set.

    Whatever the clock raises, the outcome is recorded first. A failure that nothing can be said of, for want of memory,
    is ignored.
    """
    cdef Outbox out
    cdef PyObject *trouble = NULL
    cdef PyObject *text = NULL
    cdef int64_t now = (<quiet_clock>now_of)(b)
    cdef int done
    if now == -1 and PyErr_Occurred() != NULL:
        trouble = bk_take_exception()
        now = FIRST
    if outcome == FAILURE:
        text = (<quiet_text>describe)(error)
        if text == NULL:
            trouble = graver(trouble, bk_take_exception())
            text = (<quiet_text>name_of_type)(error)
            if text == NULL:
                trouble = graver(trouble, bk_take_exception())
                outcome = IGNORED
    open_outbox(b, &out)
    out.text = text if outcome == FAILURE else <PyObject *>NO_VERDICT
    done = settle_now(b, ticket, outcome, &now, &out)
    if done >= 0:
        done = flush(b, &out)
    if trouble != NULL:
        bk_give_exception(graver(trouble, bk_take_exception()) if done < 0 else trouble)
        done = -1
    Py_XDECREF(text)
    return -1 if done < 0 else 0


cdef PyObject *graver(PyObject *first, PyObject *then) noexcept:
    """Of two exceptions, whose references are taken, the one to raise: the first, but no `Exception` before others."""
    if first == NULL:
        return then
    if (PyType_IsSubtype(Py_TYPE(first), <PyTypeObject *>PyExc_Exception)
            and not PyType_IsSubtype(Py_TYPE(then), <PyTypeObject *>PyExc_Exception)):
        first, then = then, first
    Py_DECREF(then)
    return first


cdef inline int settle_now(Breaker b, const Ticket *ticket, int outcome, const int64_t *read, Outbox *out) noexcept:
    """DONE, NEEDS_MORE, or -1 with an error set: there is no memory for events, and the call was ignored."""
    cdef int verdict
    if BK_UNLIKELY(start_decision(&b.core, out) < 0):
        ignore_unheard(b, ticket)
        return -1
    verdict = settle_locked(&b.core, ticket, outcome, read, out)
    end_decision(&b.core, out)
    return verdict


cdef void ignore_unheard(Breaker b, const Ticket *ticket) noexcept:
    """Settle as ignored and do nothing that a listener would have to know: it needs no memory."""
    cdef Outbox out
    cdef int64_t now = FIRST
    open_outbox(b, &out)
    out.listening = False
    out.cramped = True
    start_decision(&b.core, &out)
    settle_locked(&b.core, ticket, IGNORED, &now, &out)
    end_decision(&b.core, &out)


cdef int settle_quietly(Breaker b, Ticket *ticket, int outcome, PyObject *error) noexcept:
    """`settle` without a traceback entry: 0, or -1 with an error set. What moves nothing needs no clock, no Python."""
    cdef Outbox out
    cdef int verdict
    if not bk_claim(&ticket.live):
        return 0
    open_outbox(b, &out)
    if not (outcome == FAILURE and out.listening):
        verdict = settle_now(b, ticket, outcome, NULL, &out)
        if BK_LIKELY(verdict == DONE):
            return flush(b, &out) if out.undelivered or out.releases else 0
        if verdict < 0:
            return -1
    return settle_claimed(b, ticket, outcome, error)


cdef void give_up(Breaker b, Ticket *ticket) noexcept:
    """Settle as ignored while an error is set; the error stays, or the one that this raises takes its place."""
    cdef PyObject *error = bk_take_exception()
    if settle_quietly(b, ticket, IGNORED, <PyObject *>None) < 0:
        Py_XDECREF(error)
    elif error != NULL:
        bk_give_exception(error)


cdef void settle_raised(Breaker b, Ticket *ticket) noexcept:
    """Settle by the exception that is set, and leave it set."""
    cdef PyObject *error = bk_take_raised()
    cdef int outcome = outcome_of(b, error)
    if BK_LIKELY(outcome >= 0):
        settle_error(b, ticket, outcome, error)
    elif outcome == MISJUDGED:
        settle_misjudged(b, ticket)
        Py_DECREF(error)  # it is the context of the predicate's error
    else:
        give_up(b, ticket)
        bk_chain_exception(error)


cdef inline void settle_error(Breaker b, Ticket *ticket, int outcome, PyObject *error) noexcept:
    """Settle and set an exception, whose reference is taken; the error of settling has it as its context."""
    if settle_quietly(b, ticket, outcome, error) < 0:
        bk_chain_exception(error)
    else:
        bk_give_exception(error)


cdef int settle_by(Breaker b, Ticket *ticket, error) except -1:
    """Settle by what an exception means, once."""
    cdef int outcome = outcome_of(b, <PyObject *>error)
    if outcome >= 0:
        return settle(b, ticket, outcome, error)
    unsettled(b, ticket, outcome)
    return -1


cdef void unsettled(Breaker b, Ticket *ticket, int why) noexcept:
    """Settle where `outcome_of` has no outcome but an error, which stays set."""
    if why == MISJUDGED:
        settle_misjudged(b, ticket)
    else:
        give_up(b, ticket)


cdef void settle_misjudged(Breaker b, Ticket *ticket) noexcept:
    """Settle by the error of a predicate, which is set and stays: an `Exception` is a failure, else it is ignored."""
    cdef bint failed = PyErr_ExceptionMatches(PyExc_Exception)
    settle_error(b, ticket, FAILURE if failed else IGNORED, bk_take_exception())


cdef void raise_of_coroutine(PyObject *answer) noexcept:
    """Set the TypeError for a callback that answers with a coroutine, whose reference is taken: nobody awaits it."""
    cdef PyObject *closed = PyObject_CallMethodNoArgs(answer, <PyObject *>_CLOSE)
    Py_DECREF(answer)
    if closed != NULL:
        Py_DECREF(closed)
        PyErr_SetString(PyExc_TypeError, "a plain function is needed here: it returned a coroutine, which nobody awaits")


cdef PyObject *judge(Breaker b, Ticket *ticket, PyObject *value) noexcept:
    """Settle by what ``failed_result`` says of a value; returns it, owned. NULL: an error is set, perhaps its own."""
    cdef int failed = -1
    cdef PyObject *answer = PyObject_CallOneArg(<PyObject *>b.failed_result, value)
    if answer != NULL and BK_UNLIKELY(PyCoro_CheckExact(answer)):
        raise_of_coroutine(answer)
    elif answer != NULL:
        failed = PyObject_IsTrue_(answer)
        Py_DECREF(answer)
    if failed < 0:
        settle_misjudged(b, ticket)
        return NULL
    if settle_quietly(b, ticket, FAILURE if failed else SUCCESS, <PyObject *>_FAILED_RESULT) < 0:
        return NULL
    Py_INCREF(value)
    return value


cdef PyObject *settle_value(Breaker b, Ticket *ticket, PyObject *value) noexcept:
    """Settle by a value, whose reference is taken; returns it, or NULL with an error set."""
    cdef PyObject *judged
    if b.failed_result is not None:
        judged = judge(b, ticket, value)
        Py_DECREF(value)
        return judged
    if settle_quietly(b, ticket, SUCCESS, <PyObject *>None) < 0:
        Py_DECREF(value)
        return NULL
    return value


cdef apart_void drop(PyObject *self, Breaker b, Ticket *ticket, int outcome) noexcept:
    """Settle the ticket of an object that is being freed. It lives a moment longer, for listeners may run in here."""
    cdef PyObject *error = bk_take_exception()
    PyObject_GC_UnTrack(self)
    Py_SET_REFCNT(self, 1)
    if settle_quietly(b, ticket, outcome, <PyObject *>None) < 0:
        PyErr_WriteUnraisable(<PyObject *>b)
    Py_SET_REFCNT(self, 0)
    if error != NULL:
        bk_give_exception(error)
