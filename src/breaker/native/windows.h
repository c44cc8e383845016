/* The window of recent calls, without a breaker: the last N in a ring of bits, or those of a time in 20 slices. All of
 * it is the caller's under a lock. What it costs does not grow with the window, but for emptying, copying and a run of
 * successes, which go 64 calls at a time. */
#ifndef BREAKER_WINDOWS_H
#define BREAKER_WINDOWS_H

#include <Python.h>
#include <stdint.h>
#include <string.h>

#define BK_SLICES 20

typedef struct { int64_t calls, failures, slow; } bk_tally_t;

typedef struct {
    int64_t size;       /* how many calls; 0: a window by time */
    int64_t span;       /* of a window by time, nanoseconds */
    int64_t slice;      /* how long one of its slices is */
    int64_t begun;      /* when the present slice began */
    int64_t at;         /* where the next call goes in the ring; the present slice */
    bk_tally_t all;     /* what is in the window */
    uint64_t *failed;   /* rings: a bit for each call, 0 where there is none yet */
    uint64_t *slowed;   /* NULL: slow calls are not told apart */
    bk_tally_t slices[]; /* or the rings */
} bk_window_t;

static inline size_t bk_words(int64_t calls) { return (size_t)(calls + 63) / 64; }
static inline int64_t bk_least(int64_t a, int64_t b) { return a < b ? a : b; }

/* An empty window of the last `calls` calls or, where that is 0, of the last `span` nanoseconds. NULL: no memory. */
static bk_window_t *bk_window_make(int64_t calls, int64_t span, int with_slow) {
    size_t words = bk_words(calls), rings = words * (with_slow ? 2 : 1) * sizeof(uint64_t);
    bk_window_t *w = PyMem_RawCalloc(1, sizeof(bk_window_t) + (calls ? rings : BK_SLICES * sizeof(bk_tally_t)));
    if (w == NULL) return NULL;
    w->size = calls;
    if (calls) {
        w->failed = (uint64_t *)w->slices;
        w->slowed = with_slow ? w->failed + words : NULL;
    } else {
        w->span = span;
        w->slice = span >= BK_SLICES ? span / BK_SLICES : 1;
    }
    return w;
}

/* Nothing is in it. One by time begins a slice. */
static void bk_window_empty(bk_window_t *w, int64_t now) {
    if (w->size) {
        if (w->all.failures) memset(w->failed, 0, bk_words(w->size) * sizeof(uint64_t));
        if (w->all.slow) memset(w->slowed, 0, bk_words(w->size) * sizeof(uint64_t));
    } else memset(w->slices, 0, BK_SLICES * sizeof(bk_tally_t));
    w->all = (bk_tally_t){0, 0, 0};
    w->at = 0;
    w->begun = now;
}

/* ---- the ring ----------------------------------------------------------------------------------------------- */

/* Clear n bits from one on, without going round; returns how many were set. */
static int64_t bk_ring_clear(uint64_t *bits, int64_t at, int64_t n) {
    int64_t found = 0;
    for (int64_t end = at + n, upto; at < end; at = upto) {
        upto = bk_least((at | 63) + 1, end);
        uint64_t mask = (upto - at < 64 ? ((uint64_t)1 << (upto - at)) - 1 : ~(uint64_t)0) << (at & 63);
        uint64_t set = bits[at >> 6] & mask;
        if (set == 0) continue; /* counting is a call where the processor has no instruction for it */
        found += __builtin_popcountll(set);
        bits[at >> 6] ^= set;
    }
    return found;
}
static int64_t bk_ring_forget(uint64_t *bits, int64_t size, int64_t at, int64_t n) {
    int64_t first = bk_least(n, size - at);
    return bk_ring_clear(bits, at, first) + (first < n ? bk_ring_clear(bits, 0, n - first) : 0);
}
static inline int bk_ring_has(const uint64_t *bits, int64_t at) { return (int)(bits[at >> 6] >> (at & 63)) & 1; }
/* Write one bit; returns by how much the number of set ones grows. */
static inline int bk_ring_put(uint64_t *bits, int64_t at, int bit) {
    int was = bk_ring_has(bits, at);
    bits[at >> 6] ^= (uint64_t)(was ^ bit) << (at & 63);
    return bit - was;
}

/* Up to 64 bits from one on, without going round. */
static inline uint64_t bk_ring_read(const uint64_t *bits, int64_t at, int64_t n) {
    uint64_t read = bits[at >> 6] >> (at & 63);
    if ((at & 63) + n > 64) read |= bits[(at >> 6) + 1] << (64 - (at & 63));
    return n < 64 ? read & (((uint64_t)1 << n) - 1) : read;
}
/* Copy n bits that begin at `at` and may go round to the beginning of an empty ring; returns how many are set. */
static int64_t bk_ring_copy(uint64_t *to, const uint64_t *from, int64_t size, int64_t at, int64_t n) {
    int64_t found = 0;
    for (int64_t done = 0, some; done < n; done += some) {
        some = bk_least(bk_least(64 - (done & 63), n - done), size - at);
        uint64_t word = bk_ring_read(from, at, some);
        found += __builtin_popcountll(word);
        to[done >> 6] |= word << (done & 63);
        at += some;
        if (at == size) at = 0;
    }
    return found;
}

/* ---- the slices --------------------------------------------------------------------------------------------- */

