# Permits: leave for one call, taken by hand and settled by hand. What the integrations build on.

# Dropped ones are settled by `dealloc_permit`. Not by `__del__`: an object from a free list keeps the mark that its
# finalizer has run. Not by `__dealloc__`: Cython saves and restores the error state around it, for each permit. The free
# list is `kept_permits`, as that of coroutines.
# `no_gc_clear`: the collector leaves the fields alone until then.
@cython.final
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

    def __aenter__(self):
        return new_ready(self.__enter__())

    def __aexit__(self, kind, exc, traceback):
        if exc is None and self.ticket.live and succeed_closed(<PyObject *>self.breaker, &self.ticket, JUDGED):
            return new_ready(False)
        return new_ready(leave_permit(self, exc))

    def __reduce__(self):
        raise TypeError("a permit cannot be pickled or copied: it is one call of this process")


cdef PyObject *permit_exit "bk_exit_entry"(PyObject *self, PyObject *const *args, Py_ssize_t nargs) noexcept:
    if BK_LIKELY(nargs == 3 and args[1] == <PyObject *>None and (<Permit>self).ticket.live) and succeed_plainly(
            <PyObject *>(<Permit>self).breaker, &(<Permit>self).ticket, JUDGED):
        return new_reference(False)
    return exit_unlike(self, args, nargs)


cdef apart_object exit_unlike(PyObject *self, PyObject *const *args, Py_ssize_t nargs) noexcept:
    if nargs != 3:
        PyErr_Format(PyExc_TypeError, "__exit__() takes 3 positional arguments, got %zd", nargs)
        return NULL
    if args[1] == <PyObject *>None and (<Permit>self).ticket.live and succeed_measured(
            <PyObject *>(<Permit>self).breaker, &(<Permit>self).ticket, JUDGED):
        return new_reference(False)
    return (<PyObject *(*)(Permit, PyObject *) noexcept>leave_permit)(<Permit>self, args[1])


cdef object leave_permit(Permit permit, exc):
    """The end of a ``with`` block that is more than a count; False: what was raised goes on."""
    if permit.ticket.lease:
        leave_probe(permit.breaker, &permit.ticket)
    if exc is None:
        settle(permit.breaker, &permit.ticket, SUCCESS, None)
    elif permit.ticket.live:
        settle_by(permit.breaker, &permit.ticket, exc)
    return False


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
    cdef uint64_t word = bk_load(&(<Breaker>self).core.word)
    cdef PyObject *permit
    if BK_LIKELY((word & DIVERTED) == 0):
        permit = bk_take_kept(&kept_permits)
        if BK_LIKELY(permit != NULL):
            Py_INCREF(self)
            breaker_of(permit)[0] = self
            (<Permit>permit).ticket.epoch = word >> EPOCH_SHIFT
            (<Permit>permit).ticket.lease = 0
            (<Permit>permit).ticket.live = RUNS
            (<Permit>permit).ticket.timed = 0
            PyObject_GC_Track(permit)
            return permit
    return acquire_unlike(self)


cdef apart_object acquire_unlike(PyObject *self) noexcept:
    """The same in all states, and where no permit is kept."""
    cdef Core *c = &(<Breaker>self).core
    cdef Ticket ticket
    cdef PyObject *permit = NULL
    if (bk_load(&c.word) & LOCKED) == 0:
        permit = bk_take_kept(&kept_permits)
    if permit != NULL:
        if begin_closed(c, &(<Permit>permit).ticket):  # in its place: copying one costs as much as making it
            Py_INCREF(self)
            breaker_of(permit)[0] = self
            PyObject_GC_Track(permit)
            return permit
        (<Permit>permit).ticket.live = 0
        bk_keep(&kept_permits, permit)
    if not begin_closed(c, &ticket):
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
cdef bk_kept_t kept_permits


cdef inline PyObject **breaker_of(PyObject *permit) noexcept:
    """The breaker of a permit, owned: the field before its ticket (see `check_permit`). Of a kept one as in `held`."""
    return <PyObject **>&(<Permit>permit).ticket - 1


cdef void dealloc_permit(PyObject *self) noexcept:
    cdef PyObject *breaker = breaker_of(self)[0]
    PyObject_GC_UnTrack(self)
    if BK_LIKELY((<Permit>self).ticket.live == 0) and BK_LIKELY(bk_keep(&kept_permits, self)):
        Py_DECREF(breaker)
    else:
        free_unkept_permit(self)


cdef apart_void free_unkept_permit(PyObject *self) noexcept:
    if (<Permit>self).ticket.live:
        drop(self, (<Permit>self).breaker, &(<Permit>self).ticket, IGNORED)
    free_permit(self)


cdef int check_permit() except -1:
    cdef Permit permit = Permit.__new__(Permit)
    if breaker_of(<PyObject *>permit)[0] != <PyObject *>None:
        raise ImportError("breaker._core: this compiler lays out its objects in another way than the core relies on")
    return 0


check_permit()
bk_add_method(<PyTypeObject *>Breaker, &bk_acquire_method)
bk_add_method(<PyTypeObject *>Permit, &bk_exit_method)
(<PyTypeObject *>Permit).tp_dealloc = dealloc_permit
bk_forbid_making(<PyTypeObject *>Permit)
bk_forbid_making(<PyTypeObject *>Ready)
