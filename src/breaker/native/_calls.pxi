# The call paths of plain functions: `do` and the decorated function, and what every path begins and ends with.
#
# Functions here are `noexcept` and work on plain pointers: a Python error is set and NULL or -1 returned by hand, so that
# neither a reference count nor a traceback entry of ours is added to a call or to the exception that leaves it.
#
# What a closed call costs: one look at the function's kind, one read of the word before the call and one after it. If
# both reads are equal and no failure is on record, a success changes nothing but its counter.

cdef extern from "native/core.h":
    int bk_function_flags(PyObject *fn) noexcept
    bint bk_may_run_later(PyObject *value) noexcept
    PyObject *bk_call(PyObject *fn, PyObject *const *args, size_t nargsf, PyObject *kwnames) noexcept
    PyObject *bk_take_exception() noexcept
    void bk_give_exception(PyObject *exception) noexcept
    int BK_LAZY
    ctypedef struct PyMethodDef:
        pass
    int bk_add_method(PyTypeObject *type, PyMethodDef *method) except -1
    void bk_make_callable(PyTypeObject *type, Py_ssize_t offset) noexcept
    int bk_forbid_making(PyTypeObject *type) except -1
    void bk_share(PyObject *object) noexcept
    bint bk_is_shared(PyObject *object) noexcept
    bint bk_may_share(PyObject *object) noexcept

cdef extern from *:
    """
    static PyObject *bk_do_entry(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
    static PyMethodDef bk_do_method = {
        "do", (PyCFunction)(void (*)(void))bk_do_entry, METH_FASTCALL | METH_KEYWORDS,
        "do($self, fn, /, *args, **kwargs)\\n--\\n\\n"
        "Run ``fn(*args, **kwargs)`` under protection and return its result.\\n\\n"
        "A plain callable is admitted now. A coroutine function gives an awaitable that is admitted when it is first\\n"
        "awaited, a generator function a generator that is admitted at its first ``next``; they settle at their end.\\n"
        "Raises `BreakerOpenError` where the call is rejected, else whatever ``fn`` raises, as the same object."
    };
    """
    PyMethodDef bk_do_method

cdef extern from "Python.h":
    ctypedef PyObject *(*vectorcallfunc)(PyObject *, PyObject *const *, size_t, PyObject *) noexcept
    PyObject *PyObject_Vectorcall(PyObject *fn, PyObject *const *args, size_t nargsf, PyObject *kwnames) noexcept
    void PyException_SetContext(PyObject *exception, PyObject *context) noexcept
    void PyErr_WriteUnraisable(PyObject *where) noexcept
    void PyObject_GC_UnTrack(PyObject *o) noexcept
    void Py_SET_REFCNT(PyObject *o, Py_ssize_t count) noexcept
    ctypedef void (*destructor)(PyObject *) noexcept
    PyObject *PyMethod_New_ "PyMethod_New"(PyObject *fn, PyObject *instance) noexcept

# Cython gives a function that may raise a traceback entry at each of its callers. Called through these types it does
# not, and the answer is looked at by hand.
ctypedef int (*quiet_settle)(Breaker, Ticket *, int, PyObject *) noexcept
ctypedef PyObject *(*quiet_object)(Breaker, Ticket *, PyObject *) noexcept
ctypedef int (*quiet_flush)(Breaker, Outbox *, PyObject *, PyObject *) noexcept


# ---- admission ------------------------------------------------------------------------------------------------

cdef inline bint begin_closed(Core *c, Ticket *ticket) noexcept:
    """Fill the ticket of a call that needs no lock to be admitted: closed, no overlay."""
    cdef uint64_t word = bk_load(&c.word)
    ticket.epoch = word >> EPOCH_SHIFT
    ticket.probe = NULL
    ticket.live = 1
    return BK_LIKELY((word & OVERLAID) == 0)


