# What was noted under the lock, delivered to the listeners after it: in order, one at a time per breaker, contained.
#
# A decision that is heard puts its notes into the breaker's queue, under its lock and in memory that was there before it
# began, so the queue is in the order of the decisions and nothing can be missing from it. A thread that finds nobody
# delivering becomes the deliverer and goes on until the queue is empty; looking at it and giving up the role is one step
# under the lock, so no event is left behind. A listener that uses the breaker finds a deliverer at work and leaves its
# own events to it. Who delivers more than its share gives the role up to the next who brings something (`_turns.pxi`).
#
# That a call has failed its own thread tells at once, beside the queue: one slow listener costs the call that failed,
# and no call that others made. Until the breaker's first event is delivered, which says that there is one, it waits in
# the queue like all others.
#
# An event is made when it is delivered. If that cannot be now (no memory, no stack, an interrupt) its post stays the
# first of the queue, and the next decision that finds nobody delivering goes on.


cdef class ListenersBase:
    """Who is notified, for all breakers of one provider. `breaker._listeners.Listeners` adds the rest."""

    cdef public str service     # of the provider
    cdef tuple known
    cdef uint64_t heard     # is there any? Read without a lock, by each decision

    def __cinit__(self, *args, **kwargs):
        self.known = ()
        self.service = ""

    @property
    def listeners(self):
        """A tuple that is replaced, never changed."""
        with cython.critical_section(self):  # without the GIL another thread may be replacing it
            return self.known

    @listeners.setter
    def listeners(self, tuple listeners not None):
        with cython.critical_section(self):
            before = self.known  # freed after the section
            self.known = listeners
            bk_store(&self.heard, <uint64_t>len(listeners))


ctypedef int (*quiet_prepare)(Breaker, Post *) noexcept
ctypedef int (*quiet_report)(Breaker, PyObject *, PyObject *, PyObject *) noexcept


cdef int announce(Breaker b) except -1:
    """The first event of a breaker, queued before anybody else can know it."""
    cdef Outbox out
    open_outbox(b, &out)
    if start_decision(&b.core, &out) < 0:
        raise_set()
    note_locked(&b.core, &out, CREATED, 0, 0, 0, 0)
    b.core.here.announced = out.count == 0
    end_decision(&b.core, &out)
    return 0


cdef int flush(Breaker b, Outbox *out) noexcept:
    """What is left to do after a decision: drop what was let go, deliver. 0, or -1 with an error set."""
    cdef int i
    for i in range(out.releases):
        Py_DECREF(out.released[i])
    if out.own != NULL and tell_own(b, out.own) < 0:
        return -1
    return deliver(b, out.count) if out.undelivered else 0


cdef int tell_own(Breaker b, Post *post) noexcept:
    """Deliver the event of this thread's own call, beside the queue. What is left of it joins the queue, as its first."""
    cdef int done = tell(b, post)
    cdef Core *c = &b.core
    cdef PyObject *dropped[3]
    if done == 1 or (done < 0 and is_told(post)):
        lock(c)
        retire_locked(c, &post, dropped)
        unlock(c)
        let_go(post, dropped)
        return 0 if done == 1 else -1
    lock(c)
    if c.here.posts == NULL:
        c.here.last = post
    elif c.here.deliverer != 0:  # the first one is under way
        post.after = c.here.posts.after
        c.here.posts.after = post
        if c.here.last == c.here.posts:
            c.here.last = post
        unlock(c)
        return done
    else:
        post.after = c.here.posts
    c.here.posts = post
    unlock(c)
    return done


