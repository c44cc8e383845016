/* What Cython cannot say by itself: the clock, errors that are set by hand, the shape of functions, and the slots and
 * methods that keep a protected call from packing its arguments into a tuple and a dict. */
#ifndef BREAKER_CORE_H
#define BREAKER_CORE_H

#include <Python.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define BK_LIKELY(x) __builtin_expect(!!(x), 1)
#define BK_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define BK_COLD __attribute__((noinline, cold))
#define BK_APART __attribute__((noinline))
/* Cython takes it for a part of the type that a function returns, and repeats it where it means nothing. */
#pragma GCC diagnostic ignored "-Wattributes"

/* Before that Cython drops the old value of a field before it stores the new one, and what the drop runs, a listener's
 * finalizer or the collector, finds a freed object. pyproject.toml says more. */
#if CYTHON_HEX_VERSION < 0x030301F0
#error "breaker needs Cython 3.3.1 or newer, see requires in pyproject.toml: pip install 'Cython>=3.3.1'"
#endif

#include "threads.h"

/* ---- the clock: monotonic nanoseconds, never the wall clock ------------------------------------------------ */
static inline int64_t bk_monotonic_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The same as of the system's last tick, for a quarter of the cost, and the length of a tick; 0: there is no such clock. */
static inline int64_t bk_coarse_ns(void) {
#ifdef CLOCK_MONOTONIC_COARSE
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
#else
    return bk_monotonic_ns();
#endif
}
static inline int64_t bk_coarse_step(void) {
#ifdef CLOCK_MONOTONIC_COARSE
    struct timespec t;
    if (clock_getres(CLOCK_MONOTONIC_COARSE, &t) == 0) return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
#endif
    return 0;
}

#include "turns.h"

