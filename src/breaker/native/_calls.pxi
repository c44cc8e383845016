# The call paths of plain functions: `do` and the decorated function.
#
# What a closed call costs: one look at the function's kind, one read of the word before the call and one after it. If
# both reads are equal and no failure is on record, a success changes nothing but its counter.

# ---- the call -------------------------------------------------------------------------------------------------

cdef inline PyObject *call(
        PyObject *b, PyObject *called, PyObject *fn, PyObject *const *args, size_t nargsf, PyObject *kwnames) noexcept:
    """Run a plain callable under protection. ``b``: the `Breaker`, whose references are not counted on the way.

    ``called``: the object that the program called instead, or NULL.
    """
    cdef Core *c = &(<Breaker>b).core
    cdef uint64_t word = bk_load(&c.word)
    cdef PyObject *value
    if BK_UNLIKELY((word & DIVERTED) != 0):
        return call_diverted(b, called, fn, args, nargsf, kwnames)
    value = bk_call(fn, args, nargsf, kwnames)
    if BK_LIKELY(value != NULL and bk_load(&c.word) == word and (word & (STREAK | JUDGED | SLICED)) == 0
                 and not bk_may_run_later(value)):
        if bk_count(&c.successes):
            bk_share(b)
            bk_share(called)
        return value
    return end_unlike(b, called, word, value)


cdef apart_object call_diverted(
        PyObject *b, PyObject *called, PyObject *fn, PyObject *const *args, size_t nargsf, PyObject *kwnames) noexcept:
    """The same where calls are measured, or the breaker is not simply closed."""
    cdef uint64_t word = bk_load(&(<Breaker>b).core.word)
    cdef Ticket ticket = admitted(word >> EPOCH_SHIFT, 0)
    if (word & LOCKED) != 0 or not departs(&(<Breaker>b).core, &ticket):
        return call_admitted(<Breaker>b, fn, args, nargsf, kwnames)
    return end_call(b, called, word, bk_call(fn, args, nargsf, kwnames), &ticket)


cdef apart_object end_unlike(PyObject *b, PyObject *called, uint64_t word, PyObject *value) noexcept:
    """The end of a closed call where it is more than a count."""
    cdef Ticket ticket = admitted(word >> EPOCH_SHIFT, 0)
    if (word & SLICED) != 0:
        return end_call(b, called, word, value, &ticket)
    return finish(<Breaker>b, &ticket, value)


cdef inline PyObject *end_call(PyObject *b, PyObject *called, uint64_t word, PyObject *value, Ticket *ticket) noexcept:
    """The end of a closed call that looks at the clock."""
    cdef Core *c = &(<Breaker>b).core
    if BK_LIKELY(value != NULL and bk_load(&c.word) == word and (word & (STREAK | JUDGED)) == 0
                 and not bk_may_run_later(value)) and in_time(c, ticket):
        if bk_count(&c.successes):
            bk_share(b)
            bk_share(called)
        return value
    return finish(<Breaker>b, ticket, value)


cdef apart_object call_admitted(
        Breaker b, PyObject *fn, PyObject *const *args, size_t nargsf, PyObject *kwnames) noexcept:
    cdef Ticket ticket
    cdef PyObject *value
    if admit_quietly(b, &ticket) < 0:
        return NULL
    if ticket.lease:
        enter_probe(b, &ticket)
    value = PyObject_Vectorcall(fn, args, nargsf, kwnames)
    if ticket.lease:
        leave_probe(b, &ticket)
    return finish(b, &ticket, value)


cdef apart_object finish(Breaker b, Ticket *ticket, PyObject *value) noexcept:
    """The end of a call that was admitted: settle it, or hand its ticket on to what it returned that runs later."""
    cdef int kind
    if value == NULL:
        settle_raised(b, ticket)
        return NULL
    if bk_may_run_later(value):
        kind = kind_of_value(value)
        if kind < 0:
            Py_DECREF(value)
            give_up(b, ticket)
            return NULL
        if kind == FUTURE:
            return follow_future(b, ticket, value)
        if kind == ENTERED:
            return guard_entering(b, ticket, value)
        if kind == AWAITABLE or kind == AWAITED_OR_ENTERED:
            return new_awaitable(b, ticket, value, kind)
        if kind != PLAIN:
            if ticket.timed and kind != COROUTINE:
                stop_measuring(b, ticket)
            return new_flow(b, ticket, value, kind)
    return settle_value(b, ticket, value)


