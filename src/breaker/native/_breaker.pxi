# `Breaker`, the object that programs hold: what may be read, what an operator may do, and the decorator.

@cython.final
cdef class Breaker:
    """Protects one dependency. Made by `Provider.get_breaker`, which returns the same object for the same name.

    Reading an attribute never causes a transition (S160).

    Thread safety:
        All of it may be used from any thread and task, and by finalizers, signal handlers and its own listeners.

    .. versionadded:: 0.1
    """

    cdef Core core
    cdef object __weakref__
    cdef readonly str name
    cdef object clock           # None: the system's monotonic clock
    cdef ListenersBase listeners    # None: nobody is ever notified
    cdef tuple ignore_on        # None: not given
    cdef tuple success_on
    cdef tuple failure_on
    cdef object failed_error
    cdef object failed_result

    def __cinit__(self, str name not None, policy, *, clock=None, ListenersBase listeners=None,
                  ignore_on=None, success_on=None, failure_on=None, failed_result=None, failed_error=None):
        # First what needs nobody else, for it can be found from now on, by those whose code runs below.
        cdef Core *c = &self.core  # all zero
        c.here.generation = generation
        c.here.policy = new_reference(policy)
        c.m.override = -1
        bk_join(&c.here.member, &c.here.lock)
        self.name = name
        self.clock = clock
        self.ignore_on = exception_types("ignore_on", ignore_on)
        self.success_on = exception_types("success_on", success_on)
        self.failure_on = exception_types("failure_on", failure_on)
        self.failed_result = predicate("failed_result", failed_result)
        self.failed_error = predicate("failed_error", failed_error)
        given = policy.numbers()
        cdef PolicyNumbers numbers = given  # matched by name: a field without a number raises
        cdef RuleNumbers rules = given
        cdef NewRules new = NewRules(rules=NULL, window=NULL)
        cdef int64_t now = now_of(self)
        if needs_rules(&rules):
            make_rules(&rules, &new)
        lock(c)
        memset(&c.m, 0, sizeof(c.m))  # whoever found it has perhaps used it
        c.m.override = -1
        c.m.since = now
        c.here.numbers = numbers
        c.here.bits = JUDGED if failed_result is not None else 0
        take_rules_locked(c, &rules, &new, clock is not None, now)
        store_word_locked(c)
        unlock(c)
        free_rules(&new)
        self.listeners = listeners
        announce(self)

    def __dealloc__(self):
        cdef Core *c = &self.core
        bk_leave(&c.here.member)
        drop_posts(c)
        Py_XDECREF(c.here.policy)
        Py_XDECREF(c.here.last_error)
        PyMem_RawFree(c.here.leases)
        if c.here.rules != NULL:
            PyMem_RawFree(c.here.rules.window)
            PyMem_RawFree(c.here.rules.recording)
            PyMem_RawFree(c.here.rules)
        bk_counter_free(&c.successes)

    def __call__(self, fn, /):
        """Decorate a function: every call of it goes through this breaker, by the rules of `do`.

        Args:
            fn: The function, method, ``staticmethod`` or ``classmethod``.

        Returns:
            A callable with its signature, name, docstring and ``__wrapped__``, that binds as a method and answers
            `inspect.iscoroutinefunction` and its like as ``fn`` does.

        Raises:
            TypeError: Something that cannot be called.

        .. versionadded:: 0.1
        """
        if isinstance(fn, (staticmethod, classmethod)):
            return type(fn)(self(fn.__func__))
        if not callable(fn):
            refuse_uncallable(<PyObject *>self, <PyObject *>fn)
        return new_function(self, fn)

    # -- reading --

    @property
    def state(self):
        """The `State` underneath any overlay (S90)."""
        return STATES[bk_load(&self.core.word) & 3]

    @property
    def mode(self):
        """The `Mode` in force: the operator's override, else the policy's (S91)."""
        return MODES[(bk_load(&self.core.word) >> 2) & 3]

    @property
    def policy(self):
        """The `Policy` in force."""
        lock(&self.core)
        cdef PyObject *policy = self.core.here.policy
        Py_XINCREF(policy)
        unlock(&self.core)
        return None if policy == NULL else steal(policy)

    @property
    def retry_after(self):
        """Seconds until a call can be admitted, as known now; never negative (S72)."""
        cdef int64_t now = now_of(self)
        lock(&self.core)
        cdef int64_t wait = wait_locked(&self.core, now)
        unlock(&self.core)
        return wait / 1e9

    def snapshot(self):
        """Everything at one moment (S161).

        Returns:
            A `Snapshot`.

        .. versionadded:: 0.1
        """
        return snapshot_of(self)

    def __repr__(self):
        mode = "" if self.mode is _Mode.AUTO else f" {self.mode}"
        return f"<Breaker {self.name!r} {self.state}{mode}>"

    def __reduce__(self):
        raise TypeError(
            f"breaker {self.name!r} cannot be pickled or copied, its state belongs to this process; "
            "pass its name and call provider.get_breaker(name) where it is needed"
        )

    # -- operating --

    def override(self, mode, /):
        """Put a mode over the policy's until it is cleared (S91).

        Args:
            mode: A `Mode`; `Mode.AUTO` overrules a document, None clears the override.

        Raises:
            TypeError: Neither a `Mode` nor None.

        .. versionadded:: 0.1
        """
        if mode is not None and not isinstance(mode, _Mode):
            raise TypeError(f"override takes a breaker.Mode or None, got {mode!r}")
        operate(self, -1 if mode is None else MODES.index(mode), False)

    def force_open(self):
        """Reject every call until the override is cleared (S93)."""
        operate(self, FORCED_OPEN, False)

    def disable(self):
        """Let every call run, counted but not judged, until the override is cleared (S94)."""
        operate(self, DISABLED, False)

    def shadow(self):
        """Let every call run, and emit `WouldHaveOpened` instead of opening, until the override is cleared (S95)."""
        operate(self, SHADOW, False)

    def clear_override(self):
        """Lift the operator's override: the policy's mode is in force again (S91)."""
        operate(self, -1, False)

    def reset(self):
        """Close at once: streak, backoff and override are cleared, calls in flight will be late, totals stay (S99)."""
        operate(self, -1, True)

    # -- for the provider --

    def _replace_policy(self, policy, revision, int64_t now):
        """Take a policy and queue its events for `_deliver`. Returns whether it differed.

        ``now`` is read by the caller, who may hold a lock here: the clock is the user's.
        """
        return replace_policy(self, policy, revision, now)

    def _deliver(self):
        """Deliver what is queued to the listeners, unless somebody is doing so."""
        if deliver(self, 0) < 0:
            raise_set()

    def _options(self):
        """The classification options this breaker was made with, by name."""
        return {"ignore_on": self.ignore_on, "success_on": self.success_on,
                "failure_on": self.failure_on, "failed_result": self.failed_result,
                "failed_error": self.failed_error}