cdef int deliver(Breaker b, int own) noexcept:
    """Be the deliverer, unless there is one, until nothing is left or another one comes.

    ``own``: how many events this thread's decision has brought. 0, or -1 with an error set that is no `Exception`.
    """
    cdef Core *c = &b.core
    cdef Post *post
    cdef PyObject *dropped[3]
    cdef int left = own + SHARE
    cdef int told = take_role(b, own)
    while told > 0:
        told = tell(b, c.here.posts)  # nobody else takes from the queue
        if told <= 0:
            break
        if told == RELIEVED:
            return 0
        lock(c)
        post = c.here.posts
        c.here.posts = post.after
        if post.note.kind == CREATED:
            c.here.announced = True
        retire_locked(c, &post, dropped)
        left -= 1
        if left <= 0 and c.here.turn == TAKEN:
            c.here.turn = FREE
        told = goes_on_locked(c)
        unlock(c)
        let_go(post, dropped)
        if not told:
            return 0
    else:
        return told
    lock(c)
    give_role_up_locked(c)
    unlock(c)
    return told


cdef bint goes_on_locked(Core *c) noexcept nogil:
    """Does the deliverer go on? It does not where it was asked to let go, or has nothing left to do."""
    if c.here.turn != ASKED and c.here.posts != NULL:
        return True
    give_role_up_locked(c)
    return False


cdef void retire_locked(Core *c, Post **post, PyObject **dropped) noexcept nogil:
    """Keep a post for a decision to come, if there is room for it: then ``post`` is NULL, else it is to be freed."""
    dropped[0], dropped[1], dropped[2] = post[0].about, post[0].event, post[0].audience
    if c.here.spares < MOST_NOTES:
        keep_spare_locked(c, post[0])
        post[0] = NULL


cdef void let_go(Post *post, PyObject **dropped) noexcept:
    """After the lock: free a post, and drop what it held, which may run Python code."""
    cdef int i
    PyMem_RawFree(post)
    for i in range(3):
        Py_XDECREF(dropped[i])


cdef bint is_told(const Post *post) noexcept:
    """Has everybody been notified, so that nothing is left of it but an error?"""
    return (post.audience != NULL and post.telling.told >= PyTuple_GET_SIZE_(post.audience)
            and (post.telling.second or post.telling.again == 0)
            and (post.note.kind != PROBES_OVERDUE or post.note.number <= 1))


cdef int tell(Breaker b, Post *post) noexcept:
    """Notify everybody of a post, or go on with that. 1: done. 0: not now. RELIEVED: another thread goes on.
    -1: an error is set."""
    cdef int done
    if post.audience == NULL:
        if not bk_has_room():
            return 0
        if (<quiet_prepare>prepare)(b, post) < 0:
            if not lacks_room():
                return contain(b, <PyObject *>None, <PyObject *>None)
            PyErr_Clear()
            return 0
    while True:
        done = tell_all(b, post)
        if done != 1:
            return done
        if post.note.kind != PROBES_OVERDUE or post.note.number <= 1:
            return 1
        post.note.number -= 1
        post.telling = BEGUN


cdef int tell_all(Breaker b, Post *post) noexcept:
    """The same for the event that is made. Those that had no memory get it once more, by the next delivery."""
    cdef Telling *at = &post.telling
    cdef int place
    while at.told < PyTuple_GET_SIZE_(post.audience):
        if not bk_has_room():
            return 0
        if at.told and is_relieved(&b.core, post):
            return RELIEVED
        place = at.told
        at.told += 1  # before the call: one that is interrupted, or forks, has been notified
        if not at.second or (place < 64 and (at.again >> place) & 1):
            if notify(b, PyTuple_GET_ITEM_(post.audience, place), post.event, at) < 0:
                return -1
    if at.again == 0 or at.second:
        return 1
    at.second = True
    at.told = 0
    return 0


cdef int notify(Breaker b, PyObject *listener, PyObject *event, Telling *at) noexcept:
    cdef PyObject *answer = PyObject_CallOneArg(listener, event)
    if answer != NULL:
        if BK_LIKELY(not PyCoro_CheckExact(answer)):
            Py_DECREF(answer)
            return 0
        raise_of_coroutine(answer)
    if PyErr_ExceptionMatches(PyExc_MemoryError) and not at.second and at.told <= 64:
        PyErr_Clear()
        at.again |= <uint64_t>1 << (at.told - 1)
        return 0
    return contain(b, listener, event)


