/* Calls in flight, by when they began: how many have lasted the slow duration already? No list of them: time is cut into
 * beats of an eighth of the duration, and each has a count. A call adds one to the count of the beat in which it begins
 * and takes it away at its end. A call of nine beats ago has lasted at least eight of them: the duration. */
#ifndef BREAKER_IN_FLIGHT_H
#define BREAKER_IN_FLIGHT_H

#include <stdint.h>
#include <string.h>

#define BK_BEATS 16 /* a power of two above BK_LATE */
#define BK_LATE 9
#define BK_BEAT_LEAST 1000 /* ns: shorter ones would be more work than the calls, and their numbers come round */

typedef struct {
    uint32_t beat;      /* the number of the present one, as far as anybody has looked; never 0 */
    uint32_t first;     /* calls of earlier beats are not followed any more */
    int64_t end;        /* of the present beat */
    int64_t length;     /* of each; 0: nobody is followed */
    int64_t late;       /* how many have lasted the duration */
    int64_t running[BK_BEATS];
} bk_in_flight_t;

/* From here on nobody of before is followed; their own ends tell how long they took. */
static void bk_flights_forget(bk_in_flight_t *f) {
    f->beat = f->beat + BK_BEATS < BK_BEATS ? BK_BEATS : f->beat + BK_BEATS; /* never 0 */
    f->first = f->beat;
    f->late = 0;
    memset(f->running, 0, sizeof f->running);
}
/* Follow by this duration from now on; 0: nobody. */
static void bk_flights_follow(bk_in_flight_t *f, int64_t duration, int64_t now) {
    bk_flights_forget(f);
    f->length = duration == 0 ? 0 : duration / 8 < BK_BEAT_LEAST ? BK_BEAT_LEAST : duration / 8;
    f->end = f->length == 0 || now > INT64_MAX - f->length ? INT64_MAX : now + f->length;
}
/* How many beats have begun since the present one. */
static inline uint64_t bk_beats_since(const bk_in_flight_t *f, int64_t now) {
    return now < f->end || f->end == INT64_MAX ? 0 : 1 + ((uint64_t)now - (uint64_t)f->end) / (uint64_t)f->length;
}
/* Begin the beat that `now` is in. True: it is another one. */
static int bk_flights_look(bk_in_flight_t *f, int64_t now) {
    uint64_t steps = bk_beats_since(f, now);
    if (steps == 0) return 0;
    uint64_t end = (uint64_t)f->end + steps * (uint64_t)f->length;
    f->end = end > INT64_MAX && f->end > 0 ? INT64_MAX : (int64_t)end;
    for (int i = 0; i < BK_BEATS && (uint64_t)i < steps; i++) { /* after so many everybody is late, and there is room */
        if (++f->beat == 0) { /* once in 2**32 beats */
            bk_flights_forget(f);
            return 1;
        }
        int64_t *were = &f->running[(f->beat - BK_LATE) % BK_BEATS];
        f->late += *were;
        *were = 0;
    }
    return 1;
}
/* How many have lasted the duration now. Changes nothing. */
static int64_t bk_flights_late(const bk_in_flight_t *f, int64_t now) {
    int64_t late = f->late;
    if (f->length == 0) return 0;
    uint64_t steps = bk_beats_since(f, now);
    for (uint32_t back = 0; back < BK_LATE; back++)
        if (back + steps >= BK_LATE) late += f->running[(f->beat - back) % BK_BEATS];
    return late;
}
/* A call begins; what this returns belongs to its end. */
static inline uint32_t bk_flights_depart(bk_in_flight_t *f) {
    f->running[f->beat % BK_BEATS] += 1;
    return f->beat;
}
static inline void bk_flights_arrive(bk_in_flight_t *f, uint32_t departed) {
    if ((int32_t)(departed - f->first) < 0) return;
    if (f->beat - departed < BK_LATE) f->running[departed % BK_BEATS] -= 1;
    else f->late -= 1;
}

#endif
