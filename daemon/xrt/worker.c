/* SPDX-License-Identifier: MIT */
/*
 * worker.c - see worker.h.
 *
 * Whatever ends, ends by _exit: XRT's destructors wait for what hangs, or abort the process for it.
 */
#include "daemon/xrt/worker.h"

#include "daemon/npu/manifest.h"
#include "daemon/version.h"
#include "daemon/xrt/device-clock.h"
#include "daemon/xrt/device-info.h"
#include "daemon/xrt/port.h"
#include "daemon/xrt/selftest.h"
#include "daemon/xrt/waiter.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define NPU        "npu1" /* the generation that there are programs for */
#define LOOK_MS    200    /* while something is in flight: whether its wait is one without end */
#define HEAP_BYTES (UINT64_C(64) << 20) /* that the driver's library maps with MAP_LOCKED */

/* What the daemon may say. */
union message {
        uint32_t kind;
        struct wire_region region;
        struct wire_forget forget;
        struct wire_batch batch;
        struct wire_ping ping;
};

struct worker {
        const struct worker_options *options;
        struct wire_gate *gate;
        struct xrt_shim_device *device;
        struct engine *engine;
        struct mappings regions;
        uint32_t clock_mhz; /* when it was opened */
        uint64_t n_batches; /* received */
        uint64_t number;    /* of the last one */
        union message message;
};

/* ---- the end ---- */

static _Noreturn void worker_fail(const struct xrt_fault *fault)
{
        struct wire_failed failed = {
                .kind = WIRE_FAILED, .cause = (uint32_t)fault->cause, .error = fault->error};

        memcpy(failed.text, fault->text, sizeof failed.text);
        (void)port_send(WIRE_SOCKET_FD, &failed, sizeof failed); /* who cannot hear it sees that we end */
        _exit(1);
}

static void succeed_or_fail(int r, const struct xrt_fault *fault)
{
        if (r != 0)
                worker_fail(fault);
}

static void say(const void *message, size_t n)
{
        const int r = port_send(WIRE_SOCKET_FD, message, n);

        if (r != 0)
                _exit(r == PORT_E_CLOSED ? 0 : 1);
}

/* ---- opening ---- */

static int gate_map(struct worker *worker, struct xrt_fault *ret_fault)
{
        void *gate = mmap(NULL, sizeof *worker->gate, PROT_READ | PROT_WRITE, MAP_SHARED, WIRE_GATE_FD, 0);

        if (gate == MAP_FAILED)
                return xrt_fault_set(ret_fault, WIRE_CAUSE_WORKER, errno, "the gate cannot be mapped: %s",
                                     strerror(errno));
        worker->gate = gate;
        return 0;
}

/* The driver's library says no more than EAGAIN: name the limit. */
static int memlock_explain(struct xrt_fault *fault)
{
        struct rlimit limit;

        if (fault->cause != WIRE_CAUSE_MEMLOCK || getrlimit(RLIMIT_MEMLOCK, &limit) < 0 ||
            limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= HEAP_BYTES)
                return XRT_E_FAULT;
        return xrt_fault_set(fault, WIRE_CAUSE_MEMLOCK, fault->error,
                             "RLIMIT_MEMLOCK is %" PRIu64 " bytes; the NPU's driver locks %" PRIu64,
                             (uint64_t)limit.rlim_cur, HEAP_BYTES);
}

/* A program for one generation wedges another; a name that tells nothing is let pass, and the self-test judges. */
static int generation_check(const struct worker *worker, struct xrt_fault *ret_fault)
{
        _cleanup_(freep) struct xrt_shim_info *info = calloc(1, sizeof *info);

        if (!info)
                return xrt_fault_set(ret_fault, WIRE_CAUSE_MEMORY, ENOMEM, "no memory");
        xrt_shim_device_info(worker->device, info);
        if (device_info_is_npu1(info))
                return 0;
        return xrt_fault_set(ret_fault, WIRE_CAUSE_PROGRAM, 0, "this is %.100s, and the program is for %s",
                             info->name, NPU);
}

static int npu_open(struct worker *worker, const struct manifest_program *program,
                    struct xrt_fault *ret_fault)
{
        struct xrt_shim_error error;
        int r;

