/* SPDX-License-Identifier: MIT */
/*
 * wire.h - what the daemon and its worker npumatmuld-xrt say to each other.
 *
 * Role:   one message is one packet of a SEQPACKET pair, a struct as it lies in memory: both ends are of one build, and
 *         READY says of which. Matrices never travel: the worker maps the same memory (WIRE_REGION) and works in it.
 * Thread: any; data.
 * Owns:   nothing.
 *
 * Order: the worker opens the device, tests it and says READY, or says FAILED and exits. Then the daemon sends regions
 * before the first batch that names them, and batches, WIRE_BATCHES_MAX at most that are not DONE; the worker ends them
 * in order. When anything goes wrong with the device the worker says FAILED and exits, whatever is inside: a batch that
 * was not DONE was not computed. It exits, too, when its end of the pair is closed.
 */
#ifndef DAEMON_XRT_WIRE_H
#define DAEMON_XRT_WIRE_H

#include "daemon/product.h"

#include <stdatomic.h>

#define WIRE_VERSION     1
#define WIRE_BATCHES_MAX 2
#define WIRE_SLICES_MAX  256
#define WIRE_TEXT_MAX    256

/* File descriptors that the worker is started with. */
#define WIRE_SOCKET_FD 3
#define WIRE_GATE_FD   4 /* a memfd that holds a struct wire_gate */

enum wire_kind {
        /* daemon to worker */
        WIRE_REGION = 1, /* and a descriptor: map it */
        WIRE_FORGET,     /* unmap it; no batch inside names it */
        WIRE_BATCH,
        WIRE_PING,
        /* worker to daemon */
        WIRE_READY,
        WIRE_FAILED, /* the last that it says */
        WIRE_DONE,
        WIRE_PONG,
};

/* Why there is no device, or none any more. What each means to people stands in daemon/device/xrt-cause.c. */
enum wire_cause {
        WIRE_CAUSE_NONE = 0,
        /* while it starts */
        WIRE_CAUSE_MEMLOCK,    /* RLIMIT_MEMLOCK is too low for the device's heap */
        WIRE_CAUSE_PERMISSION, /* its node may not be opened */
        WIRE_CAUSE_ABSENT,     /* there is no NPU, or no driver for it */
        WIRE_CAUSE_PROGRAM,    /* the manifest, or the xclbin, is not usable */
        WIRE_CAUSE_CONTEXT,    /* no hardware context is to be had */
        WIRE_CAUSE_MEMORY,     /* no memory, or none for buffer objects */
        WIRE_CAUSE_OPEN,       /* anything else that opening it fails with */
        /* while it runs */
        WIRE_CAUSE_ERROR,   /* a command ended with state ERROR, or one that is not known */
        WIRE_CAUSE_ABORT,   /* or ABORT */
        WIRE_CAUSE_TIMEOUT, /* or TIMEOUT: the driver has given it up */
        WIRE_CAUSE_HUNG,    /* a command did not end in time */
        WIRE_CAUSE_GONE,    /* ENODEV: the device was taken away */
        WIRE_CAUSE_LOST,    /* a command was not taken: the context is lost */
        WIRE_CAUSE_WRONG,   /* COMPLETED, and wrong: poison was left, or a check failed, or the self-test */
        WIRE_CAUSE_STREAM,  /* the verifier has refused a stream of our own making */
        WIRE_CAUSE_WORKER,  /* the worker itself: it died, or what it said or was told makes no sense */
        WIRE_CAUSE_SILENT,  /* the worker does not answer */
        WIRE_CAUSE_BUILD,   /* the worker is of another build than the daemon */
        WIRE_CAUSE_MAX
};

/*
 * In memory that both map. The worker touches regions' memory only between gate_enter and gate_leave; the daemon,
 * before it lets anybody else have that memory, closes the gate for good: once `is_inside` was seen to be 0 after that,
 * the worker never touches it again, killed or not.
 */
struct wire_gate {
        _Atomic uint32_t is_closed; /* the daemon's */
        _Atomic uint32_t is_inside; /* the worker's */
};

