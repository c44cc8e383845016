# Every C declaration of the core: what CPython's headers bring, then what this package's do.
#
# References. A ``PyObject *`` that a function is given is borrowed: it lives as long as the call, and the function
# leaves its count alone. One that it returns or keeps in a field marked *owned* is counted: whoever gets it drops it or
# hands it on. A function that takes the reference of an argument says so. `steal` turns an owned pointer into a Python
# reference, `new_reference` makes an owned pointer of one. Plain pointers are used where Cython must not count by
# itself: under a breaker's lock, and on the call paths, where each count would be an instruction of every call.

cdef extern from "Python.h":
    ctypedef struct PyMethodDef:
        pass
    ctypedef enum PySendResult:
        PYGEN_RETURN, PYGEN_ERROR, PYGEN_NEXT
    ctypedef void (*destructor)(PyObject *) noexcept
    ctypedef PyObject *(*newfunc)(PyTypeObject *, PyObject *, PyObject *) noexcept
    ctypedef PySendResult (*sendfunc)(PyObject *, PyObject *, PyObject **) noexcept
    ctypedef PyObject *(*iternextfunc)(PyObject *) noexcept
    ctypedef PyObject *(*unaryfunc)(PyObject *) noexcept
    ctypedef PyObject *(*vectorcallfunc)(PyObject *, PyObject *const *, size_t, PyObject *) noexcept
    int CO_COROUTINE
    int CO_GENERATOR
    int CO_ASYNC_GENERATOR
    int CO_ITERABLE_COROUTINE
    unsigned long PyThread_get_thread_ident() noexcept nogil
    # reference counts and types, of plain pointers
    void Py_INCREF(PyObject *o) noexcept nogil
    void Py_DECREF(PyObject *o) noexcept nogil
    void Py_XINCREF(PyObject *o) noexcept nogil
    void Py_XDECREF(PyObject *o) noexcept nogil
    void Py_SET_REFCNT(PyObject *o, Py_ssize_t count) noexcept
    void PyObject_GC_Track(PyObject *o) noexcept
    void PyObject_GC_UnTrack(PyObject *o) noexcept
    PyTypeObject *Py_TYPE(PyObject *o) noexcept nogil
    bint PyType_IsSubtype(PyTypeObject *a, PyTypeObject *b) noexcept nogil
    bint PyCoro_CheckExact(PyObject *o) noexcept
    bint PyGen_CheckExact(PyObject *o) noexcept
    bint PyAsyncGen_CheckExact(PyObject *o) noexcept
    # errors
    PyObject *Py_True
    PyObject *Py_False
    PyObject *PyExc_BaseException
    PyObject *PyExc_Exception
    PyObject *PyExc_KeyboardInterrupt
    PyObject *PyExc_MemoryError
    PyObject *PyExc_RecursionError
    PyObject *PyExc_RuntimeError
    PyObject *PyExc_StopIteration
    PyObject *PyExc_TypeError
    PyObject *PyExc_ValueError
    PyObject *PyErr_Occurred() noexcept                         # borrowed
    bint PyErr_ExceptionMatches(PyObject *kind) noexcept
    void PyErr_Clear() noexcept
    void PyErr_SetInterrupt() noexcept
    void PyErr_SetObject(PyObject *kind, PyObject *value) noexcept
    void PyErr_SetString(PyObject *kind, const char *text) noexcept
    PyObject *PyErr_Format(PyObject *kind, const char *text, ...) noexcept  # NULL
    void PyErr_WriteUnraisable(PyObject *where) noexcept
    void PyException_SetContext(PyObject *exception, PyObject *context) noexcept  # takes the reference of the context
    # context variables: what they return is owned
    PyObject *PyContextVar_New(const char *name, PyObject *default) noexcept
    int PyContextVar_Get(PyObject *variable, PyObject *default, PyObject **value) noexcept
    # calls: what they return is owned
    PyObject *PyObject_CallOneArg(PyObject *fn, PyObject *argument) noexcept
    PyObject *PyObject_Vectorcall(PyObject *fn, PyObject *const *args, size_t nargsf, PyObject *kwnames) noexcept
    # Under names of their own where Cython has a declaration that counts references or raises.
    bint PyUnicode_CheckExact_ "PyUnicode_CheckExact"(PyObject *o) noexcept
    PyObject *PyMethod_New_ "PyMethod_New"(PyObject *fn, PyObject *instance) noexcept  # owned
    PyObject *PyObject_GetAttr_ "PyObject_GetAttr"(PyObject *o, PyObject *name) noexcept  # owned
    int PyObject_GenericSetAttr(object o, object name, PyObject *value) except -1
    int PyObject_IsTrue_ "PyObject_IsTrue"(PyObject *o) noexcept
    bint PyFunction_Check(PyObject *o) noexcept
    bint PyCallable_Check(PyObject *o) noexcept
    PyObject *PyObject_CallMethodNoArgs(PyObject *o, PyObject *name) noexcept  # owned
    PyObject *PyTuple_GET_ITEM_ "PyTuple_GET_ITEM"(PyObject *t, Py_ssize_t i) noexcept nogil  # borrowed
    Py_ssize_t PyTuple_GET_SIZE_ "PyTuple_GET_SIZE"(PyObject *t) noexcept nogil

    # memory that the interpreter counts, also under a lock and without one of its own
    void *PyMem_RawMalloc(size_t size) noexcept nogil
    void PyMem_RawFree(void *memory) noexcept nogil

