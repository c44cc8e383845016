# What surrounds a decision: the lock, and the outbox for what must happen once, however often the decision is made.

cdef enum:
    MOST_NOTES = 4          # of one decision: a policy's are three

cdef struct Note:           # something that the listeners will be notified of
    int kind
    int before              # state or mode
    int after
    int reason
    uint64_t epoch
    int64_t number          # failures in a row, or probes overdue
    int64_t wait
    double failure_rate     # these three where the reason is a rate, as in `Outbox`
    double slow_call_rate
    int64_t calls


cdef struct Telling:        # how far the delivery of an event is
    int told                # listeners that were notified
    bint second             # those of `again` are being notified
    uint64_t again          # of the first 64: to be notified once more


cdef struct Post:           # a note that waits to be delivered
    Note note
    PyObject *about         # owned: the text of an error, a policy, the fields of an update; NULL: nothing
    PyObject *event         # owned, as is the tuple of those who are notified; NULL: it was not made yet
    PyObject *audience
    Post *after
    Telling telling


cdef struct Refusal:
    int state
    int reason              # -1: none
    int64_t wait
    PyObject *last_error    # owned


cdef struct Outbox:         # what one decision leaves to be done once, when it stands
    bint listening          # is there anybody to notify?
    bint cramped            # nobody can be, for want of memory: nothing may happen that they would have to know
    bint succeeded
    bint undelivered        # posts wait, and nobody delivers them, or somebody who has done its share
    Post *own               # that the call has failed, to be delivered by its own thread
    PyObject *text          # borrowed: of the failure being recorded, NULL until it is asked for
    PyObject *update        # borrowed: the fields of a policy's update
    PyObject *policy        # owned: the policy that is taken, or NULL
    int last_error          # KEPT, REPLACED or CLEARED
    bint slow               # of the call that is settled, by `look_locked`, and the time by which it is judged
    bint harmless           # and that no rule will hold when it is recorded
    int64_t now
    double failure_rate     # as judged; -1: there is no such rule
    double slow_call_rate
    int64_t calls           # that the rate is of which holds
    int count
    int releases
    Refusal refusal
    Note notes[MOST_NOTES]
    PyObject *released[2]   # owned: objects that the breaker let go of


cdef Telling BEGUN = Telling(told=0, second=False, again=0)


cdef inline void lock(Core *c) noexcept nogil:
    bk_lock(&c.here.lock)
    if BK_UNLIKELY(c.here.generation != generation):
        adopt_locked(c)


cdef inline void unlock(Core *c) noexcept nogil:
    bk_unlock(&c.here.lock)


cdef inline void open_outbox(Breaker b, Outbox *out) noexcept:
    out.releases = 0
    out.text = NULL
    out.update = NULL
    out.policy = NULL
    out.own = NULL
    out.cramped = False
    # The collector may have cleared the listeners before it frees a permit of the same cycle.
    out.listening = b.listeners is not None and bk_load(&b.listeners.heard) != 0


cdef inline int start_decision(Core *c, Outbox *out) noexcept:
    """Take the lock. -1: it is not taken and an error is set, for what is decided could not be kept for the listeners."""
    lock(c)
    out.succeeded = False
    out.last_error = KEPT
    out.refusal.reason = -1
    out.count = 0
    if out.listening and BK_UNLIKELY(c.here.spares < MOST_NOTES):
        return reserve_posts(c)
    return 0


cdef int reserve_posts(Core *c) noexcept:
    """Make sure that as many posts lie ready as a decision may need. The lock is held before it and, with 0, after it."""
    cdef Post *post
    while c.here.spares < MOST_NOTES:
        unlock(c)
        post = <Post *>PyMem_RawMalloc(sizeof(Post))
        if post == NULL:
            PyErr_SetString(PyExc_MemoryError, "breaker: no memory for an event")
            return -1
        lock(c)
        keep_spare_locked(c, post)
    return 0


cdef void keep_spare_locked(Core *c, Post *post) noexcept nogil:
    post.after = c.here.spare
    c.here.spare = post
    c.here.spares += 1


