/* SPDX-License-Identifier: MIT */
/*
 * npumm.h - the client library of npumatmuld: whole int8 matmul jobs to the daemon, exact products back.
 *
 *     struct npumm_client *client;
 *     void *a, *b, *c;
 *     char text[NPUMM_TEXT_MAX];
 *
 *     if (npumm_connect(NULL, &client, text) != 0)
 *             ...                                          text says why; there is no client
 *     r = npumm_alloc(client, m * k, &a);                  arena memory: the daemon reads it in place
 *     ...
 *     struct npumm_matmul job = {.size = sizeof job, .m = m, .k = k, .n = n, .a = a, .b = b, .c = c};
 *     r = npumm_matmul(client, &job);                      0: c holds the product
 *     npumm_close(client);
 *
 * Results. Every int function returns 0, or a negative errno when this process, the socket or the
 * connection failed, or a positive enum npumm_status when the daemon said no. npumm_text() has the line
 * that says what, where and what to do. Output parameters are the last ones, named ret_*, and untouched on
 * failure.
 *
 * Threads. A client is used by one thread at a time; the library takes no locks. Different clients share
 * nothing. The library has no threads, no globals, no signal handlers, and prints nothing.
 *
 * Fork. A client belongs to the process that connected it. In a child only npumm_close() may be called on
 * it (it frees without a word to the daemon); every other call returns -EPERM. Connect again in the child.
 * Memory from npumm_alloc() is shared with a child, not copied: what the child writes there the parent sees.
 *
 * Callbacks run only inside npumm_dispatch() and the blocking calls (npumm_matmul, npumm_weights_load,
 * npumm_weights_release, npumm_ping, npumm_daemon_status, npumm_set), on the calling thread, never inside
 * npumm_submit. In a callback one may submit, cancel, alloc and free; dispatching and blocking calls return
 * -EDEADLK there, and npumm_close() must not be called.
 *
 * Versions. Library and daemon agree on a protocol version when they connect. Minor versions mix freely; what
 * is marked "since 1.1" below returns NPUMM_STATUS_VERSION where the daemon speaks 1.0, and nothing was sent.
 * When major versions differ npumm_connect() returns NPUMM_STATUS_VERSION and its text names both; nothing
 * was done.
 *
 * A lost connection. Every outstanding job ends once, with the reason: -ECONNRESET when the daemon stopped
 * or died, the errno of a failure on this side, or the status that the daemon gave as it hung up
 * (NPUMM_STATUS_PROTOCOL, ...). The call that finds out returns the same, later ones -ENOTCONN, but for
 * npumm_free, npumm_text and npumm_close. A matmul has no side effects: submitting it again elsewhere is
 * safe. Memory from npumm_alloc() stays mapped until npumm_close(), but unless the daemon stopped in order or
 * died its contents are lost, and read as zeros: read products there inside done_fn (or as soon as
 * npumm_matmul returns), and fill inputs again before they are submitted elsewhere. Products in ordinary
 * memory stay.
 */
#ifndef NPUMM_H
#define NPUMM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where the daemon listens unless $NPUMM_SOCKET or the options say otherwise. */
#define NPUMM_SOCKET_DEFAULT "/run/npumatmul/npumatmul.sock"

/* The largest K: 131,071 * 128 * 128 < 2^31, so that an int32 accumulator cannot overflow. */
#define NPUMM_K_MAX 131071u

/* The version of the library that runs, like "0.1.0". Static storage. */
const char *npumm_version(void);

/* Room for any text of the library, its terminating 0 included. */
#define NPUMM_TEXT_MAX 256

/* One connection to the daemon, with its arenas and jobs. */
struct npumm_client;

