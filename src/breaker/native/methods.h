/* Methods that get their arguments as they lie on the caller's stack, without a tuple and a dict made of them. Cython
 * cannot define such methods, so their entries and docstrings are here; their bodies are in the included files. */
#ifndef BREAKER_METHODS_H
#define BREAKER_METHODS_H

#include <Python.h>

static PyObject *bk_do_entry(PyObject *, PyObject *const *, Py_ssize_t, PyObject *); /* _calls.pxi */
static PyMethodDef bk_do_method = {
    "do", (PyCFunction)(void (*)(void))bk_do_entry, METH_FASTCALL | METH_KEYWORDS,
    "do($self, fn, /, *args, **kwargs)\n--\n\n"
    "Run ``fn(*args, **kwargs)`` under protection and return its result.\n\n"
    "A plain callable is admitted now (S30). A coroutine function gives an awaitable that is admitted when it is first\n"
    "awaited, a generator function a generator that is admitted at its first ``next``; they settle at their end (S31).\n"
    "A plain callable that returns a coroutine or a generator is admitted now and settles at the end of that (S32), one\n"
    "that returns a future when that is done, another awaitable when it was awaited or its ``async with`` entered, a\n"
    "context manager of contextlib when it was entered (S33).\n\n"
    "Args:\n"
    "    fn: What to call.\n"
    "    *args: Its positional arguments.\n"
    "    **kwargs: Its keyword arguments, all of them.\n\n"
    "Returns:\n"
    "    What ``fn`` returns; what runs later is guarded and behaves as the original does.\n\n"
    "Raises:\n"
    "    BreakerOpenError: The call was rejected, ``fn`` did not run.\n"
    "    TypeError: ``fn`` cannot be called: a coroutine object, None. Nothing is counted.\n"
    "    BaseException: Whatever ``fn`` raises, as the same object.\n\n"
    "Thread safety:\n"
    "    May be called from any thread or task; it never blocks.\n\n"
    ".. versionadded:: 0.1"
};

static PyObject *bk_acquire_entry(PyObject *, PyObject *); /* _permits.pxi */
static PyMethodDef bk_acquire_method = {
    "acquire", bk_acquire_entry, METH_NOARGS,
    "acquire($self, /)\n--\n\n"
    "Ask for one call that the caller runs and settles by hand.\n\n"
    "Returns:\n"
    "    A `Permit`: settle it, use it in a ``with`` block, or drop it, which ignores the call.\n\n"
    "Raises:\n"
    "    BreakerOpenError: The call was rejected.\n\n"
    "Thread safety:\n"
    "    May be called from any thread or task; it never blocks.\n\n"
    ".. versionadded:: 0.1"
};

static PyObject *bk_exit_entry(PyObject *, PyObject *const *, Py_ssize_t); /* _permits.pxi */
static PyMethodDef bk_exit_method = {
    "__exit__", (PyCFunction)(void (*)(void))bk_exit_entry, METH_FASTCALL,
    "__exit__($self, kind, exc, traceback, /)\n--\n\n"
    "Settle by how the ``with`` block ended. What was raised goes on."
};

static PyObject *bk_get_breaker_entry(PyObject *, PyObject *const *, Py_ssize_t, PyObject *); /* _registry.pxi */
static PyMethodDef bk_get_breaker_method = {
    "get_breaker", (PyCFunction)(void (*)(void))bk_get_breaker_entry, METH_FASTCALL | METH_KEYWORDS,
    "get_breaker($self, /, name, *, failure_on=None, success_on=None, ignore_on=None, failed_result=None, "
    "failed_error=None)\n--\n\n"
    "The breaker of this name, made at the first call. Does no I/O.\n\n"
    "The options classify the outcome of a call: ``failed_error`` is asked first (S49), then ``ignore_on``,\n"
    "``success_on`` and ``failure_on`` are tried in this order and the first match decides. Without a match an\n"
    "`Exception` is a failure, or a success if ``failure_on`` is given (S41). A function is an option like any other:\n"
    "give the same one each time, so define it once, at module level.\n\n"
    "Args:\n"
    "    name: What is protected, like ``\"http:billing\"``; at most 255 bytes of UTF-8.\n"
    "    failure_on: An exception type or a tuple of them: failures.\n"
    "    success_on: An exception type or a tuple of them: successes.\n"
    "    ignore_on: An exception type or a tuple of them: ignored.\n"
    "    failed_result: Called with each returned value; true means that the call failed.\n"
    "    failed_error: Called with each exception: True means that the call failed, False that it succeeded, None\n"
    "        leaves it to the other options. Never called with the rejection of another breaker.\n\n"
    "Returns:\n"
    "    The `Breaker`, the same object for the same name until it is removed.\n\n"
    "Raises:\n"
    "    TypeError: A name that is no text, or an option of a wrong type.\n"
    "    ValueError: A name that is not allowed, or an option that differs from the one the breaker was made with.\n\n"
    "Thread safety:\n"
    "    May be called from any thread.\n\n"
    ".. versionadded:: 0.1"
};

#endif