cdef inline void end_decision(Core *c, Outbox *out) noexcept nogil:
    """The decision stands: do what it left in the outbox for this, and show the new state."""
    if out.succeeded:
        bk_count(&c.successes)
    if BK_UNLIKELY(out.last_error != KEPT):
        exchange_locked(&c.here.last_error, out.text if out.last_error == REPLACED else NULL, out)
        Py_XINCREF(c.here.last_error)
    if out.policy != NULL:
        exchange_locked(&c.here.policy, out.policy, out)
        out.policy = NULL
    if out.refusal.reason >= 0:
        if BK_UNLIKELY(out.refusal.reason == WHILE_RECOVERING):
            c.here.rules.rejected += 1
        else:
            c.here.rejected[out.refusal.reason] += 1
        if BK_UNLIKELY(c.here.rules != NULL):
            keep_rejection_locked(c, out.now)
        out.refusal.last_error = c.here.last_error
        Py_XINCREF(out.refusal.last_error)
    if BK_UNLIKELY(out.count != 0):
        post_locked(c, out)
    out.undelivered = c.here.posts != NULL and (c.here.deliverer == 0 or (c.here.turn == FREE and out.count != 0))
    store_word_locked(c)
    unlock(c)


cdef void post_locked(Core *c, Outbox *out) noexcept nogil:
    """Put the notes of a decision behind those of the decisions before; that a call failed is its own thread's to tell."""
    cdef Post *post
    cdef int i
    for i in range(out.count):
        post = c.here.spare
        c.here.spare = post.after
        c.here.spares -= 1
        post.note = out.notes[i]
        post.about = about_locked(c, out, post.note.kind)
        Py_XINCREF(post.about)
        post.event = NULL
        post.audience = NULL
        post.telling = BEGUN
        post.after = NULL
        if post.note.kind == CALL_FAILED and c.here.announced:
            out.own = post
            continue
        if c.here.posts == NULL:
            c.here.posts = post
        else:
            c.here.last.after = post
        c.here.last = post


cdef PyObject *about_locked(const Core *c, const Outbox *out, int kind) noexcept nogil:
    """The object that an event of this kind tells of, as it is now."""
    if kind == STATE_CHANGED:
        return c.here.last_error
    if kind == CALL_FAILED:
        return out.text
    if kind == CREATED:
        return c.here.policy
    return out.update if kind == POLICY_UPDATED else NULL


cdef void exchange_locked(PyObject **place, PyObject *owned, Outbox *out) noexcept nogil:
    """Keep another object. The reference of the old one is dropped after the lock, for that may run Python code."""
    if place[0] != NULL:
        out.released[out.releases] = place[0]
        out.releases += 1
    place[0] = owned


cdef inline int shown_mode_locked(const Core *c) noexcept nogil:
    """The mode in force when the last decision stood: what the listeners were told of."""
    return (c.word >> 2) & 3


cdef inline void store_word_locked(Core *c) noexcept nogil:
    """Make `Core.word` say what the fields say."""
    cdef int mode = mode_locked(c)
    cdef uint64_t word = (c.m.epoch << EPOCH_SHIFT) | <uint64_t>(mode << 2) | <uint64_t>c.m.state
    if c.m.streak:
        word |= STREAK
    word |= c.here.bits
    if word != c.word:
        bk_store(&c.word, word)


cdef void note_locked(Core *c, Outbox *out, int kind, int before, int after, int reason, int64_t number) noexcept nogil:
    """Remember an event for the listeners. It gets its place in the order when the decision stands."""
    cdef Note *note
    if not out.listening:
        return
    note = &out.notes[out.count]
    out.count += 1
    note.kind, note.before, note.after, note.reason, note.number = kind, before, after, reason, number
    note.epoch = c.m.epoch
    note.wait = open_span_locked(c) if kind == STATE_CHANGED and after == OPEN else 0
    if reason == FAILURE_RATE or reason == SLOW_CALL_RATE:
        note.failure_rate, note.slow_call_rate, note.calls = out.failure_rate, out.slow_call_rate, out.calls
