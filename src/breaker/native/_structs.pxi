# The words of the machine as numbers, and its C structs.

cdef enum:  # states, in the order of the metric circuit_breaker_state_code
    CLOSED, OPEN, HALF_OPEN
cdef enum:  # modes
    AUTO, FORCED_OPEN, DISABLED, SHADOW
cdef enum:  # outcomes, and the end of a probe whose visit is over
    SUCCESS, FAILURE, IGNORED, LATE
    REJECTED = LATE         # of a call that a recorder keeps
cdef enum:  # why a state was entered
    TRIPPED, TIMEOUT, PROBE_FAILED, RECOVERED, RESET, POLICY, INCONCLUSIVE, FAILURE_RATE, SLOW_CALL_RATE
    NOTHING = -1
cdef enum:  # why a call was rejected
    WHILE_OPEN, WHILE_HALF_OPEN, BY_OPERATOR, WHILE_RECOVERING
cdef enum:  # what a locked function answers
    DONE, REFUSED, NEEDS_ROOM, NEEDS_MORE
cdef enum:  # what is noted for the listeners
    CREATED, STATE_CHANGED, MODE_CHANGED, POLICY_UPDATED, CALL_FAILED, WOULD_HAVE_OPENED, PROBES_OVERDUE
cdef enum:  # the role of delivering events: it is kept, may be asked for, or was
    TAKEN, FREE, ASKED
cdef enum:  # what a decision does with last_error
    KEPT, REPLACED, CLEARED

cdef tuple STATES = (_State.CLOSED, _State.OPEN, _State.HALF_OPEN)
cdef tuple MODES = (_Mode.AUTO, _Mode.FORCED_OPEN, _Mode.DISABLED, _Mode.SHADOW)
cdef tuple MOVES = tuple(_Move)
cdef tuple REASONS = (
    "tripped", "timeout", "probe_failed", "recovered", "reset", "policy", "inconclusive", "failure_rate",
    "slow_call_rate")
cdef tuple REJECTIONS = ("open", "half_open", "operator", "recovering")
cdef tuple ENDS_OF_PROBES = ("success", "failure", "ignored", "late")

if STATES != tuple(_State) or MODES != tuple(_Mode):  # a policy has the number of its mode from there
    raise ImportError("breaker.states has other states or modes than the core, or another order of them")

cdef bint LEGAL[3][3][9]    # by state before, state after, reason
cdef int8_t PAIRS[3][3]     # the place of a pair in the table


cdef int read_transitions() except -1:
    """Fill `LEGAL` and `PAIRS` from the one table there is."""
    for number, (before, state) in enumerate(_TRANSITIONS):
        PAIRS[STATES.index(before)][STATES.index(state)] = number
        for reason in _TRANSITIONS[before, state]:
            LEGAL[STATES.index(before)][STATES.index(state)][REASONS.index(reason)] = True
    return 0


read_transitions()
bk_begin_types()

cdef int64_t FIRST = INT64_MIN      # before all times, so the state's own beginning; a clock may show it too

# Layout of Core.word: state, mode, the bits below, and the epoch above.
cdef enum:
    OVERLAID = 0b1111       # any bit: not plainly closed, admission needs the lock
    STREAK = 1 << 4         # a failure is on record
    JUDGED = 1 << 5         # results are judged by a predicate
    SLICED = 1 << 6         # the window is by time: the end of a success looks at the clock
    TIMED = 1 << 7          # calls are measured: their beginning too
    RECOVERING = 1 << 8     # closed a moment ago: a part of the calls is admitted, which needs the lock
    RECORDED = 1 << 9       # each call is kept for a recorder, under the lock
    LOCKED = OVERLAID | RECOVERING | RECORDED
    DIVERTED = LOCKED | TIMED
    EPOCH_SHIFT = 10

cdef enum:
    MOST_LEASES = 2048      # more than half_open_max_calls may be; see grant_locked
    IGNORED_PER_SLOT = 10   # ignored probes of a visit, for each slot, before the next one ends it as inconclusive

cdef enum:  # what a ticket's `live` says of a call that is not settled
    RUNS = 1, PROBES
