# The errors a rejected call raises, and which exception means which outcome.

from builtins import BaseExceptionGroup as _BaseExceptionGroup

cdef PyTypeObject *GROUP = <PyTypeObject *>_BaseExceptionGroup

cdef extern from "Python.h":
    PyTypeObject *Py_TYPE(PyObject *o) noexcept nogil
    bint PyType_IsSubtype(PyTypeObject *a, PyTypeObject *b) noexcept nogil
    PyObject *PyExc_Exception
    PyObject *PyExc_TypeError
    PyObject *PyExc_ValueError
    PyObject *PyExc_RuntimeError
    PyObject *PyTuple_GET_ITEM_ "PyTuple_GET_ITEM"(PyObject *t, Py_ssize_t i) noexcept nogil
    Py_ssize_t PyTuple_GET_SIZE_ "PyTuple_GET_SIZE"(PyObject *t) noexcept nogil


cdef class BreakerError(Exception):
    """The base of everything this package raises on purpose."""


cdef class BreakerOpenError(BreakerError):
    """A call was rejected: the protected function did not run.

    ``name``: the breaker. ``state``: ``OPEN`` or ``HALF_OPEN``. ``retry_after``: seconds until a call can be admitted,
    as known when it was rejected. ``reason``: ``"open"``, ``"half_open"`` or ``"operator"``. ``last_error``: text
    ``"TypeName: message"`` of the failure that opened the breaker, or None. The message is made when it is asked for.
    """

    cdef readonly str name
    cdef readonly object last_error
    cdef readonly double retry_after
    cdef int state_code
    cdef int reason_code

    def __init__(self, str name not None, state, double retry_after=0.0, str reason not None="open", last_error=None):
        # Not super(): an integration's class also derives from its library's error, whose own arguments are not these.
        Exception.__init__(self)
        self.name = name
        self.state_code = STATES.index(state)
        self.retry_after = retry_after
        self.reason_code = REJECTIONS.index(reason)
        self.last_error = last_error

    @property
    def state(self):
        """`State.OPEN` or `State.HALF_OPEN`."""
        return STATES[self.state_code]

    @property
    def reason(self):
        """``"open"``, ``"half_open"`` (no free probe slot) or ``"operator"`` (forced open)."""
        return REJECTIONS[self.reason_code]

    def __str__(self):
        how = {"open": "is open", "half_open": "is half-open and its probes are in flight",
               "operator": "is forced open by an operator"}[self.reason]
        cause = f"; it opened on {self.last_error}" if self.last_error else ""
        return f"circuit breaker {self.name!r} {how}, retry in {self.retry_after:.3g} s{cause}"

    def __repr__(self):
        return (f"{type(self).__name__}(name={self.name!r}, state={self.state}, retry_after={self.retry_after!r}, "
                f"reason={self.reason!r}, last_error={self.last_error!r})")

    def __reduce__(self):
        fields = (self.name, self.state, self.retry_after, self.reason, self.last_error)
        extra = getattr(self, "__dict__", None)
        return (type(self), fields, extra) if extra else (type(self), fields)


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
    """The outcome that an exception means; an ExceptionGroup means what its leaves mean."""
    if BK_UNLIKELY(PyType_IsSubtype(Py_TYPE(error), GROUP)):
        return outcome_of_group(b, <object>error)
    return outcome_of_type(b, Py_TYPE(error))


cdef int outcome_of_group(Breaker b, group) noexcept:
    """Failure if any leaf is one, else success if any is, else ignored. A list, not recursion: groups nest deep."""
    cdef int verdict = IGNORED
    cdef int outcome
    pending = [group]
    while pending:
        error = pending.pop()
        if PyType_IsSubtype(Py_TYPE(<PyObject *>error), GROUP):
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


cdef str describe(error):
    """``"TypeName: message"``; a text is returned as it is. Never fails for an error whose message cannot be made."""
    if isinstance(error, str):
        return error
    name = type(error).__name__
    try:
        message = str(error)
    except Exception:
        message = "<message cannot be shown>"
    if len(message) > MESSAGE_LIMIT:
        message = message[:MESSAGE_LIMIT] + "…"
    return f"{name}: {message}" if message else name
