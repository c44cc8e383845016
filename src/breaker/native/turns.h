/* One thread at a time delivers a breaker's events. A thread that shall go on after it waits here for its turn. */
#ifndef BREAKER_TURNS_H
#define BREAKER_TURNS_H

/* Microseconds that a thread waits for the listener under way; then it leaves its events to the thread that delivers. A
 * listener may itself wait for something that the waiting thread holds, a lock of `logging` for instance. */
#define BK_TURN_LIMIT 2000000

typedef struct bk_turn {
    struct bk_turn *after;
    const void *whose;          /* the core of the breaker */
    PyThread_type_lock woken;
    unsigned long thread;
} bk_turn_t;

/* Of all breakers, for few wait. One is on the list as long as the `turn` of its core says so; both are changed together,
 * under the lock of that core. */
static bk_turn_t *bk_turns;
static bk_lock_t bk_turns_lock;

/* A lock that is held, to wait on; NULL: there is no memory for one. */
static inline PyThread_type_lock bk_new_waiting(void) {
    PyThread_type_lock lock = PyThread_allocate_lock();
    if (lock != NULL) PyThread_acquire_lock(lock, NOWAIT_LOCK);
    return lock;
}
static inline void bk_free_waiting(PyThread_type_lock lock) {
    PyThread_acquire_lock(lock, NOWAIT_LOCK); /* it may have been released when nobody waited any more */
    PyThread_release_lock(lock);
    PyThread_free_lock(lock);
}
static inline void bk_ask_turn(bk_turn_t *turn) {
    bk_lock(&bk_turns_lock);
    turn->after = bk_turns;
    bk_turns = turn;
    bk_unlock(&bk_turns_lock);
}
/* Take it off the list. */
static bk_turn_t *bk_take_turn(const void *whose) {
    bk_lock(&bk_turns_lock);
    bk_turn_t **place = &bk_turns;
    while (*place != NULL && (*place)->whose != whose) place = &(*place)->after;
    bk_turn_t *turn = *place;
    if (turn != NULL) *place = turn->after;
    bk_unlock(&bk_turns_lock);
    return turn;
}
/* 1: woken. 0: not within the limit. -1: a signal handler has raised. Anybody may run meanwhile. */
static BK_COLD int bk_await_turn(bk_turn_t *turn) {
    int64_t until = bk_monotonic_ns() / 1000 + BK_TURN_LIMIT;
    int64_t left = BK_TURN_LIMIT;
    while (left > 0) {
        PyLockStatus status;
        Py_BEGIN_ALLOW_THREADS
        status = PyThread_acquire_lock_timed(turn->woken, left, 1);
        Py_END_ALLOW_THREADS
        if (status == PY_LOCK_ACQUIRED) return 1;
        if (status == PY_LOCK_INTR && PyErr_CheckSignals() < 0) return -1;
        left = until - bk_monotonic_ns() / 1000;
    }
    return 0;
}
static inline void bk_wake(bk_turn_t *turn) { PyThread_release_lock(turn->woken); }
/* Threads that waited in the parent are not in the child. */
static inline void bk_forget_turns(void) {
    bk_turns = NULL;
    bk_turns_lock = (bk_lock_t){0};
}

#endif