/* Positive results. The values are those of the protocol. */
enum npumm_status {
        NPUMM_STATUS_OK = 0,
        NPUMM_STATUS_INVALID = 1,      /* the request makes no sense; the text says which field */
        NPUMM_STATUS_NOT_FOUND = 2,    /* no such arena or weights on this connection */
        NPUMM_STATUS_BUSY = 3,         /* a limit is reached; the text names it */
        NPUMM_STATUS_DEADLINE = 4,     /* the deadline could not be kept */
        NPUMM_STATUS_CANCELLED = 5,    /* the job was cancelled before it ended */
        NPUMM_STATUS_DEVICE_ERROR = 6, /* the device failed and no other could do it */
        NPUMM_STATUS_INTERNAL = 7,     /* the daemon failed */
        NPUMM_STATUS_PROTOCOL = 8,     /* one side broke the protocol; the connection is gone */
        NPUMM_STATUS_VERSION = 9,  /* the protocol versions differ too much; the text says what is missing */
        NPUMM_STATUS_TOO_BIG = 10, /* inline operands over the daemon's limit: leave the INLINE flag out */
        NPUMM_STATUS_DENIED = 11,  /* only root and the daemon's own user may do this */
};

/* Plain words for any result of this library: a status, a negative errno, or 0. Static storage. */
const char *npumm_strerror(int result);

/* ---- connecting ---- */

/*
 * How frames travel: by the socket, or by rings in shared memory, which save system calls and, where both sides have a
 * CPU of their own, the time to be woken. The same in every other way. Neither flag: $NPUMM_TRANSPORT ("socket" or
 * "ring") says, and if that is not set the socket. Rings need a daemon that has them (since 1.2) and some memory of an
 * arena; where either is missing the socket serves: npumm_info::transport tells.
 */
enum npumm_connect_flags {
        NPUMM_CONNECT_RING = 1 << 0,
        NPUMM_CONNECT_SOCKET = 1 << 1,
};

struct npumm_connect_options {
        size_t size;             /* sizeof(struct npumm_connect_options): which fields the caller knows */
        const char *socket_path; /* NULL: $NPUMM_SOCKET, else NPUMM_SOCKET_DEFAULT */
        const char *client_name; /* shown in the daemon's log; NULL: none. At most 64 bytes are used */
        int timeout_ms;          /* for connecting and the daemon's welcome; 0: 10,000 */
        uint32_t flags;          /* enum npumm_connect_flags */
};

/*
 * Connects and waits for the daemon's welcome. `options` may be NULL. `ret_text` (NPUMM_TEXT_MAX bytes, or
 * NULL) gets the line that explains a failure. The caller owns the client and ends it with npumm_close().
 * Errors: -ENOENT, -ECONNREFUSED (no daemon there), -EACCES (not allowed to connect), -ETIMEDOUT, ...;
 * NPUMM_STATUS_INVALID (the options make no sense), NPUMM_STATUS_VERSION, NPUMM_STATUS_BUSY (too many
 * connections), NPUMM_STATUS_PROTOCOL (something else listens there).
 */
int npumm_connect(const struct npumm_connect_options *options, struct npumm_client **ret_client,
                  char *ret_text);

/*
 * Ends the connection and frees everything: outstanding jobs are dropped without their callbacks, memory from
 * npumm_alloc() is unmapped. NULL is allowed. Never inside a callback: there it does nothing.
 */
void npumm_close(struct npumm_client *client);

/* The line that explains the last failure of a call on this client; the next call may change it. */
const char *npumm_text(const struct npumm_client *client);

/* What the daemon said when it welcomed us. Valid as long as the client. */
struct npumm_info {
        size_t size; /* set by the library: which fields it knows */
        const char *daemon_version;
        const char *backend;       /* "cpu", ... */
        uint64_t arena_bytes_max;  /* one arena, and so one npumm_alloc() */
        uint64_t uid_bytes_max;    /* all arenas and inline operands of this user */
        uint64_t inline_bytes_max; /* inline operands of one job */
        uint32_t jobs_max;         /* outstanding jobs of this connection */
        uint32_t arenas_max;       /* arenas of this connection */
        const char *transport;     /* "socket" or "ring" */
};
const struct npumm_info *npumm_info(const struct npumm_client *client);

/* ---- memory ---- */