cdef extern from "native/core.h":
    # a context variable (context.h): 0, or -1 with an error set
    int bk_begin_context(PyObject *variable) except -1
    int bk_set_in_context(PyObject *variable, PyObject *value) noexcept
    # the lock, what is read and counted without it, fork (threads.h)
    ctypedef struct bk_lock_t:
        pass
    ctypedef struct bk_counter_t:
        pass
    ctypedef struct bk_member_t:
        pass
    void bk_lock(bk_lock_t *lock) noexcept nogil
    void bk_unlock(bk_lock_t *lock) noexcept nogil
    uint64_t bk_load(const uint64_t *p) noexcept nogil
    void bk_store(uint64_t *p, uint64_t value) noexcept nogil
    bint bk_claim(int *flag) noexcept nogil
    void bk_counter_free(bk_counter_t *counter) noexcept nogil
    bint bk_count(bk_counter_t *counter) noexcept nogil
    uint64_t bk_counted(const bk_counter_t *counter) noexcept nogil
    void bk_join(bk_member_t *member, bk_lock_t *lock) noexcept nogil
    void bk_leave(bk_member_t *member) noexcept nogil
    void bk_before_fork() noexcept nogil
    void bk_after_fork(bint in_child) noexcept nogil
    # who waits for the role of delivering a breaker's events (turns.h)
    ctypedef void *PyThread_type_lock
    ctypedef struct bk_turn_t:
        const void *whose
        PyThread_type_lock woken
        unsigned long thread
    PyThread_type_lock bk_new_waiting() noexcept                # NULL: no memory
    void bk_free_waiting(PyThread_type_lock woken) noexcept
    void bk_ask_turn(bk_turn_t *turn) noexcept nogil
    bk_turn_t *bk_take_turn(const void *whose) noexcept nogil
    int bk_await_turn(bk_turn_t *turn) noexcept                 # -1: an error is set
    void bk_wake(bk_turn_t *turn) noexcept nogil
    void bk_forget_turns() noexcept nogil
    # objects that threads share
    void bk_share(PyObject *object) noexcept
    bint bk_is_shared(PyObject *object) noexcept
    bint bk_may_share(PyObject *object) noexcept
    # what Cython cannot say
    bint BK_LIKELY(bint) noexcept nogil
    bint BK_UNLIKELY(bint) noexcept nogil
    # Returned by a function that stays out of the paths that seldom need it. Where it is the last thing that a path does,
    # the path itself need not save what only that function uses.
    ctypedef int cold_int "BK_COLD int"
    ctypedef int apart_int "BK_APART int"
    ctypedef void apart_void "BK_APART void"
    ctypedef PyObject *apart_object "BK_APART PyObject *"
    ctypedef PySendResult apart_send "BK_APART PySendResult"
    bint BK_SHARED_CALLS
    int64_t bk_monotonic_ns() noexcept nogil
    int64_t bk_coarse_ns() noexcept nogil
    int64_t bk_coarse_step() noexcept nogil
    void bk_seed() noexcept nogil
    double bk_draw() noexcept nogil
    bint bk_has_room() noexcept
    void bk_illegal_transition(int before, int state, int reason) noexcept nogil
    PyObject *bk_take_exception() noexcept                      # owned; NULL: none is set
    PyObject *bk_take_raised() noexcept                         # owned
    void bk_give_exception(PyObject *exception) noexcept        # takes the reference
    PyObject *bk_exchange_handled(PyObject *exception) noexcept  # takes the reference, may be NULL; returns another
    void bk_raise_stop(PyObject *value) noexcept                # takes the reference
    void bk_stop_is_no_end(const char *kind, bint is_async) noexcept
    void bk_chain_exception(PyObject *error) noexcept           # takes the reference
    void bk_raise_awaited(PyObject *value) noexcept             # takes the reference
    int bk_make_stops() except -1
    ctypedef struct bk_kept_t:
        pass
    PyObject *bk_take_kept(bk_kept_t *kept) noexcept            # owned; NULL: there is none
    bint bk_keep(bk_kept_t *kept, PyObject *object) noexcept
    void bk_free_chained(PyObject *self, destructor body) noexcept
    PyObject *bk_new_rejection(PyTypeObject *type, PyObject *name, PyObject *state, double seconds, PyObject *reason,
                               PyObject *last_error) noexcept  # owned; takes the reference of last_error
    bint bk_has_python_text(PyObject *error) noexcept
    PyObject *bk_stand_in(PyObject *error) noexcept             # owned; NULL: there is none, or an error is set
    void bk_traverse_failure(PyTypeObject *type, PyObject *(*failure)(PyObject *) noexcept) noexcept
    PyObject **bk_made_with(PyObject *rejection) noexcept       # the field, owned
    void bk_carry(PyObject *rejection, PyObject *five) noexcept  # takes the reference
    void bk_free_rejection(PyObject *self) noexcept
    int bk_function_flags(PyObject *fn) noexcept
    int bk_unmarked_flags(PyObject *fn) noexcept
    int bk_code_flags(PyObject *function) noexcept
    int bk_generator_flags(PyObject *generator) noexcept
    bint bk_may_run_later(PyObject *value) noexcept
    void bk_runs_nothing_later(PyTypeObject *type) noexcept
    PyObject *bk_call(PyObject *fn, PyObject *const *args, size_t nargsf, PyObject *kwnames) noexcept  # owned
    PySendResult bk_send(PyObject *iterator, PyObject *value, PyObject **result) noexcept  # the result is owned
    int bk_dict_find(PyObject *dict, PyObject *key, PyObject **found) noexcept  # what is found is owned
    int bk_begin_types() except -1
    int bk_add_method(PyTypeObject *type, PyMethodDef *method) except -1
    void bk_make_callable(PyTypeObject *type, Py_ssize_t offset) noexcept
    void bk_make_iterator(PyTypeObject *type, sendfunc send, iternextfunc next) noexcept
    void bk_make_awaitable(PyTypeObject *type, unaryfunc wait) noexcept
    PyObject *bk_make(newfunc make, PyTypeObject *type) noexcept  # owned
    int bk_set_item(PyTypeObject *type, const char *name, PyObject *value) except -1  # NULL: take it away, if it is there
    int bk_forbid_making(PyTypeObject *type) except -1

