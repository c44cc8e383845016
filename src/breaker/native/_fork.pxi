# Fork: a child has the breakers as they were at that moment, and only the thread that forked.

cdef uint16_t generation = 0        # how many forks this process is away from the first one
cdef unsigned long forker = 0       # the thread that forked this process


cdef void adopt_locked(Core *c) noexcept nogil:
    """In a child, at its first look: slots of threads that are not here are free, and they deliver no events.

    An opening gets a random part of its own, or all children would probe at one moment.
    """
    cdef int16_t i = 0
    c.here.generation = generation
    if c.m.state == OPEN:
        c.m.drawn = bk_draw()
    if c.here.rules != NULL:
        bk_flights_forget(&c.here.rules.in_flight)
    while i < c.m.in_flight:
        if c.here.leases[i].owner != forker:
            forget_locked(c, i)
            c.m.ignored += 1
            c.m.probes[IGNORED] += 1
        else:
            i += 1
    if c.here.deliverer != forker:
        c.here.deliverer = 0
    if c.here.turn == ASKED:
        c.here.turn = FREE


def _before_fork() -> None:
    bk_before_fork()


def _after_fork_in_parent() -> None:
    bk_after_fork(False)


def _after_fork_in_child() -> None:
    global generation, forker
    bk_after_fork(True)
    bk_forget_turns()
    bk_seed()
    generation += 1
    forker = PyThread_get_thread_ident()


bk_seed()
if hasattr(_os, "register_at_fork"):
    _os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