/*
 * Memory in an arena that the daemon shares: operands there are read, and products written, in place.
 * Aligned to 64 bytes, contents undefined. The library gets arenas from the daemon as needed and gives
 * empty ones back. May wait for the daemon (at most 10 s), also in a callback. When the connection is lost
 * the memory stays mapped until npumm_close(), but unless the daemon stopped in order or died its contents
 * are lost and read as zeros: fill inputs again before you submit them elsewhere. Errors: NPUMM_STATUS_BUSY
 * (a limit), NPUMM_STATUS_INVALID (0 bytes), -ENOMEM, -ETIMEDOUT (the daemon did not answer), -EMFILE (no
 * free descriptor), or what mmap(2) failed with.
 */
int npumm_alloc(struct npumm_client *client, size_t size_bytes, void **ret_memory);

/*
 * Gives memory back; NULL is allowed. Only when no outstanding job uses it. What npumm_alloc() did not hand
 * out is left alone.
 */
void npumm_free(struct npumm_client *client, void *memory);

/* ---- weights: since 1.1 ---- */

enum npumm_weights_flags {
        NPUMM_WEIGHTS_B_TRANSPOSED = 1 << 0, /* b is stored N x K */
        NPUMM_WEIGHTS_INLINE = 1 << 1,       /* send b through the socket, not through an arena */
};

/* A B[k x n] that many jobs will have in common; row-major. Only read, and only until the call returns. */
struct npumm_weights_spec {
        size_t size;   /* sizeof(struct npumm_weights_spec): which fields the caller knows */
        uint64_t k, n; /* k at most NPUMM_K_MAX */
        const int8_t *b;
        uint64_t ldb;   /* elements from one row of b to the next; 0: rows are adjacent */
        uint64_t flags; /* enum npumm_weights_flags */
};

/*
 * Has the daemon keep a copy of b, arranged once for its device, and waits until it does; jobs then name it by
 * npumm_matmul::weights. Memory from npumm_alloc() is read in place; other memory is copied to an arena for as
 * long as this takes, or goes through the socket with NPUMM_WEIGHTS_INLINE. When this returns b is the
 * program's again. Equal weights of the programs of one user share one copy, which counts once against what
 * the user may have.
 * `ret_weights` is never 0, means nothing to other clients, and lasts until it is released or the client is
 * closed: the daemon does not take it back. Only the finished copy tells whether an equal one is there: until
 * then room for a whole copy is needed besides.
 * Errors: NPUMM_STATUS_INVALID (nothing was sent), NPUMM_STATUS_BUSY (a limit, or no memory),
 * NPUMM_STATUS_TOO_BIG (inline), NPUMM_STATUS_VERSION (a daemon that speaks 1.0: give b to each job), those of
 * npumm_alloc() for ordinary memory, and -ETIMEDOUT after 60 s: what is loaded later nonetheless is given back
 * by itself, so that b is the program's again then, too.
 */
int npumm_weights_load(struct npumm_client *client, const struct npumm_weights_spec *spec,
                       uint64_t *ret_weights);

/*
 * Gives weights back. Jobs that were submitted before and are not done keep them until they are. Errors:
 * NPUMM_STATUS_NOT_FOUND (no such weights on this client, or released before), NPUMM_STATUS_INVALID (0),
 * NPUMM_STATUS_VERSION, -ETIMEDOUT after 10 s.
 */
int npumm_weights_release(struct npumm_client *client, uint64_t weights);

/* ---- jobs ---- */

/* What the elements of c are made of; `sum` is the exact int32 accumulator. */
enum npumm_output {
        /* int32_t: the sum */
        NPUMM_OUTPUT_INT32 = 0,
        /* int8_t: saturate(round(sum * 2^-shift)) */
        NPUMM_OUTPUT_INT8 = 1,
        /* float: ((float)sum * row_scale[m]) * col_scale[n] + bias[n], each step rounded to float: the
           same bits on every device */
        NPUMM_OUTPUT_FLOAT32 = 2,
        /* int8_t: what a 16x16x16 tile kernel gives that shifts each 16-deep partial sum right by 7 and
           clamps it, then adds these up and clamps again */
        NPUMM_OUTPUT_TILE16_SHIFT7 = 3,
};