        worker->clock_mhz = device_clock_mhz();
        if (xrt_shim_device_open(&worker->device, &error) != 0) {
                (void)xrt_fault_thrown(ret_fault, XRT_OPEN, &error);
                return memlock_explain(ret_fault);
        }
        r = generation_check(worker, ret_fault);
        if (r != 0)
                return r;
        if (xrt_shim_device_program(worker->device, program->xclbin, program->xclbin_bytes, &error) != 0)
                return xrt_fault_thrown(ret_fault, XRT_PROGRAM, &error);
        if (xrt_shim_device_context(worker->device, program->kernel, &error) != 0)
                return xrt_fault_thrown(ret_fault, XRT_CONTEXT, &error);
        return 0;
}

static int engine_open(struct worker *worker, enum stream64_flow flow, struct xrt_fault *ret_fault)
{
        const struct engine_options options = {
                .device = worker->device,
                .flow = flow,
                .check = worker->options->check,
                .timeout_ns = worker->options->timeout_ns,
                .weights_bytes = worker->options->weights_bytes,
                .weights_first_bytes = ENGINE_WEIGHTS_FIRST,
                .gate = worker->gate,
        };

        return engine_new(&options, &worker->engine, ret_fault);
}

/* Device, program, context, buffers; and the program's name for its flow. */
static int worker_open(struct worker *worker, struct xrt_fault *ret_fault)
{
        struct manifest_program *program;
        char error[MANIFEST_ERROR_MAX];
        int r;

        r = manifest_program_new(worker->options->manifest_path, NPU, MANIFEST_STREAM64, &program, error);
        if (r < 0)
                return xrt_fault_set(ret_fault, WIRE_CAUSE_MEMORY, -r, "reading the manifest: %s",
                                     strerror(-r));
        if (r > 0)
                return xrt_fault_set(ret_fault, WIRE_CAUSE_PROGRAM, 0, "%s", error);
        r = npu_open(worker, program, ret_fault);
        if (r == 0)
                r = engine_open(worker, program->flow, ret_fault);
        (void)manifest_program_free(program);
        return r;
}

static void say_ready(const struct worker *worker, uint64_t open_ns, uint64_t selftest_ns)
{
        struct wire_ready ready = {
                .kind = WIRE_READY,
                .version = WIRE_VERSION,
                .build = DAEMON_VERSION,
                .open_ns = open_ns,
                .selftest_ns = selftest_ns,
                .clock_mhz = worker->clock_mhz,
        };
        _cleanup_(freep) struct xrt_shim_info *info = calloc(1, sizeof *info);

        if (info) {
                xrt_shim_device_info(worker->device, info);
                device_info_read(info, &ready);
        }
        say(&ready, sizeof ready);
}

/* ---- serving ---- */

static int region_receive(struct worker *worker, const struct wire_region *message, size_t n, int fd,
                          struct xrt_fault *ret_fault)
{
        if (n != sizeof *message || fd < 0)
                return xrt_fault_set(ret_fault, WIRE_CAUSE_WORKER, 0, "a region of %zu bytes%s", n,
                                     fd < 0 ? ", without a descriptor" : "");
        return mappings_add(&worker->regions, message, fd, ret_fault);
}

static int forget_receive(struct worker *worker, const struct wire_forget *message, size_t n,
                          struct xrt_fault *ret_fault)
{
        struct mapping *region = n == sizeof *message ? mappings_find(&worker->regions, message->id) : NULL;

        if (!region || engine_names_region(worker->engine, region->id))
                return xrt_fault_set(ret_fault, WIRE_CAUSE_WORKER, 0,
                                     "told to forget a region that is not there, or is in use");
        engine_forget(worker->engine, region);
        mappings_remove(&worker->regions, region);
        return 0;
}

static int batch_receive(struct worker *worker, const struct wire_batch *message, size_t n,
                         struct xrt_fault *ret_fault)
{
        struct work *work = engine_room(worker->engine);
        int r;

        if (!work)
                return xrt_fault_set(ret_fault, WIRE_CAUSE_WORKER, 0, "one batch more than %d",
                                     WIRE_BATCHES_MAX);
        r = work_read(work, message, n, &worker->regions, ret_fault);
        if (r != 0)
                return r;
        if (worker->n_batches > 0 && work->number != worker->number + 1)
                return xrt_fault_set(ret_fault, WIRE_CAUSE_WORKER, 0, "batch %" PRIu64 " came after %" PRIu64,
                                     work->number, worker->number);
        worker->n_batches++;
        worker->number = work->number;
        engine_push(worker->engine);
        return 0;
}

