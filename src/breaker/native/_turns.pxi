# Who delivers a breaker's events: one thread at a time, and none for ever.
#
# A thread that has delivered its own events and SHARE more goes on, but the next one that brings an event takes the role
# from it: it waits for the listener under way, then goes on where that one has stopped. So a slow listener holds no call
# for as long as others bring it work. Threads that come while one waits leave their events to it, and so do listeners,
# signal handlers and greenlets of the thread that delivers, which would wait for themselves.

cdef enum:
    SHARE = 64              # events beside its own that a thread delivers before others may take the role
    RELIEVED = 2            # what `tell` answers: another thread has the role


cdef int take_role(Breaker b, int own) noexcept:
    """Become the deliverer. 1: this thread is. 0: another is, or there is nothing to deliver. -1: an error is set."""
    cdef Core *c = &b.core
    cdef unsigned long me = PyThread_get_thread_ident()
    cdef PyThread_type_lock woken
    lock(c)
    if c.here.posts != NULL and c.here.deliverer == 0:
        c.here.deliverer = me
        c.here.turn = TAKEN
        unlock(c)
        return 1
    if not may_ask_locked(c, me, own):
        unlock(c)
        return 0
    unlock(c)
    woken = bk_new_waiting()
    if woken == NULL:
        return 0  # who delivers goes on
    cdef int got = ask_for_role(c, me, own, woken)
    bk_free_waiting(woken)
    return got


cdef bint may_ask_locked(const Core *c, unsigned long me, int own) noexcept nogil:
    return c.here.posts != NULL and c.here.turn == FREE and own > 0 and c.here.deliverer not in (0, me)


cdef int ask_for_role(Core *c, unsigned long me, int own, PyThread_type_lock woken) noexcept:
    """Wait until the deliverer lets go. As `take_role` answers."""
    cdef bk_turn_t turn
    cdef int got
    lock(c)
    if not may_ask_locked(c, me, own):  # any more
        unlock(c)
        return 0
    turn.whose = c
    turn.woken = woken
    turn.thread = me
    bk_ask_turn(&turn)
    c.here.turn = ASKED
    unlock(c)
    got = bk_await_turn(&turn)
    lock(c)
    if c.here.deliverer == me:  # also where it was given the role a moment too late
        if got >= 0:
            got = c.here.posts != NULL
        if got <= 0:
            c.here.deliverer = 0
    else:
        bk_take_turn(c)
        c.here.turn = FREE
        got = min(got, 0)
    unlock(c)
    return got


cdef void give_role_up_locked(Core *c) noexcept nogil:
    """The deliverer lets go: whoever waits for the role has it from now on."""
    cdef bk_turn_t *turn = NULL
    if c.here.turn == ASKED:
        turn = bk_take_turn(c)
    c.here.turn = TAKEN
    c.here.deliverer = 0
    if turn != NULL:
        c.here.deliverer = turn.thread
        bk_wake(turn)


cdef bint is_relieved(Core *c, const Post *post) noexcept:
    """Let go between two listeners of an event of the queue, if another thread waits for that."""
    cdef bint relieved
    lock(c)
    relieved = c.here.turn == ASKED and c.here.posts == post and c.here.deliverer == PyThread_get_thread_ident()
    if relieved:
        give_role_up_locked(c)
    unlock(c)
    return relieved
