/* Floors: what a compiled wrapper costs that does nothing but its wrapping.

   Each type here is the cheapest form CPython offers for one kind of call, so
   that the ratio of the breaker to it is what protection itself costs. Built
   only for the benchmarks (build.py), never part of the package. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>

/* -- an empty context manager ------------------------------------------- */

typedef struct {
    PyObject_HEAD
} Empty;

static PyObject *
empty_enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return Py_NewRef(self);
}

static PyObject *
empty_exit(PyObject *Py_UNUSED(self), PyObject *const *Py_UNUSED(args), Py_ssize_t Py_UNUSED(nargs))
{
    Py_RETURN_NONE;
}

static PyMethodDef empty_methods[] = {
    {"__enter__", empty_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))empty_exit, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject EmptyType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "_floor.Empty",
    .tp_basicsize = sizeof(Empty),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "A context manager that does nothing.",
    .tp_methods = empty_methods,
    .tp_new = PyType_GenericNew,
};

/* -- an awaitable that only forwards ------------------------------------- */

typedef struct {
    PyObject_HEAD
    PyObject *coroutine;
} Later;

static PySendResult
later_send(PyObject *self, PyObject *value, PyObject **result)
{
    return PyIter_Send(((Later *)self)->coroutine, value, result);
}

static PyObject *
later_next(PyObject *self)
{
    PyObject *result = NULL;
    if (PyIter_Send(((Later *)self)->coroutine, Py_None, &result) == PYGEN_RETURN) {
        PyErr_SetObject(PyExc_StopIteration, result);
        Py_CLEAR(result);
    }
    return result;
}

static int
later_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((Later *)self)->coroutine);
    return 0;
}

static void
later_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    Py_CLEAR(((Later *)self)->coroutine);
    PyObject_GC_Del(self);
}

static PyObject *
later_await(PyObject *self)
{
    return Py_NewRef(self);
}

static PyAsyncMethods later_async = {.am_await = later_await, .am_send = later_send};

static PyTypeObject LaterType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "_floor.Later",
    .tp_basicsize = sizeof(Later),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc = "An awaitable that only forwards to a coroutine.",
    .tp_as_async = &later_async,
    .tp_iternext = later_next,
    .tp_traverse = later_traverse,
    .tp_dealloc = later_dealloc,
};

/* -- methods that only forward ------------------------------------------ */

typedef struct {
    PyObject_HEAD
} Forward;

static PyObject *
forward_do(PyObject *Py_UNUSED(self), PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs < 1) {
        PyErr_SetString(PyExc_TypeError, "do() needs a callable");
        return NULL;
    }
    return PyObject_Vectorcall(args[0], args + 1, (size_t)(nargs - 1) | PY_VECTORCALL_ARGUMENTS_OFFSET, kwnames);
}

/* The same without the permission to overwrite args[-1]: what it saves a bound
   method, and what giving it up would cost. */
static PyObject *
forward_do_without_offset(PyObject *Py_UNUSED(self), PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs < 1) {
        PyErr_SetString(PyExc_TypeError, "do_without_offset() needs a callable");
        return NULL;
    }
    return PyObject_Vectorcall(args[0], args + 1, (size_t)(nargs - 1), kwnames);
}

static PyObject *
forward_later(PyObject *Py_UNUSED(self), PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs < 1) {
        PyErr_SetString(PyExc_TypeError, "later() needs a callable");
        return NULL;
    }
    PyObject *coroutine = PyObject_Vectorcall(args[0], args + 1, (size_t)(nargs - 1), kwnames);
    if (coroutine == NULL) {
        return NULL;
    }
    Later *later = PyObject_GC_New(Later, &LaterType);
    if (later == NULL) {
        Py_DECREF(coroutine);
        return NULL;
    }
    later->coroutine = coroutine;
    PyObject_GC_Track(later);
    return (PyObject *)later;
}