cdef int64_t now_of(Breaker b) except? -1:
    return bk_monotonic_ns() if b.clock is None else reading_of(b.clock)


cdef int64_t reading_of(clock) except? -1:
    reading = clock()
    if not isinstance(reading, int):
        raise TypeError(f"the clock must return whole nanoseconds (int), got {reading!r}")
    try:
        return <int64_t>reading
    except OverflowError:
        raise OverflowError(
            f"the clock must return nanoseconds from -2**63 to 2**63 - 1, got {reading}; subtract its first reading"
        ) from None


def read_clock(clock, /):
    """The time in nanoseconds by a provider's clock; None is the system's."""
    return bk_monotonic_ns() if clock is None else reading_of(clock)


cdef object _Snapshot = None


def take_snapshots_as(kind, /):
    """Called once, with `Snapshot`: the machine is below it, and an import in the middle of a call could fail."""
    global _Snapshot
    _Snapshot = kind


cdef object snapshot_of(Breaker b):
    make = _Snapshot
    cdef int64_t now = now_of(b)
    cdef WindowSeen window
    lock(&b.core)
    window = window_seen_locked(&b.core, now)
    cdef int64_t wait = wait_locked(&b.core, now)
    cdef double share = recovery_share_locked(&b.core, now)
    cdef uint64_t successes = bk_counted(&b.core.successes)
    cdef Machine seen = b.core.m
    cdef const Local *here = &b.core.here
    cdef PyObject *held = here.policy
    cdef PyObject *said = here.last_error
    Py_XINCREF(held)
    Py_XINCREF(said)
    cdef uint64_t refused[3]
    memcpy(refused, here.rejected, sizeof(refused))
    cdef int mode = shown_mode_locked(&b.core)
    cdef int entered = here.entered
    cdef uint32_t shadow_openings = here.shadow_openings
    unlock(&b.core)
    policy = None if held == NULL else steal(held)
    last_error = None if said == NULL else steal(said)
    cdef uint64_t spent = elapsed(seen.since, now)
    seen.state_ns[seen.state] += spent
    moves = {move: seen.transitions[PAIRS[STATES.index(move[0])][STATES.index(move[1])]] for move in MOVES}
    rejected = {reason: refused[i] for i, reason in enumerate(REJECTIONS[:WHILE_RECOVERING])}
    rejected[REJECTIONS[WHILE_RECOVERING]] = window.rejected
    return make(
        name=b.name,
        service="" if b.listeners is None else b.listeners.service,
        state=STATES[seen.state],
        reason=None if entered == 0 else REASONS[entered - 1],
        seconds_in_state=spent / 1e9,
        mode=MODES[mode],
        override=None if seen.override < 0 else MODES[seen.override],
        epoch=seen.epoch,
        consecutive_failures=seen.streak,
        last_error=text_of(last_error),
        half_open_successes=seen.probe_successes,
        half_open_in_flight=seen.in_flight,
        window_calls=window.all.calls,
        window_failures=window.all.failures,
        window_slow_calls=window.all.slow,
        slow_calls_in_flight=window.late,
        would_have_opened=seen.would_have_opened != 0,
        recovery_share=None if share < 0 else share,
        successes=successes,
        failures=seen.failures,
        ignored=seen.ignored,
        rejected=sum(rejected.values()),
        rejected_by_reason=rejected,
        late=seen.late,
        overdue=seen.overdue,
        openings=seen.transitions[PAIRS[CLOSED][OPEN]] + seen.transitions[PAIRS[HALF_OPEN][OPEN]],
        transitions=moves,
        probes={end: seen.probes[i] for i, end in enumerate(ENDS_OF_PROBES)},
        shadow_openings=shadow_openings,
        retry_after=wait / 1e9,
        state_seconds={STATES[i]: seen.state_ns[i] / 1e9 for i in range(3)},
        policy=policy,
    )