cdef int64_t SECOND = 1000000000
cdef int64_t LEASE_BOUND = 60 * SECOND      # doubling makes no lease longer, except one that is longer by itself


# A policy in numbers, each by the name of its field; replaced as a whole. `RuleNumbers` has the rest. A failure_threshold
# of 0 is none.
cdef struct PolicyNumbers:
    int32_t failure_threshold
    int32_t success_threshold
    int32_t half_open_max_calls
    int32_t mode
    int64_t open_state_timeout_ns
    int64_t probe_timeout_ns
    int64_t open_timeout_max_ns
    double open_timeout_multiplier
    double open_timeout_jitter


cdef struct Lease:          # a half-open slot, held for a time
    uint64_t id             # a ticket names it; none is given out twice
    int64_t granted
    int64_t span
    uint64_t owner          # the thread that was admitted, for fork


cdef struct Ticket:
    uint64_t epoch
    uint64_t lease          # its id, 0: holds no slot
    int live                # RUNS or PROBES; 0: settled, or never admitted
    uint32_t timed          # the beat in which it began, 0: it is not measured
    int64_t began           # if it is


cdef struct Machine:        # the state machine: no pointer and no object, so it may lie in any memory
    int64_t since           # when the state was entered
    uint64_t state_ns[3]    # time spent in each state before that: together more than a signed number holds
    uint64_t epoch
    int64_t streak          # failures in a row
    int64_t last_span       # of the opening before this state, as it was when OPEN was left; 0: there was none
    double growth           # of the open timeout: 1 at the first opening, more with each reopening
    double drawn            # the random part of this opening, 0 … 1
    uint64_t failures
    uint64_t ignored
    uint64_t late
    uint64_t overdue
    uint64_t granted        # leases given out: the id of the last one
    uint64_t probes[4]      # ends of calls that held a slot: by outcome, and LATE
    uint32_t transitions[6]  # by pair of states, see PAIRS
    int32_t probe_successes
    int32_t probes_ignored  # in this visit
    int16_t in_flight       # leases that hold a slot: the first ones of the array
    int16_t leases          # and with the overdue, and those whose visit is over, until their tickets report
    int8_t state
    int8_t override         # the operator's own, -1: none
    int8_t would_have_opened  # a shadow episode goes on
    int8_t doublings        # of the leases that are given out, in this visit


cdef struct Local:          # what belongs to this process
    PolicyNumbers numbers
    Rules *rules            # NULL: no policy needed any
    PyObject *policy        # owned
    PyObject *last_error    # owned: a text, a FailureText or NULL
    Lease *leases           # grown outside the lock, see NEEDS_ROOM
    uint64_t rejected[3]    # by reason; `Rules` has those of WHILE_RECOVERING
    Post *posts             # what is to be delivered, in the order of the decisions
    Post *last              # of those
    Post *spare             # for the decisions to come, see reserve_posts
    unsigned long deliverer    # the thread that delivers, 0: none
    uint16_t generation     # of forks; see adopt_locked
    int16_t room            # of the array of leases
    uint32_t shadow_openings  # how often a shadow episode began
    uint16_t bits           # of the word, by the policy and the options: from JUDGED on
    int8_t spares           # the smallest ones last: together they fill two words
    int8_t announced        # the first event was delivered, or nobody was there to be notified
    int8_t turn             # TAKEN, FREE or ASKED: may another thread deliver instead?
    int8_t entered          # why the state was entered, plus 1; 0: it is the first one
    bk_lock_t lock
    bk_member_t member      # of all breakers, for fork; guarded by a lock of its own


cdef struct Core:
    uint64_t word           # read without the lock; written by store_word_locked alone
    bk_counter_t successes  # counted without the lock
    Machine m               # this and the next are guarded by the lock
    Local here


cdef inline Ticket admitted(uint64_t epoch, uint64_t lease) noexcept nogil:
    """The ticket of a call that runs; `NOT_ADMITTED` is the other one."""
    return Ticket(epoch=epoch, lease=lease, live=PROBES if lease else RUNS, timed=0, began=0)


cdef Ticket NOT_ADMITTED = Ticket(epoch=0, lease=0, live=0, timed=0, began=0)
