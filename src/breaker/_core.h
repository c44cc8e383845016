/* What Cython cannot say by itself: the lock, atomic reads, the clock, the shape of functions, and the slots and
 * methods that keep a protected call from packing its arguments into a tuple and a dict. */
#ifndef BREAKER_CORE_H
#define BREAKER_CORE_H

#include <Python.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#if defined(__GNUC__) || defined(__clang__)
#define BK_LIKELY(x) __builtin_expect(!!(x), 1)
#define BK_UNLIKELY(x) __builtin_expect(!!(x), 0)
#else
#define BK_LIKELY(x) (x)
#define BK_UNLIKELY(x) (x)
#endif

/* ---- the lock of one breaker ------------------------------------------------------------------------------
 * 3.13 brought PyMutex: one byte, a few nanoseconds. Before it every build has the GIL, and a section that makes no
 * Python call is never entered by two threads at once: the flag is then never found taken. It is a lock all the
 * same, so that the rule "only C scalars move under it" has one meaning everywhere. */
#if PY_VERSION_HEX >= 0x030D0000
typedef PyMutex bk_lock_t;
static inline void bk_lock(bk_lock_t *lock) { PyMutex_Lock(lock); }
static inline void bk_unlock(bk_lock_t *lock) { PyMutex_Unlock(lock); }
#else
typedef char bk_lock_t;
static inline void bk_lock(bk_lock_t *lock) {
    if (BK_UNLIKELY(*lock)) Py_FatalError("breaker: Python code ran under a breaker's lock");
    *lock = 1;
}
static inline void bk_unlock(bk_lock_t *lock) { *lock = 0; }
#endif

/* ---- what is read and counted without the lock ------------------------------------------------------------
 * With the GIL plain memory is exact. Without it the word is read with acquire and written with release, and the
 * success counter is spread over cache lines, or two threads would take turns on one. */
#ifdef Py_GIL_DISABLED
#define BK_STRIPES 8
typedef struct { _Alignas(64) uint64_t n; } bk_stripe_t;
typedef struct { bk_stripe_t *stripes; } bk_counter_t;
static inline uint64_t bk_load(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void bk_store(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline int bk_claim(int *flag) { return __atomic_exchange_n(flag, 0, __ATOMIC_ACQ_REL); }
static inline int bk_counter_init(bk_counter_t *c) {
    void *memory = NULL;
    if (posix_memalign(&memory, 64, BK_STRIPES * sizeof(bk_stripe_t)) != 0) return -1;
    memset(memory, 0, BK_STRIPES * sizeof(bk_stripe_t));
    c->stripes = (bk_stripe_t *)memory;
    return 0;
}
static inline void bk_counter_free(bk_counter_t *c) { free(c->stripes); }
static inline void bk_count(bk_counter_t *c) {
    uintptr_t thread = (uintptr_t)_Py_ThreadId();
    thread ^= thread >> 17;
    __atomic_fetch_add(&c->stripes[(thread >> 6) % BK_STRIPES].n, 1, __ATOMIC_RELAXED);
}
static inline uint64_t bk_counted(const bk_counter_t *c) {
    uint64_t sum = 0;
    for (int i = 0; i < BK_STRIPES; i++) sum += __atomic_load_n(&c->stripes[i].n, __ATOMIC_RELAXED);
    return sum;
}
#else
typedef struct { uint64_t n; } bk_counter_t;
static inline uint64_t bk_load(const uint64_t *p) { return *p; }
static inline void bk_store(uint64_t *p, uint64_t v) { *p = v; }
static inline int bk_claim(int *flag) { int was = *flag; *flag = 0; return was; }
static inline int bk_counter_init(bk_counter_t *c) { c->n = 0; return 0; }
static inline void bk_counter_free(bk_counter_t *c) { (void)c; }
static inline void bk_count(bk_counter_t *c) { c->n += 1; }
static inline uint64_t bk_counted(const bk_counter_t *c) { return c->n; }
#endif

/* ---- fork ---------------------------------------------------------------------------------------------------
 * Without the GIL another thread may be inside a breaker's lock at the moment of a fork; the child would find the lock
 * taken for ever, and what it guards half written. So the forking thread takes all of them for that moment. */
#ifdef Py_GIL_DISABLED
typedef struct bk_member { struct bk_member *before, *after; bk_lock_t *lock; } bk_member_t;
static bk_member_t *bk_members;
static bk_lock_t bk_members_lock;
static inline void bk_join(bk_member_t *member, bk_lock_t *lock) {
    bk_lock(&bk_members_lock);
    *member = (bk_member_t){NULL, bk_members, lock};
    if (bk_members != NULL) bk_members->before = member;
    bk_members = member;
    bk_unlock(&bk_members_lock);
}
static inline void bk_leave(bk_member_t *member) {
    if (member->lock == NULL) return;
    bk_lock(&bk_members_lock);
    if (member->before != NULL) member->before->after = member->after;
    else bk_members = member->after;
    if (member->after != NULL) member->after->before = member->before;
    bk_unlock(&bk_members_lock);
}
static inline void bk_before_fork(void) {
    bk_lock(&bk_members_lock);
    for (bk_member_t *member = bk_members; member != NULL; member = member->after) bk_lock(member->lock);
}
static inline void bk_after_fork(int in_child) {
    for (bk_member_t *member = bk_members; member != NULL; member = member->after) {
        if (in_child) *member->lock = (bk_lock_t){0}; /* threads that waited for it are not here to be woken */
        else bk_unlock(member->lock);
    }
    if (in_child) bk_members_lock = (bk_lock_t){0};
    else bk_unlock(&bk_members_lock);
}
#else
typedef char bk_member_t;
static inline void bk_join(bk_member_t *member, bk_lock_t *lock) { (void)member; (void)lock; }
static inline void bk_leave(bk_member_t *member) { (void)member; }
static inline void bk_before_fork(void) {}
static inline void bk_after_fork(int in_child) { (void)in_child; }
#endif

/* ---- the clock: monotonic nanoseconds, never the wall clock ------------------------------------------------ */
static inline int64_t bk_monotonic_ns(void) {
#ifdef CLOCK_MONOTONIC
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
#else
    PyTime_t t;
    PyTime_MonotonicRaw(&t);
    return (int64_t)t;
#endif
}

/* ---- the exception that is set, taken away and given back as one object ------------------------------------ */
static inline PyObject *bk_take_exception(void) {
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
        Py_DECREF(traceback);
    }
    Py_XDECREF(type);
    return value;
#endif
}
static inline void bk_give_exception(PyObject *exception) { /* takes the reference */
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(exception);
#else
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(exception)), exception, PyException_GetTraceback(exception));
#endif
}