cdef int admit_quietly(Breaker b, Ticket *ticket) noexcept:
    """Admit or set an error: 0 or -1."""
    cdef Outbox out
    cdef Refusal no
    cdef Probe *spare = NULL
    cdef int verdict
    cdef int64_t now
    no.last_error = NULL
    ticket.live = 0
    ticket.probe = NULL
    if b.clock is None:
        now = bk_monotonic_ns()
    else:
        now = (<int64_t (*)(Breaker) noexcept>now_of)(b)
        if now == -1 and PyErr_Occurred() != NULL:
            return -1
    open_outbox(b, &out)
    while True:
        lock(b.c)
        verdict = begin_locked(b.c, now, ticket, spare, &no, &out)
        unlock(b.c)
        if verdict != NEEDS_PROBE:
            break
        spare = <Probe *>malloc(sizeof(Probe))
        if spare == NULL:
            PyErr_SetString(PyExc_MemoryError, "breaker: no memory for a probe")
            return -1
    if spare != NULL and ticket.probe != spare:
        free(spare)
    if out.count or out.releases:
        if flush_quietly(b, &out) < 0:  # a listener's Ctrl-C: the call will not run, its slot is free again
            Py_XDECREF(no.last_error)
            if verdict == DONE:
                give_up(b, ticket)
            return -1
    if verdict == REFUSED:
        refuse(b, &no)
        return -1
    return 0


cdef int flush_quietly(Breaker b, Outbox *out) noexcept:
    return (<quiet_flush>flush)(b, out, <PyObject *>None, <PyObject *>None)


cdef void refuse(Breaker b, Refusal *no) noexcept:
    """Set the `BreakerOpenError` of a refusal."""
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
    cdef Core *c = (<Breaker>b).c
    if BK_LIKELY((bk_load(&c.word) & ~passing) == ticket.epoch << EPOCH_SHIFT and ticket.probe == NULL):
        if bk_claim(&ticket.live):
            if bk_count(&c.successes):
                bk_share(b)
        return True
    return False


cdef int settle(Breaker b, Ticket *ticket, int outcome, error) except -1:
    """Record an outcome once. ``error``: the exception, or the text of a failure without one, else None.

    Whatever the clock or the error's own ``__str__`` raises, the outcome is recorded first.
    """
    cdef Outbox out
    cdef str text = None
    cdef int64_t now = UNKNOWN + 1  # should the clock fail: before all times, so the state's own beginning
    if not bk_claim(&ticket.live):
        return 0
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


cdef int settle_now(Breaker b, Ticket *ticket, int outcome, int64_t now, Outbox *out) noexcept:
    lock(b.c)
    cdef int verdict = settle_locked(b.c, ticket, outcome, now, out)
    unlock(b.c)
    if verdict == DONE and ticket.probe != NULL:
        free(ticket.probe)
        ticket.probe = NULL
    return verdict


cdef int settle_quietly(Breaker b, Ticket *ticket, int outcome, PyObject *error) noexcept:
    """`settle` without a traceback entry: 0, or -1 with an error set. What moves nothing needs no clock and no Python."""
    cdef Outbox out
    open_outbox(b, &out)
    if not (outcome == FAILURE and out.listening):
        if not bk_claim(&ticket.live):
            return 0
        if settle_now(b, ticket, outcome, UNKNOWN, &out) == DONE:
            return flush_quietly(b, &out) if out.count or out.releases else 0
        ticket.live = 1
    return (<quiet_settle>settle)(b, ticket, outcome, error)


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
    cdef PyObject *other
    if settle_quietly(b, ticket, outcome_of(b, error), error) < 0:
        other = bk_take_exception()
        PyException_SetContext(other, error)
        bk_give_exception(other)
    else:
        bk_give_exception(error)


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


# ---- the call -------------------------------------------------------------------------------------------------

cdef inline PyObject *call(
        PyObject *b, PyObject *called, PyObject *fn, PyObject *const *args, size_t nargsf, PyObject *kwnames) noexcept:
    """Run a plain callable under protection. ``b``: the `Breaker`, whose references are not counted on the way.

    ``called``: the object that the program called instead, or NULL.
    """
    cdef Core *c = (<Breaker>b).c
    cdef uint64_t word = bk_load(&c.word)
    cdef PyObject *value
    if BK_UNLIKELY((word & OVERLAID) != 0):
        return call_admitted(<Breaker>b, fn, args, nargsf, kwnames)
    value = bk_call(fn, args, nargsf, kwnames)
    if BK_LIKELY(value != NULL and bk_load(&c.word) == word and (word & (STREAK | JUDGED)) == 0
                 and not bk_may_run_later(value)):
        if bk_count(&c.successes):
            bk_share(b)
            bk_share(called)
        return value
    cdef Ticket ticket
    ticket.epoch = word >> EPOCH_SHIFT
    ticket.probe = NULL
    ticket.live = 1
    return finish(<Breaker>b, &ticket, value)


