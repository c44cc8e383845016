# What a plain function returns and what ends later, without being a coroutine or a generator: futures, other awaitables,
# context managers. The call was admitted; its ticket goes with what is returned.


# ---- futures: the same object, judged when it is done -------------------------------------------------------------

# Dropped ones are settled as permits are.
@cython.final
@cython.no_gc_clear
cdef class FutureWatch:
    """The callback of a future that a call returned: it settles the call by how the future ended."""

    cdef Breaker breaker
    cdef Ticket ticket

    def __call__(self, future, /):
        if not self.ticket.live:
            return
        try:
            settle_by_future(self.breaker, &self.ticket, future)
        except BaseException:
            settle(self.breaker, &self.ticket, IGNORED, None)  # it cannot say how it ended
            raise


cdef newfunc make_watch = (<PyTypeObject *>FutureWatch).tp_new
cdef destructor free_watch = (<PyTypeObject *>FutureWatch).tp_dealloc


cdef void dealloc_watch(PyObject *self) noexcept:
    if (<FutureWatch>self).ticket.live:
        drop(self, (<FutureWatch>self).breaker, &(<FutureWatch>self).ticket, IGNORED)
    free_watch(self)


cdef PyObject *follow_future(Breaker b, Ticket *ticket, PyObject *future) noexcept:
    """Settle when a future is done; its reference is taken and returned. NULL: an error is set."""
    cdef PyObject *watch = bk_make(make_watch, <PyTypeObject *>FutureWatch)
    if watch == NULL:
        Py_DECREF(future)
        give_up(b, ticket)
        return NULL
    (<FutureWatch>watch).breaker = b
    (<FutureWatch>watch).ticket = ticket[0]
    if (<int (*)(PyObject *, PyObject *) noexcept>watch_future)(watch, future) < 0:
        Py_DECREF(future)
        future = NULL
    Py_DECREF(watch)
    return future


cdef int watch_future(PyObject *watch, PyObject *borrowed) except -1:
    future = <object>borrowed
    if isinstance(future, loaded("twisted.internet.defer", "Deferred")):
        future.addBoth(_partial(pass_on, <object>watch))
    elif future.done():
        (<object>watch)(future)
    else:
        future.add_done_callback(<object>watch)
    return 0


def pass_on(watch, result, /):
    """The callback of a Deferred: settle the call by its result or `Failure`, which goes on to the next callback."""
    if (<FutureWatch?>watch).ticket.live:
        settle_by_result((<FutureWatch>watch).breaker, &(<FutureWatch>watch).ticket, result)
    return result


cdef int settle_by_result(Breaker b, Ticket *ticket, result) except -1:
    if not isinstance(result, loaded("twisted.python.failure", "Failure")):
        return settle_by_late_value(b, ticket, result)
    if isinstance(result.value, loaded("twisted.internet.defer", "CancelledError")):
        return settle(b, ticket, IGNORED, None)
    return settle_by_late_error(b, ticket, result.value)


cdef int settle_by_future(Breaker b, Ticket *ticket, future) except -1:
    if future.cancelled():
        return settle(b, ticket, IGNORED, None)
    # Not `exception()`: asyncio would take it for read, and say nothing of one that nobody looks at.
    error = future._exception if hasattr(future, "_exception") else future.exception()
    if error is not None:
        return settle_by_late_error(b, ticket, error)
    return settle_by_late_value(b, ticket, future.result())


cdef int settle_by_late_error(Breaker b, Ticket *ticket, error) except -1:
    try:
        settle_by(b, ticket, error)
    except Exception as raised:
        report_late(b, b.failed_error, raised)
    return 0


cdef int settle_by_late_value(Breaker b, Ticket *ticket, result) except -1:
    cdef PyObject *judged = settle_value(b, ticket, new_reference(result))
    try:
        if judged == NULL:
            raise_set()
        Py_DECREF(judged)
    except Exception as raised:
        report_late(b, b.failed_result, raised)
    return 0


cdef int report_late(Breaker b, asked, error) except -1:
    """What a predicate raises when its call has returned: there is no caller who could get it."""
    if asked is None or b.listeners is None:
        raise error
    b.listeners.report(asked, None, error)
    return 0


# ---- other awaitables: at the end of their await, or when their ``async with`` has been entered -------------------

cdef object await_guarded(GuardedLater flow, awaiting):
    """What ``awaiting()`` returns, guarded; it carries the ticket from now on."""
    cdef Ticket ticket
    cdef PyObject *made
    cdef bint stepped
    try:
        steps = run_inner(flow, awaiting, ())
        stepped = isinstance(steps, _Coroutine)
        if not (stepped or hasattr(type(steps), "__next__")):
            steps = steps.__await__()
            stepped = isinstance(steps, _Coroutine)
    except BaseException as error:
        if flow.ticket.live:
            settle_by(flow.breaker, &flow.ticket, error)
        raise
    ticket = flow.ticket
    if flow.begun and not bk_claim(&flow.ticket.live):
        return steps  # it was awaited before
    flow.begun = RUNS
    if stepped:
        made = new_flow(flow.breaker, &ticket, new_reference(steps), COROUTINE)
    else:
        made = new_awaitable(flow.breaker, &ticket, new_reference(steps), AWAITED_STEPS)
    if made == NULL:
        raise_set()
    return steal(made)


