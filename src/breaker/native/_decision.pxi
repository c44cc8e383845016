# What surrounds a decision: the lock, and the outbox for what must happen once, however often the decision is made.

cdef struct Note:           # something that the listeners will be notified of
    int kind
    int before              # state or mode
    int after
    int reason
    uint64_t epoch
    int64_t number          # failures in a row, or probes lost
    int64_t wait
    uint64_t turn           # its place in the order of this breaker's events
    PyObject *error         # owned


cdef struct Refusal:
    int state
    int reason              # -1: none
    int64_t wait
    PyObject *last_error    # owned


cdef struct Outbox:         # what one decision leaves to be done once, when it stands
    bint listening          # is there anybody to notify?
    PyObject *error         # borrowed: text of the failure being recorded, NULL until it is asked for
    PyObject *policy        # owned: the policy that is taken, or NULL
    bint succeeded
    int last_error          # KEPT, REPLACED or CLEARED
    Refusal refusal
    int count
    Note notes[4]
    PyObject *released[2]   # owned: objects that the breaker let go of
    int releases


cdef struct Post:           # an event on its way, in a list ordered by turn
    uint64_t turn
    PyObject *events        # owned tuple
    Post *after


cdef inline void lock(Core *c) noexcept nogil:
    bk_lock(&c.here.lock)
    if BK_UNLIKELY(c.here.generation != generation):
        adopt_locked(c)


cdef inline void unlock(Core *c) noexcept nogil:
    bk_unlock(&c.here.lock)


cdef inline void start_decision(Core *c, Outbox *out) noexcept nogil:
    lock(c)
    out.succeeded = False
    out.last_error = KEPT
    out.refusal.reason = -1
    out.count = 0


cdef void end_decision(Core *c, Outbox *out) noexcept nogil:
    """The decision stands: do what it left in the outbox for this, and show the new state."""
    cdef int i
    if out.succeeded:
        bk_count(&c.successes)
    if out.last_error != KEPT:
        exchange_locked(&c.here.last_error, out.error if out.last_error == REPLACED else NULL, out)
        Py_XINCREF(c.here.last_error)
    if out.policy != NULL:
        exchange_locked(&c.here.policy, out.policy, out)
        out.policy = NULL
    if out.refusal.reason >= 0:
        c.here.rejected[out.refusal.reason] += 1
        out.refusal.last_error = c.here.last_error
        Py_XINCREF(out.refusal.last_error)
    for i in range(out.count):
        out.notes[i].turn = c.here.noted
        out.notes[i].error = c.here.last_error
        Py_XINCREF(out.notes[i].error)
        c.here.noted += 1
    c.here.mode = mode_locked(c)
    store_word_locked(c)
    unlock(c)


cdef void exchange_locked(PyObject **place, PyObject *owned, Outbox *out) noexcept nogil:
    """Keep another object. The reference of the old one is dropped after the lock, for that may run Python code."""
    if place[0] != NULL:
        out.released[out.releases] = place[0]
        out.releases += 1
    place[0] = owned


cdef void store_word_locked(Core *c) noexcept nogil:
    """Make `Core.word` say what the fields say."""
    cdef uint64_t word = (c.m.epoch << EPOCH_SHIFT) | <uint64_t>(mode_locked(c) << 2) | <uint64_t>c.m.state
    if c.m.streak:
        word |= STREAK
    if c.here.judged:
        word |= JUDGED
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