cdef PyObject *call_admitted(
        Breaker b, PyObject *fn, PyObject *const *args, size_t nargsf, PyObject *kwnames) noexcept:
    cdef Ticket ticket
    if admit_quietly(b, &ticket) < 0:
        return NULL
    return finish(b, &ticket, PyObject_Vectorcall(fn, args, nargsf, kwnames))


cdef PyObject *finish(Breaker b, Ticket *ticket, PyObject *value) noexcept:
    """The end of a call that was admitted: settle it, or hand its ticket on to the coroutine it returned."""
    if value == NULL:
        settle_raised(b, ticket)
        return NULL
    if bk_may_run_later(value) and kind_of_value(value) != PLAIN:
        return hand_on(b, ticket, value)
    return settle_value(b, ticket, value)


cdef PyObject *breaker_do "bk_do_entry"(
        PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) noexcept:
    cdef PyObject *fn
    cdef int kind
    if BK_UNLIKELY(nargs < 1):
        PyErr_SetString(PyExc_TypeError, "do() missing 1 required positional argument: 'fn'")
        return NULL
    fn = args[0]
    kind = bk_function_flags(fn)
    if BK_UNLIKELY(kind != 0):
        kind = kind_of_flags(kind) if BK_LIKELY(kind > 0) else kind_of_function(fn)
        if kind != PLAIN:
            return call_later(<Breaker>self, fn, kind, args + 1, <size_t>(nargs - 1), kwnames)
    # Without PY_VECTORCALL_ARGUMENTS_OFFSET: args[0] is not ours to change. In ``b.do(*t)`` it is an item of ``t``, and
    # another call with the same tuple would find the instance of a bound method in it.
    return call(self, NULL, fn, args + 1, <size_t>(nargs - 1), kwnames)


# ---- the decorated function -----------------------------------------------------------------------------------

@cython.final
cdef class GuardedFunction:
    """What ``@breaker`` makes of a function: called, bound and inspected like it."""

    cdef vectorcallfunc vectorcall
    cdef Breaker breaker
    cdef object fn
    cdef int kind
    cdef bint shared        # among threads, or that was tried
    cdef dict __dict__
    cdef object __weakref__

    def __call__(self, *args, **kwargs):
        # For ``f.__call__``; a call goes through the slot that `bk_make_callable` sets.
        return self.breaker.do(self.fn, *args, **kwargs)

    def __get__(self, instance, owner):
        if instance is None:
            return self
        return steal(PyMethod_New_(<PyObject *>self, <PyObject *>instance))

    def __getattr__(self, name):
        # What inspect asks a function for; a wrapped partial or method answers with the function inside it.
        if name in ("__name__", "__qualname__", "__code__", "__defaults__", "__kwdefaults__", "__globals__", "__closure__"):
            return getattr(innermost(self.fn), name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self):
        return f"<{self.fn!r} guarded by {self.breaker.name!r}>"

    def __reduce__(self):
        return self.__qualname__  # by reference, as functions are


cdef object new_function(Breaker b, fn):
    from functools import update_wrapper

    cdef GuardedFunction guarded = GuardedFunction.__new__(GuardedFunction)
    guarded.vectorcall = call_guarded
    guarded.breaker = b
    guarded.fn = fn
    guarded.kind = kind_of_function(<PyObject *>fn)
    return update_wrapper(guarded, fn)


cdef PyObject *call_guarded(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames) noexcept:
    cdef PyObject *fn = <PyObject *>(<GuardedFunction>self).fn
    cdef PyObject *b = <PyObject *>(<GuardedFunction>self).breaker
    if BK_UNLIKELY((<GuardedFunction>self).kind != PLAIN):
        if bk_is_shared(b) and bk_may_share(self) and not (<GuardedFunction>self).shared:
            (<GuardedFunction>self).shared = True  # once: where it fails it would fail for long
            bk_share(self)
        return call_later(<Breaker>b, fn, (<GuardedFunction>self).kind, args, nargsf, kwnames)
    return call(b, self, fn, args, nargsf, kwnames)


cdef GuardedFunction _blank = GuardedFunction.__new__(GuardedFunction)
bk_make_callable(<PyTypeObject *>GuardedFunction, <char *>&_blank.vectorcall - <char *><PyObject *>_blank)
bk_add_method(<PyTypeObject *>Breaker, &bk_do_method)
bk_forbid_making(<PyTypeObject *>GuardedFunction)
