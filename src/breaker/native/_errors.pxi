# The errors of the package whose objects the core makes itself. `breaker.errors` draws the whole tree.
#
# They have no fields of their own: a class of Python can have two bases in C only where one of them is laid out as the
# other. So a rejection carries what it knows in its args.


cdef class BreakerError(Exception):
    """The base of everything this package raises on purpose."""


cdef class BreakerOpenError(BreakerError):
    """A call was rejected: the protected function did not run (S24).

    It has the layout of a plain exception, so a class may be this and an error of another library: ``class
    Rejected(BreakerOpenError, ConnectionError)``. In whichever order the bases are named, its constructor, attributes
    and text are those of a rejection, unless the class defines its own (S25).

    ``args`` are the five arguments, in this order. Its message is made when it is asked for.

    Args:
        name: Of the breaker.
        state: `State.OPEN` or `State.HALF_OPEN`, or its text; `State.CLOSED` while it recovers.
        retry_after: Seconds until a call can be admitted, as known when this one was rejected.
        reason: ``"open"``, ``"half_open"`` (no free probe slot), ``"operator"`` (forced open) or ``"recovering"``.
        last_error: Text ``"TypeName: message"`` of the failure that opened the breaker, or None.

    Raises:
        TypeError: A name, a reason or a last error that is no text, or a ``retry_after`` that is no number.
        ValueError: A state or a reason that is not one of these.

    .. versionadded:: 0.1
    """

    def __init__(self, name, state, retry_after=0.0, reason="open", last_error=None):
        # Not super(): an integration's class also derives from its library's error, whose own arguments are not these.
        bk_carry(<PyObject *>self, new_reference(checked_five(name, state, retry_after, reason, last_error)))

    @property
    def args(self):
        """The five, unless somebody has set others."""
        args = ARGS.__get__(self)
        return with_text(args) if is_five(args) else args

    @args.setter
    def args(self, values):
        ARGS.__set__(self, values)

    @property
    def name(self):
        """Of the breaker."""
        return five_of(self)[0]

    @property
    def state(self):
        """`State.OPEN` or `State.HALF_OPEN`; `State.CLOSED` while it recovers."""
        return STATES[STATES.index(five_of(self)[1])]

    @property
    def retry_after(self):
        """Seconds until a call can be admitted, as known when this one was rejected."""
        return five_of(self)[2]

    @property
    def reason(self):
        """``"open"``, ``"half_open"`` (no free probe slot), ``"operator"`` (forced open) or ``"recovering"`` (S221)."""
        return five_of(self)[3]

    @property
    def last_error(self):
        """Text ``"TypeName: message"`` of the failure that opened the breaker, or None."""
        return five_of(self)[4]

    def __str__(self):
        name, _, retry_after, reason, last_error = five_of(self)
        how = {"open": "is open", "half_open": "is half-open and its probes are in flight",
               "operator": "is forced open by an operator", "recovering": "recovers and admits a part of the calls"}[reason]
        cause = f"; it opened on {last_error}" if last_error else ""
        return f"circuit breaker {name!r} {how}, retry in {retry_after:.3g} s{cause}"

    def __repr__(self):
        name, state, retry_after, reason, last_error = five_of(self)
        return (f"{type(self).__name__}(name={name!r}, state={state}, retry_after={retry_after!r}, "
                f"reason={reason!r}, last_error={last_error!r})")

    def __reduce__(self):
        make, fields = type(self), five_of(self)
        if make.__init__ is not BreakerOpenError.__init__:
            make, fields = rejection_of, (make, fields)  # a constructor of its own, which may take anything else
        extra = getattr(self, "__dict__", None)
        return (make, fields, extra) if extra else (make, fields)


cdef tuple UNFILLED = ("", _State.OPEN, 0.0, "open", None)
cdef object ARGS = BaseException.args


