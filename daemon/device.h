/* SPDX-License-Identifier: MIT */
/*
 * device.h - the contract between the daemon and whatever multiplies.
 *
 * Role:   a device takes a batch, reports each of its slices when it is finished, and then the batch.
 * In:     struct batch, composed by the batcher when the device has a free slot.
 * Out:    device_events, always on the loop thread, never from inside submit.
 * Thread: every function here is called on the loop; how a device works behind it (a thread, a process, a
 *         model of time) is its own affair.
 *
 * Design notes
 * - A batch belongs to the device from submit until batch_done has been called, and to nobody else. Its slices
 *   are reported in order, each exactly once, each with OK or DEVICE_ERROR; then batch_done, exactly once.
 * - A slice is finished when its rows of C are written and the device will not touch them again. The product's
 *   other memory is untouchable only from batch_done on.
 * - A device reports nothing but finished slices: row reports, cancelling and fairness all happen between
 *   slices, above this line.
 * - Submitting to a device without a free slot is a fault of the caller.
 */
#ifndef DAEMON_DEVICE_H
#define DAEMON_DEVICE_H

#include "daemon/product.h"
#include "proto/status.h"

#include <sys/queue.h>
#include <uv.h>

struct job;

/* Rows first_row .. first_row + rows - 1 of one product. */
struct slice {
        struct job *job;               /* ref, held by the pipeline: devices do not look inside */
        const struct product *product; /* borrowed: part of the job */
        uint64_t first_row, rows;
        enum status status; /* written by the device before it reports the slice: OK or DEVICE_ERROR */
};

#define BATCH_SLICES_MAX 64

struct batch {
        size_t n_slices;
        struct slice slices[BATCH_SLICES_MAX];
        uint64_t work_macs;            /* multiply-adds in all slices together */
        uint64_t predicted_ns;         /* what the batcher expected */
        uint64_t device_ns;            /* what it took; written by the device before batch_done */
        size_t n_finished;             /* for the device's use */
        TAILQ_ENTRY(batch) device_link; /* for the device's use */
        TAILQ_ENTRY(batch) pool_link;   /* pipeline::free_batches */
};

/* What a device tells about itself once it is open; constant afterwards but for free_slots and counters. */
struct device {
        const struct device_ops *ops;
        const struct device_events *events; /* borrowed: outlives the device */
        void *userdata;                     /* of the events */
        const char *description;            /* for people: "portable C kernel, 1 thread" */
        size_t free_slots;                  /* batches that it would take now */
        uint64_t granule_rows;              /* slices of a multiple of this many rows waste nothing */
        double seed_fixed_ns;               /* cost of a submission, until the first has been measured */
        double seed_ns_per_mac;             /* and of a multiply-add */
        struct {
                uint64_t buffer_syncs;  /* operand transfers to or from the device's own memory */
                uint64_t matrix_copies; /* copies of whole operands: packing A or B, unpacking C */
        } counters;
};

struct device_events {
        void (*slice_done)(void *userdata, struct batch *batch, size_t index);
        void (*batch_done)(void *userdata, struct batch *batch);
};

typedef void (*device_closed_fn)(void *userdata);

struct device_ops {
        const char *name; /* of --backend= and of `backend` in status */
        /*
         * Makes a device ready for its first batch. `ret_device` is ended by close. Returns 0, -errno, or
         * DEVICE_E_ABSENT with the reason in ret_reason.
         */
        int (*open)(uv_loop_t *loop, const struct device_events *events, void *userdata,
                    struct device **ret_device, const char **ret_reason);
        /* Consumes the batch until batch_done. */
        void (*submit)(struct device *device, struct batch *batch);
        /*
         * No batch may be inside; from within the last one's batch_done is late enough. Frees the device;
         * `closed_fn` comes later, on the loop.
         */
        void (*close)(struct device *device, device_closed_fn closed_fn, void *userdata);
};

/* Positive results of device_open. */
enum {
        DEVICE_E_SUCCESS = 0,
        DEVICE_E_ABSENT,  /* this machine or this build has no such device; ret_reason says which */
        DEVICE_E_UNKNOWN, /* no device has this name */
};

/* The names that --backend= accepts, "auto" first, NULL last. */
extern const char *const device_names[];

/*
 * Opens the device of this name; "auto" takes the best one that opens, and says in ret_reason why not a better.
 * ret_reason is static text, or NULL, and is set whatever the result.
 */
int device_open(const char *name, uv_loop_t *loop, const struct device_events *events, void *userdata,
                struct device **ret_device, const char **ret_reason);

#endif
