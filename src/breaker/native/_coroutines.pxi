# Coroutines and generators under protection: the steps of their flows, and the two types.


cdef inline PySendResult step(PyObject *self, PyObject *value, PyObject **result) noexcept:
    """One step of a coroutine or generator."""
    cdef PySendResult how
    cdef int begun = (<GuardedLater>self).begun
    if begun != RUNS and not (begun == 0 and value == <PyObject *>None and begin_plainly(self)):
        return unlike_step(<GuardedLater>self, value, result)
    how = bk_send(<PyObject *>(<GuardedLater>self).inner, value, result)
    return how if how == PYGEN_NEXT else end_flow(self, how, result)


cdef apart_send unlike_step(GuardedLater flow, PyObject *value, PyObject **result) noexcept:
    """The first one where the breaker is not simply closed, one that is refused, or one of a probe."""
    cdef PySendResult how
    cdef int begun = flow.begun
    result[0] = NULL
    # A first value that is not None is refused by the wrapped object itself.
    if begun == 0 and value == <PyObject *>None:
        begun = begin_flow(flow)
        if begun < 0:
            return PYGEN_ERROR
    if begun == PROBES:
        return probe_step(flow, value, result)
    how = bk_send(<PyObject *>flow.inner, value, result)
    return how if how == PYGEN_NEXT else end_unlike_flow(flow, how, result)


cdef PySendResult probe_step(GuardedLater flow, PyObject *value, PyObject **result) noexcept:
    """The same of a probe: calls inside it are known."""
    cdef PySendResult how
    enter_probe(flow.breaker, &flow.ticket)
    how = bk_send(<PyObject *>flow.inner, value, result)
    leave_probe(flow.breaker, &flow.ticket)
    return how if how == PYGEN_NEXT else end_unlike_flow(flow, how, result)


cdef object run_inner(GuardedLater flow, run, tuple args):
    """Call a method of the wrapped object, or of a step of it, that goes on in its code."""
    if not flow.ticket.lease:
        return run(*args)
    enter_probe(flow.breaker, &flow.ticket)
    try:
        return run(*args)
    finally:
        leave_probe(flow.breaker, &flow.ticket)


cdef PySendResult flow_send(PyObject *self, PyObject *value, PyObject **result) noexcept:
    return step(self, value, result)


cdef PySendResult generator_send(PyObject *self, PyObject *value, PyObject **result) noexcept:
    """The same for a generator: what it yields are its items."""
    cdef PySendResult how = step(self, value, result)
    if BK_LIKELY(how == PYGEN_NEXT):
        (<GuardedLater>self).gave = True
        if BK_UNLIKELY((<GuardedLater>self).enters) and entered(<GuardedLater>self, result[0]) < 0:
            Py_DECREF(result[0])
            result[0] = NULL
            return PYGEN_ERROR
    return how


cdef int entered(GuardedLater flow, PyObject *value) noexcept:
    """Settle the entering of a context manager by what was entered. -1: an error is set."""
    cdef PyObject *judged
    if not flow.ticket.live:
        return 0
    Py_INCREF(value)
    if is_judged(flow):
        judged = settle_value(flow.breaker, &flow.ticket, value)
        if judged == NULL:
            bk_stop_is_no_end(kind_name(flow), isinstance(flow, GuardedAsyncGenerator))
            return -1
        Py_DECREF(judged)
        return 0
    Py_DECREF(value)
    if settle_quietly(flow.breaker, &flow.ticket, SUCCESS, <PyObject *>None) < 0:
        bk_stop_is_no_end(kind_name(flow), isinstance(flow, GuardedAsyncGenerator))
        return -1
    return 0


cdef PyObject *generator_next(PyObject *self) noexcept:
    """The same as ``__next__``: a return is a StopIteration that carries the value."""
    cdef PyObject *result
    if generator_send(self, <PyObject *>None, &result) == PYGEN_RETURN:
        raise_stop(result)
        return NULL
    return result


cdef PyObject *coroutine_next(PyObject *self) noexcept:
    """The same for an awaitable: the interpreter takes its value at once."""
    cdef PyObject *result
    if step(self, <PyObject *>None, &result) == PYGEN_RETURN:
        if result == <PyObject *>None:
            Py_DECREF(result)
        else:
            bk_raise_awaited(result)
        return NULL
    return result


cdef void raise_stop(PyObject *value) noexcept:
    if value == <PyObject *>None:  # no exception at all means StopIteration without a value
        Py_DECREF(value)
    else:
        bk_raise_stop(value)


