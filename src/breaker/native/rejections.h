/* Rejections: exceptions with the layout of any other, so that a class may be one of them and an error of another
 * library at once. What one carries is its args. */
#ifndef BREAKER_REJECTIONS_H
#define BREAKER_REJECTIONS_H

#define BK_FIVE 5 /* name, state, retry_after, reason, last_error */

/* Beside its args, a rejection holds what it was made with: the constructor of its other base class may set other args.
 * For that there is a field which every exception has had since 3.11, which the collector knows and nobody uses (notes
 * are in the dict). */
static inline PyObject **bk_made_with(PyObject *rejection) { return &((PyBaseExceptionObject *)rejection)->notes; }

/* A rejection carries these five; the reference of the tuple, which nobody else has seen, is taken. */
static inline void bk_carry(PyObject *rejection, PyObject *five) {
    PyObject_GC_UnTrack(five); /* nothing in it holds anything: all are exact types */
    Py_XSETREF(((PyBaseExceptionObject *)rejection)->args, Py_NewRef(five));
    Py_XSETREF(*bk_made_with(rejection), five);
}

/* One that was freed is kept with its tuple, which nobody else holds, and whose places are empty. Neither is tracked. */
static bk_kept_t bk_rejections;

static PyObject *bk_make_rejection(PyTypeObject *type) {
    PyObject *self = type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    PyObject *five = PyTuple_New(BK_FIVE);
    if (five == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    bk_carry(self, five);
    PyObject_GC_UnTrack(self);
    return self;
}
/* A new one, owned, or NULL with an error set; the reference of last_error is taken. */
static inline PyObject *bk_new_rejection(
        PyTypeObject *type, PyObject *name, PyObject *state, double seconds, PyObject *reason, PyObject *last_error) {
    PyObject *retry_after = PyFloat_FromDouble(seconds);
    PyObject *self = retry_after == NULL ? NULL : bk_take_kept(&bk_rejections);
    if (BK_UNLIKELY(self == NULL) && (retry_after == NULL || (self = bk_make_rejection(type)) == NULL)) {
        Py_XDECREF(retry_after);
        Py_DECREF(last_error);
        return NULL;
    }
    PyObject *five = *bk_made_with(self);
    PyTuple_SET_ITEM(five, 0, Py_NewRef(name));
    PyTuple_SET_ITEM(five, 1, Py_NewRef(state));
    PyTuple_SET_ITEM(five, 2, retry_after);
    PyTuple_SET_ITEM(five, 3, Py_NewRef(reason));
    PyTuple_SET_ITEM(five, 4, last_error);
    if (BK_UNLIKELY(PyObject_IS_GC(last_error))) PyObject_GC_Track(five); /* not yet made text, which holds a class */
    PyObject_GC_Track(self);
    return self;
}
/* The body of its tp_dealloc, for one that is of no subclass. */
static void bk_free_rejection(PyObject *self) {
    PyBaseExceptionObject *e = (PyBaseExceptionObject *)self;
    PyObject_GC_UnTrack(self);
    Py_CLEAR(e->traceback);
    Py_CLEAR(e->context);
    Py_CLEAR(e->cause);
    Py_CLEAR(e->dict);
    e->suppress_context = 0;
    PyObject *five = e->notes;
    if (BK_LIKELY(five != NULL && five == e->args && Py_REFCNT(five) == 2)) {
        PyObject_GC_UnTrack(five);
        for (int i = 0; i < BK_FIVE; i++) Py_CLEAR(((PyTupleObject *)five)->ob_item[i]);
#if PY_VERSION_HEX >= 0x030E0000
        ((PyTupleObject *)five)->ob_hash = -1;
#endif
        if (bk_keep(&bk_rejections, self)) return;
    }
    Py_CLEAR(e->args);
    Py_CLEAR(e->notes);
    PyObject_GC_Del(self);
}

#endif