cdef int refuse_uncallable(PyObject *b, PyObject *borrowed) except -1:
    """Raise the TypeError for something that cannot be called: it is a mistake of the caller's, so nothing is counted."""
    fn = <object>borrowed
    got, name = type(fn).__name__, "fetch"
    for kind, called in ((_Coroutine, "coroutine"), (_Generator, "generator"), (_AsyncGenerator, "async generator")):
        if isinstance(fn, kind):
            name = getattr(fn, "__name__", name)
            got = f"the {called} object that {name}(…) returned"
            break
    if isinstance(fn, _Coroutine) and not (getattr(fn, "cr_running", False) or getattr(fn, "cr_suspended", False)):
        fn.close()  # nobody is going to await it: Python would warn of that too
    remedy = f"pass the function and its arguments, do({name}, …)"
    if hasattr(type(fn), "__get__"):  # a property, a cached_property, a singledispatchmethod
        remedy = f"a {got} is made around the function that is protected, so decorate that one, below it"
    raise TypeError(f"breaker {name_of(<Breaker>b)!r} can only protect something callable, got {got}: {remedy}")


cdef PyObject *breaker_do "bk_do_entry"(
        PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) noexcept:
    cdef PyObject *fn
    cdef int flags
    if BK_UNLIKELY(nargs < 1):
        return refuse_nothing()
    fn = args[0]
    flags = bk_unmarked_flags(fn)
    if BK_UNLIKELY(flags != 0):
        if BK_UNLIKELY(flags < 0):
            return do_unlike(self, args, nargs, kwnames)
        return call_later(<Breaker>self, fn, kind_of_flags(flags), args + 1, <size_t>(nargs - 1), kwnames)
    # Without PY_VECTORCALL_ARGUMENTS_OFFSET: args[0] is not ours to change. In ``b.do(*t)`` it is an item of ``t``, and
    # another call with the same tuple would find the instance of a bound method in it.
    return call(self, NULL, fn, args + 1, <size_t>(nargs - 1), kwnames)


cdef apart_object refuse_nothing() noexcept:
    PyErr_SetString(PyExc_TypeError, "do() missing 1 required positional argument: 'fn'")
    return NULL


cdef apart_object do_unlike(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) noexcept:
    """`do` with what is not simply a Python function: its kind has to be asked for."""
    cdef PyObject *fn = args[0]
    cdef int kind
    if BK_UNLIKELY(not PyCallable_Check(fn)):
        (<int (*)(PyObject *, PyObject *) noexcept>refuse_uncallable)(self, fn)
        return NULL
    kind = kind_of_function(fn)
    if BK_UNLIKELY(kind < 0):
        return NULL
    if kind != PLAIN:
        return call_later(<Breaker>self, fn, kind, args + 1, <size_t>(nargs - 1), kwnames)
    return call(self, NULL, fn, args + 1, <size_t>(nargs - 1), kwnames)


# ---- the decorated function -----------------------------------------------------------------------------------

# A function that has the attributes of one, for callables that have none: a class, a built-in, an object.
cdef dict _shape = {"__name__": __name__}
exec("def guarded(*args, **kwargs): ...", _shape)
cdef object SHAPE = _shape["guarded"]
cdef frozenset OF_A_FUNCTION = frozenset((
    "__name__", "__qualname__", "__code__", "__defaults__", "__kwdefaults__", "__globals__", "__closure__",
    "__builtins__", "__type_params__"))
cdef frozenset FOR_THE_CLASS = frozenset(("__init_subclass__", "__class_getitem__"))


# `no_gc_clear`: the collector leaves the fields alone, for a finalizer of the same garbage may call it; a cycle through
# it has other objects that the collector can clear.
@cython.final
@cython.no_gc_clear
cdef class GuardedFunction:
    """What ``@breaker`` makes of a function: called, bound and inspected like it."""

    cdef vectorcallfunc vectorcall
    cdef Breaker breaker
    cdef object fn
    cdef object innermost   # the Python function that runs in the end, whose code says its kind; None: `kind` does
    cdef int kind
    cdef bint shared        # among threads, or that was tried
    cdef bint marked        # as a coroutine function, after it was decorated
    cdef dict __dict__
    cdef object __weakref__

    def __call__(self, *args, **kwargs):
        # For ``f.__call__``; a call goes through the slot that `bk_make_callable` sets.
        return self.breaker.do(self.fn, *args, **kwargs)

    @property
    def __class__(self):
        # For `isinstance`, as libraries ask whether they have a function. C code that relies on the layout of one looks
        # at the type itself.
        return _FunctionType

    def __get__(self, instance, owner):
        if instance is None:
            return self
        cdef PyObject *method = PyMethod_New_(<PyObject *>self, <PyObject *>instance)
        if method == NULL:
            raise_set()
        return steal(method)

    def __set_name__(self, owner, name):
        # `type` does so by itself with what has the layout of a function.
        if vars(owner).get(name) is not self:
            return
        if name in FOR_THE_CLASS:
            type.__setattr__(owner, name, classmethod(self))
        elif name == "__new__":
            type.__setattr__(owner, name, staticmethod(self))

    def __getattr__(self, name):
        # What inspect asks a function for; a wrapped partial or method answers with the function inside it.
        if name in OF_A_FUNCTION:
            return of_a_function(self.fn, name)
        if name == "__annotations__":
            annotations = getattr(self.fn, name, None)  # from 3.14 on they are made when somebody asks
            annotations = {} if annotations is None else annotations
            setattr(self, name, annotations)
            return annotations
        if name == "__annotate__" and hasattr(SHAPE, name):
            return getattr(self.fn, name, None)
        raise AttributeError(f"'function' object has no attribute {name!r}")

    def __setattr__(self, name, value):
        PyObject_GenericSetAttr(self, name, <PyObject *>value)
        if name in MARKED_BY:
            take_mark(self)

    def __delattr__(self, name):
        PyObject_GenericSetAttr(self, name, NULL)
        if name in MARKED_BY:
            take_mark(self)

    def __repr__(self):
        return f"<{self.fn!r} guarded by {name_of(self.breaker)!r}>"

    def __reduce__(self):
        return self.__qualname__  # by reference, as functions are


