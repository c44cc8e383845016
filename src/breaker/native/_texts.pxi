# The text of a failure, for events, snapshots and rejections. The exception's own code makes it, so it is made where it is
# read, and whatever that code raises stays there.

cdef enum:
    MESSAGE_LIMIT = 1000    # characters of an exception's message that are kept


cdef object _TYPE_NAME = type.__dict__["__name__"]
cdef str NOT_SHOWN = "<message cannot be shown>"


@cython.final
@cython.freelist(8)
cdef class FailureText:
    """``"TypeName: message"`` of an exception, made when it is asked for (S47)."""

    cdef object stand_in    # for the exception; None once the text is there
    cdef str text

    def __str__(self):
        return made_text(self)

    def __repr__(self):
        return repr(made_text(self))


cdef str made_text(FailureText failure):
    with cython.critical_section(failure):
        text, error = failure.text, failure.stand_in
    if text is not None:
        return text
    name = name_of_type(error)
    try:
        text = with_message(name, str(error))
    except (MemoryError, RecursionError):
        return with_message(name, NOT_SHOWN)  # perhaps the next one who asks has room
    except BaseException:
        text = with_message(name, NOT_SHOWN)
    with cython.critical_section(failure):
        failure.text = text
        failure.stand_in = None
    return text


cdef object text_of(known):
    """The text of a failure as the core keeps it; None stays None."""
    return made_text(<FailureText>known) if type(known) is FailureText else known


cdef object describe(error):
    """What the core keeps of a failure: its text, or what can make it. A text is returned as it is.

    Fails where there is no memory, with nothing else.
    """
    cdef FailureText failure
    cdef PyObject *stand_in
    if isinstance(error, str):
        return error
    if bk_has_python_text(<PyObject *>error):
        stand_in = bk_stand_in(<PyObject *>error)
        if stand_in != NULL:
            failure = FailureText.__new__(FailureText)
            failure.stand_in = steal(stand_in)
            return failure
        if PyErr_Occurred() != NULL:
            raise_set()
    name = name_of_type(error)
    try:
        return with_message(name, str(error))
    except BaseException:  # of the exception's class: it is not what the call has raised
        return with_message(name, NOT_SHOWN)


cdef str with_message(str name, message):
    cdef str text = str.__str__(message)  # of a text's subclass the text itself
    if len(text) > MESSAGE_LIMIT:
        text = text[:MESSAGE_LIMIT] + "…"
    return f"{name}: {text}" if text else name


cdef str name_of_type(error):
    """As the interpreter has it: a metaclass may say something else, or raise."""
    return str.__str__(_TYPE_NAME.__get__(type(error)))


bk_forbid_making(<PyTypeObject *>FailureText)