cdef int operate(Breaker b, int override, bint reset) except -1:
    cdef Outbox out
    cdef int64_t now = now_of(b) if reset else 0
    open_outbox(b, &out)
    if start_decision(&b.core, &out) < 0:
        raise_set()
    if reset:
        reset_locked(&b.core, now, &out)
    else:
        override_locked(&b.core, override, &out)
    end_decision(&b.core, &out)
    if flush(b, &out) < 0:
        raise_set()
    return 0


cdef bint replace_policy(Breaker b, policy, revision, int64_t now) except -1:
    cdef Outbox out
    old = b.policy
    if policy == old:
        return False
    given = policy.numbers()
    cdef PolicyNumbers numbers = given
    cdef RuleNumbers rules = given
    cdef NewRules new = NewRules(rules=NULL, window=NULL)
    cdef int verdict = NEEDS_ROOM
    update = {"old": old, "new": policy, "revision": revision}
    open_outbox(b, &out)
    out.update = <PyObject *>update
    while verdict == NEEDS_ROOM:
        if start_decision(&b.core, &out) < 0:
            free_rules(&new)
            raise_set()
        verdict = replace_locked(&b.core, &numbers, &rules, &new, b.clock is not None, now, &out)
        if verdict == DONE:
            out.policy = new_reference(policy)
        end_decision(&b.core, &out)
        if verdict == NEEDS_ROOM:
            make_rules(&rules, &new)
    free_rules(&new)
    out.undelivered = False  # the caller may hold a lock
    flush(b, &out)
    return True


cdef PyObject *failure_kept(PyObject *b) noexcept:
    return (<Breaker>b).core.here.last_error


# For the collector: the class of a failure may hold the breaker, if it was made in a function that has one.
bk_traverse_failure(<PyTypeObject *>Breaker, failure_kept)
