/* What kind of function, what kind of result: does a call finish at once, or does it give something that runs later? */
#ifndef BREAKER_FUNCTIONS_H
#define BREAKER_FUNCTIONS_H

#define BK_RUNS_LATER (CO_COROUTINE | CO_GENERATOR | CO_ASYNC_GENERATOR | CO_ITERABLE_COROUTINE)

/* Has inspect.markcoroutinefunction marked a Python function, or asyncio in the way in which it did so before 3.12? */
static BK_COLD int bk_is_marked(PyObject *dict) {
    static PyObject *marks[2];
    static const char *const names[2] = {"_is_coroutine_marker", "_is_coroutine"};
    for (int i = 0; i < 2; i++) {
        if (marks[i] == NULL) marks[i] = PyUnicode_InternFromString(names[i]);
        int found = marks[i] == NULL ? -1 : PyDict_Contains(dict, marks[i]);
        if (found > 0) return 1;
        if (found < 0) PyErr_Clear();
    }
    return 0;
}
/* Flags of BK_RUNS_LATER for a Python function or a bound method of one, where nobody can have marked it; 0 for a
 * built-in; -1 for anything else. */
static inline int bk_unmarked_flags(PyObject *fn) {
    if (PyMethod_Check(fn)) fn = PyMethod_GET_FUNCTION(fn);
    if (BK_LIKELY(Py_IS_TYPE(fn, &PyFunction_Type))) {
        PyObject *dict = ((PyFunctionObject *)fn)->func_dict;
        if (BK_UNLIKELY(dict != NULL) && PyDict_GET_SIZE(dict) != 0) return -1;
        return ((PyCodeObject *)((PyFunctionObject *)fn)->func_code)->co_flags & BK_RUNS_LATER;
    }
    return Py_IS_TYPE(fn, &PyCFunction_Type) ? 0 : -1;
}
/* The same of one that may be marked. */
static inline int bk_function_flags(PyObject *fn) {
    if (PyMethod_Check(fn)) fn = PyMethod_GET_FUNCTION(fn);
    if (BK_LIKELY(Py_IS_TYPE(fn, &PyFunction_Type))) {
        PyObject *dict = ((PyFunctionObject *)fn)->func_dict;
        if (BK_UNLIKELY(dict != NULL) && PyDict_GET_SIZE(dict) != 0 && bk_is_marked(dict)) return CO_COROUTINE;
        return ((PyCodeObject *)((PyFunctionObject *)fn)->func_code)->co_flags & BK_RUNS_LATER;
    }
    return Py_IS_TYPE(fn, &PyCFunction_Type) ? 0 : -1;
}
/* The same flags of a generator. */
static inline int bk_generator_flags(PyObject *generator) {
#if PY_VERSION_HEX >= 0x030C0000
    PyCodeObject *code = PyGen_GetCode((PyGenObject *)generator);
#else
    PyCodeObject *code = (PyCodeObject *)Py_NewRef(((PyGenObject *)generator)->gi_code);
#endif
    int flags = code->co_flags & BK_RUNS_LATER;
    Py_DECREF(code);
    return flags;
}
/* The same flags of a Python function as it is now: its code may have been replaced. NULL: none. */
static inline int bk_code_flags(PyObject *function) {
    return ((PyCodeObject *)((PyFunctionObject *)function)->func_code)->co_flags & BK_RUNS_LATER;
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
/* False for every value that cannot be a coroutine, a generator, an awaitable, a future or a context manager whose
 * entering is the call. Futures of threads and context managers are instances of Python classes without a slot that
 * says so; the classes that are known to be neither are remembered by their version tags, which are given out once. */
#define BK_CLASSES 256
static uint32_t bk_plain_classes[BK_CLASSES];
static inline int bk_may_run_later(PyObject *value) {
    PyTypeObject *type = Py_TYPE(value);
    PyAsyncMethods *async = type->tp_as_async;
    if (BK_LIKELY(async == NULL)) return 0;
    if (async->am_send != NULL || async->am_await != NULL || async->am_anext != NULL) return 1;
    return type->tp_version_tag == 0 || bk_plain_classes[type->tp_version_tag % BK_CLASSES] != type->tp_version_tag;
}
static void bk_runs_nothing_later(PyTypeObject *type) { bk_plain_classes[type->tp_version_tag % BK_CLASSES] = type->tp_version_tag; }

#endif