/* ---- random numbers in [0, 1) by splitmix64: good enough to spread restarts, and no Python is needed ----------- */
static uint64_t bk_random;
static inline void bk_seed(void) { /* at the start and in each child, so that no two processes draw alike */
    uint64_t from = (uint64_t)(uintptr_t)&bk_random ^ (uint64_t)bk_monotonic_ns() ^ (uint64_t)getpid() << 40;
    bk_random ^= from * 0x9E3779B97F4A7C15ULL;
}
static inline double bk_draw(void) {
    uint64_t z = bk_next(&bk_random, 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    z ^= z >> 31;
    return (double)(z >> 11) * (1.0 / 9007199254740992.0);
}

/* ---- a transition that the table does not have -------------------------------------------------------------- */
static BK_COLD void bk_illegal_transition(int before, int state, int reason) {
#ifdef BREAKER_DEBUG
    char text[100];
    snprintf(text, sizeof text, "breaker: illegal transition, state %d to %d for reason %d", before, state, reason);
    Py_FatalError(text);
#else
    (void)before, (void)state, (void)reason; /* refused: the state stays as it is */
#endif
}

/* ---- is there stack for what others do ---------------------------------------------------------------------------
 * A listener that finds none has not been notified, and nobody can tell that from an error of its own. So it is called
 * where the interpreter's limits leave room for it and for what it calls. */
#define BK_ROOM 50
static inline int bk_has_room(void) {
    PyThreadState *thread = PyThreadState_Get();
#if PY_VERSION_HEX < 0x030C0000
    return thread->recursion_remaining >= BK_ROOM;
#elif PY_VERSION_HEX < 0x030E0000
    return thread->py_recursion_remaining >= BK_ROOM && thread->c_recursion_remaining >= BK_ROOM;
#else
    if (thread->py_recursion_remaining < BK_ROOM) return 0;
    if (Py_EnterRecursiveCall("") != 0) {
        PyErr_Clear();
        return 0;
    }
    Py_LeaveRecursiveCall();
    return 1;
#endif
}

/* ---- the exception that is set, taken away and given back as one object ------------------------------------ */
static inline PyObject *bk_take_exception(void) {
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    /* An exception that is one already asks its metaclass in there. */
    if (value == NULL || (PyObject *)Py_TYPE(value) != type) PyErr_NormalizeException(&type, &value, &traceback);
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

/* The exception that a call of the user's has raised. Without memory to unwind a Python function the interpreter loses
 * it, and says so where it finds out. */
static BK_COLD PyObject *bk_lost_exception(void) {
    PyErr_SetString(PyExc_SystemError, "error return without exception set");
    return bk_take_exception();
}
static inline PyObject *bk_take_raised(void) {
    PyObject *error = bk_take_exception();
    return BK_LIKELY(error != NULL) ? error : bk_lost_exception();
}

/* The exception that is being handled here, exchanged: what is raised meanwhile has it as its context. Both owned. */
static inline PyObject *bk_exchange_handled(PyObject *exception) {
    _PyErr_StackItem *here = PyThreadState_Get()->exc_info;
    PyObject *before = here->exc_value;
    here->exc_value = exception;
    return before;
}

/* Set StopIteration(value), taking the reference. */
static void bk_raise_stop(PyObject *value) {
    PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, value);
    Py_DECREF(value);
    if (stop != NULL) bk_give_exception(stop);
}

/* A StopIteration that is set and does not come from the end of anything would be taken for one: as in Python's own
 * generators (PEP 479) it becomes a RuntimeError with it as its cause. The same for the one of async generators. */
static BK_COLD void bk_stop_is_no_end(const char *kind, int is_async) {
    const char *stop = PyErr_ExceptionMatches(PyExc_StopIteration) ? "StopIteration"
        : is_async && PyErr_ExceptionMatches(PyExc_StopAsyncIteration) ? "StopAsyncIteration" : NULL;
    if (stop == NULL) return;
    PyObject *cause = bk_take_exception();
    PyErr_Format(PyExc_RuntimeError, "%s raised %s", kind, stop);
    PyObject *error = bk_take_exception(); /* this or a MemoryError */
    PyException_SetCause(error, Py_NewRef(cause));
    PyException_SetContext(error, cause);
    bk_give_exception(error);
}
/* Make `error`, whose reference is taken, the context of the exception that is set; it may be the same one, or know it. */
static BK_COLD void bk_chain_exception(PyObject *error) {
    PyObject *set = bk_take_exception();
    PyObject *at = Py_NewRef(error);
    while (at != NULL && at != set) { /* borrowed from an object that `error` holds, as long as nobody else runs */
        PyObject *context = PyException_GetContext(at);
        Py_DECREF(at);
        at = context;
    }
    if (at == NULL) PyException_SetContext(set, error);
    else {
        Py_DECREF(at);
        Py_DECREF(error);
    }
    bk_give_exception(set);
}

#include "functions.h"

/* ---- slots and methods set on the types when the module is made -------------------------------------------- */
static PyObject *bk_no_args;
/* Types are changed once: they outlive an import that fails, for want of memory, while they are being changed. */
static int bk_begin_types(void) {
    static int begun;
    if (!begun++) return 0;
    PyErr_SetString(PyExc_ImportError, "breaker: an earlier import failed half way; start the process again");
    return -1;
}
static int bk_set_item(PyTypeObject *type, const char *name, PyObject *value) { /* NULL: take it away, if it is there */
    int failed = 0;
    if (value != NULL) failed = PyDict_SetItemString(type->tp_dict, name, value);
    else if (PyDict_GetItemString(type->tp_dict, name) != NULL) failed = PyDict_DelItemString(type->tp_dict, name);
    PyType_Modified(type);
    return failed;
}
static int bk_add_method(PyTypeObject *type, PyMethodDef *method) {
    PyObject *descriptor = PyDescr_NewMethod(type, method);
    if (descriptor == NULL) return -1;
    int failed = bk_set_item(type, method->ml_name, descriptor);
    Py_DECREF(descriptor);
    return failed;
}
/* A strong reference at once: without the GIL a borrowed one may be freed by the thread that removes the entry.
 * 1: found, 0: not there, -1: an error is set. */
static inline int bk_dict_find(PyObject *dict, PyObject *key, PyObject **found) {
#if PY_VERSION_HEX >= 0x030D0000
    return PyDict_GetItemRef(dict, key, found);
#else
    *found = PyDict_GetItemWithError(dict, key);
    if (BK_UNLIKELY(*found == NULL)) return PyErr_Occurred() == NULL ? 0 : -1;
    Py_INCREF(*found);
    return 1;
#endif
}
/* Made by this module alone, by what was its tp_new: without a breaker in it, one would be of no use. */
static inline PyObject *bk_make(newfunc make, PyTypeObject *type) { return make(type, bk_no_args, NULL); }
static int bk_forbid_making(PyTypeObject *type) {
    type->tp_new = NULL;
    type->tp_vectorcall = NULL;
    type->tp_flags |= Py_TPFLAGS_DISALLOW_INSTANTIATION;
    return bk_set_item(type, "__new__", NULL);
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

static void bk_make_awaitable(PyTypeObject *type, unaryfunc wait) { /* it has an __await__ of Cython's */
    type->tp_as_async->am_await = wait;
    PyType_Modified(type);
}

#include "context.h"
#include "kept.h"
#include "rejections.h"
#include "stand_in.h"
#include "windows.h"
#include "in_flight.h"
#include "recording.h"

/* ---- one interpreter of a process has this module (S155) ------------------------------------------------------
 * It is one copy of C state, and where a sub-interpreter were first to have it, the main one could do so no more. So it
 * is refused before Cython's own PyInit__core, which has another name here. */
PyMODINIT_FUNC bk_init_module(void);
PyMODINIT_FUNC PyInit__core(void) {
    if (PyInterpreterState_Get() == PyInterpreterState_Main()) return bk_init_module();
    PyErr_SetString(PyExc_ImportError,
        "breaker cannot be imported in a sub-interpreter: its state belongs to the main interpreter of a process; "
        "make the calls there, in a thread, or in a process of their own (mod_wsgi: WSGIApplicationGroup %{GLOBAL})");
    return NULL;
}
#define PyInit__core bk_init_module

#endif
