/* Free-threaded 3.13 only: a shared object is made immortal, as that interpreter does with functions from the first
 * thread on. 1024 objects at most, because what is immortal is never freed. It uses names that are private to CPython
 * (_Py_IsImmortal, _Py_UNOWNED_TID, _Py_REF_*) and fields of PyObject, as 3.13 has them.
 *
 * When it can go: with the support of 3.13t. From 3.14 on PyUnstable_Object_EnableDeferredRefcount does the same in
 * the open (threads.h). Then delete this file, its #include in threads.h and bk_is_shared, constant everywhere else. */
#ifndef BREAKER_SHARING_313T_H
#define BREAKER_SHARING_313T_H

#if !defined(Py_GIL_DISABLED) || PY_VERSION_HEX < 0x030D0000 || PY_VERSION_HEX >= 0x030E0000
#error "sharing_313t.h is for free-threaded Python 3.13 alone"
#endif

#define BK_SHARED_MOST 1024
static int bk_shared;
static inline int bk_is_shared(PyObject *object) { return _Py_IsImmortal(object); }
static inline int bk_may_share(PyObject *object) {
    return object != NULL && !bk_is_shared(object)
        && __atomic_load_n(&object->ob_tid, __ATOMIC_RELAXED) != _Py_ThreadId()
        && __atomic_load_n(&bk_shared, __ATOMIC_RELAXED) < BK_SHARED_MOST;
}
/* Runs while all other threads stand still, as the interpreter's own does; which object is visited does not matter. */
static int bk_share_now(PyObject *Py_UNUSED(visited), void *object) {
    PyObject *o = (PyObject *)object;
    /* Queued: another thread is about to count it. */
    int queued = (o->ob_ref_shared & _Py_REF_SHARED_FLAG_MASK) == _Py_REF_QUEUED;
    if (_Py_IsImmortal(o) || queued || bk_shared >= BK_SHARED_MOST) return 0;
    __atomic_store_n(&bk_shared, bk_shared + 1, __ATOMIC_RELAXED);
    PyObject_GC_UnTrack(o); /* what is immortal is reachable */
    o->ob_tid = _Py_UNOWNED_TID;
    o->ob_ref_local = _Py_IMMORTAL_REFCNT_LOCAL;
    o->ob_ref_shared = 0;
    return 0;
}
static BK_COLD void bk_share(PyObject *object) {
    if (bk_may_share(object)) PyUnstable_GC_VisitObjects(bk_share_now, object);
}

#endif
