# Does a call finish at once, or does it return something that runs later?

cdef enum:  # kinds of functions and of values
    PLAIN, COROUTINE, GENERATOR, ASYNC_GENERATOR
    FUTURE, AWAITABLE, AWAITED_OR_ENTERED, ENTERED  # of values alone
    AWAITED_STEPS           # what an awaitable's ``__await__`` returns
    NOT_SAID                # by what was asked

cdef tuple MARKS = (
    ("inspect", "_is_coroutine_mark", "_is_coroutine_marker"),
    ("inspect", "_is_coroutine_marker", "_is_coroutine_marker"),  # its first name, in early releases of 3.12
    ("asyncio.coroutines", "_is_coroutine", "_is_coroutine"),
)
cdef frozenset MARKED_BY = frozenset({attribute for _, _, attribute in MARKS})


cdef object unwrapped(fn):
    """The callable inside partials, bound methods and guarded functions; a guarded one that is marked is that itself."""
    while True:
        if isinstance(fn, GuardedFunction):
            if (<GuardedFunction>fn).marked:
                return fn
            fn = (<GuardedFunction>fn).fn
        elif isinstance(fn, _partial):
            fn = fn.func
        elif isinstance(fn, _MethodType):
            fn = fn.__func__
        else:
            return fn


cdef object innermost(fn):
    """The Python function that a call of it runs, if there is one; an object runs the ``__call__`` of its class."""
    while True:
        fn = unwrapped(fn)
        if bk_function_flags(<PyObject *>fn) >= 0 or isinstance(fn, type):
            return fn
        called = getattr(type(fn), "__call__", None)
        if not (isinstance(called, (_FunctionType, _MethodType, _partial))
                or isinstance(getattr(called, "__code__", None), _CodeType)):  # Cython made it
            return fn
        fn = called


cdef int kind_of_function(PyObject *fn) noexcept:
    """What calling it gives: a value at once, or something that runs later. -1: an error is set."""
    cdef int flags = bk_function_flags(fn)
    if flags >= 0:
        return kind_of_flags(flags)
    return (<int (*)(PyObject *) noexcept>kind_inside)(fn)


def kind_of_callback(fn, /):
    """What a call of it would only make and not run, ``"coroutine"`` or ``"generator"``; None: a call runs it.

    What `functools.lru_cache` keeps is what the function in it gives.
    """
    while True:
        fn = unwrapped(fn)
        if not isinstance(fn, _lru_cache):
            break
        fn = fn.__wrapped__
    cdef int kind = kind_inside(<PyObject *>fn)
    return None if kind == PLAIN else "coroutine" if kind == COROUTINE else "generator"


cdef int kind_inside(PyObject *borrowed) except -1:
    fn = unwrapped(<object>borrowed)
    cdef int kind = kind_shown(fn)
    if kind == NOT_SAID:
        kind = kind_shown(innermost(fn))
    return PLAIN if kind == NOT_SAID else kind


cdef int kind_shown(fn) except -1:
    """What a function says of itself, or an object that looks like one."""
    cdef int flags = bk_function_flags(<PyObject *>fn)
    if flags >= 0 or isinstance(fn, type):
        return kind_of_flags(flags)
    try:
        if is_marked(fn):
            return COROUTINE
        code = getattr(fn, "__code__", None)  # of functions that Cython made, of what wrapt wraps, of an AsyncMock
        if isinstance(code, _CodeType):
            return kind_of_flags(code.co_flags)
    except (MemoryError, RecursionError):
        raise
    except Exception:
        pass  # an object that cannot even say what it is: its class does
    return NOT_SAID


cdef bint is_marked(fn) except -1:
    """By `inspect.markcoroutinefunction`, or in the way in which asyncio did so before there was that.

    A module that is not loaded has marked nothing.
    """
    for module, mark, attribute in MARKS:
        mark = getattr(_sys.modules.get(module), mark, None)
        if mark is not None and getattr(fn, attribute, None) is mark:
            return True
    return False


cdef inline int kind_of_flags(int flags) noexcept:
    if flags <= 0:
        return PLAIN
    if flags & (CO_COROUTINE | CO_ITERABLE_COROUTINE):
        return COROUTINE
    if flags & CO_GENERATOR:
        return GENERATOR
    return ASYNC_GENERATOR if flags & CO_ASYNC_GENERATOR else PLAIN


cdef int kind_of_value(PyObject *value) noexcept:
    """Coroutines and generators of other makers count too.

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
    cdef int kind = PLAIN
    try:
        kind = kind_by_class(value, type(value))
    except (MemoryError, RecursionError):
        raise
    except Exception:
        pass  # a value that cannot even say what it is runs nothing later that we could follow
    if kind == PLAIN:
        bk_runs_nothing_later(Py_TYPE(borrowed))
    return kind


cdef int kind_by_class(value, kind) except -1:
    # What nobody has loaded yet, nothing is an instance of.
    if issubclass(kind, loaded("contextlib", "_GeneratorContextManagerBase")):
        return ENTERED
    if issubclass(kind, loaded("concurrent.futures._base", "Future")):
        return FUTURE
    if getattr(kind, "_asyncio_future_blocking", None) is not None:  # as asyncio.isfuture asks
        return FUTURE
    if issubclass(kind, loaded("twisted.internet.defer", "Deferred")):
        return FUTURE
    if isinstance(value, _Coroutine):
        return AWAITED_OR_ENTERED if hasattr(kind, "__aenter__") else COROUTINE
    if isinstance(value, _AsyncGenerator):
        return ASYNC_GENERATOR
    if isinstance(value, _Generator):
        return GENERATOR
    return AWAITABLE if hasattr(kind, "__await__") else PLAIN


cdef object loaded(str module, str name):
    """A class of a module, or () where it is not loaded."""
    return getattr(_sys.modules.get(module), name, ())
