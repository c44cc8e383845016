# Breakers by name. `Provider` does all the rest; the lookup of an existing name is here because programs begin a call with it.

cdef extern from *:
    """
    static PyObject *bk_get_breaker_entry(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
    static PyMethodDef bk_get_breaker_method = {
        "get_breaker", (PyCFunction)(void (*)(void))bk_get_breaker_entry, METH_FASTCALL | METH_KEYWORDS,
        "get_breaker($self, /, name, *, failure_on=None, success_on=None, ignore_on=None, failed_result=None)\\n--\\n\\n"
        "The breaker of this name, made at the first call; the same object from any thread. Does no I/O.\\n\\n"
        "``ignore_on``, ``success_on``, ``failure_on``: exception types or tuples of them, tried in this order, the first\\n"
        "match decides; without a match an `Exception` is a failure, or a success where ``failure_on`` is given.\\n"
        "``failed_result``: called with each returned value, true means that it is a failure.\\n\\n"
        "Raises `TypeError` or `ValueError` for a wrong name or option, `ValueError` also where an option that is given\\n"
        "differs from the one the breaker was made with."
    };
    """
    PyMethodDef bk_get_breaker_method

cdef extern from "Python.h":
    bint PyUnicode_CheckExact_ "PyUnicode_CheckExact"(PyObject *o) noexcept
    PyObject *PyObject_GetAttr_ "PyObject_GetAttr"(PyObject *o, PyObject *name) noexcept


cdef extern from "native/core.h":
    int bk_dict_find(PyObject *dict, PyObject *key, PyObject **found) noexcept


cdef class Registry:
    """The breakers of a `Provider`, by name. Read without a lock, while others are added and removed."""

    cdef readonly dict _breakers

    def __cinit__(self, *args, **kwargs):
        self._breakers = {}


cdef str _MAKE_OR_CHECK = "_make_or_check"


cdef PyObject *registry_get_breaker "bk_get_breaker_entry"(
        PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) noexcept:
    cdef PyObject *found
    cdef int known
    if BK_LIKELY(nargs == 1 and kwnames == NULL and PyUnicode_CheckExact_(args[0])):
        known = bk_dict_find(<PyObject *>(<Registry>self)._breakers, args[0], &found)
        if BK_LIKELY(known > 0):
            return found
        if known < 0:
            return NULL
    cdef PyObject *slow = PyObject_GetAttr_(self, <PyObject *>_MAKE_OR_CHECK)
    if slow == NULL:
        return NULL
    found = PyObject_Vectorcall(slow, args, <size_t>nargs, kwnames)
    Py_DECREF(slow)
    return found


bk_add_method(<PyTypeObject *>Registry, &bk_get_breaker_method)