@cython.no_gc_clear
cdef class SteppedLater(GuardedLater):
    """A coroutine or a generator: driven by `send`, `throw` and `close`."""

    def send(self, value, /):
        """Go on with ``value``; returns what is yielded, raises StopIteration at the end."""
        cdef PyObject *result
        cdef PySendResult how = bk_send(<PyObject *>self, <PyObject *>value, &result)
        if how == PYGEN_NEXT:
            return steal(result)
        if how == PYGEN_RETURN:
            raise StopIteration(steal(result))
        raise_set()

    def throw(self, *error):
        """Go on by raising an exception inside."""
        return throw_into(self, error)

    def close(self):
        """End it early: a success once a generator has given an item, ignored before, unless closing it raises."""
        self.begun = RUNS
        try:
            value = run_inner(self, close_inner, (self.inner,))
        except BaseException as error:
            if self.ticket.live and not shows(self, RUNNING):
                settle_flow_by(self, error)
            raise
        if self.ticket.live:
            settle_flow(self, left_early(self), None)
        return value


cdef object close_inner(inner):
    close = getattr(inner, "close", None)  # not every iterator that is awaited has it, nor ``throw``
    return None if close is None else close()


cdef object throw_inner(inner, error):
    throw = getattr(inner, "throw", None)
    if throw is not None:
        return throw(*error)
    raised = error[0]
    raise raised if isinstance(raised, BaseException) else raised()


cdef object throw_into(GuardedLater flow, error):
    """A step by ``throw``: a flow that has not begun is over without having been admitted."""
    try:
        value = run_inner(flow, throw_inner, (flow.inner, error))
    except StopIteration as stop:
        flow.begun = RUNS
        if flow.ticket.live:
            if is_judged(flow):
                judge_flow(flow, stop.value)
            else:
                settle_flow(flow, SUCCESS, None)
        raise
    except BaseException as raised:
        if not shows(flow, FRAME):
            flow.begun = RUNS
            if flow.ticket.live:
                settle_flow_by(flow, raised)
        raise
    if isinstance(flow, GuardedGenerator):
        flow.gave = True
        if flow.enters and entered(flow, <PyObject *>value) < 0:
            raise_set()
    return value


cdef int judge_flow(GuardedLater flow, value) except -1:
    cdef PyObject *judged = (<quiet_object>judge)(flow.breaker, &flow.ticket, <PyObject *>value)
    if judged == NULL:
        bk_stop_is_no_end(kind_name(flow), False)
        return -1
    Py_DECREF(judged)
    return 0


cdef int raise_set() except -1:
    """Raise the error that is set."""
    return -1


@cython.no_gc_clear
@cython.final
cdef class GuardedCoroutine(SteppedLater):
    """A coroutine under protection: awaited once, usable with `asyncio.create_task`."""

    def __await__(self):
        return awaited_again(self)  # the slot is `coroutine_await`

    def __next__(self):
        return self.send(None)


cdef PyObject *coroutine_await(PyObject *self) noexcept:
    if BK_UNLIKELY((<GuardedLater>self).begun != 0):
        return await_again(self)
    Py_INCREF(self)
    return self


cdef apart_object await_again(PyObject *self) noexcept:
    return (<PyObject *(*)(GuardedLater) noexcept>awaited_again)(<GuardedLater>self)


cdef object awaited_again(GuardedLater flow):
    if flow.begun and getattr(flow.inner, "cr_await", None) is not None:
        raise RuntimeError("coroutine is being awaited already")
    return flow


@cython.no_gc_clear
@cython.final
cdef class GuardedGenerator(SteppedLater):
    """A generator under protection."""

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)


cdef int check_layout() except -1:
    cdef GuardedCoroutine flow = GuardedCoroutine.__new__(GuardedCoroutine)
    flow.inner = _CLOSE
    if held(<PyObject *>flow)[0] != <PyObject *>None or held(<PyObject *>flow)[1] != <PyObject *>_CLOSE:
        raise ImportError("breaker._core: this compiler lays out its objects in another way than the core relies on")
    return 0


bk_make_stops()
check_layout()
bk_make_iterator(<PyTypeObject *>GuardedCoroutine, flow_send, coroutine_next)
bk_make_awaitable(<PyTypeObject *>GuardedCoroutine, coroutine_await)
bk_make_iterator(<PyTypeObject *>GuardedGenerator, generator_send, generator_next)
(<PyTypeObject *>GuardedCoroutine).tp_dealloc = dealloc_coroutine
(<PyTypeObject *>GuardedGenerator).tp_dealloc = dealloc_flow
