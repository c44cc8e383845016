# What was noted under the lock, delivered to the listeners after it: in order, one at a time per breaker, contained.
#
# A note's turn is given out under the lock, so turns are in the order of the transitions. The event is made after the
# lock is released and put into a list ordered by turn. A thread that finds nobody delivering becomes the deliverer and
# goes on until the next turn is missing; looking for it and giving up the role is one step under the lock, so no event
# is left behind. A listener that uses the breaker finds a deliverer at work and leaves its own events to it.


cdef void open_outbox(Breaker b, Outbox *out) noexcept:
    out.count = 0
    out.releases = 0
    out.error = NULL
    out.policy = NULL
    # The collector may have cleared the listeners before it frees a permit of the same cycle.
    out.listening = b.listeners is not None and b.listeners.listeners is not None and len(b.listeners.listeners) > 0


cdef class ListenersBase:
    """Who is notified, for all breakers of one provider. `breaker._listeners.Listeners` adds the rest."""

    cdef public tuple listeners

    def __cinit__(self, *args, **kwargs):
        self.listeners = ()


cdef int announce(Breaker b) except -1:
    """The first event of a breaker, queued before anybody else can know it."""
    cdef Outbox out
    open_outbox(b, &out)
    start_decision(&b.core, &out)
    note_locked(&b.core, &out, CREATED, 0, 0, 0, 0)
    end_decision(&b.core, &out)
    enqueue(b, &out, None, None)
    return 0


cdef int flush(Breaker b, Outbox *out, str text, extra) except -1:
    """What is left to do after a decision: drop what was let go, make the events, deliver them."""
    if out.releases or out.count:
        if enqueue(b, out, text, extra):
            deliver(b)
    return 0


cdef bint enqueue(Breaker b, Outbox *out, str text, extra) except -1:
    """Make the events of an outbox and put them in the breaker's list. Returns whether there were any."""
    cdef Post *item
    cdef Note *note
    trouble = None
    for i in range(out.releases):
        Py_DECREF(out.released[i])
    for i in range(out.count):
        note = &out.notes[i]
        error = None if note.error == NULL else steal(note.error)
        events = ()
        try:
            events = events_of(b, note, error, text, extra)
        except BaseException as raised:  # its turn must come all the same, or all that follow would wait for it
            if trouble is None or isinstance(trouble, Exception):
                trouble = raised
        item = <Post *>malloc(sizeof(Post))
        if item == NULL:
            raise MemoryError()
        item.turn = note.turn
        item.events = <PyObject *>events
        Py_INCREF(item.events)
        lock(&b.core)
        insert_locked(&b.core, item)
        unlock(&b.core)
    if isinstance(trouble, Exception):
        b.listeners.report(None, None, trouble)
    elif trouble is not None:
        raise trouble
    return out.count > 0


cdef tuple events_of(Breaker b, Note *note, error, text, extra):
    make = b.listeners.events
    if note.kind == STATE_CHANGED:
        return (make.StateChanged(
            name=b.name, from_state=STATES[note.before], to_state=STATES[note.after], reason=REASONS[note.reason],
            epoch=note.epoch, consecutive_failures=note.number, retry_after=note.wait / 1e9, last_error=error),)
    if note.kind == CALL_FAILED:
        return (make.CallFailed(name=b.name, error=text),)
    if note.kind == CREATED:
        return (make.BreakerCreated(name=b.name, policy=b.policy),)
    if note.kind == MODE_CHANGED:
        return (make.ModeChanged(name=b.name, from_mode=MODES[note.before], to_mode=MODES[note.after]),)
    if note.kind == POLICY_UPDATED:
        return (make.PolicyUpdated(name=b.name, **extra),)
    if note.kind == WOULD_HAVE_OPENED:
        return (make.WouldHaveOpened(name=b.name, consecutive_failures=note.number),)
    return (make.ProbeLost(name=b.name),) * note.number


cdef void insert_locked(Core *c, Post *item) noexcept nogil:
    cdef Post **place = &c.here.posts
    while place[0] != NULL and place[0].turn < item.turn:
        place = &place[0].after
    item.after = place[0]
    place[0] = item


cdef bint claim_locked(Core *c) noexcept nogil:
    if c.here.deliverer != 0:
        return False
    c.here.deliverer = PyThread_get_thread_ident()
    return True


cdef Post *next_locked(Core *c) noexcept nogil:
    """The next turn's events, or NULL: then the role is given up."""
    cdef Local *here = &c.here
    cdef Post *item = here.posts
    if here.delivered < here.abandoned_below:
        if item == NULL:
            here.delivered = here.abandoned_below
        else:
            here.delivered = min(here.abandoned_below, max(here.delivered, item.turn))
    if item == NULL or item.turn > here.delivered:
        here.deliverer = 0
        return NULL
    here.posts = item.after
    here.delivered = max(here.delivered, item.turn + 1)
    return item


cdef int deliver(Breaker b) except -1:
    """Be the deliverer until nothing is left. An `Exception` of a listener is reported; any other ends the delivery."""
    cdef Post *item
    cdef bint mine
    lock(&b.core)
    mine = claim_locked(&b.core)
    unlock(&b.core)
    if not mine:
        return 0
    try:
        while True:
            deliver_pending(b)
            lock(&b.core)
            item = next_locked(&b.core)
            unlock(&b.core)
            if item == NULL:
                mine = False
                return 0
            events = steal(item.events)
            free(item)
            b.telling = iter([(listener, event) for event in events for listener in b.listeners.listeners])
    finally:
        if mine:
            lock(&b.core)
            b.core.here.deliverer = 0
            unlock(&b.core)


cdef int deliver_pending(Breaker b) except -1:
    """Go on with the deliveries under way; what an interrupt left is kept for the next deliverer."""
    if b.telling is None:
        return 0
    for listener, event in b.telling:
        try:
            listener(event)
        except Exception as error:
            b.listeners.report(listener, event, error)
    b.telling = None
    return 0


cdef void drop_posts(Core *c) noexcept:
    cdef Post *item = c.here.posts
    while item != NULL:
        c.here.posts = item.after
        Py_DECREF(item.events)
        free(item)
        item = c.here.posts
