/* What differs between builds with the interpreter's lock and without: the lock of a breaker, its word and its counter,
 * objects that threads share, and fork. */
#ifndef BREAKER_THREADS_H
#define BREAKER_THREADS_H

/* ---- the lock of one breaker ------------------------------------------------------------------------------
 * 3.13 brought PyMutex: one byte, a few nanoseconds. Before it every build has the GIL, and a section that makes no
 * Python call is never entered by two threads at once: the flag is then never found taken. It is a lock all the
 * same, so that the rule "only C scalars move under it" has one meaning everywhere. */
#if PY_VERSION_HEX >= 0x030D0000
typedef PyMutex bk_lock_t;
#ifdef Py_GIL_DISABLED
/* The thread that forks holds all locks for a while, see below, in which its fork handlers, the collector and signal
 * handlers use breakers as ever. */
static uintptr_t bk_forking;
static inline int bk_is_forking(void) {
    uintptr_t thread = __atomic_load_n(&bk_forking, __ATOMIC_RELAXED);
    return BK_UNLIKELY(thread != 0) && thread == (uintptr_t)_Py_ThreadId();
}
#else
static inline int bk_is_forking(void) { return 0; }
#endif
#ifdef __SANITIZE_THREAD__ /* it does not see what the interpreter does where a thread has to wait */
void __tsan_acquire(void *);
void __tsan_release(void *);
#else
#define __tsan_acquire(lock) ((void)0)
#define __tsan_release(lock) ((void)0)
#endif
static inline void bk_lock(bk_lock_t *lock) {
    if (bk_is_forking()) return;
    PyMutex_Lock(lock);
    __tsan_acquire(lock);
}
static inline void bk_unlock(bk_lock_t *lock) {
    if (bk_is_forking()) return;
    __tsan_release(lock);
    PyMutex_Unlock(lock);
}
#else
typedef char bk_lock_t;
static inline void bk_lock(bk_lock_t *lock) {
#if defined(CYTHON_TRACE) && CYTHON_TRACE /* of each line of a section the tracer is told, and may let another thread run */
    while (*lock) {
        Py_BEGIN_ALLOW_THREADS
        sched_yield();
        Py_END_ALLOW_THREADS
    }
#endif
    if (BK_UNLIKELY(*lock)) Py_FatalError("breaker: Python code ran under a breaker's lock");
    *lock = 1;
}
static inline void bk_unlock(bk_lock_t *lock) { *lock = 0; }
#endif

/* ---- what is read and counted without the lock ------------------------------------------------------------
 * With the GIL plain memory is exact. Without it the word is read with acquire and written with release, and successes
 * are counted in one place as long as one thread counts, then spread over cache lines, or threads would take turns on
 * one.
 * bk_count answers true once in a while: time to see whether threads share the object that was called. */