static int ping_receive(const struct wire_ping *message, size_t n, struct xrt_fault *ret_fault)
{
        const struct wire_ping pong = {.kind = WIRE_PONG, .number = message->number};

        if (n != sizeof *message)
                return xrt_fault_set(ret_fault, WIRE_CAUSE_WORKER, 0, "a ping of %zu bytes", n);
        say(&pong, sizeof pong);
        return 0;
}

static int message_handle(struct worker *worker, size_t n, int fd, struct xrt_fault *ret_fault)
{
        const union message *message = &worker->message;

        switch (n >= sizeof message->kind ? message->kind : 0) {
        case WIRE_REGION:
                return region_receive(worker, &message->region, n, fd, ret_fault);
        case WIRE_FORGET:
                return forget_receive(worker, &message->forget, n, ret_fault);
        case WIRE_BATCH:
                return batch_receive(worker, &message->batch, n, ret_fault);
        case WIRE_PING:
                return ping_receive(&message->ping, n, ret_fault);
        default:
                return xrt_fault_set(ret_fault, WIRE_CAUSE_WORKER, 0,
                                     "a message of %zu bytes, of no known kind", n);
        }
}

static int message_receive(struct worker *worker, struct xrt_fault *ret_fault)
{
        _cleanup_(closep) int fd = -1;
        size_t n;
        int r;

        r = port_receive(WIRE_SOCKET_FD, &worker->message, sizeof worker->message, &n, &fd);
        if (r == PORT_E_CLOSED)
                _exit(0);
        if (r < 0)
                return xrt_fault_set(ret_fault, WIRE_CAUSE_WORKER, -r, "the daemon's socket: %s",
                                     strerror(-r));
        return message_handle(worker, n, fd, ret_fault);
}

/* All that have come: a pulse that is asked for is not to wait behind what there is to compute. */
static int messages_receive(struct worker *worker, struct xrt_fault *ret_fault)
{
        struct pollfd fd = {.fd = WIRE_SOCKET_FD, .events = POLLIN};
        int r;

        do
                r = message_receive(worker, ret_fault);
        while (r == 0 && poll(&fd, 1, 0) > 0);
        return r;
}

/* One turn: what can be done, what has ended, what was said. */
static int worker_turn(struct worker *worker, struct xrt_fault *ret_fault)
{
        struct pollfd fds[] = {{.fd = WIRE_SOCKET_FD, .events = POLLIN},
                               {.fd = engine_fd(worker->engine), .events = POLLIN}};
        struct wire_done done;
        bool has_stepped, is_waiting, is_overdue = false;
        int r;

        r = engine_step(worker->engine, &has_stepped, ret_fault);
        if (r != 0)
                return r;
        while (engine_pop(worker->engine, &done))
                say(&done, sizeof done);
        is_waiting = engine_is_waiting(worker->engine, &is_overdue);
        if (is_waiting && is_overdue)
                return xrt_fault_set(ret_fault, WIRE_CAUSE_HUNG, 0,
                                     "waiting for a command does not end: it hangs in the driver");
        if (poll(fds, ARRAY_SIZE(fds), has_stepped ? 0 : is_waiting ? LOOK_MS : -1) < 0)
                return 0; /* a signal: look again */
        r = fds[1].revents != 0 ? engine_reap(worker->engine, ret_fault) : 0;
        if (r != 0)
                return r;
        while (engine_pop(worker->engine, &done))
                say(&done, sizeof done);
        return fds[0].revents != 0 ? messages_receive(worker, ret_fault) : 0;
}

void worker_run(const struct worker_options *options)
{
        const uint64_t begin_ns = waiter_now_ns();
        struct worker *worker = calloc(1, sizeof *worker);
        struct xrt_fault fault = {.cause = WIRE_CAUSE_MEMORY, .error = ENOMEM, .text = "no memory"};
        uint64_t open_ns;

        succeed_or_fail(worker ? 0 : XRT_E_FAULT, &fault);
        worker->options = options;
        succeed_or_fail(gate_map(worker, &fault), &fault);
        succeed_or_fail(worker_open(worker, &fault), &fault);
        open_ns = waiter_now_ns();
        succeed_or_fail(selftest_run(worker->engine, &fault), &fault);
        say_ready(worker, open_ns - begin_ns, waiter_now_ns() - open_ns);
        for (;;)
                succeed_or_fail(worker_turn(worker, &fault), &fault);
}
