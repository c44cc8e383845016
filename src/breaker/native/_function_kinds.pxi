# Does a call finish at once, or does it return something that runs later?

cdef enum:  # kinds of functions and of values
    PLAIN, COROUTINE, GENERATOR, ASYNC_GENERATOR


cdef object innermost(fn):
    """The function inside partials, bound methods and guarded functions."""
    while True:
        if isinstance(fn, GuardedFunction):
            fn = (<GuardedFunction>fn).fn
        elif isinstance(fn, _partial):
            fn = fn.func
        elif isinstance(fn, _MethodType):
            fn = fn.__func__
        else:
            return fn


cdef int kind_of_function(PyObject *fn) noexcept:
    """What calling it gives: a value at once, or something that runs later. -1: an error is set."""
    cdef int flags = bk_function_flags(fn)
    if flags >= 0:
        return kind_of_flags(flags)
    return (<int (*)(PyObject *) noexcept>kind_inside)(fn)


cdef int kind_inside(PyObject *fn) except -1:
    inner = innermost(<object>fn)
    return kind_of_flags(bk_function_flags(<PyObject *>inner))


cdef inline int kind_of_flags(int flags) noexcept:
    if flags <= 0:
        return PLAIN
    if flags & (CO_COROUTINE | CO_ITERABLE_COROUTINE):
        return COROUTINE
    return GENERATOR if flags & CO_GENERATOR else ASYNC_GENERATOR


cdef int kind_of_value(PyObject *value) noexcept:
    """Coroutines and generators of other makers count too; futures and other awaitables are plain values.

    -1: an error is set, of what was asked or of having no memory or stack to ask.
    """
    if PyCoro_CheckExact(value):
        return COROUTINE
    if PyGen_CheckExact(value):
        return COROUTINE if bk_generator_flags(value) & CO_ITERABLE_COROUTINE else GENERATOR
    if PyAsyncGen_CheckExact(value):
        return ASYNC_GENERATOR
    return (<int (*)(PyObject *) noexcept>kind_of_foreign)(value)


cdef int kind_of_foreign(PyObject *borrowed) except -1:
    value = <object>borrowed
    try:
        if isinstance(value, _Coroutine):
            return COROUTINE
        if isinstance(value, _AsyncGenerator):
            return ASYNC_GENERATOR
        if isinstance(value, _Generator):
            return GENERATOR
    except (MemoryError, RecursionError):
        raise
    except Exception:
        pass  # a value that cannot even say what it is runs nothing later that we could follow
    return PLAIN