static __attribute__((noinline)) int bk_window_turn_slices(bk_window_t *w, uint64_t gone) {
    uint64_t steps = gone / (uint64_t)w->slice;
    w->begun = (int64_t)((uint64_t)w->begun + steps * (uint64_t)w->slice);
    if (steps >= BK_SLICES) {
        memset(w->slices, 0, BK_SLICES * sizeof(bk_tally_t));
        w->all = (bk_tally_t){0, 0, 0};
        return 1;
    }
    for (; steps; steps--) {
        w->at = w->at + 1 < BK_SLICES ? w->at + 1 : 0;
        bk_tally_t *old = &w->slices[w->at];
        w->all.calls -= old->calls;
        w->all.failures -= old->failures;
        w->all.slow -= old->slow;
        *old = (bk_tally_t){0, 0, 0};
    }
    return 1;
}
/* Begin the slice that `now` is in, and forget the calls of slices that are a window's length old. True: it is another
 * one than before. A clock that stands still or goes back changes nothing. */
static inline int bk_window_turn(bk_window_t *w, int64_t now) {
    if (w->size || now <= w->begun) return 0;
    uint64_t gone = (uint64_t)now - (uint64_t)w->begun;
    return gone < (uint64_t)w->slice ? 0 : bk_window_turn_slices(w, gone);
}
/* The first moment that is no more in the present slice; INT64_MAX for a window by calls. */
static int64_t bk_window_end(const bk_window_t *w) {
    return w->size || w->begun > INT64_MAX - w->slice ? INT64_MAX : w->begun + w->slice;
}

/* ---- calls -------------------------------------------------------------------------------------------------- */

/* One call, whatever it was. */
static inline void bk_window_record(bk_window_t *w, int failed, int slow) {
    if (w->size) {
        w->all.failures += bk_ring_put(w->failed, w->at, failed != 0);
        if (w->slowed != NULL) w->all.slow += bk_ring_put(w->slowed, w->at, slow != 0);
        w->all.calls += w->all.calls < w->size;
        if (++w->at == w->size) w->at = 0;
    } else {
        bk_tally_t *slice = &w->slices[w->at];
        slice->calls += 1, w->all.calls += 1;
        if (failed) slice->failures += 1, w->all.failures += 1;
        if (slow) slice->slow += 1, w->all.slow += 1;
    }
}
static __attribute__((noinline)) void bk_window_pass_many(bk_window_t *w, int64_t n) {
    if (!w->size) {
        w->slices[w->at].calls += n;
        w->all.calls += n;
        return;
    }
    if (n >= w->size) {
        bk_window_empty(w, w->begun);
        w->all.calls = w->size;
        return;
    }
    w->all.failures -= bk_ring_forget(w->failed, w->size, w->at, n);
    if (w->slowed != NULL) w->all.slow -= bk_ring_forget(w->slowed, w->size, w->at, n);
    w->all.calls = bk_least(w->all.calls + n, w->size);
    w->at += n;
    if (w->at >= w->size) w->at -= w->size;
}
/* n calls that were neither failures nor slow. */
static inline void bk_window_pass(bk_window_t *w, int64_t n) {
    if (n == 1) bk_window_record(w, 0, 0);
    else bk_window_pass_many(w, n);
}
/* What would be in it after one more such call. */
static bk_tally_t bk_window_with(const bk_window_t *w, int failed, int slow) {
    bk_tally_t all = w->all;
    all.calls += 1;
    all.failures += failed;
    all.slow += slow && (!w->size || w->slowed != NULL);
    if (w->size && w->all.calls == w->size) { /* it takes the place of the oldest */
        all.calls -= 1;
        all.failures -= bk_ring_has(w->failed, w->at);
        if (w->slowed != NULL) all.slow -= bk_ring_has(w->slowed, w->at);
    }
    return all;
}

/* ---- another policy ----------------------------------------------------------------------------------------- */

/* Slow calls are not told apart any more: should they be again, those of before count as not slow. */
static void bk_window_forget_slow(bk_window_t *w) {
    if (w->all.slow == 0) return;
    w->all.slow = 0;
    if (w->size) memset(w->slowed, 0, bk_words(w->size) * sizeof(uint64_t));
    else for (int i = 0; i < BK_SLICES; i++) w->slices[i].slow = 0;
}
/* Fill an empty window with what an old one has and it can hold: of the last calls the youngest; of a time what is
 * younger than the new one, each call as old as the beginning of its slice. Nothing of one of the other kind. */
static void bk_window_take(bk_window_t *w, const bk_window_t *old, int64_t now) {
    w->begun = now = !old->size && now < old->begun ? old->begun : now; /* a clock that goes back makes nothing younger */
    if (!old->size != !w->size) return;
    if (w->size) {
        int64_t kept = bk_least(old->all.calls, w->size);
        int64_t from = old->at >= kept ? old->at - kept : old->at - kept + old->size;
        w->all.calls = kept;
        w->all.failures = bk_ring_copy(w->failed, old->failed, old->size, from, kept);
        if (w->slowed != NULL && old->slowed != NULL)
            w->all.slow = bk_ring_copy(w->slowed, old->slowed, old->size, from, kept);
        w->at = kept < w->size ? kept : 0;
        return;
    }
    for (int back = 0; back < BK_SLICES; back++) {
        const bk_tally_t *some = &old->slices[(old->at + BK_SLICES - back) % BK_SLICES];
        uint64_t began = (uint64_t)old->begun - (uint64_t)back * (uint64_t)old->slice; /* of that slice */
        uint64_t age = (uint64_t)now - began;
        uint64_t slices = age / (uint64_t)w->slice + (age % (uint64_t)w->slice != 0);
        if (slices >= BK_SLICES) continue;
        bk_tally_t *into = &w->slices[(BK_SLICES - slices) % BK_SLICES];
        into->calls += some->calls;
        into->failures += some->failures;
        into->slow += some->slow;
        w->all.calls += some->calls;
        w->all.failures += some->failures;
        w->all.slow += some->slow;
    }
}

#endif
