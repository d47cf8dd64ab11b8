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
 *   are reported in order, each exactly once, each with OK or DEVICE_ERROR (or CANCELLED, if dropped before it had
 *   begun); then batch_done, exactly once.
 * - Slices that share their B stand side by side and form a *stack*: one product, M being all their rows. A device
 *   computes a stack as one, and may report its slices together. Every slice is in exactly one stack.
 * - A slice is finished when its rows of C are written. From then on the device touches no operand of that slice any
 *   more, neither A nor C; B and its product's constants only if another slice of the batch still needs them.
 * - A device reports nothing but finished slices: row reports, cancelling and fairness all happen between
 *   slices, above this line.
 * - Submitting to a device without a free slot is a fault of the caller.
 */
#ifndef DAEMON_DEVICE_H
#define DAEMON_DEVICE_H

#include "daemon/product.h"
#include "daemon/region.h"
#include "daemon/timeline.h"
#include "proto/npu-model.h"
#include "proto/status.h"

#include <sys/queue.h>
#include <uv.h>

/* Rows first_row .. first_row + rows - 1 of one product. */
struct slice {
        struct job *job;               /* ref, held by the pipeline: devices do not look inside */
        const struct product *product; /* borrowed: part of the job */
        uint64_t first_row, rows;
        double charge_ns; /* what the batcher predicted that this slice adds to the batch */
        enum status
                status;  /* written by the device before it reports the slice: OK, DEVICE_ERROR, or CANCELLED
                               for one that was dropped before it had begun */
        bool is_dropped; /* by device_ops::drop */
};

struct pack;

/* Slices `first` .. `first + n_slices - 1` of a batch, all of the same B. */
struct stack {
        size_t first, n_slices;
        uint64_t rows;      /* of all of them */
        double padded_macs; /* multiply-adds that the device makes of them, padding included */
        struct pack *pack;  /* for the device's use */
        uint64_t
                once_ns; /* of the batch's device_ns, what will not be spent again: on packing its weights; written by
                                the device */
};

#define BATCH_SLICES_MAX 256
#define BATCH_STACKS_MAX 64

struct batch {
        size_t n_slices;
        struct slice slices[BATCH_SLICES_MAX];
        size_t n_stacks;
        struct stack stacks[BATCH_STACKS_MAX]; /* in the order of their slices */
        uint64_t predicted_ns;                 /* what the batcher expected */
        uint64_t device_ns;                    /* what it took; written by the device before batch_done */
        size_t n_begun, n_finished;            /* for the device's use */
        TAILQ_ENTRY(batch) device_link;        /* for the device's use */
};

/* What a device makes of a stack of m rows by K by N: it computes multiples of these. All at least 1. */
struct device_padding {
        uint64_t rows, depth, cols;
};

/* Of a device that can be lost. Whatever it is in, batches are served, but for those that it might still write to. */
enum device_state {
        DEVICE_OK = 0,
        DEVICE_RECOVERING, /* it is being opened, or replaced; at most for a moment */
        DEVICE_DEGRADED,   /* the CPU serves until it is tried again, with success */
        DEVICE_FAILED,     /* the same, and somebody has to do something for it */
        DEVICE_STATE_MAX
};

/* "ok", "recovering", "degraded", "failed", NULL. */
extern const char *const device_state_names[];

/* How such a device is. */
struct device_health {
        enum device_state state;
        /* Of the last fault, also once it is OK again; "none" and empty before the first. */
        const char *cause;  /* static: one word */
        const char *advice; /* static: what to do */
        char reason[512];   /* what is, or was, the matter; ASCII */
        uint64_t retry_ns; /* when it is tried again, on the timeline; TIMELINE_NEVER: it is not waited for */
        uint32_t clock_mhz; /* 0: not known; the strings empty then */
        char hardware[256], driver[256], firmware[256], power_mode[256];
        struct {
                uint64_t workers;       /* processes started */
                uint64_t faults;        /* of them, or of the device */
                uint64_t wrong;         /* those of them that were wrong results, found by a check */
                uint64_t reruns;        /* batches that were interrupted, and begun again */
                uint64_t cpu_batches;   /* that the CPU has served in its place */
                uint64_t failed;        /* batches that could not even be served by the CPU */
                uint64_t unended;       /* processes that were killed, and are still there */
                uint64_t commands;      /* that the device was given */
                uint64_t control_syncs; /* transfers of instructions, and of marks for what is not computed */
                uint64_t checks;        /* products checked */
                uint64_t recovery_us;   /* from the last fault until the device served again */
        } counters;
};

/*
 * What a device tells about itself once it is open; constant afterwards but for free_slots, pack_ns and counters, and
 * for how it computes (from granule_rows to share), of which a change is told (traits_changed).
 */