enum npumm_rounding {
        NPUMM_ROUNDING_FLOOR = 0, /* towards minus infinity: an arithmetic shift */
        NPUMM_ROUNDING_NEAREST_EVEN = 1,
};

enum npumm_matmul_flags {
        NPUMM_MATMUL_B_TRANSPOSED = 1 << 0, /* b is stored N x K; not with weights, which know how they are */
        NPUMM_MATMUL_INLINE = 1 << 1, /* send operands and product through the socket, not through arenas */
        NPUMM_MATMUL_MORE = 1 << 2,   /* the group goes on with the next npumm_submit(); since 1.1 */
};

/* How much a job minds waiting. It orders the jobs of one user among themselves; a 1.0 daemon ignores it. */
enum npumm_class {
        NPUMM_CLASS_NORMAL = 0,
        NPUMM_CLASS_INTERACTIVE = 1, /* first, as long as its user has had no more than its share */
        NPUMM_CLASS_BULK = 2,        /* when nothing else waits, or to fill what would be padding */
};

/*
 * C[m x n] = output(A[m x k] . B[k x n]), all row-major; `ld*` are elements from one row to the next, 0 where
 * rows are adjacent. Any pointer will do: memory from npumm_alloc() is used in place, other memory is copied
 * into the library's arena and back. C must not overlap an input.
 * The struct itself may go when the call returns; the memory it points to must stay, inputs unchanged, until
 * the job is done. Pointers must be aligned to their element size.
 *
 * Groups. Jobs that are submitted in a row with NPUMM_MATMUL_MORE, and the next one without it, are a group:
 * its jobs are queued together when that last one has come, not before, and go to the device in one submission
 * if they fit. Such are products of one input, and whatever is wanted at the same time. The group waits in the
 * class of the job that ends it, whatever those of the others (where that one is refused by the daemon, of the
 * last one that was not). Each job ends by itself, and by its deadline also before the group is complete. A
 * group has at most npumm_info::jobs_max jobs, and as long as it is open its jobs wait: where the submit that
 * was to end it fails, submit another job without the flag or cancel them.
 */
struct npumm_matmul {
        size_t size; /* sizeof(struct npumm_matmul): which fields the caller knows */
        uint64_t m, k, n;
        const int8_t *a; /* m x k */
        uint64_t lda;
        const int8_t *b; /* k x n, or n x k with NPUMM_MATMUL_B_TRANSPOSED; NULL with weights */
        uint64_t ldb;
        void *c; /* m x n elements of `output` */
        uint64_t ldc;
        enum npumm_output output;
        uint32_t shift;               /* INT8 only: 0..31 */
        enum npumm_rounding rounding; /* INT8 only */
        uint32_t flags;               /* enum npumm_matmul_flags */
        const float *row_scale;       /* FLOAT32 only: m of them, or NULL */
        const float *col_scale;       /* n, or NULL */
        const float *bias;            /* n, or NULL */
        /* Programs that were built before 1.1 end here. */
        uint64_t weights;     /* of npumm_weights_load(), with these k and n, in place of b; 0: none */
        uint64_t deadline_us; /* from when the daemon has the whole job; at most an hour; 0: none */
        enum npumm_class job_class;
        uint32_t reserved; /* 0 */
};

/* Rows first_row .. first_row + rows - 1 of C are final. Each row is reported once, ranges in any order. */
typedef void (*npumm_rows_fn)(struct npumm_client *client, uint64_t job, uint64_t first_row, uint64_t rows,
                              void *userdata);

/*
 * The job is over, exactly once: `result` is 0, an npumm_status or -errno, and npumm_text(client) explains it
 * during the call ("" where it is 0). From now on nobody touches its memory. A product in memory from
 * npumm_alloc() is read here, in the callback: if the connection is lost later it may become zeros.
 */
typedef void (*npumm_done_fn)(struct npumm_client *client, uint64_t job, int result, void *userdata);