/* Either side sees the other's word or is seen. False: the gate is closed; touch nothing. */
static inline bool wire_gate_enter(struct wire_gate *gate)
{
        atomic_store(&gate->is_inside, 1);
        if (atomic_load(&gate->is_closed) == 0)
                return true;
        atomic_store(&gate->is_inside, 0);
        return false;
}

static inline void wire_gate_leave(struct wire_gate *gate)
{
        atomic_store(&gate->is_inside, 0);
}

/* The daemon's. Returns whether the worker can be inside no more; asking again may tell more. */
static inline bool wire_gate_close(struct wire_gate *gate)
{
        atomic_store(&gate->is_closed, 1);
        return atomic_load(&gate->is_inside) == 0;
}

/* A descriptor comes with it. */
struct wire_region {
        uint32_t kind; /* WIRE_REGION */
        bool is_writable;
        uint64_t id; /* not 0; new for each region */
        uint64_t size_bytes;
};

struct wire_forget {
        uint32_t kind; /* WIRE_FORGET */
        uint64_t id;
};

/* A matrix or vector in a region; region 0: none. */
struct wire_place {
        uint64_t region, offset_bytes;
};

/* As struct slice, with places for addresses. */
struct wire_slice {
        uint64_t m, k, n;
        uint64_t lda, ldb, ldc;
        struct wire_place a, b, c, row_scale, col_scale, bias;
        uint32_t form, shift, rounding; /* enum output_form, .., enum rounding */
        bool b_transposed;
        bool b_stays; /* B is a resident, k x n and adjacent, the only thing in its region: worth keeping packed */
        uint16_t stack; /* slices of the same stack have the same; it grows by one where the next begins */
        uint64_t first_row, rows;
};

struct wire_batch {
        uint32_t kind; /* WIRE_BATCH */
        uint32_t n_slices;
        uint64_t number;                           /* grows by one */
        struct wire_slice slices[WIRE_SLICES_MAX]; /* only n_slices of them are sent */
};

#define WIRE_BATCH_BYTES(n_slices)                                                                           \
        (offsetof(struct wire_batch, slices) + (n_slices) * sizeof(struct wire_slice))

struct wire_ping {
        uint32_t kind; /* WIRE_PING, and back as WIRE_PONG */
        uint32_t number;
};

struct wire_ready {
        uint32_t kind; /* WIRE_READY */
        uint32_t version;
        char build[WIRE_TEXT_MAX]; /* version of the program */
        uint64_t open_ns, selftest_ns;
        uint32_t clock_mhz;             /* of the array; 0: not known */
        char device[WIRE_TEXT_MAX];     /* name and address, for people */
        char driver[WIRE_TEXT_MAX];     /* version of the driver; empty: not known */
        char firmware[WIRE_TEXT_MAX];   /* same */
        char power_mode[WIRE_TEXT_MAX]; /* same */
};

struct wire_failed {
        uint32_t kind;  /* WIRE_FAILED */
        uint32_t cause; /* enum wire_cause */
        int32_t error;  /* errno, or 0 */
        char text[WIRE_TEXT_MAX];
};

/* What a batch took. */
struct wire_counts {
        uint64_t submissions;   /* commands */
        uint64_t matrix_syncs;  /* transfers of A, C and streamed B */
        uint64_t control_syncs; /* transfers of streams and of poison */
        uint64_t matrix_copies; /* operands packed or unpacked: A and C of each job, streamed B */
        uint64_t weights_packs; /* residents packed; their copies and transfers are counted here alone */
        uint64_t checks;        /* products checked */
};

struct wire_done {
        uint32_t kind; /* WIRE_DONE */
        uint64_t number;
        uint64_t pack_ns;   /* before its first command could be started */
        uint64_t device_ns; /* its commands, from start to end */
        struct wire_counts counts;
};

/* What the worker may say. */
union wire_reply {
        uint32_t kind;
        struct wire_ping pong;
        struct wire_ready ready;
        struct wire_failed failed;
        struct wire_done done;
};

#endif
