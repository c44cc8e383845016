/* What is kept for the next call: objects that were freed and are taken again, instead of being made anew. */
#ifndef BREAKER_KEPT_H
#define BREAKER_KEPT_H

/* ---- what waits ------------------------------------------------------------------------------------------------
 * An object that was freed waits here as one that somebody holds, with a count of one. Not on builds that count
 * references themselves, nor without the GIL, where it would need a lock. */
#if defined(Py_GIL_DISABLED) || defined(Py_REF_DEBUG)
#define BK_KEEPS 0
#else
#define BK_KEEPS 1
#endif
#define BK_KEPT 32
typedef struct { PyObject *objects[BK_KEPT]; size_t count; } bk_kept_t;

static inline PyObject *bk_take_kept(bk_kept_t *kept) { /* owned; NULL: there is none */
    if (BK_UNLIKELY(kept->count == 0)) return NULL;
    PyObject *object = kept->objects[--kept->count];
    if (object == NULL) __builtin_unreachable(); /* so that nobody asks again */
    return object;
}
/* In a tp_dealloc. False: there is no room, it has to be freed. What it holds is dropped by the caller afterwards, which
 * may run Python code that takes it again. */
static inline int bk_keep(bk_kept_t *kept, PyObject *object) {
    if (!BK_KEEPS || BK_UNLIKELY(kept->count == BK_KEPT)) return 0;
    Py_SET_REFCNT(object, 1);
    kept->objects[kept->count++] = object;
    return 1;
}

/* ---- long chains -------------------------------------------------------------------------------------------------
 * Objects that hold one another in a long chain are freed one inside the other. Up to 3.13 the interpreter leaves it to
 * each type to break such a recursion up. Its own means are not used: they cost as much as all the rest of a short one,
 * on 3.13 they come after 10,000 frames of C, and a base class that uses them would take back at once what is put off. */
#if PY_VERSION_HEX < 0x030E0000
#define BK_DEEP 40
#ifdef Py_GIL_DISABLED
#define BK_OF_A_THREAD _Thread_local
#define BK_LINK(object) ((object)->ob_tid)
#define BK_LINK_FLAGS 0
#else
#define BK_OF_A_THREAD /* of all threads together: what is put off is freed a little earlier or later */
#define BK_LINK(object) (((uintptr_t *)(object))[-1]) /* of the collector's list, in which it is no more */
#define BK_LINK_FLAGS 3
#endif
static BK_OF_A_THREAD int bk_depth;
static BK_OF_A_THREAD PyObject *bk_later;
static BK_COLD void bk_free_later(PyObject *object) {
    PyObject_GC_UnTrack(object);
    BK_LINK(object) = (uintptr_t)bk_later | (BK_LINK(object) & BK_LINK_FLAGS);
    bk_later = object;
}
static BK_COLD void bk_free_all_later(void) {
    while (bk_later != NULL && bk_depth == 1) {
        PyObject *object = bk_later;
        bk_later = (PyObject *)(BK_LINK(object) & ~(uintptr_t)BK_LINK_FLAGS);
        BK_LINK(object) &= BK_LINK_FLAGS;
        Py_TYPE(object)->tp_dealloc(object);
    }
}
#endif
/* In a tp_dealloc: free the object by `body`, now or a little later. */
static inline void bk_free_chained(PyObject *self, destructor body) {
#if PY_VERSION_HEX >= 0x030E0000
    body(self); /* the interpreter looks at the stack itself, for every object */
#else
    if (BK_UNLIKELY(bk_depth >= BK_DEEP)) {
        bk_free_later(self);
        return;
    }
    bk_depth++;
    body(self);
    if (BK_UNLIKELY(bk_later != NULL)) bk_free_all_later();
    bk_depth--;
#endif
}

/* ---- StopIteration with a value ----------------------------------------------------------------------------------
 * Set StopIteration(value) for a value that is awaited, taking the reference. From 3.12 on the interpreter fetches each
 * one out of a StopIteration; making and freeing one costs as much as all the rest that protection adds. So a few are
 * kept, of a subclass. Nobody sees them who does not drive an awaitable by hand.
 *
 * A kept one stays tracked, with nothing in it. One that a collection has looked at since it was taken is freed instead:
 * it may be garbage that is being cleared, and must not be cleared when it has been taken again. */
typedef struct { PyStopIterationObject stop; unsigned taken; } bk_stop_t;
static PyTypeObject bk_stop_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "breaker._core.StopIteration",
    .tp_basicsize = sizeof(bk_stop_t),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
};
static bk_kept_t bk_stops;
static unsigned bk_looked_at; /* how often a collection has looked at one of them */

static int bk_traverse_stop(PyObject *self, visitproc visit, void *arg) {
    bk_looked_at++;
    return ((PyTypeObject *)PyExc_StopIteration)->tp_traverse(self, visit, arg);
}
static void bk_free_stop(PyObject *self) {
    bk_stop_type.tp_clear(self);
    PyObject_GC_Del(self);
}
static void bk_stop_dealloc(PyObject *self) {
    PyStopIterationObject *stop = (PyStopIterationObject *)self;
    /* What raising and catching in Python leaves on it: then it is not as good as new. */
    if (BK_UNLIKELY(stop->traceback != NULL || stop->context != NULL || stop->cause != NULL || stop->dict != NULL
                    || stop->notes != NULL || stop->args != bk_no_args || stop->suppress_context
                    || ((bk_stop_t *)self)->taken != bk_looked_at)
        || !bk_keep(&bk_stops, self)) {
        PyObject_GC_UnTrack(self);
        bk_free_chained(self, bk_free_stop);
    } else Py_CLEAR(stop->value);
}
static int bk_make_stops(void) {
    bk_stop_type.tp_base = (PyTypeObject *)PyExc_StopIteration;
    bk_stop_type.tp_traverse = bk_traverse_stop;
    bk_stop_type.tp_clear = bk_stop_type.tp_base->tp_clear;
    bk_stop_type.tp_dealloc = bk_stop_dealloc;
    bk_no_args = PyTuple_New(0);
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
    ((bk_stop_t *)stop)->taken = bk_looked_at;
    bk_give_exception(stop);
}

#endif