cdef extern from "native/windows.h":  # the window of recent calls, without a breaker
    ctypedef struct bk_tally_t:
        int64_t calls
        int64_t failures
        int64_t slow
    ctypedef struct bk_window_t:
        int64_t size
        int64_t span
        int64_t slice
        bk_tally_t all
        uint64_t *slowed
    bk_window_t *bk_window_make(int64_t calls, int64_t span, bint with_slow) noexcept nogil
    void bk_window_empty(bk_window_t *w, int64_t now) noexcept nogil
    bint bk_window_turn(bk_window_t *w, int64_t now) noexcept nogil
    int64_t bk_window_end(const bk_window_t *w) noexcept nogil
    void bk_window_pass(bk_window_t *w, int64_t calls) noexcept nogil
    void bk_window_record(bk_window_t *w, bint failed, bint slow) noexcept nogil
    bk_tally_t bk_window_with(const bk_window_t *w, bint failed, bint slow) noexcept nogil
    void bk_window_forget_slow(bk_window_t *w) noexcept nogil
    void bk_window_take(bk_window_t *w, const bk_window_t *old, int64_t now) noexcept nogil

cdef extern from "native/recording.h":  # calls that are kept for a recorder
    ctypedef struct bk_kept_call_t:
        int64_t began, took
        int outcome
    ctypedef struct bk_recording_t:
        double share
        int64_t size, count
        uint64_t lost
        bk_kept_call_t *calls
    bk_recording_t *bk_recording_make(int64_t size, double share) noexcept nogil
    void bk_recording_keep(bk_recording_t *kept, int64_t began, int64_t took, int outcome) noexcept nogil

cdef extern from "native/in_flight.h":  # calls in flight, by when they began
    ctypedef struct bk_in_flight_t:
        int64_t end
        int64_t late
    void bk_flights_forget(bk_in_flight_t *f) noexcept nogil
    void bk_flights_follow(bk_in_flight_t *f, int64_t duration, int64_t now) noexcept nogil
    bint bk_flights_look(bk_in_flight_t *f, int64_t now) noexcept nogil
    int64_t bk_flights_late(const bk_in_flight_t *f, int64_t now) noexcept nogil
    uint32_t bk_flights_depart(bk_in_flight_t *f) noexcept nogil
    void bk_flights_arrive(bk_in_flight_t *f, uint32_t departed) noexcept nogil

cdef extern from "native/methods.h":  # methods that get their arguments unpacked, with their docstrings
    PyMethodDef bk_do_method
    PyMethodDef bk_acquire_method
    PyMethodDef bk_exit_method
    PyMethodDef bk_get_breaker_method


cdef object steal(PyObject *owned):
    """A Python reference in place of an owned pointer."""
    result = <object>owned
    Py_DECREF(owned)
    return result


cdef PyObject *new_reference(o) noexcept:
    """An owned pointer beside a Python reference."""
    Py_INCREF(<PyObject *>o)
    return <PyObject *>o