/* Set StopIteration(value), taking the reference. */
static void bk_raise_stop(PyObject *value) {
    PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, value);
    Py_DECREF(value);
    if (stop != NULL) bk_give_exception(stop);
}

/* ---- what is kept for the next call ------------------------------------------------------------------------
 * An object that was freed waits here as one that somebody holds: with a count of one, and tracked by the collector, which
 * sees nothing in it. So taking and giving back is a few moves in memory. Not on builds that count references themselves,
 * nor without the GIL, where it would need a lock. */
#if defined(Py_GIL_DISABLED) || defined(Py_REF_DEBUG)
#define BK_KEEPS 0
#else
#define BK_KEEPS 1
#endif
#define BK_KEPT 32
typedef struct { PyObject *objects[BK_KEPT]; int count; } bk_kept_t;

static inline PyObject *bk_take_kept(bk_kept_t *kept) { /* NULL: there is none */
    return BK_LIKELY(kept->count > 0) ? kept->objects[--kept->count] : NULL;
}
/* In a tp_dealloc, of an object that is still tracked. False: it has to be freed. Else it is held by the caller, who empties
 * it, which may run anything, and then gives it to bk_keep. */
static inline int bk_may_keep(bk_kept_t *kept, PyObject *object) {
    if (!BK_KEEPS || BK_UNLIKELY(kept->count == BK_KEPT)) return 0;
    Py_SET_REFCNT(object, 1);
    return 1;
}
static inline void bk_keep(bk_kept_t *kept, PyObject *object) {
    if (BK_LIKELY(kept->count < BK_KEPT)) kept->objects[kept->count++] = object;
    else Py_DECREF(object);
}

/* Set StopIteration(value) for a value that is awaited, taking the reference. From 3.12 on the interpreter fetches each one
 * out of a StopIteration; making and freeing one costs as much as all the rest that protection adds. So a few are kept, of
 * a subclass. Nobody sees them who does not drive an awaitable by hand. */
#if !BK_KEEPS
static int bk_make_stops(void) { return 0; }
#define bk_raise_awaited bk_raise_stop
#else
static PyTypeObject bk_stop_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "breaker._core.StopIteration",
    .tp_basicsize = sizeof(PyStopIterationObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
};
static bk_kept_t bk_stops;
static PyObject *bk_no_args;

