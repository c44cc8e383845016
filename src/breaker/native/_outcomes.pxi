# Which exception means which outcome.

cdef PyTypeObject *GROUP = <PyTypeObject *>_BaseExceptionGroup


def exception_types(option, types):
    """A classification option as a flat tuple of exception types; None stays None (not given)."""
    if types is None:
        return None
    listed = types if isinstance(types, tuple) else (types,)
    for kind in listed:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise TypeError(
                f"{option} must be an exception type or a tuple of them, like (ConnectionError, TimeoutError), "
                f"got {kind!r}"
            )
    return listed


cdef object predicate(option, given):
    """A function that is given as an option; None: none was."""
    if given is not None and not callable(given):
        raise TypeError(f"{option} must be a callable, got {type(given).__name__}")
    return given


cdef bint listed_in(tuple types, PyTypeObject *kind, bint is_rejection) noexcept:
    """As an ``except`` clause matches: by inheritance alone, so that no Python code runs.

    A rejection has to be named as one: neither `Exception` nor an error of the library that it passes for means it.
    """
    cdef PyObject *items = <PyObject *>types
    cdef PyTypeObject *named
    for i in range(PyTuple_GET_SIZE_(items)):
        named = <PyTypeObject *>PyTuple_GET_ITEM_(items, i)
        if PyType_IsSubtype(kind, named) and not (
                is_rejection and not PyType_IsSubtype(named, <PyTypeObject *>BreakerError)):
            return True
    return False


cdef inline bint is_rejection(PyTypeObject *kind) noexcept:
    return PyType_IsSubtype(kind, <PyTypeObject *>BreakerOpenError)


cdef int outcome_of_type(Breaker b, PyTypeObject *kind) noexcept:
    """SUCCESS, FAILURE or IGNORED by the lists, first match wins, then by the defaults."""
    cdef bint passing = is_rejection(kind)
    if b.ignore_on is not None and listed_in(b.ignore_on, kind, passing):
        return IGNORED
    if b.success_on is not None and listed_in(b.success_on, kind, passing):
        return SUCCESS
    if b.failure_on is not None and listed_in(b.failure_on, kind, passing):
        return FAILURE
    if passing or not PyType_IsSubtype(kind, <PyTypeObject *>PyExc_Exception):
        return IGNORED
    return FAILURE if b.failure_on is None else SUCCESS


cdef enum:
    UNKNOWN = -1            # an error of ours is set, such as having no memory
    MISJUDGED = -2          # the error of the predicate is set


cdef int outcome_of(Breaker b, PyObject *error) noexcept:
    """The outcome that an exception means; an ExceptionGroup means what its leaves mean. Negative: an error is set."""
    if BK_UNLIKELY(PyType_IsSubtype(Py_TYPE(error), GROUP)):
        return (<int (*)(Breaker, PyObject *) noexcept>outcome_of_group)(b, error)
    return outcome_of_leaf(b, error, error)


cdef inline int outcome_of_leaf(Breaker b, PyObject *leaf, PyObject *raised) noexcept:
    if BK_UNLIKELY(b.failed_error is not None and not is_rejection(Py_TYPE(leaf))):
        return outcome_asked(b, leaf, raised)
    return outcome_of_type(b, Py_TYPE(leaf))


cdef int outcome_asked(Breaker b, PyObject *leaf, PyObject *raised) noexcept:
    """By ``failed_error``, which is asked as in an ``except`` clause for what the call raised; None: by the lists."""
    Py_INCREF(raised)
    cdef PyObject *before = bk_exchange_handled(raised)
    cdef PyObject *answer = PyObject_CallOneArg(<PyObject *>b.failed_error, leaf)
    cdef int outcome = MISJUDGED
    if answer == <PyObject *>None:
        outcome = outcome_of_type(b, Py_TYPE(leaf))
    elif answer == Py_True or answer == Py_False:
        outcome = FAILURE if answer == Py_True else SUCCESS
    elif answer != NULL and PyCoro_CheckExact(answer):
        raise_of_coroutine(answer)
        answer = NULL
    elif answer != NULL:
        (<int (*)(PyObject *) noexcept>refuse_answer)(answer)
    Py_XDECREF(answer)
    Py_XDECREF(bk_exchange_handled(before))
    return outcome


cdef int refuse_answer(PyObject *answer) except -1:
    raise TypeError(
        "failed_error must return True (a failure), False (a success) or None (the lists decide), got an object of "
        f"type {name_of_type(<object>answer)}"
    )


cdef int outcome_of_group(Breaker b, PyObject *group) except -1:
    """Failure if any leaf is one, else success if any is, else ignored.

    A list, not recursion: groups nest deep. Each is looked at once: one may be in many others.
    """
    cdef int verdict = IGNORED
    cdef int outcome
    cdef set seen = set()
    pending = [<object>group]
    while pending:
        error = pending.pop()
        if PyType_IsSubtype(Py_TYPE(<PyObject *>error), GROUP):
            if id(error) not in seen:
                seen.add(id(error))
                pending.extend(_BaseExceptionGroup.exceptions.__get__(error)[::-1])
            continue
        outcome = outcome_of_leaf(b, <PyObject *>error, group)
        if outcome < 0 or outcome == FAILURE:
            return outcome
        if outcome == SUCCESS:
            verdict = SUCCESS
    return verdict
