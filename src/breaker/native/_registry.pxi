# Breakers by name. `Provider` does all the rest; the lookup of an existing name is here because programs begin a call
# with it.


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
