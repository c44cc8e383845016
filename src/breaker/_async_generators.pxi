# Async generators under protection: a flow whose steps are awaited one by one, and the awaitable that one step is.

@cython.no_gc_clear
@cython.final
cdef class GuardedAsyncGenerator(Flow):
    """An async generator under protection. Each of its steps is awaited; the last one settles the call."""

    def __aiter__(self):
        return self

    def __anext__(self):
        return new_step(self, "asend", (None,))

    def asend(self, value, /):
        """An awaitable that goes on with ``value``."""
        return new_step(self, "asend", (value,))

    def athrow(self, *error):
        """An awaitable that goes on by raising an exception inside."""
        return new_step(self, "athrow", error)

    def aclose(self):
        """An awaitable that ends it early; a call that was admitted is ignored."""
        return new_step(self, "aclose", ())


@cython.final
@cython.freelist(32)
cdef class AsyncStep:
    """One awaited step of a guarded async generator."""

    cdef GuardedAsyncGenerator flow
    cdef object method
    cdef object args
    cdef object inner       # None until it is first driven
    cdef bint holds         # it is the step that runs
    cdef bint done

    def __await__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, value, /):
        """Drive the step, as `await` does."""
        cdef PyObject *result
        cdef PySendResult how = step_send(<PyObject *>self, <PyObject *>value, &result)
        if how == PYGEN_NEXT:
            return taken(result)
        if how == PYGEN_RETURN:
            raise StopIteration(taken(result))
        raise_set()

    def throw(self, *error):
        """Raise an exception where the step waits."""
        if begin_step(self) < 0:
            raise_set()
        try:
            return self.inner.throw(*error)
        except StopIteration:
            end_step(self)
            raise
        except BaseException as error_raised:
            end_step(self)
            settle_step(self, error_raised)
            raise

    def close(self):
        """Give the step up."""
        try:
            if self.inner is not None:
                self.inner.close()
        finally:
            end_step(self)


cdef AsyncStep new_step(GuardedAsyncGenerator flow, method, args):
    cdef AsyncStep step = AsyncStep.__new__(AsyncStep)
    step.flow = flow
    step.method = method
    step.args = args
    return step


cdef int begin_step(AsyncStep step) except -1:
    """Make the inner step, admitting the flow if this is its first."""
    cdef GuardedAsyncGenerator flow = step.flow
    if step.done:
        raise RuntimeError("cannot reuse already awaited step of an asynchronous generator")
    if step.inner is not None:
        return 0
    if flow.running:
        raise RuntimeError("asynchronous generator is already running")
    if not flow.begun and step.method == "asend" and step.args[0] is None:
        if begin_flow(flow) < 0:
            return -1
    elif step.method != "asend":
        flow.begun = True
    if flow.ended and not flow.ticket.live and step.method == "asend":
        raise StopAsyncIteration
    step.inner = getattr(flow.inner, step.method)(*step.args)
    flow.running = True
    step.holds = True
    return 0


cdef void end_step(AsyncStep step) noexcept:
    step.done = True
    if step.holds:
        step.holds = False
        step.flow.running = False


cdef int settle_step(AsyncStep step, error) except -1:
    """Settle the flow by the exception that ended a step, or (None) by its having been closed."""
    cdef GuardedAsyncGenerator flow = step.flow
    if not flow.begun:
        return 0  # it refused a first value and can still begin
    flow.ended = True
    if not flow.ticket.live:
        return 0
    if error is None:
        return settle(flow.breaker, &flow.ticket, IGNORED, None)
    if isinstance(error, StopAsyncIteration):
        return settle(flow.breaker, &flow.ticket, SUCCESS, None)
    return settle(flow.breaker, &flow.ticket, outcome_of(flow.breaker, <PyObject *>error), error)


cdef int settle_step_set(AsyncStep step) except -1:
    """The same by the exception that is set, which is raised again."""
    error = taken(bk_take_exception())
    settle_step(step, error)
    bk_give_exception(counted(error))
    return 0


cdef PyObject *counted(o) noexcept:
    Py_INCREF(<PyObject *>o)
    return <PyObject *>o


cdef PySendResult step_send(PyObject *self, PyObject *value, PyObject **result) noexcept:
    cdef PySendResult how
    result[0] = NULL
    if (<int (*)(AsyncStep) noexcept>begin_step)(<AsyncStep>self) < 0:
        return PYGEN_ERROR
    how = PyIter_Send(<PyObject *>(<AsyncStep>self).inner, value, result)
    if how == PYGEN_NEXT:
        return how
    end_step(<AsyncStep>self)
    if how == PYGEN_ERROR:
        (<int (*)(AsyncStep) noexcept>settle_step_set)(<AsyncStep>self)
    elif (<AsyncStep>self).method == "aclose":
        if (<int (*)(AsyncStep, PyObject *) noexcept>settle_step)(<AsyncStep>self, <PyObject *>None) < 0:
            Py_DECREF(result[0])
            result[0] = NULL
            return PYGEN_ERROR
    return how


cdef PyObject *step_next(PyObject *self) noexcept:
    cdef PyObject *result
    if step_send(self, <PyObject *>None, &result) == PYGEN_RETURN:
        raise_stop(result)
        return NULL
    return result


bk_make_iterator(<PyTypeObject *>AsyncStep, step_send, step_next)
(<PyTypeObject *>GuardedAsyncGenerator).tp_dealloc = dealloc_flow
for _kind in (Flow, SteppedFlow, GuardedCoroutine, GuardedGenerator, GuardedAsyncGenerator, AsyncStep):
    bk_forbid_making(<PyTypeObject *>_kind)
