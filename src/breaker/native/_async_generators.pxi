# Async generators under protection: a flow whose steps are awaited one by one, and the awaitable that one step is.

@cython.no_gc_clear
@cython.final
cdef class GuardedAsyncGenerator(GuardedLater):
    """An async generator under protection. Each of its steps is awaited; the last one settles the call."""

    def __aiter__(self):
        return self

    def __anext__(self):
        return new_step(self, self.inner.__anext__(), True, False)

    def asend(self, value, /):
        """An awaitable that goes on with ``value``."""
        return new_step(self, self.inner.asend(value), value is None, False)

    def athrow(self, *error):
        """An awaitable that goes on by raising an exception inside."""
        return new_step(self, self.inner.athrow(*error), False, False)

    def aclose(self):
        """An awaitable that ends it early: a success once it has given an item, ignored before."""
        return new_step(self, self.inner.aclose(), False, True)


# `no_gc_clear`: as the generator itself, it may be met by a finalizer of the same garbage.
@cython.final
@cython.freelist(32)
@cython.no_gc_clear
cdef class AsyncStep:
    """One awaited step of a guarded async generator."""

    cdef GuardedAsyncGenerator flow
    cdef object inner       # the step of the wrapped generator
    cdef bint begins        # it may be the first one
    cdef bint closes
    cdef bint done

    def __cinit__(self):
        self.done = True  # until it is filled

    def __await__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, value, /):
        """Drive the step, as `await` does."""
        cdef PyObject *result
        cdef PySendResult how = step_send(<PyObject *>self, <PyObject *>value, &result)
        if how == PYGEN_NEXT:
            return steal(result)
        if how == PYGEN_RETURN:
            raise StopIteration(steal(result))
        raise_set()

    def throw(self, *error):
        """Raise an exception where the step waits. One that has not begun takes no permit."""
        try:
            return self.inner.throw(*error) if self.flow is None else run_inner(self.flow, self.inner.throw, error)
        except StopIteration as stop:
            self.done = True
            value = stop.value
            if step_returned(self, <PyObject *>value) < 0:
                raise_set()
            raise
        except BaseException as raised:
            settle_step(self, raised)
            self.done = True
            raise

    def close(self):
        """Give the step up."""
        try:
            self.inner.close() if self.flow is None else run_inner(self.flow, self.inner.close, ())
        except BaseException as raised:
            settle_step(self, raised)
            raise
        finally:
            self.done = True
        if not shows(self.flow, FRAME):
            settle_step(self, None)


cdef AsyncStep new_step(GuardedAsyncGenerator flow, inner, bint begins, bint closes):
    cdef AsyncStep step = AsyncStep.__new__(AsyncStep)
    step.flow = flow
    step.inner = inner
    step.begins = begins
    step.closes = closes
    step.done = False
    return step


cdef int settle_step(AsyncStep step, error) except -1:
    """Settle the flow by the exception that ended a step, or (None) by its having been closed."""
    cdef GuardedAsyncGenerator flow = step.flow
    if flow is None:
        return 0  # it was never filled
    cdef bint over = not shows(flow, FRAME)
    if over and not flow.begun:
        flow.begun = RUNS
    if not flow.ticket.live:
        return 0
    if error is None:
        return settle_flow(flow, left_early(flow), None)
    if not over and (step.done or not step.closes or shows(flow, RUNNING)):
        return 0  # the step was refused; but one that could not close the generator has failed
    if isinstance(error, StopAsyncIteration):
        return settle_flow(flow, SUCCESS, None)
    return settle_flow_by(flow, error)


cdef int step_returned(AsyncStep step, PyObject *value) noexcept:
    """A step has returned: an item, unless it closes. -1: an error is set."""
    if step.flow is None:
        return 0
    if step.closes or not step.flow.begun:
        return (<int (*)(AsyncStep, PyObject *) noexcept>settle_step)(step, <PyObject *>None)
    step.flow.gave = True
    return entered(step.flow, value) if BK_UNLIKELY(step.flow.enters) else 0


cdef void settle_step_set(AsyncStep step) noexcept:
    """The same by the exception that is set. It stays, or is the context of the one that settling raises."""
    cdef PyObject *error = bk_take_exception()
    if (<int (*)(AsyncStep, PyObject *) noexcept>settle_step)(step, error) < 0:
        bk_chain_exception(error)
    else:
        bk_give_exception(error)


cdef int begin_step(AsyncStep step) noexcept:
    """Admit the flow at its first step: 0, or -1 with an error set; then the step is over too."""
    if begin_flow(step.flow) >= 0:
        return 0
    step.done = True
    close_unused(<PyObject *>step.inner, GENERATOR)
    return -1


cdef PySendResult step_send(PyObject *self, PyObject *value, PyObject **result) noexcept:
    cdef AsyncStep step = <AsyncStep>self
    cdef PySendResult how
    result[0] = NULL
    if not step.done and step.begins and not step.flow.begun and value == <PyObject *>None:
        if begin_step(step) < 0:
            return PYGEN_ERROR
    how = send_step(step, value, result)
    if how == PYGEN_NEXT:
        return how
    if how == PYGEN_ERROR:
        settle_step_set(step)
    elif step_returned(step, result[0]) < 0:
        Py_DECREF(result[0])
        result[0] = NULL
        how = PYGEN_ERROR
    step.done = True
    return how


cdef PySendResult send_step(AsyncStep step, PyObject *value, PyObject **result) noexcept:
    cdef PySendResult how
    if step.flow is None or not step.flow.ticket.lease:
        return bk_send(<PyObject *>step.inner, value, result)
    enter_probe(step.flow.breaker, &step.flow.ticket)
    how = bk_send(<PyObject *>step.inner, value, result)
    leave_probe(step.flow.breaker, &step.flow.ticket)
    return how


cdef PyObject *step_next(PyObject *self) noexcept:
    cdef PyObject *result
    if step_send(self, <PyObject *>None, &result) == PYGEN_RETURN:
        raise_stop(result)
        return NULL
    return result


bk_make_iterator(<PyTypeObject *>AsyncStep, step_send, step_next)
(<PyTypeObject *>GuardedAsyncGenerator).tp_dealloc = dealloc_flow
for _kind in (GuardedLater, SteppedLater, GuardedCoroutine, GuardedGenerator, GuardedAsyncGenerator, AsyncStep):
    bk_forbid_making(<PyTypeObject *>_kind)