cdef object of_a_function(fn, str name):
    for layer in (unwrapped(fn), innermost(fn)):
        try:
            return getattr(layer, name)
        except AttributeError:
            pass
    return getattr(SHAPE, name)


cdef int take_mark(GuardedFunction guarded) except -1:
    """See what `inspect.markcoroutinefunction` says of a guarded function from now on, or no longer."""
    guarded.marked = False  # or what is inside could not be asked
    cdef bint marked = is_marked(guarded)
    runs = None if marked else innermost(guarded.fn)
    cdef int kind = COROUTINE if marked else kind_inside(<PyObject *>guarded.fn)
    guarded.innermost = runs if says_kind(runs, kind) else None
    guarded.kind = kind
    guarded.marked = marked
    return 0


cdef bint says_kind(runs, int kind):
    """Is it a Python function whose code says this kind? It is asked at each call then, for it may be replaced."""
    return PyFunction_Check(<PyObject *>runs) and kind == kind_of_flags(bk_code_flags(<PyObject *>runs))


cdef object new_function(Breaker b, fn):
    from functools import update_wrapper

    # May run code of the user's, so it comes first: nobody finds a function that is half filled.
    runs = innermost(fn)
    cdef int kind = kind_inside(<PyObject *>fn)
    cdef GuardedFunction guarded = GuardedFunction.__new__(GuardedFunction)
    guarded.breaker = b
    guarded.fn = fn
    guarded.kind = kind
    if says_kind(runs, kind):
        guarded.innermost = runs
    guarded.vectorcall = call_guarded  # until now a call says that it is not supported
    update_wrapper(guarded, fn)
    # Who copies a function by its code and its dict, to another process for instance, would copy the one inside, and
    # lose its protection without a word. So they find the breaker, which says why it cannot be copied.
    setattr(guarded, "__breaker__", b)
    return guarded


cdef PyObject *call_guarded(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames) noexcept:
    cdef PyObject *fn = <PyObject *>(<GuardedFunction>self).fn
    cdef PyObject *b = <PyObject *>(<GuardedFunction>self).breaker
    cdef PyObject *runs = <PyObject *>(<GuardedFunction>self).innermost
    cdef int kind
    if BK_LIKELY(runs != <PyObject *>None):
        kind = bk_code_flags(runs)  # as it is now: the function's code may have been replaced
        if BK_UNLIKELY(kind != 0):
            return call_guarded_later(self, kind_of_flags(kind), args, nargsf, kwnames)
    else:
        kind = (<GuardedFunction>self).kind
        if kind != PLAIN:
            return call_guarded_later(self, kind, args, nargsf, kwnames)
    return call(b, self, fn, args, nargsf, kwnames)


cdef apart_object call_guarded_later(
        PyObject *self, int kind, PyObject *const *args, size_t nargsf, PyObject *kwnames) noexcept:
    cdef PyObject *fn = <PyObject *>(<GuardedFunction>self).fn
    cdef PyObject *b = <PyObject *>(<GuardedFunction>self).breaker
    if bk_is_shared(b) and bk_may_share(self) and not (<GuardedFunction>self).shared:
        (<GuardedFunction>self).shared = True  # once: where it fails it would fail for long
        bk_share(self)
    return call_later(<Breaker>b, fn, kind, args, nargsf, kwnames)


cdef int make_callable() except -1:
    cdef GuardedFunction template = GuardedFunction.__new__(GuardedFunction)  # gone again when this returns
    bk_make_callable(<PyTypeObject *>GuardedFunction, <char *>&template.vectorcall - <char *><PyObject *>template)
    return 0


make_callable()
bk_add_method(<PyTypeObject *>Breaker, &bk_do_method)
bk_forbid_making(<PyTypeObject *>GuardedFunction)
