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


cdef bint listed_in(tuple types, PyTypeObject *kind) noexcept:
    """As an ``except`` clause matches: by inheritance alone, so that no Python code runs."""
    cdef PyObject *items = <PyObject *>types
    for i in range(PyTuple_GET_SIZE_(items)):
        if PyType_IsSubtype(kind, <PyTypeObject *>PyTuple_GET_ITEM_(items, i)):
            return True
    return False


cdef int outcome_of_type(Breaker b, PyTypeObject *kind) noexcept:
    """SUCCESS, FAILURE or IGNORED by the lists, first match wins, then by the defaults."""
    if b.ignore_on is not None and listed_in(b.ignore_on, kind):
        return IGNORED
    if b.success_on is not None and listed_in(b.success_on, kind):
        return SUCCESS
    if b.failure_on is not None and listed_in(b.failure_on, kind):
        return FAILURE
    if not PyType_IsSubtype(kind, <PyTypeObject *>PyExc_Exception):
        return IGNORED
    if PyType_IsSubtype(kind, <PyTypeObject *>BreakerOpenError):
        return IGNORED
    return FAILURE if b.failure_on is None else SUCCESS


cdef int outcome_of(Breaker b, PyObject *error) noexcept:
    """The outcome that an exception means; an ExceptionGroup means what its leaves mean. -1: an error is set."""
    if BK_UNLIKELY(PyType_IsSubtype(Py_TYPE(error), GROUP)):
        return (<int (*)(Breaker, PyObject *) noexcept>outcome_of_group)(b, error)
    return outcome_of_type(b, Py_TYPE(error))


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
                pending.extend(_BaseExceptionGroup.exceptions.__get__(error))
            continue
        outcome = outcome_of_type(b, Py_TYPE(<PyObject *>error))
        if outcome == FAILURE:
            return FAILURE
        if outcome == SUCCESS:
            verdict = SUCCESS
    return verdict


cdef enum:
    MESSAGE_LIMIT = 1000    # characters of an exception's message that are kept


cdef object _TYPE_NAME = type.__dict__["__name__"]


cdef str describe(error):
    """``"TypeName: message"``; a text is returned as it is.

    Fails where there is no memory, and with what the error's ``__str__`` raises that is no `Exception`.
    """
    if isinstance(error, str):
        return error
    cdef str name = name_of_type(error)
    cdef str message
    try:
        message = str.__str__(str(error))  # of a text's subclass the text itself
    except Exception:
        message = "<message cannot be shown>"
    if len(message) > MESSAGE_LIMIT:
        message = message[:MESSAGE_LIMIT] + "…"
    return f"{name}: {message}" if message else name


cdef str name_of_type(error):
    """As the interpreter has it: a metaclass may say something else, or raise."""
    return str.__str__(_TYPE_NAME.__get__(type(error)))