/*
 * Sends a job and returns; never waits for the product. Inside a callback it is sent, with whatever else was
 * submitted there, once the callbacks that are due have run. It may wait for the daemon when the library needs a
 * new arena for ordinary pointers. What the socket does not take at once goes out in later calls of
 * npumm_dispatch(): make them soon, as the daemon hangs up on a client that stops in mid-job for some
 * seconds or lets its replies pile up (with NPUMM_MATMUL_INLINE the product is among them). `rows_fn`,
 * `done_fn` and `ret_job` may be NULL. Errors: NPUMM_STATUS_INVALID at once for what makes no sense (nothing
 * was sent), NPUMM_STATUS_BUSY when npumm_info::jobs_max jobs are outstanding, NPUMM_STATUS_TOO_BIG,
 * NPUMM_STATUS_VERSION for weights, a deadline or a group at a daemon that speaks 1.0, and for ordinary
 * pointers those of npumm_alloc(): -ENOMEM, -ETIMEDOUT, -EMFILE, ... A job refused by the daemon ends through
 * done_fn (NPUMM_STATUS_NOT_FOUND: it names no weights of this client; NPUMM_STATUS_DEADLINE: its deadline
 * cannot be kept, or could not); so does one whose sending shows that the connection is lost, after a return
 * of 0.
 */
int npumm_submit(struct npumm_client *client, const struct npumm_matmul *matmul, npumm_rows_fn rows_fn,
                 npumm_done_fn done_fn, void *userdata, uint64_t *ret_job);

/*
 * Asks the daemon to drop a job. The job still ends through done_fn, with NPUMM_STATUS_CANCELLED or, if it
 * was faster, with 0. Errors: NPUMM_STATUS_NOT_FOUND (no such job is outstanding).
 */
int npumm_cancel(struct npumm_client *client, uint64_t job);

/* Jobs that have been submitted and are not done. */
size_t npumm_outstanding(const struct npumm_client *client);

/*
 * Submits and waits, without a time limit, and on after signals: where a wait must be interruptible, use
 * npumm_submit() and npumm_dispatch(). Callbacks of other jobs run meanwhile. A job that ends a group may be
 * submitted so; NPUMM_MATMUL_MORE is NPUMM_STATUS_INVALID, as it would wait for ever.
 */
int npumm_matmul(struct npumm_client *client, const struct npumm_matmul *matmul);

/* ---- event loop ---- */

/*
 * A file descriptor that is readable when npumm_dispatch() has work, whichever direction that work is in.
 * Watch it for input only, level-triggered (not with EPOLLET); do not read it. It stays the same for the
 * life of the client.
 */
int npumm_fd(const struct npumm_client *client);

/*
 * Waits at most `timeout_ms` (0: not at all; -1: for ever) for something to happen, sends and receives what
 * is possible without waiting, and runs the callbacks. Returns 0 also when nothing happened, or a signal
 * came. Once the connection is lost, and the callbacks of all outstanding jobs have run, it returns the
 * reason, then -ENOTCONN. Errors: these, and -EDEADLK inside a callback.
 */
int npumm_dispatch(struct npumm_client *client, int timeout_ms);

/* ---- the daemon ---- */

/* Goes to the daemon and back; `ret_ns` (or NULL) is how long that took. -ETIMEDOUT after 10 s, as below. */
int npumm_ping(struct npumm_client *client, uint64_t *ret_ns);

/* The daemon's state as one JSON object (keys: npumm-client(1)). The caller frees it with free(). */
int npumm_daemon_status(struct npumm_client *client, char **ret_json);

/*
 * Changes a setting of the running daemon until it ends; npumatmuld.conf(5) says which can be. `key` has 1 to
 * 32 and `value` 0 to 64 printable ASCII characters. Since 1.1. Errors: NPUMM_STATUS_DENIED (only root and the
 * daemon's own user may), NPUMM_STATUS_INVALID (no such setting or value; the text has those that there are),
 * NPUMM_STATUS_VERSION, -ETIMEDOUT after 10 s.
 */
int npumm_set(struct npumm_client *client, const char *key, const char *value);

#ifdef __cplusplus
}
#endif

#endif