static PyObject *
forward_acquire(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    return (PyObject *)PyObject_New(Empty, &EmptyType);
}

static PyObject *
forward_pass_through(PyObject *Py_UNUSED(self), PyObject *value)
{
    return Py_NewRef(value);
}

static PyObject *
forward_refuse(PyObject *Py_UNUSED(self), PyObject *const *Py_UNUSED(args), Py_ssize_t Py_UNUSED(nargs),
               PyObject *Py_UNUSED(kwnames))
{
    PyErr_SetNone(PyExc_RuntimeError);
    return NULL;
}

static PyMethodDef forward_methods[] = {
    {"do", (PyCFunction)(void (*)(void))forward_do, METH_FASTCALL | METH_KEYWORDS, NULL},
    {"do_without_offset", (PyCFunction)(void (*)(void))forward_do_without_offset,
     METH_FASTCALL | METH_KEYWORDS, NULL},
    {"later", (PyCFunction)(void (*)(void))forward_later, METH_FASTCALL | METH_KEYWORDS, NULL},
    {"acquire", forward_acquire, METH_NOARGS, NULL},
    {"pass_through", forward_pass_through, METH_O, NULL},
    {"refuse", (PyCFunction)(void (*)(void))forward_refuse, METH_FASTCALL | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject ForwardType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "_floor.Forward",
    .tp_basicsize = sizeof(Forward),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "Methods that only forward.",
    .tp_methods = forward_methods,
    .tp_new = PyType_GenericNew,
};

/* -- a callable object that only forwards, and binds as a method --------- */

typedef struct {
    PyObject_HEAD
    PyObject *wrapped;
    vectorcallfunc vectorcall;
} Wrapper;

static PyObject *
wrapper_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    return PyObject_Vectorcall(((Wrapper *)self)->wrapped, args, nargsf, kwnames);
}

static PyObject *
wrapper_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *wrapped;
    static char *names[] = {"wrapped", NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O", names, &wrapped)) {
        return NULL;
    }
    Wrapper *self = (Wrapper *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->wrapped = Py_NewRef(wrapped);
        self->vectorcall = wrapper_vectorcall;
    }
    return (PyObject *)self;
}

static PyObject *
wrapper_get(PyObject *self, PyObject *instance, PyObject *Py_UNUSED(owner))
{
    if (instance == NULL || instance == Py_None) {
        return Py_NewRef(self);
    }
    return PyMethod_New(self, instance);
}

static int
wrapper_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((Wrapper *)self)->wrapped);
    return 0;
}

static int
wrapper_clear(PyObject *self)
{
    Py_CLEAR(((Wrapper *)self)->wrapped);
    return 0;
}

static void
wrapper_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    (void)wrapper_clear(self);
    Py_TYPE(self)->tp_free(self);
}

static PyTypeObject WrapperType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "_floor.Wrapper",
    .tp_basicsize = sizeof(Wrapper),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
    .tp_doc = "A callable that only forwards to the one it wraps.",
    .tp_vectorcall_offset = offsetof(Wrapper, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_descr_get = wrapper_get,
    .tp_traverse = wrapper_traverse,
    .tp_clear = wrapper_clear,
    .tp_dealloc = wrapper_dealloc,
    .tp_new = wrapper_new,
};

/* -- the module ----------------------------------------------------------- */

static int
floor_exec(PyObject *module)
{
    if (PyType_Ready(&LaterType) < 0 || PyModule_AddType(module, &EmptyType) < 0 || PyModule_AddType(module, &ForwardType) < 0) {
        return -1;
    }
    return PyModule_AddType(module, &WrapperType);
}

static PyModuleDef_Slot floor_slots[] = {
    {Py_mod_exec, floor_exec},
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static PyModuleDef floor_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_floor",
    .m_doc = "The least that a compiled wrapper costs.",
    .m_slots = floor_slots,
};

PyMODINIT_FUNC
PyInit__floor(void)
{
    return PyModuleDef_Init(&floor_module);
}