#ifdef Py_GIL_DISABLED
#define BK_SHARED_CALLS 1 /* calls of several threads run at once */
#define BK_STRIPES 8
#define BK_WHILE 0x10000
typedef struct { _Alignas(64) uint64_t n; } bk_stripe_t;
typedef struct { uint64_t n; uintptr_t thread; bk_stripe_t *stripes; } bk_counter_t;
static inline uint64_t bk_load(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void bk_store(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline int bk_claim(int *flag) { return __atomic_exchange_n(flag, 0, __ATOMIC_ACQ_REL); }
static inline uint64_t bk_next(uint64_t *n, uint64_t by) { return __atomic_add_fetch(n, by, __ATOMIC_RELAXED); }
static inline void bk_counter_free(bk_counter_t *c) { free(c->stripes); }
static inline int bk_add(uint64_t *n) {
    return BK_UNLIKELY(__atomic_fetch_add(n, 1, __ATOMIC_RELAXED) % BK_WHILE == BK_WHILE - 1);
}
/* Without stripes: the first thread that counts needs none, the second one brings them. */
static BK_COLD int bk_count_alone(bk_counter_t *c, uintptr_t thread) {
    uintptr_t first = 0;
    void *memory = NULL;
    bk_stripe_t *none = NULL;
    if (__atomic_compare_exchange_n(&c->thread, &first, thread, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) first = thread;
    if (first != thread && posix_memalign(&memory, 64, BK_STRIPES * sizeof(bk_stripe_t)) == 0) {
        memset(memory, 0, BK_STRIPES * sizeof(bk_stripe_t));
        bk_stripe_t *stripes = (bk_stripe_t *)memory;
        if (!__atomic_compare_exchange_n(&c->stripes, &none, stripes, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
            free(memory);
    }
    return bk_add(&c->n);
}
static inline int bk_count(bk_counter_t *c) {
    uintptr_t thread = (uintptr_t)_Py_ThreadId();
    bk_stripe_t *stripes = __atomic_load_n(&c->stripes, __ATOMIC_ACQUIRE);
    if (BK_UNLIKELY(stripes == NULL)) {
        if (__atomic_load_n(&c->thread, __ATOMIC_RELAXED) == thread) return bk_add(&c->n);
        return bk_count_alone(c, thread);
    }
    thread ^= thread >> 17;
    return bk_add(&stripes[(thread >> 6) % BK_STRIPES].n);
}
static inline uint64_t bk_counted(const bk_counter_t *c) {
    const bk_stripe_t *stripes = __atomic_load_n(&c->stripes, __ATOMIC_ACQUIRE);
    uint64_t sum = __atomic_load_n(&c->n, __ATOMIC_RELAXED);
    for (int i = 0; stripes != NULL && i < BK_STRIPES; i++) sum += __atomic_load_n(&stripes[i].n, __ATOMIC_RELAXED);
    return sum;
}
#else
#define BK_SHARED_CALLS 0
typedef struct { uint64_t n; } bk_counter_t;
static inline uint64_t bk_load(const uint64_t *p) { return *p; }
static inline void bk_store(uint64_t *p, uint64_t v) { *p = v; }
static inline int bk_claim(int *flag) { int was = *flag; *flag = 0; return was; }
static inline uint64_t bk_next(uint64_t *n, uint64_t by) { return *n += by; }
static inline void bk_counter_free(bk_counter_t *c) { (void)c; }
static inline int bk_count(bk_counter_t *c) { c->n += 1; return 0; }
static inline uint64_t bk_counted(const bk_counter_t *c) { return c->n; }
#endif

/* ---- objects that threads share ------------------------------------------------------------------------------
 * Without the GIL every thread but an object's own counts its references in one place, so calls through a shared object
 * take turns on that count. For functions and types the interpreter has a remedy; this is the same for a breaker and a
 * decorated function that another thread than its own has called often. 3.14 defers the counting; 3.13 needs a header
 * of its own. */
#if defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030E0000
static inline int bk_may_share(PyObject *object) { return object != NULL; }
static inline int bk_is_shared(PyObject *object) { (void)object; return 0; }
static BK_COLD void bk_share(PyObject *object) {
    if (bk_may_share(object)) PyUnstable_Object_EnableDeferredRefcount(object);
}
#elif defined(Py_GIL_DISABLED)
#include "sharing_313t.h"
#else
static inline void bk_share(PyObject *object) { (void)object; }
static inline int bk_may_share(PyObject *object) { (void)object; return 0; }
static inline int bk_is_shared(PyObject *object) { (void)object; return 0; }
#endif

/* ---- fork ---------------------------------------------------------------------------------------------------
 * Without the GIL another thread may be inside a breaker's lock at the moment of a fork; the child would find the lock
 * taken for ever, and what it guards half written. So the forking thread takes all of them for that moment. A handler
 * of its own may fork once more meanwhile. */
#ifdef Py_GIL_DISABLED
typedef struct bk_member { struct bk_member *before, *after; bk_lock_t *lock; } bk_member_t;
static bk_member_t *bk_members;
static bk_lock_t bk_members_lock;
static int bk_forks;        /* one inside the other, of the thread that forks */
static int bk_forks_child;  /* one of them has returned in a child */
static inline void bk_join(bk_member_t *member, bk_lock_t *lock) {
    bk_lock(&bk_members_lock);
    if (bk_is_forking()) PyMutex_Lock(lock); /* it will be released with the others */
    *member = (bk_member_t){NULL, bk_members, lock};
    if (bk_members != NULL) bk_members->before = member;
    bk_members = member;
    bk_unlock(&bk_members_lock);
}
static inline void bk_leave(bk_member_t *member) {
    if (member->lock == NULL) return;
    bk_lock(&bk_members_lock);
    if (member->before != NULL) member->before->after = member->after;
    else bk_members = member->after;
    if (member->after != NULL) member->after->before = member->before;
    bk_unlock(&bk_members_lock);
}
static inline void bk_before_fork(void) {
    if (bk_is_forking()) {
        bk_forks++;
        return;
    }
    PyMutex_Lock(&bk_members_lock);
    for (bk_member_t *member = bk_members; member != NULL; member = member->after) PyMutex_Lock(member->lock);
    bk_forks = 1;
    bk_forks_child = 0;
    __atomic_store_n(&bk_forking, (uintptr_t)_Py_ThreadId(), __ATOMIC_RELAXED);
}
static inline void bk_after_fork(int in_child) {
    if (in_child) {
        bk_forks_child = 1;
        bk_forking = (uintptr_t)_Py_ThreadId();
    }
    if (--bk_forks > 0) return;
    __atomic_store_n(&bk_forking, 0, __ATOMIC_RELAXED);
    for (bk_member_t *member = bk_members; member != NULL; member = member->after) {
        if (bk_forks_child) *member->lock = (bk_lock_t){0}; /* threads that waited are not here to be woken */
        else PyMutex_Unlock(member->lock);
    }
    if (bk_forks_child) bk_members_lock = (bk_lock_t){0};
    else PyMutex_Unlock(&bk_members_lock);
}
#else
typedef char bk_member_t;
static inline void bk_join(bk_member_t *member, bk_lock_t *lock) { (void)member; (void)lock; }
static inline void bk_leave(bk_member_t *member) { (void)member; }
static inline void bk_before_fork(void) {}
static inline void bk_after_fork(int in_child) { (void)in_child; }
#endif

#endif
