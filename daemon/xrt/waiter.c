/* SPDX-License-Identifier: MIT */
/* waiter.c - see waiter.h. */
#include "daemon/xrt/waiter.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <time.h>

#define SLICE_MS 5
#define NS_OF_MS UINT64_C(1000000)

/* A wait that is over sooner than this without an end was not one: then it is slept through. */
#define SLICE_LEAST_NS (NS_OF_MS / 2)

struct waiter {
        uint64_t timeout_ns;
        int fd; /* owned: an eventfd that counts ends */
        pthread_t thread;
        pthread_mutex_t mutex; /* of all below */
        pthread_cond_t changed;
        struct {
                struct xrt_shim_run *run; /* borrowed: the engine's */
                uint64_t start_ns;
        } runs[WAITER_RUNS_MAX]; /* number i is at i modulo WAITER_RUNS_MAX; so are ends */
        struct waiter_end ends[WAITER_RUNS_MAX];
        uint64_t n_pushed, n_ended, n_popped;
        bool is_stopping;
};

uint64_t waiter_now_ns(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000 * NS_OF_MS + (uint64_t)now.tv_nsec;
}

/* ---- thread ---- */

static int state_judge(int state, struct xrt_fault *ret_fault)
{
        switch (state) {
        case XRT_SHIM_STATE_COMPLETED:
                return 0;
        case XRT_SHIM_STATE_ABORT:
                return xrt_fault_set(ret_fault, WIRE_CAUSE_ABORT, 0, "a command was aborted");
        case XRT_SHIM_STATE_TIMEOUT:
                return xrt_fault_set(ret_fault, WIRE_CAUSE_TIMEOUT, 0, "the driver has given a command up");
        case XRT_SHIM_STATE_ERROR:
                return xrt_fault_set(ret_fault, WIRE_CAUSE_ERROR, 0, "a command ended with an error");
        default:
                return xrt_fault_set(ret_fault, WIRE_CAUSE_ERROR, 0, "a command ended in state %d", state);
        }
}

static bool state_is_final(int state)
{
        return state >= XRT_SHIM_STATE_COMPLETED && state != XRT_SHIM_STATE_SUBMITTED;
}

/*
 * Where a fence was signalled and no state written, and wherever else waits come back at once with nothing, the time is
 * slept through instead.
 */
static void slice_finish(uint64_t begin_ns)
{
        const struct timespec rest = {.tv_nsec = (long)(SLICE_MS * NS_OF_MS)};

        if (waiter_now_ns() - begin_ns < SLICE_LEAST_NS)
                (void)nanosleep(&rest, NULL);
}

static int run_await(struct xrt_shim_run *run, uint64_t from_ns, uint64_t timeout_ns,
                     struct xrt_fault *ret_fault)
{
        for (;;) {
                const uint64_t begin_ns = waiter_now_ns();
                struct xrt_shim_error error;
                int state;

                if (xrt_shim_run_wait(run, SLICE_MS, &state, &error) != 0)
                        return xrt_fault_thrown(ret_fault, XRT_WAIT, &error);
                if (state_is_final(state))
                        return state_judge(state, ret_fault);
                if (waiter_now_ns() - from_ns >= timeout_ns)
                        return xrt_fault_set(ret_fault, WIRE_CAUSE_HUNG, 0,
                                             "a command did not end within %" PRIu64 " ms; its state is %d",
                                             timeout_ns / NS_OF_MS, state);
                slice_finish(begin_ns);
        }
}

static void end_report(struct waiter *waiter)
{
        const uint64_t one = 1;

        waiter->n_ended++;
        if (write(waiter->fd, &one, sizeof one) < 0)
                assert(errno == EAGAIN); /* it is readable already */
}

static void *waiter_thread(void *userdata)
{
        struct waiter *waiter = userdata;
        uint64_t free_ns = 0; /* since when the device has nothing older */
        bool has_failed = false;

        (void)pthread_mutex_lock(&waiter->mutex);
        for (;;) {
                const size_t index = waiter->n_ended % WAITER_RUNS_MAX;
                struct waiter_end end = {.start_ns = waiter->runs[index].start_ns};
                struct xrt_shim_run *run = waiter->runs[index].run;

                if (waiter->is_stopping)
                        break;
                if (has_failed || waiter->n_ended == waiter->n_pushed) {
                        (void)pthread_cond_wait(&waiter->changed, &waiter->mutex);
                        continue;
                }
                (void)pthread_mutex_unlock(&waiter->mutex);
                has_failed = run_await(run, MAX(end.start_ns, free_ns), waiter->timeout_ns, &end.fault) != 0;
                end.has_failed = has_failed;
                free_ns = end.end_ns = waiter_now_ns();
                (void)pthread_mutex_lock(&waiter->mutex);
                waiter->ends[index] = end;
                end_report(waiter);
        }
        (void)pthread_mutex_unlock(&waiter->mutex);
        return NULL;
}

/* ---- main ---- */

int waiter_new(uint64_t timeout_ns, struct waiter **ret_waiter)
{
        _cleanup_(freep) struct waiter *waiter = calloc(1, sizeof *waiter);
        int r;

        if (!waiter)
                return -ENOMEM;
        waiter->timeout_ns = timeout_ns;
        waiter->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
        if (waiter->fd < 0)
                return -errno;
        (void)pthread_mutex_init(&waiter->mutex, NULL);
        (void)pthread_cond_init(&waiter->changed, NULL);
        r = pthread_create(&waiter->thread, NULL, waiter_thread, waiter);
        if (r != 0) {
                (void)close(waiter->fd);
                return -r;
        }
        *ret_waiter = steal(&waiter);
        return 0;
}

struct waiter *waiter_free(struct waiter *waiter)
{
        if (!waiter)
                return NULL;
        (void)pthread_mutex_lock(&waiter->mutex);
        waiter->is_stopping = true;
        (void)pthread_cond_signal(&waiter->changed);
        (void)pthread_mutex_unlock(&waiter->mutex);
        (void)pthread_join(waiter->thread, NULL);
        (void)pthread_cond_destroy(&waiter->changed);
        (void)pthread_mutex_destroy(&waiter->mutex);
        (void)close(waiter->fd);
        free(waiter);
        return NULL;
}

int waiter_fd(const struct waiter *waiter)
{
        return waiter->fd;
}

void waiter_push(struct waiter *waiter, struct xrt_shim_run *run, uint64_t start_ns)
{
        (void)pthread_mutex_lock(&waiter->mutex);
        assert(waiter->n_pushed - waiter->n_popped < WAITER_RUNS_MAX);
        waiter->runs[waiter->n_pushed % WAITER_RUNS_MAX].run = run;
        waiter->runs[waiter->n_pushed % WAITER_RUNS_MAX].start_ns = start_ns;
        waiter->n_pushed++;
        (void)pthread_cond_signal(&waiter->changed);
        (void)pthread_mutex_unlock(&waiter->mutex);
}

bool waiter_pop(struct waiter *waiter, struct waiter_end *ret_end)
{
        bool is_there;
        uint64_t one;

        (void)pthread_mutex_lock(&waiter->mutex);
        is_there = waiter->n_popped < waiter->n_ended;
        if (is_there) {
                *ret_end = waiter->ends[waiter->n_popped++ % WAITER_RUNS_MAX];
                (void)!read(waiter->fd, &one, sizeof one); /* one count is there for each end */
        }
        (void)pthread_mutex_unlock(&waiter->mutex);
        return is_there;
}