cdef tuple checked_five(name, state, retry_after, reason, last_error):
    """The five that a rejection carries, each of its own type."""
    what = "BreakerOpenError"
    if not isinstance(name, str):
        raise TypeError(f"{what}: name must be that of a breaker (text), got {type(name).__name__}")
    if not isinstance(retry_after, (int, float)):
        raise TypeError(f"{what}: retry_after must be seconds (a number), got {type(retry_after).__name__}")
    if not isinstance(reason, str):
        raise TypeError(f"{what}: reason must be one of {REJECTIONS}, got {type(reason).__name__}")
    if last_error is not None and not isinstance(last_error, str):
        raise TypeError(f"{what}: last_error must be text or None, got {type(last_error).__name__}; "
                        "pass f\"{type(error).__name__}: {error}\"")
    if not isinstance(state, str) or state not in STATES:
        raise ValueError(f"{what}: state must be State.OPEN or State.HALF_OPEN, got {state!r}")
    if reason not in REJECTIONS:
        raise ValueError(f"{what}: reason must be one of {REJECTIONS}, got {reason!r}")
    return (str.__str__(name), STATES[STATES.index(state)], float(retry_after), REJECTIONS[REJECTIONS.index(reason)],
            None if last_error is None else str.__str__(last_error))


cdef tuple five_of(error):
    """What a rejection carries: its args, or what it was made with where somebody has set others."""
    cdef PyObject *made_with
    args = ARGS.__get__(error)
    if not is_five(args):
        with cython.critical_section(error):
            made_with = bk_made_with(<PyObject *>error)[0]
            Py_XINCREF(made_with)
        if made_with == NULL:
            return UNFILLED
        args = steal(made_with)
    return with_text(args)


cdef tuple with_text(args):
    """The same five, with the text of the failure in place of what makes it."""
    name, state, retry_after, reason, last_error = args
    return args if type(last_error) is not FailureText else (name, state, retry_after, reason, text_of(last_error))


cdef bint is_five(args):
    return (type(args) is tuple and len(args) == 5 and isinstance(args[0], str)
            and isinstance(args[1], str) and args[1] in STATES and isinstance(args[2], float)
            and isinstance(args[3], str) and args[3] in REJECTIONS
            and (args[4] is None or isinstance(args[4], str) or type(args[4]) is FailureText))


def rejection_of(kind, tuple five not None, /):
    """A rejection of a class whose constructor takes other arguments; for `pickle` and `copy`."""
    error = kind.__new__(kind, *five)
    if not isinstance(error, BreakerOpenError):
        raise TypeError(f"{kind!r} is no class of rejections")
    name, state, retry_after, reason, last_error = five
    bk_carry(<PyObject *>error, new_reference(checked_five(name, state, retry_after, reason, last_error)))
    return error


cdef tuple OF_A_REJECTION = (
    "__init__", "__str__", "__repr__", "__reduce__", "args", "name", "state", "retry_after", "reason", "last_error")


def put_rejection_first(cls, **options):
    """`BreakerOpenError.__init_subclass__`: where another base comes first, what makes a rejection is still not its."""
    super(BreakerOpenError, cls).__init_subclass__(**options)
    for name in OF_A_REJECTION:
        hidden = None
        for kind in cls.__mro__:
            if name in kind.__dict__:
                if not issubclass(kind, BreakerOpenError):
                    hidden = kind
                    continue
                if hidden is not None:
                    type.__setattr__(cls, name, kind.__dict__[name])
                break


cdef int lay_out() except -1:
    """What Cython cannot say of a class. A `__new__` of their own would hide that of another base."""
    for kind in (BreakerError, BreakerOpenError):
        (<PyTypeObject *>kind).tp_new = (<PyTypeObject *>PyExc_Exception).tp_new
        bk_set_item(<PyTypeObject *>kind, "__new__", NULL)
    hook = classmethod(put_rejection_first)
    return bk_set_item(<PyTypeObject *>BreakerOpenError, "__init_subclass__", <PyObject *>hook)


lay_out()


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
        bk_free_chained(self, bk_free_rejection)
    else:
        free_open_error(self)


(<PyTypeObject *>BreakerError).tp_dealloc = dealloc_error
(<PyTypeObject *>BreakerOpenError).tp_dealloc = dealloc_open_error