cdef object enter_guarded(GuardedLater flow):
    if not hasattr(type(flow.inner), "__aenter__"):
        raise TypeError(
            f"{type(flow.inner).__name__!r} object does not support the asynchronous context manager protocol")
    return await_guarded(flow, flow.inner.__aenter__)


@cython.no_gc_clear
@cython.final
cdef class GuardedAwaitable(GuardedLater):
    """An awaitable under protection. All that is not awaiting it or entering it is the original's."""

    def __await__(self):
        return await_guarded(self, self.inner.__await__)

    def __aenter__(self):
        return enter_guarded(self)

    def __aexit__(self, *error):
        return self.inner.__aexit__(*error)

    def __aiter__(self):
        return self.inner.__aiter__()

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def __setattr__(self, name, value):
        setattr(self.inner, name, value)

    def __delattr__(self, name):
        delattr(self.inner, name)


@cython.no_gc_clear
@cython.final
cdef class GuardedRequest(SteppedLater):
    """A coroutine that is an async context manager too, as the requests of aiohttp are."""

    def __await__(self):
        return self

    def __next__(self):
        return self.send(None)

    def __aenter__(self):
        return enter_guarded(self)

    def __aexit__(self, *error):
        return self.inner.__aexit__(*error)

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def __setattr__(self, name, value):
        setattr(self.inner, name, value)

    def __delattr__(self, name):
        delattr(self.inner, name)


@cython.no_gc_clear
@cython.final
cdef class GuardedSteps(SteppedLater):
    """The steps of an awaitable under protection."""

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)


cdef newfunc make_awaitable = (<PyTypeObject *>GuardedAwaitable).tp_new
cdef newfunc make_request = (<PyTypeObject *>GuardedRequest).tp_new
cdef newfunc make_steps = (<PyTypeObject *>GuardedSteps).tp_new
cdef destructor free_guarded_awaitable = (<PyTypeObject *>GuardedAwaitable).tp_dealloc
cdef destructor free_request = (<PyTypeObject *>GuardedRequest).tp_dealloc
cdef destructor free_steps = (<PyTypeObject *>GuardedSteps).tp_dealloc


cdef void free_awaitable(PyObject *self) noexcept:
    if Py_TYPE(self) == <PyTypeObject *>GuardedAwaitable:
        free_guarded_awaitable(self)
    elif Py_TYPE(self) == <PyTypeObject *>GuardedRequest:
        free_request(self)
    else:
        free_steps(self)


cdef PyObject *new_awaitable(Breaker b, Ticket *ticket, PyObject *inner, int kind) noexcept:
    """Guard an awaitable, whose reference is taken; the ticket of the call goes with it."""
    cdef PyObject *flow
    if kind == AWAITED_OR_ENTERED:
        flow = bk_make(make_request, <PyTypeObject *>GuardedRequest)
    elif kind == AWAITED_STEPS:
        flow = bk_make(make_steps, <PyTypeObject *>GuardedSteps)
    else:
        flow = bk_make(make_awaitable, <PyTypeObject *>GuardedAwaitable)
    if flow == NULL:
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


# ---- context managers of contextlib: when they have been entered ---------------------------------------------------

# What `contextlib.contextmanager` makes steps a generator. That one is guarded and ends the call with its first item, so
# all the rest of the context manager stays what it is. Used as a decorator, it makes itself anew for each call.

def enter_again(Breaker b, fn, /, *args, **kwargs):
    """The generator of a context manager for one more call, guarded like the first."""
    cdef Ticket ticket
    if admit_quietly(b, &ticket) < 0:
        raise_set()
    try:
        return entering(b, &ticket, fn(*args, **kwargs))
    except BaseException as error:
        settle_by(b, &ticket, error)  # unless it was handed on
        raise


cdef object entering(Breaker b, Ticket *ticket, generator):
    cdef PyObject *made
    cdef int kind = ASYNC_GENERATOR if isinstance(generator, _AsyncGenerator) else GENERATOR
    made = new_flow(b, ticket, new_reference(generator), kind)
    if made == NULL:
        ticket.live = False
        raise_set()
    ticket.live = False  # it has been handed on
    (<GuardedLater>made).enters = True
    return steal(made)


cdef PyObject *guard_entering(Breaker b, Ticket *ticket, PyObject *manager) noexcept:
    """Guard the entering of a context manager; its reference is taken and returned. NULL: an error is set."""
    if (<int (*)(Breaker, Ticket *, PyObject *) noexcept>put_guard)(b, ticket, manager) < 0:
        Py_DECREF(manager)
        if ticket.live:
            settle_raised(b, ticket)
        return NULL
    return manager


cdef int put_guard(Breaker b, Ticket *ticket, PyObject *borrowed) except -1:
    manager = <object>borrowed
    manager.gen = entering(b, ticket, manager.gen)
    manager.func = _partial(enter_again, b, manager.func)
    return 0


(<PyTypeObject *>FutureWatch).tp_dealloc = dealloc_watch
(<PyTypeObject *>GuardedAwaitable).tp_dealloc = dealloc_flow
(<PyTypeObject *>GuardedRequest).tp_dealloc = dealloc_flow
(<PyTypeObject *>GuardedSteps).tp_dealloc = dealloc_flow
bk_make_iterator(<PyTypeObject *>GuardedRequest, flow_send, coroutine_next)
bk_make_iterator(<PyTypeObject *>GuardedSteps, flow_send, coroutine_next)
for _kind in (FutureWatch, GuardedAwaitable, GuardedRequest, GuardedSteps):
    bk_forbid_making(<PyTypeObject *>_kind)
