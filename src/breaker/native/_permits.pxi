# Permits: leave for one call, taken by hand and settled by hand. What the integrations build on.

# Dropped ones are settled by `dealloc_permit`. Not by `__del__`: an object from a free list keeps the mark that its
# finalizer has run. Not by `__dealloc__`: Cython saves and restores the error state around it, for each permit.
# `no_gc_clear`: the collector leaves the fields alone until then.
@cython.final
@cython.freelist(32)
@cython.no_gc_clear
cdef class Permit:
    """Leave for one call. Made by `Breaker.acquire`.

    It is settled once: by a verdict, by the end of a ``with`` block, or by being dropped, which ignores the call (S37).
    Settling it again does nothing.

    Thread safety:
        May be settled from any thread.

    .. versionadded:: 0.1
    """

    cdef Breaker breaker
    cdef Ticket ticket

    def success(self):
        """The call succeeded."""
        if self.ticket.live and not succeed_closed(<PyObject *>self.breaker, &self.ticket, JUDGED):
            settle(self.breaker, &self.ticket, SUCCESS, None)

    def failure(self, exc=None):
        """The call failed.

        Args:
            exc: The exception, for ``last_error`` alone: it is not classified (S46). None: there is none.

        Raises:
            TypeError: Something that is no exception.
        """
        if exc is not None and not isinstance(exc, BaseException):
            raise TypeError(f"failure() takes the exception or nothing, got {type(exc).__name__}")
        settle(self.breaker, &self.ticket, FAILURE, "failure reported" if exc is None else exc)

    def ignore(self):
        """The call is ignored: it proves nothing about the dependency and gives its slot back (S52)."""
        settle(self.breaker, &self.ticket, IGNORED, None)

    def _unmeasured(self):
        """How long the call takes is its consumer's doing: it is never slow (S206). Returns the permit."""
        if self.ticket.timed:
            stop_measuring(self.breaker, &self.ticket)
        return self

    def __enter__(self):
        if self.ticket.lease:
            enter_probe(self.breaker, &self.ticket)
        return self

    def __exit__(self, kind, exc, traceback):
        if exc is None and self.ticket.live and succeed_closed(<PyObject *>self.breaker, &self.ticket, JUDGED):
            return False
        if self.ticket.lease:
            leave_probe(self.breaker, &self.ticket)
        if exc is None:
            settle(self.breaker, &self.ticket, SUCCESS, None)
        elif self.ticket.live:
            settle_by(self.breaker, &self.ticket, exc)
        return False

    def __aenter__(self):
        return new_ready(self.__enter__())

    def __aexit__(self, kind, exc, traceback):
        return new_ready(self.__exit__(kind, exc, traceback))

    def __reduce__(self):
        raise TypeError("a permit cannot be pickled or copied: it is one call of this process")


@cython.final
@cython.no_gc_clear
cdef class Ready:
    """An awaitable that has its value: nothing here ever waits."""

    cdef object value

    def __await__(self):
        return self

    def __next__(self):
        raise_stop(new_reference(self.value))
        raise_set()


cdef Ready new_ready(value):
    cdef Ready ready = Ready.__new__(Ready)
    ready.value = value
    return ready


cdef PyObject *breaker_acquire "bk_acquire_entry"(PyObject *self, PyObject *_) noexcept:
    cdef Ticket ticket
    cdef PyObject *permit
    if not begin_closed(&(<Breaker>self).core, &ticket):
        if admit_quietly(<Breaker>self, &ticket) < 0:
            return NULL
    permit = bk_make(make_permit, <PyTypeObject *>Permit)
    if BK_UNLIKELY(permit == NULL):
        give_up(<Breaker>self, &ticket)
        return NULL
    (<Permit>permit).breaker = <Breaker>self
    (<Permit>permit).ticket = ticket
    return permit


cdef newfunc make_permit = (<PyTypeObject *>Permit).tp_new
cdef destructor free_permit = (<PyTypeObject *>Permit).tp_dealloc


cdef void dealloc_permit(PyObject *self) noexcept:
    if BK_UNLIKELY((<Permit>self).ticket.live != 0):
        drop(self, (<Permit>self).breaker, &(<Permit>self).ticket, IGNORED)
    free_permit(self)


bk_add_method(<PyTypeObject *>Breaker, &bk_acquire_method)
(<PyTypeObject *>Permit).tp_dealloc = dealloc_permit
bk_forbid_making(<PyTypeObject *>Permit)
bk_forbid_making(<PyTypeObject *>Ready)