struct device {
        const struct device_ops *ops;
        const struct device_events *events; /* borrowed: outlives the device */
        void *userdata;                     /* of the events */
        const char *description;            /* for people: "AVX-512 VNNI kernel, 1 thread" */
        const struct device_health *health; /* NULL: it cannot be lost */
        size_t free_slots;                  /* batches that it would take now */
        uint64_t granule_rows;              /* slices of a multiple of this many rows waste nothing */
        struct device_padding padding;
        /*
         * Rows of such a product that are computed at a time: those of a stack are padded to a multiple of it. NULL:
         * padding.rows for all.
         */
        uint64_t (*block_rows)(const struct product *product);
        size_t stacks_max; /* of one batch, 1 .. BATCH_STACKS_MAX */
        uint64_t pack_ns;  /* how long before it could begin a batch should be submitted to a second slot */
        double time_scale; /* its times are these many times longer than they should be; 1: a real device's */
        double seed_fixed_ns;   /* cost of a submission, until the first has been measured */
        double seed_ns_per_mac; /* and of a multiply-add, padding included */
        /*
         * As many multiply-adds as would take as long as a stack of so many rows of such a product, by themselves:
         * where shapes differ in what a multiply-add costs, everybody's share depends on it. NULL: those that it has,
         * with padding.
         */
        double (*work_macs)(const struct product *product, uint64_t rows);
        /*
         * The share of what a submission can hold that a stack of so many rows takes: shares of a batch sum to at
         * most 1, but for a batch that begins with a product of which not even a block of rows fits. The device makes
         * several submissions of that. NULL: there is no such limit.
         */
        double (*share)(const struct product *product, uint64_t rows);
        struct {
                uint64_t buffer_syncs;  /* operand transfers to or from the device's own memory */
                uint64_t matrix_copies; /* copies of whole operands: packing A or B, unpacking C */
                uint64_t weights_packs; /* residents packed; their syncs and copies are counted here alone */
                uint64_t overruns;      /* of a model: batches that took longer to compute than it allows */
        } counters;
};

struct device_events {
        void (*slice_done)(void *userdata, struct batch *batch, size_t index);
        void (*batch_done)(void *userdata, struct batch *batch);
        void (*traits_changed)(
                void *userdata); /* it computes with something else now; also from inside submit */
};

typedef void (*device_closed_fn)(void *userdata);

/* How a model comes by its results. */
enum sim_compute {
        SIM_COMPUTE_ON_THREAD = 0, /* while its time goes by */
        SIM_COMPUTE_AT_ONCE,       /* inside submit: for small products on a virtual clock */
        SIM_COMPUTE_NEVER,         /* only times: products need no operands */
};

/* Of the NPU's worker process; strings outlive the device. */
struct xrt_settings {
        const char *worker_path, *manifest_path;
        const char *check; /* of its --check */
        uint64_t timeout_ns, retry_ns, weights_bytes;
        struct region_set *regions; /* borrowed: outlives the device; operands are found in it */
        /* The device's health has changed; on the loop. */
        void (*health_fn)(void *userdata, const struct device_health *health);
        void *health_userdata;
};

/* Of the CPU's kernels. */
struct cpu_settings {
        const char *isa;        /* none above this one is used, by its name; NULL: any. Outlives the device */
        unsigned threads;       /* of one product */
        uint64_t here_ns;       /* batches predicted to take no longer are computed on the loop */
        uint64_t weights_bytes; /* of packed weights */
};

/* What devices are opened with: the settings that some of them have. */
struct device_settings {
        struct cpu_settings cpu;
        bool is_automatic; /* taken only if it is of use now, as there are others; set by device_open */
        enum npu_model sim_model;
        enum sim_compute sim_compute;
        double sim_scale;       /* model times are multiplied by this */
        const char *sim_faults; /* a script, see device/sim.c; NULL: none. Outlives the device */
        struct xrt_settings xrt;
};

/* Whether a script of faults can be read. */
bool sim_faults_are_valid(const char *script);

struct device_ops {
        const char *name; /* of --backend= and of `backend` in status */
        /*
         * Makes a device ready for its first batch. `timeline` outlives it. `ret_device` is ended by close. Returns
         * 0, -errno, or DEVICE_E_ABSENT with the reason in ret_reason.
         */
        int (*open)(uv_loop_t *loop, struct timeline *timeline, const struct device_settings *settings,
                    const struct device_events *events, void *userdata, struct device **ret_device,
                    const char **ret_reason);
        /* Consumes the batch until batch_done. */
        void (*submit)(struct device *device, struct batch *batch);
        /*
         * Computes now what it has taken to be computed on the loop, and reports it; false: there is nothing. Called
         * after each round of submits. NULL: it computes nothing there.
         */
        bool (*compute)(struct device *device);
        /*
         * Nobody wants slices[index] of a batch inside any more. A device that has not begun it leaves it out, and
         * reports it in its turn with CANCELLED; otherwise it goes on as if nothing had been said. NULL: it always
         * goes on.
         */
        void (*drop)(struct device *device, struct batch *batch, size_t index);
        /* A resident is about to go, or to be replaced: forget what was packed of it. NULL: nothing ever is. */
        void (*forget)(struct device *device, struct resident *resident);
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
int device_open(const char *name, uv_loop_t *loop, struct timeline *timeline,
                const struct device_settings *settings, const struct device_events *events, void *userdata,
                struct device **ret_device, const char **ret_reason);

#endif
