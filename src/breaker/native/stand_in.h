/* An exception's text is made where somebody reads it, perhaps long after the call, and the exception itself must not be
 * kept until then: its traceback holds the frames of the call. What makes the text needs its args and its attributes; so
 * an object of the same class with these alone stands in for it, where they are values that hold nothing. */
#ifndef BREAKER_STAND_IN_H
#define BREAKER_STAND_IN_H

static inline int bk_holds_nothing(PyObject *value) {
    return value == Py_None || PyUnicode_CheckExact(value) || PyLong_CheckExact(value) || PyBool_Check(value)
        || PyFloat_CheckExact(value) || PyBytes_CheckExact(value);
}
/* Is its text made by Python code of its class, not by the interpreter's own? */
static int bk_has_python_text(PyObject *error) {
    PyTypeObject *base = Py_TYPE(error);
    while ((base->tp_flags & Py_TPFLAGS_HEAPTYPE) && base->tp_base != NULL) base = base->tp_base;
    return Py_TYPE(error)->tp_str != base->tp_str;
}
/* Nothing but what every exception has, and no finalizer, which would tell of an object that its class has not made. */
static int bk_is_plain_exception(PyTypeObject *type) {
    Py_ssize_t weak = type->tp_weaklistoffset > 0 ? (Py_ssize_t)sizeof(PyObject *) : 0;
    return type->tp_basicsize == (Py_ssize_t)sizeof(PyBaseExceptionObject) + weak && type->tp_itemsize == 0
        && type->tp_dictoffset == (Py_ssize_t)offsetof(PyBaseExceptionObject, dict)
        && type->tp_finalize == NULL && type->tp_del == NULL;
}
/* Owned. NULL: there can be none; or an error is set, for there is no memory. */
static PyObject *bk_stand_in(PyObject *error) {
    PyBaseExceptionObject *e = (PyBaseExceptionObject *)error;
    if (!bk_is_plain_exception(Py_TYPE(error)) || e->args == NULL) return NULL;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(e->args); i++)
        if (!bk_holds_nothing(PyTuple_GET_ITEM(e->args, i))) return NULL;
    PyObject *dict = NULL;
    if (e->dict != NULL) {
        if ((dict = PyDict_Copy(e->dict)) == NULL) return NULL;
        PyObject *name, *value;
        Py_ssize_t at = 0;
        while (PyDict_Next(dict, &at, &name, &value))
            if (!bk_holds_nothing(value)) {
                Py_DECREF(dict);
                return NULL;
            }
    }
    PyBaseExceptionObject *made = (PyBaseExceptionObject *)PyType_GenericAlloc(Py_TYPE(error), 0);
    if (made == NULL) {
        Py_XDECREF(dict);
        return NULL;
    }
    made->args = Py_NewRef(e->args);
    made->dict = dict;
    return (PyObject *)made;
}

/* A type whose objects may hold one tells the collector of it. */
static traverseproc bk_traverse_rest;
static PyObject *(*bk_failure_of)(PyObject *);
static int bk_traverse_with_failure(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(bk_failure_of(self));
    return bk_traverse_rest(self, visit, arg);
}
static void bk_traverse_failure(PyTypeObject *type, PyObject *(*failure)(PyObject *)) {
    bk_failure_of = failure;
    bk_traverse_rest = type->tp_traverse;
    type->tp_traverse = bk_traverse_with_failure;
}

#endif
