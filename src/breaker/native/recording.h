/* Calls that are kept for a recorder until it fetches them. All of it is the caller's under a lock. */
#ifndef BREAKER_RECORDING_H
#define BREAKER_RECORDING_H

#include <Python.h>
#include <stdint.h>

typedef struct {
    int64_t began, took; /* ns; took is -1 where it is not known, and began the end then */
    int outcome;
} bk_kept_call_t;

typedef struct {
    double share;        /* of the calls that are kept, by chance */
    int64_t size, count; /* for how many is room, how many there are */
    uint64_t lost;       /* for want of room */
    bk_kept_call_t calls[];
} bk_recording_t;

/* NULL: no memory. */
static bk_recording_t *bk_recording_make(int64_t size, double share) {
    bk_recording_t *kept = PyMem_RawMalloc(sizeof(bk_recording_t) + (size_t)size * sizeof(bk_kept_call_t));
    if (kept == NULL) return NULL;
    kept->share = share;
    kept->size = size;
    kept->count = 0;
    kept->lost = 0;
    return kept;
}
static void bk_recording_keep(bk_recording_t *kept, int64_t began, int64_t took, int outcome) {
    if (kept->share < 1 && bk_draw() >= kept->share) return;
    if (kept->count == kept->size) kept->lost += 1;
    else kept->calls[kept->count++] = (bk_kept_call_t){began, took, outcome};
}

#endif
