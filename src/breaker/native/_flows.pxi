# Calls that run later, in steps: coroutines, generators and async generators.
#
# A flow wraps what the function returned. It is admitted at its first step (or was at the call, where a plain function
# returned it) and settles at its end: returning is a success, an exception is what it means. Closed or dropped on the
# way, a generator that has given an item is a success, anything else is ignored. Values, `send`, `throw`, `close` and the
# return value pass through.


# Dropped ones are settled as permits are; no subclass has a field or a cdef method of its own, or the free list of
# this class would not serve it.
@cython.freelist(32)
@cython.no_gc_clear
cdef class GuardedLater:
    """What the three kinds share: the wrapped object, the ticket, and whether it has begun.

    How far it is only the wrapped object knows. It is over when its frame is gone: an error that leaves the frame where
    it was (a value sent too early, something thrown that is no exception, two steps at once) settles nothing.
    """

    cdef Breaker breaker
    cdef object inner
    cdef Ticket ticket
    cdef int8_t begun       # RUNS or PROBES, as `live` of its ticket: was admitted or refused, or was over before
    cdef bint gave          # a generator: an item, at least
    cdef bint enters        # a generator of a context manager: its first item ends the call

    @property
    def __class__(self):
        # For `isinstance`, as libraries ask what they have. C code that relies on a layout looks at the type itself.
        return type(self) if self.inner is None else self.inner.__class__

    def __getattr__(self, name):
        # cr_frame, gi_running, ag_code, __qualname__ …: what a debugger or asyncio asks
        if name[:3] in ("cr_", "gi_", "ag_") or name in ("__name__", "__qualname__"):
            return getattr(self.inner, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __cinit__(self):
        self.begun = RUNS  # over, until it is filled

    def __repr__(self):
        return f"<{self.inner!r} guarded by {name_of(self.breaker)!r}>"


cdef object name_of(Breaker b):
    return None if b is None else b.name


cdef newfunc make_coroutine = (<PyTypeObject *>GuardedCoroutine).tp_new
cdef newfunc make_generator = (<PyTypeObject *>GuardedGenerator).tp_new
cdef newfunc make_async_generator = (<PyTypeObject *>GuardedAsyncGenerator).tp_new
cdef destructor free_coroutine = (<PyTypeObject *>GuardedCoroutine).tp_dealloc
cdef destructor free_generator = (<PyTypeObject *>GuardedGenerator).tp_dealloc
cdef destructor free_async_generator = (<PyTypeObject *>GuardedAsyncGenerator).tp_dealloc


cdef bk_kept_t kept_coroutines


cdef inline PyObject **held(PyObject *flow) noexcept:
    """The breaker and the wrapped object of a flow, owned: the two fields before its ticket (see `check_layout`).

    A kept coroutine is not tracked and its fields mean nothing, so they are written without looking at what was there.
    It is tracked again when it is filled: until then nobody finds it, and a `gc.freeze` between two calls does not hold
    for ever what the next one puts into it.
    """
    return <PyObject **>&(<GuardedLater>flow).ticket - 2


cdef void dealloc_coroutine(PyObject *self) noexcept:
    PyObject_GC_UnTrack(self)
    bk_free_chained(self, drop_coroutine)


cdef inline void drop_coroutine(PyObject *self) noexcept:
    cdef PyObject *breaker = held(self)[0]
    cdef PyObject *inner = held(self)[1]
    if BK_LIKELY((<GuardedLater>self).ticket.live == 0) and BK_LIKELY(bk_keep(&kept_coroutines, self)):
        Py_DECREF(inner)
        Py_DECREF(breaker)
    else:
        free_unkept(self)


cdef apart_void free_unkept(PyObject *self) noexcept:
    if (<GuardedLater>self).ticket.live:
        drop(self, (<GuardedLater>self).breaker, &(<GuardedLater>self).ticket, IGNORED)
    free_coroutine(self)


cdef void dealloc_flow(PyObject *self) noexcept:
    PyObject_GC_UnTrack(self)
    bk_free_chained(self, drop_flow)


cdef void drop_flow(PyObject *self) noexcept:
    if BK_UNLIKELY((<GuardedLater>self).ticket.live != 0):
        drop(self, (<GuardedLater>self).breaker, &(<GuardedLater>self).ticket, left_early(<GuardedLater>self))
    if Py_TYPE(self) == <PyTypeObject *>GuardedGenerator:
        free_generator(self)
    elif Py_TYPE(self) == <PyTypeObject *>GuardedAsyncGenerator:
        free_async_generator(self)
    else:
        free_awaitable(self)


cdef inline int left_early(GuardedLater flow) noexcept:
    """What it means that a flow was closed or dropped before its end: a dependency that gave an item works."""
    return SUCCESS if flow.gave and not flow.enters else IGNORED


cdef apart_object call_later(
        Breaker b, PyObject *fn, int kind, PyObject *const *args, size_t nargsf, PyObject *kwnames) noexcept:
    """Call a function whose body runs later. Nothing is admitted yet; wrong arguments raise now, as without us."""
    cdef PyObject *inner = bk_call(fn, args, nargsf, kwnames)
    cdef PyObject *flow
    if BK_LIKELY(kind == COROUTINE and inner != NULL and PyCoro_CheckExact(inner)):
        flow = bk_take_kept(&kept_coroutines)
        if BK_LIKELY(flow != NULL):
            # Of its ticket: a kept one is not live, and the rest is written when it begins.
            (<GuardedLater>flow).ticket.lease = 0
            (<GuardedLater>flow).begun = 0
            fill_kept(b, flow, inner)
            return flow
    return guard_later(b, inner, kind)


cdef apart_object guard_later(Breaker b, PyObject *inner, int kind) noexcept:
    """The same for what the call has given, owned, or NULL."""
    if inner == NULL:
        return NULL
    if kind == COROUTINE and not PyCoro_CheckExact(inner):
        # It was marked as a coroutine function, or has an awaitable class of its own.
        kind = kind_of_value(inner)
        if kind == AWAITABLE or kind == FUTURE or kind == AWAITED_OR_ENTERED:
            return new_awaitable(b, &NOT_ADMITTED, inner, kind)
        if kind == PLAIN or kind == ENTERED:
            return inner
        if kind < 0:
            Py_DECREF(inner)
            return NULL
    return new_flow(b, &NOT_ADMITTED, inner, kind)


cdef inline void fill_kept(Breaker b, PyObject *flow, PyObject *inner) noexcept:
    """What a kept coroutine needs beside its ticket; the reference of ``inner`` is taken."""
    Py_INCREF(<PyObject *>b)
    held(flow)[0] = <PyObject *>b
    held(flow)[1] = inner
    PyObject_GC_Track(flow)


cdef PyObject *new_flow(Breaker b, Ticket *ticket, PyObject *inner, int kind) noexcept:
    """Guard what a function returned, whose reference is taken, and hand on the ticket of the call if it has one."""
    cdef PyObject *flow
    if BK_LIKELY(kind == COROUTINE):
        flow = bk_take_kept(&kept_coroutines)
        if BK_LIKELY(flow != NULL):
            (<GuardedLater>flow).ticket = ticket[0]
            (<GuardedLater>flow).begun = <int8_t>ticket.live
            fill_kept(b, flow, inner)
            return flow
        flow = bk_make(make_coroutine, <PyTypeObject *>GuardedCoroutine)
    elif kind == GENERATOR:
        flow = bk_make(make_generator, <PyTypeObject *>GuardedGenerator)
    else:
        flow = bk_make(make_async_generator, <PyTypeObject *>GuardedAsyncGenerator)
    if BK_UNLIKELY(flow == NULL):
        close_unused(inner, kind)
        Py_DECREF(inner)
        if ticket.live:
            give_up(b, ticket)
        return NULL
    (<GuardedLater>flow).breaker = b
    (<GuardedLater>flow).inner = <object>inner
    Py_DECREF(inner)
    (<GuardedLater>flow).ticket = ticket[0]
    (<GuardedLater>flow).begun = <int8_t>ticket.live
    return flow


cdef const char *kind_name(GuardedLater flow) noexcept:
    if isinstance(flow, GuardedAsyncGenerator):
        return "async generator"
    return "generator" if isinstance(flow, GuardedGenerator) else "coroutine"


cdef bint is_consumed(GuardedLater flow) noexcept:
    """Does its consumer decide how long it takes? Not where its first item ends the call."""
    return isinstance(flow, (GuardedGenerator, GuardedAsyncGenerator)) and not flow.enters


cdef bint is_judged(GuardedLater flow) noexcept:
    """Does failed_result see the value it returns?"""
    return flow.breaker.failed_result is not None and not is_consumed(flow)


cdef inline bint begin_plainly(PyObject *flow) noexcept:
    """Admit a flow at its first step. False: the breaker is not simply closed."""
    cdef uint64_t word = bk_load(&(<GuardedLater>flow).breaker.core.word)
    if BK_UNLIKELY((word & DIVERTED) != 0):
        return False
    (<GuardedLater>flow).begun = RUNS
    (<GuardedLater>flow).ticket.epoch = word >> EPOCH_SHIFT
    (<GuardedLater>flow).ticket.live = RUNS
    (<GuardedLater>flow).ticket.timed = 0  # it has no lease since it was made
    return True


cdef int begin_flow(GuardedLater flow) noexcept:
    """The same in all states: RUNS or PROBES, or -1 with an error set; then it is over."""
    if begin_plainly(<PyObject *>flow):
        return RUNS
    flow.begun = RUNS
    if begin_closed(&flow.breaker.core, &flow.ticket) or admit_quietly(flow.breaker, &flow.ticket) == 0:
        if flow.ticket.timed != 0 and is_consumed(flow):
            stop_measuring(flow.breaker, &flow.ticket)
        flow.begun = <int8_t>flow.ticket.live
        return flow.begun
    abandon(flow)
    return -1


cdef void abandon(GuardedLater flow) noexcept:
    """Let go of what will never run, so that it is over; the error that is set stays and is no end."""
    cdef bint is_async = isinstance(flow, GuardedAsyncGenerator)
    bk_stop_is_no_end(kind_name(flow), is_async)
    if not close_unused(<PyObject *>flow.inner, ASYNC_GENERATOR if is_async else GENERATOR):
        flow.inner = None  # or the next step would run it


cdef str _ACLOSE = "aclose"


cdef bint close_unused(PyObject *inner, int kind) noexcept:
    """Close what has not begun, so that nothing warns of it; False where this fails. The error that is set stays."""
    cdef PyObject *error = bk_take_exception()
    cdef PyObject *closing = NULL
    cdef PyObject *done = NULL
    cdef bint closed
    if kind != ASYNC_GENERATOR:
        done = PyObject_CallMethodNoArgs(inner, <PyObject *>_CLOSE)
        closed = done != NULL
    else:
        closing = PyObject_CallMethodNoArgs(inner, <PyObject *>_ACLOSE)
        closed = closing != NULL and bk_send(closing, <PyObject *>None, &done) == PYGEN_RETURN
    Py_XDECREF(done)
    Py_XDECREF(closing)
    if not closed and PyErr_Occurred() != NULL:
        if lacks_room():
            PyErr_Clear()  # one that was not closed warns when it is freed, as without us
        else:
            PyErr_WriteUnraisable(inner)
    if error != NULL:
        bk_give_exception(error)
    return closed


cdef bint lacks_room() noexcept:
    """Is the error that is set one of having no stack or no memory left?"""
    return PyErr_ExceptionMatches(PyExc_RecursionError) or PyErr_ExceptionMatches(PyExc_MemoryError)


cdef bint shows(GuardedLater flow, tuple names) noexcept:
    """Has the wrapped object one of these attributes, and is it true? The error that is set stays.

    Where there is no room to ask the answer is yes: then nothing is settled before the flow is dropped.
    """
    cdef PyObject *error = bk_take_exception()
    cdef int found = (<int (*)(PyObject *, PyObject *) noexcept>asked)(<PyObject *>flow.inner, <PyObject *>names)
    if found < 0:
        found = lacks_room()
        if PyErr_ExceptionMatches(PyExc_KeyboardInterrupt):
            PyErr_SetInterrupt()  # raised where the program can see it
        PyErr_Clear()
    if error != NULL:
        bk_give_exception(error)
    return found


cdef int asked(PyObject *inner, PyObject *names) except -1:
    for name in <tuple>names:
        if getattr(<object>inner, name, None):
            return True
    return False


cdef int settle_flow(GuardedLater flow, int outcome, error) except -1:
    """`settle`, where a StopIteration of the clock's must not be taken for the end of the flow."""
    if settle_quietly(flow.breaker, &flow.ticket, outcome, <PyObject *>error) < 0:
        bk_stop_is_no_end(kind_name(flow), isinstance(flow, GuardedAsyncGenerator))
        return -1
    return 0


cdef int settle_flow_by(GuardedLater flow, error) except -1:
    """The same by what an exception means."""
    cdef int outcome = outcome_of(flow.breaker, <PyObject *>error)
    if outcome < 0:
        unsettled(flow.breaker, &flow.ticket, outcome)
        bk_stop_is_no_end(kind_name(flow), isinstance(flow, GuardedAsyncGenerator))
        return -1
    return settle_flow(flow, outcome, error)


cdef tuple FRAME = ("cr_frame", "gi_frame", "ag_frame")
cdef tuple RUNNING = ("cr_running", "gi_running", "ag_running")


cdef bint was_refused(GuardedLater flow) noexcept:
    """Is the error that is set one that left the frame in place? No other types are."""
    cdef PyObject *kind = PyErr_Occurred()
    return (kind == PyExc_TypeError or kind == PyExc_ValueError or kind == PyExc_RuntimeError) and shows(flow, FRAME)


cdef inline PySendResult end_flow(PyObject *flow, PySendResult how, PyObject **result) noexcept:
    """Settle by how the flow ended, if it did."""
    if BK_LIKELY(how == PYGEN_RETURN and (<GuardedLater>flow).ticket.live) and succeed_plainly(
            <PyObject *>(<GuardedLater>flow).breaker, &(<GuardedLater>flow).ticket, 0):  # JUDGED: somebody sees the value
        return how
    return end_unlike_flow(<GuardedLater>flow, how, result)


cdef apart_send end_unlike_flow(GuardedLater flow, PySendResult how, PyObject **result) noexcept:
    """The same where it is more than a count."""
    cdef bint judged
    if not flow.ticket.live:
        return how
    if how == PYGEN_ERROR:
        if not was_refused(flow):
            settle_raised(flow.breaker, &flow.ticket)
            bk_stop_is_no_end(kind_name(flow), False)
        return how
    judged = is_judged(flow)
    if not judged and succeed_closed(<PyObject *>flow.breaker, &flow.ticket, JUDGED):
        return how
    if judged:
        result[0] = settle_value(flow.breaker, &flow.ticket, result[0])
    elif settle_quietly(flow.breaker, &flow.ticket, SUCCESS, <PyObject *>None) < 0:
        Py_DECREF(result[0])
        result[0] = NULL
    if result[0] == NULL:
        bk_stop_is_no_end(kind_name(flow), False)
        return PYGEN_ERROR
    return how