cdef int contain(Breaker b, PyObject *listener, PyObject *event) noexcept:
    """An error is set. If it is an `Exception` it is reported and gone, and so is one of the report: 0; else -1."""
    if not PyErr_ExceptionMatches(PyExc_Exception):
        return -1
    cdef PyObject *error = bk_take_exception()
    cdef int reported = (<quiet_report>report)(b, listener, event, error)
    Py_DECREF(error)
    if reported < 0:
        if not PyErr_ExceptionMatches(PyExc_Exception):
            return -1
        PyErr_Clear()
    return 0


cdef int report(Breaker b, listener, event, error) except -1:
    if b.listeners is not None:
        b.listeners.report(listener, event, error)
    return 0


cdef int prepare(Breaker b, Post *post) except -1:
    """Make the event of a post, for those who listen now."""
    cdef tuple audience = () if b.listeners is None else b.listeners.listeners
    event = event_of(b, &post.note, post.about) if audience else None
    post.event = new_reference(event)
    post.audience = new_reference(audience)
    return 0


cdef object event_of(Breaker b, const Note *note, PyObject *known):
    about = None if known == NULL else <object>known
    make = b.listeners.events
    if note.kind == STATE_CHANGED:
        return make.StateChanged(
            name=b.name, from_state=STATES[note.before], to_state=STATES[note.after], reason=REASONS[note.reason],
            epoch=note.epoch, consecutive_failures=note.number, retry_after=note.wait / 1e9, last_error=text_of(about),
            **rates_of(note))
    if note.kind == CALL_FAILED:
        return make.CallFailed(name=b.name, error=text_of(about))
    if note.kind == CREATED:
        return make.BreakerCreated(name=b.name, policy=about)
    if note.kind == MODE_CHANGED:
        return make.ModeChanged(name=b.name, from_mode=MODES[note.before], to_mode=MODES[note.after])
    if note.kind == POLICY_UPDATED:
        return make.PolicyUpdated(name=b.name, **about)
    if note.kind == WOULD_HAVE_OPENED:
        return make.WouldHaveOpened(
            name=b.name, consecutive_failures=note.number, reason=REASONS[note.reason], **rates_of(note))
    return make.ProbeOverdue(name=b.name)


cdef dict rates_of(const Note *note):
    """What an event tells of the rates; nothing where the reason is another."""
    if note.reason != FAILURE_RATE and note.reason != SLOW_CALL_RATE:
        return {}
    return {
        "failure_rate": None if note.failure_rate < 0 else note.failure_rate,
        "slow_call_rate": None if note.slow_call_rate < 0 else note.slow_call_rate,
        "window_calls": note.calls,
    }


cdef void drop_posts(Core *c) noexcept:
    """Free the queue of a breaker that is gone, and what lies ready for it."""
    cdef Post *post
    while c.here.posts != NULL:
        post = c.here.posts
        c.here.posts = post.after
        Py_XDECREF(post.about)
        Py_XDECREF(post.event)
        Py_XDECREF(post.audience)
        PyMem_RawFree(post)
    while c.here.spare != NULL:
        post = c.here.spare
        c.here.spare = post.after
        PyMem_RawFree(post)


# What the queue holds is the breaker's, so that the collector finds a cycle through a listener. It is cut elsewhere in it:
# the tuple of those who are notified is the provider's too.

ctypedef int (*visitproc)(PyObject *, void *) noexcept
ctypedef int (*traverseproc)(PyObject *, visitproc, void *) noexcept
cdef traverseproc traverse_fields = <traverseproc>(<PyTypeObject *>Breaker).tp_traverse


cdef int traverse_breaker(PyObject *self, visitproc visit, void *arg) noexcept:
    cdef Post *post = (<Breaker>self).core.here.posts
    cdef int stopped
    while post != NULL:
        if post.audience != NULL:
            stopped = visit(post.audience, arg)
            if stopped:
                return stopped
        if post.event != NULL:
            stopped = visit(post.event, arg)
            if stopped:
                return stopped
        post = post.after
    return traverse_fields(self, visit, arg)


(<PyTypeObject *>Breaker).tp_traverse = <cpython_traverseproc>traverse_breaker
