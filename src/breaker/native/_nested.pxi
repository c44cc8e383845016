# Calls inside the function of a probe of the same breaker: they need no slot and decide nothing.
#
# Where two layers of a program are guarded by one breaker, or a guarded function calls itself, the inner call would wait
# for the slot that the outer one holds. The outer call is known by the context: a context variable holds the probes
# whose functions run there, so tasks and threads that are given a copy of the context know them too. A copy may outlive
# the probe, so a breaker asks whether that one still runs (`runs_locked`). The variable is set for probes alone and
# looked at in HALF_OPEN alone.


# `no_gc_clear`: a copy of the context may be met by a finalizer of the same garbage.
@cython.final
@cython.no_gc_clear
cdef class Around:
    """A probe whose function runs in this context, and the one whose function that is inside, if any."""

    cdef Breaker breaker
    cdef Ticket ticket
    cdef Around outer


cdef newfunc make_around = (<PyTypeObject *>Around).tp_new
cdef PyObject *AROUND = PyContextVar_New("breaker.around", <PyObject *>None)    # owned
if AROUND == NULL:
    raise MemoryError()
bk_begin_context(AROUND)


# Without memory none of these fails: calls inside the probe are then calls like any other.

cdef PyObject *around_here() noexcept:
    """The innermost probe of this context, owned, or None."""
    cdef PyObject *found = NULL
    if PyContextVar_Get(AROUND, NULL, &found) < 0:
        PyErr_Clear()
        return new_reference(None)
    return found


cdef void set_around(PyObject *probe) noexcept:
    if bk_set_in_context(AROUND, probe) < 0:
        PyErr_Clear()


cdef bint still_runs(PyObject *probe) noexcept:
    cdef Core *c = &(<Around>probe).breaker.core
    lock(c)
    cdef bint runs = runs_locked(c, &(<Around>probe).ticket)
    unlock(c)
    return runs


cdef Ticket probe_around(Breaker b) noexcept:
    """The ticket of the innermost probe of this breaker in this context; `NOT_ADMITTED`: there is none."""
    cdef Ticket ticket = NOT_ADMITTED
    cdef PyObject *here
    cdef PyObject *probe
    if BK_LIKELY((bk_load(&b.core.word) & 3) != HALF_OPEN):
        return ticket
    here = probe = around_here()
    while probe != <PyObject *>None and (<Around>probe).breaker is not b:
        probe = <PyObject *>(<Around>probe).outer
    if probe != <PyObject *>None:
        ticket = (<Around>probe).ticket
    Py_DECREF(here)
    return ticket


cdef void enter_probe(Breaker b, const Ticket *ticket) noexcept:
    """The function of a probe begins to run in this context. An error that is set stays."""
    cdef PyObject *error = bk_take_exception()
    cdef PyObject *here = around_here()
    cdef PyObject *outer = here
    cdef PyObject *inner = bk_make(make_around, <PyTypeObject *>Around)
    if inner == NULL:
        PyErr_Clear()
    else:
        while outer != <PyObject *>None and not still_runs(outer):  # in a copy of the context that outlived it
            outer = <PyObject *>(<Around>outer).outer
        (<Around>inner).breaker = b
        (<Around>inner).ticket = ticket[0]
        (<Around>inner).outer = <Around>outer
        set_around(inner)
        Py_DECREF(inner)
    Py_DECREF(here)
    if error != NULL:
        bk_give_exception(error)


cdef void leave_probe(Breaker b, const Ticket *ticket) noexcept:
    """It runs here no longer. An error that is set stays."""
    cdef PyObject *error = bk_take_exception()
    cdef PyObject *here = around_here()
    cdef PyObject *probe = here
    while probe != <PyObject *>None and not (
            (<Around>probe).breaker is b and (<Around>probe).ticket.lease == ticket.lease):
        probe = <PyObject *>(<Around>probe).outer
    if probe != <PyObject *>None:
        set_around(<PyObject *>(<Around>probe).outer)  # where this fails it stays, and is not believed once it has ended
    Py_DECREF(here)
    if error != NULL:
        bk_give_exception(error)


bk_forbid_making(<PyTypeObject *>Around)