static void bk_stop_dealloc(PyObject *self) {
    PyStopIterationObject *stop = (PyStopIterationObject *)self;
    /* What raising and catching in Python leaves on it: then it is not as good as new. */
    if (BK_UNLIKELY(stop->traceback != NULL || stop->context != NULL || stop->cause != NULL || stop->dict != NULL
                    || stop->notes != NULL || stop->args != bk_no_args || stop->suppress_context)
        || !bk_may_keep(&bk_stops, self)) {
        PyObject_GC_UnTrack(self);
        ((PyTypeObject *)PyExc_StopIteration)->tp_clear(self);
        PyObject_GC_Del(self);
    } else {
        Py_CLEAR(stop->value);
        bk_keep(&bk_stops, self);
    }
}
static int bk_make_stops(void) {
    bk_no_args = PyTuple_New(0);
    bk_stop_type.tp_base = (PyTypeObject *)PyExc_StopIteration;
    bk_stop_type.tp_traverse = bk_stop_type.tp_base->tp_traverse;
    bk_stop_type.tp_dealloc = bk_stop_dealloc; /* and no tp_clear: the collector must not empty one that was taken again */
    return bk_no_args == NULL ? -1 : PyType_Ready(&bk_stop_type);
}
static void bk_raise_awaited(PyObject *value) {
    PyObject *stop = bk_take_kept(&bk_stops);
    if (BK_UNLIKELY(stop == NULL)) {
        stop = bk_stop_type.tp_new(&bk_stop_type, bk_no_args, NULL);
        if (stop == NULL) {
            Py_DECREF(value);
            return;
        }
    }
    ((PyStopIterationObject *)stop)->value = value;
    bk_give_exception(stop);
}
#endif

/* ---- what kind of function, what kind of result ------------------------------------------------------------ */
#define BK_LAZY (CO_COROUTINE | CO_GENERATOR | CO_ASYNC_GENERATOR)

/* Flags of BK_LAZY for a Python function or a bound method of one; 0 for a built-in; -1 for anything else. */
static inline int bk_function_flags(PyObject *fn) {
    if (PyMethod_Check(fn)) fn = PyMethod_GET_FUNCTION(fn);
    if (BK_LIKELY(Py_IS_TYPE(fn, &PyFunction_Type)))
        return ((PyCodeObject *)((PyFunctionObject *)fn)->func_code)->co_flags & (BK_LAZY | CO_ITERABLE_COROUTINE);
    return Py_IS_TYPE(fn, &PyCFunction_Type) ? 0 : -1;
}
/* A call of the user's function. To a Python function directly: the checks around it are for C functions. */
static inline PyObject *bk_call(PyObject *fn, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
    if (BK_LIKELY(Py_IS_TYPE(fn, &PyFunction_Type)))
        return ((PyFunctionObject *)fn)->vectorcall(fn, args, nargsf, kwnames);
    return PyObject_Vectorcall(fn, args, nargsf, kwnames);
}
/* PyIter_Send, without the call of it where the object has am_send. */
static inline PySendResult bk_send(PyObject *iterator, PyObject *value, PyObject **result) {
    PyAsyncMethods *async = Py_TYPE(iterator)->tp_as_async;
    if (BK_LIKELY(async != NULL && async->am_send != NULL)) return async->am_send(iterator, value, result);
    return PyIter_Send(iterator, value, result);
}
/* False for every value that cannot be a coroutine, a generator or an async generator. */
static inline int bk_may_run_later(PyObject *value) {
    PyAsyncMethods *async = Py_TYPE(value)->tp_as_async;
    return async != NULL && (async->am_send != NULL || async->am_await != NULL || async->am_anext != NULL);
}

/* ---- slots and methods set on the types when the module is made -------------------------------------------- */
static int bk_add_method(PyTypeObject *type, PyMethodDef *method) {
    PyObject *descriptor = PyDescr_NewMethod(type, method);
    if (descriptor == NULL) return -1;
    int failed = PyDict_SetItemString(type->tp_dict, method->ml_name, descriptor);
    Py_DECREF(descriptor);
    PyType_Modified(type);
    return failed;
}
/* Made by this module alone: without a breaker in it, using one would read nowhere. */
static int bk_forbid_making(PyTypeObject *type) {
    type->tp_new = NULL;
    type->tp_vectorcall = NULL;
    type->tp_flags |= Py_TPFLAGS_DISALLOW_INSTANTIATION;
    PyType_Modified(type);
    return PyDict_GetItemString(type->tp_dict, "__new__") == NULL ? 0 : PyDict_DelItemString(type->tp_dict, "__new__");
}
static void bk_make_callable(PyTypeObject *type, Py_ssize_t offset) {
    type->tp_vectorcall_offset = offset;
    type->tp_call = PyVectorcall_Call;
    type->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR;
    PyType_Modified(type);
}
static void bk_make_iterator(PyTypeObject *type, sendfunc send, iternextfunc next) {
    static PyAsyncMethods generator_async;
    if (type->tp_as_async == NULL) type->tp_as_async = &generator_async;
    type->tp_as_async->am_send = send;
    type->tp_iternext = next;
    PyType_Modified(type);
}

#endif
