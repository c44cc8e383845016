# The errors of the package whose objects the core makes itself. `breaker.errors` draws the whole tree.


cdef class BreakerError(Exception):
    """The base of everything this package raises on purpose."""


cdef class BreakerOpenError(BreakerError):
    """A call was rejected: the protected function did not run (S24).

    Its message is made when it is asked for.

    Args:
        name: Of the breaker.
        state: `State.OPEN` or `State.HALF_OPEN`.
        retry_after: Seconds until a call can be admitted, as known when this one was rejected.
        reason: ``"open"``, ``"half_open"`` (no free probe slot) or ``"operator"`` (forced open).
        last_error: Text ``"TypeName: message"`` of the failure that opened the breaker, or None.

    Raises:
        TypeError: A name or a reason that is no text.
        ValueError: A state or a reason that is not one of these.

    .. versionadded:: 0.1
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


# Rejections may hang together in long chains: one that is raised while another is handled holds it. Their subclasses
# made in Python are freed by the interpreter, which breaks such recursions up by itself.
cdef destructor free_error = (<PyTypeObject *>BreakerError).tp_dealloc
cdef destructor free_open_error = (<PyTypeObject *>BreakerOpenError).tp_dealloc


cdef void dealloc_error(PyObject *self) noexcept:
    if Py_TYPE(self).tp_dealloc == dealloc_error:
        bk_free_chained(self, free_error)
    else:
        free_error(self)


cdef void dealloc_open_error(PyObject *self) noexcept:
    if Py_TYPE(self).tp_dealloc == dealloc_open_error:
        bk_free_chained(self, free_open_error)
    else:
        free_open_error(self)


(<PyTypeObject *>BreakerError).tp_dealloc = dealloc_error
(<PyTypeObject *>BreakerOpenError).tp_dealloc = dealloc_open_error
