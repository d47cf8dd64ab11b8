/* SPDX-License-Identifier: MIT */
/* xrt-keeper.c - see xrt-keeper.h. */
#include "daemon/device/xrt-keeper.h"

#include <inttypes.h>
#include <stdio.h>

/* Opening a device takes tens of milliseconds, and after it was asleep some hundred. */
#define START_NS UINT64_C(20000000000)
/* An idle worker is asked this often, a busy one each second, so that what is asked of it is not the first to find it
 * dead. */
#define IDLE_ASK_NS UINT64_C(10000000000)
#define BUSY_ASK_NS UINT64_C(1000000000)
/* Beyond the time that a command may take, which the worker watches itself. */
#define SILENCE_NS   UINT64_C(1000000000)
#define CLEAR_ASK_NS UINT64_C(1000000)
#define HUNG_UP_NS   UINT64_C(100000000) /* from its socket's end to its own */

struct xrt_worker {
        struct xrt_keeper *keeper;   /* borrowed: outlives us */
        struct xrt_process *process; /* owned */
        uint64_t started_ns, ended_ns;
        uint64_t heard_ns; /* when it last said something */
        struct region
                *held[WIRE_BATCHES_MAX * WIRE_SLICES_MAX]; /* held, until it is gone: one for each result */
        size_t n_held;
        TAILQ_ENTRY(xrt_worker) link; /* xrt_keeper::ended */
};

static uint64_t now_ns(const struct xrt_keeper *keeper)
{
        return timeline_now_ns(keeper->timeline);
}

/* ---- what people are told ---- */

static void health_tell(struct xrt_keeper *keeper, enum device_state state)
{
        keeper->health.state = state;
        if (keeper->settings->health_fn)
                keeper->settings->health_fn(keeper->settings->health_userdata, &keeper->health);
        if (state != DEVICE_OK)
                keeper->events->changed(keeper->userdata);
}

/* Texts of a process, of a driver, of a path: cut anywhere, and shown everywhere. */
static void text_take(char *to, size_t size, const char *text)
{
        size_t n = 0;

        for (; text[n] != '\0' && n < size - 1; n++)
                to[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
        to[n] = '\0';
}

static void health_of_fault(struct xrt_keeper *keeper, enum wire_cause cause, const char *text,
                            enum device_state state)
{
        const struct xrt_cause_info *info = xrt_cause_info(cause);
        struct device_health *health = &keeper->health;
        char reason[sizeof health->reason];

        health->counters.faults++;
        health->counters.wrong += cause == WIRE_CAUSE_WRONG;
        health->cause = info->name;
        health->advice = info->advice;
        (void)snprintf(reason, sizeof reason, "%s: %s", info->text, text);
        text_take(health->reason, sizeof health->reason, reason);
        health_tell(keeper, state);
}

static void health_of_ready(struct xrt_keeper *keeper, const struct wire_ready *ready)
{
        struct device_health *health = &keeper->health;
        const uint64_t now = now_ns(keeper);

        health->clock_mhz = ready->clock_mhz;
        text_take(health->hardware, sizeof health->hardware, ready->device);
        text_take(health->driver, sizeof health->driver, ready->driver);
        text_take(health->firmware, sizeof health->firmware, ready->firmware);
        text_take(health->power_mode, sizeof health->power_mode, ready->power_mode);
        if (health->counters.faults == 0)
                health->reason[0] = '\0';
        else
                health->counters.recovery_us = (now - keeper->absent_ns) / 1000;
        keeper->absent_ns = 0;
        health->retry_ns = TIMELINE_NEVER;
        health_tell(keeper, DEVICE_OK);
}

/* ---- the killed ---- */

static void worker_free(struct xrt_worker *worker)
{
        for (size_t i = 0; i < worker->n_held; i++)
                region_release(worker->held[i]);
        free(worker);
}

static void look(struct xrt_keeper *keeper);

static void on_gone(void *userdata, struct xrt_process *process)
{
        struct xrt_worker *worker = userdata;
        struct xrt_keeper *keeper = worker->keeper;

        (void)process;
        if (keeper->is_clearing && worker == TAILQ_LAST(&keeper->ended, xrt_worker_list)) {
                keeper->is_clearing = false;
                keeper->events->interrupted(keeper->userdata, true);
        }
        TAILQ_REMOVE(&keeper->ended, worker, link);
        worker_free(worker);
        look(keeper);
}

void xrt_keeper_hold(struct xrt_keeper *keeper, struct region *region)
{
        struct xrt_worker *worker = TAILQ_LAST(&keeper->ended, xrt_worker_list);

        assert(worker->n_held < ARRAY_SIZE(worker->held));
        region_hold(region);
        worker->held[worker->n_held++] = region;
}

/* Asks whether the killed worker can still touch what was inside; returns when to ask again. */
static uint64_t clear_look(struct xrt_keeper *keeper, uint64_t now)
{
        struct xrt_worker *worker = TAILQ_LAST(&keeper->ended, xrt_worker_list);
        const bool is_harmless = xrt_process_is_harmless(worker->process);

        if (!is_harmless && now - worker->ended_ns < XRT_UNENDED_NS)
                return now + CLEAR_ASK_NS;
        keeper->is_clearing = false;
        keeper->events->interrupted(keeper->userdata, is_harmless);
        return now;
}

/* ---- faults ---- */

static void worker_end(struct xrt_keeper *keeper)
{
        struct xrt_worker *worker = keeper->worker;

        keeper->worker = NULL;
        keeper->is_ready = false;
        keeper->is_busy = false;
        keeper->asked_ns = 0;
        keeper->hung_up_ns = 0;
        keeper->is_clearing = true;
        worker->ended_ns = now_ns(keeper);
        TAILQ_INSERT_TAIL(&keeper->ended, worker, link);
        xrt_process_end(worker->process);
}

static void fault_take(struct xrt_keeper *keeper, enum wire_cause cause, const char *text)
{
        const uint64_t now = now_ns(keeper);
        const struct xrt_verdict verdict = xrt_breaker_fault(&keeper->breaker, cause, now);

        if (keeper->absent_ns == 0)
                keeper->absent_ns = now;
        keeper->try_ns = verdict.try_ns;
        keeper->health.retry_ns = verdict.try_ns;
        health_of_fault(keeper, cause, text, verdict.state);
}

static void fail(struct xrt_keeper *keeper, enum wire_cause cause, const char *text)
{
        worker_end(keeper);
        fault_take(keeper, cause, text);
        look(keeper);
}

void xrt_keeper_reject(struct xrt_keeper *keeper, const char *text)
{
        fail(keeper, WIRE_CAUSE_WORKER, text);
}

/* ---- the living ---- */

static void on_failed(void *userdata, enum wire_cause cause, const char *text)
{
        fail(((struct xrt_worker *)userdata)->keeper, cause, text);
}

static void on_ready(void *userdata, const struct wire_ready *ready)
{
        struct xrt_worker *worker = userdata;
        struct xrt_keeper *keeper = worker->keeper;

        keeper->is_ready = true;
        keeper->asked_ns = 0;
        worker->heard_ns = now_ns(keeper);
        health_of_ready(keeper, ready);
        keeper->events->ready(keeper->userdata);
        look(keeper);
}

static void heard(struct xrt_worker *worker)
{
        worker->heard_ns = now_ns(worker->keeper);
        worker->keeper->asked_ns = 0;
}

static void on_done(void *userdata, const struct wire_done *done)
{
        struct xrt_worker *worker = userdata;
        struct xrt_keeper *keeper = worker->keeper;

        heard(worker);
        xrt_breaker_worked(&keeper->breaker, worker->heard_ns);
        keeper->events->done(keeper->userdata, done);
}

static void on_pong(void *userdata)
{
        heard(userdata);
        look(((struct xrt_worker *)userdata)->keeper);
}

static void on_hung_up(void *userdata)
{
        struct xrt_keeper *keeper = ((struct xrt_worker *)userdata)->keeper;

        keeper->hung_up_ns = now_ns(keeper);
        look(keeper);
}

static const struct xrt_process_events process_events = {
        .hung_up = on_hung_up,
        .ready = on_ready,
        .done = on_done,
        .pong = on_pong,
        .failed = on_failed,
        .gone = on_gone,
};

/* Where it cannot even be started. */
static void start(struct xrt_keeper *keeper, uint64_t now)
{
        struct xrt_worker *worker = calloc(1, sizeof *worker);
        char text[WIRE_TEXT_MAX] = "no memory for it";
        int r;

        keeper->health.counters.workers++;
        if (!worker) {
                fault_take(keeper, WIRE_CAUSE_MEMORY, text);
                return;
        }
        worker->keeper = keeper;
        worker->started_ns = now;
        r = xrt_process_start(keeper->loop, keeper->settings, ++keeper->serial, &process_events, worker,
                              &worker->process, text);
        if (r < 0) {
                free(worker);
                fault_take(keeper, WIRE_CAUSE_WORKER, text);
                return;
        }
        keeper->worker = worker;
        keeper->asked_ns = now;
}

static void ask(struct xrt_keeper *keeper, uint64_t now)
{
        const struct wire_ping ping = {.kind = WIRE_PING};

        keeper->asked_ns = now;
        xrt_process_send(keeper->worker->process, &ping, sizeof ping);
}

/* ---- time ---- */

/* It has closed its socket. If it does not end, it hangs in closing the device. */
static uint64_t hung_up_look(struct xrt_keeper *keeper, uint64_t now)
{
        if (now - keeper->hung_up_ns < HUNG_UP_NS)
                return keeper->hung_up_ns + HUNG_UP_NS;
        worker_end(keeper);
        fault_take(keeper, WIRE_CAUSE_WORKER, "it has closed its socket, and does not end");
        return now;
}

/* A worker is asked for its pulse, and replaced if it has none. Returns when to look again. */
static uint64_t worker_look(struct xrt_keeper *keeper, uint64_t now)
{
        const uint64_t patience_ns = keeper->is_ready ? keeper->settings->timeout_ns + SILENCE_NS : START_NS;
        const uint64_t ask_ns = keeper->is_busy ? BUSY_ASK_NS : IDLE_ASK_NS;
        char text[WIRE_TEXT_MAX];

        if (keeper->hung_up_ns != 0)
                return hung_up_look(keeper, now);
        if (keeper->asked_ns == 0 && now - keeper->worker->heard_ns >= ask_ns)
                ask(keeper, now);
        if (keeper->asked_ns == 0)
                return keeper->worker->heard_ns + ask_ns;
        if (now - keeper->asked_ns < patience_ns)
                return keeper->asked_ns + patience_ns;
        (void)snprintf(text, sizeof text, "nothing was heard of process %d for %" PRIu64 " ms",
                       xrt_process_pid(keeper->worker->process), patience_ns / 1000000);
        worker_end(keeper);
        fault_take(keeper, WIRE_CAUSE_SILENT, text);
        return now;
}

/* Whether there may be another: those that are not gone still have their contexts. */
static bool may_start(const struct xrt_keeper *keeper, uint64_t now, bool *ret_is_stuck)
{
        const struct xrt_worker *worker;
        size_t n = 0, n_stuck = 0;

        TAILQ_FOREACH(worker, &keeper->ended, link) {
                n++;
                n_stuck += now - worker->ended_ns >= XRT_UNENDED_NS;
        }
        *ret_is_stuck = n_stuck >= BREAKER_UNENDED;
        return n < BREAKER_UNENDED;
}

static uint64_t absence_look(struct xrt_keeper *keeper, uint64_t now)
{
        bool is_stuck;

        if (now < keeper->try_ns)
                return keeper->try_ns;
        if (may_start(keeper, now, &is_stuck)) {
                start(keeper, now);
                return now;
        }
        if (!is_stuck)
                return now + XRT_UNENDED_NS / 10;
        if (keeper->health.state != DEVICE_FAILED) {
                (void)snprintf(keeper->health.reason, sizeof keeper->health.reason,
                               "%d killed workers do not end, and each holds a hardware context",
                               BREAKER_UNENDED);
                keeper->health.advice = "they hang in the driver: reboot, if they do not end by themselves";
                keeper->health.retry_ns = TIMELINE_NEVER;
                health_tell(keeper, DEVICE_FAILED);
        }
        return TIMELINE_NEVER; /* one that is gone brings us here again */
}

/* Does all that is due. */
static void look(struct xrt_keeper *keeper)
{
        uint64_t next_ns, now;

        do {
                now = now_ns(keeper);
                if (keeper->is_clearing)
                        next_ns = clear_look(keeper, now);
                else if (keeper->worker)
                        next_ns = worker_look(keeper, now);
                else
                        next_ns = absence_look(keeper, now);
        } while (next_ns <= now);
        keeper->health.counters.unended = 0;
        for (const struct xrt_worker *worker = TAILQ_FIRST(&keeper->ended); worker;
             worker = TAILQ_NEXT(worker, link))
                keeper->health.counters.unended++;
        alarm_set(keeper->timeline, &keeper->alarm, next_ns);
}

static void on_alarm(void *userdata)
{
        look(userdata);
}

void xrt_keeper_send(struct xrt_keeper *keeper, const void *message, size_t n_bytes)
{
        assert(keeper->is_ready);
        xrt_process_send(keeper->worker->process, message, n_bytes);
        keeper->is_busy = true;
        alarm_set(keeper->timeline, &keeper->alarm,
                  MIN(keeper->alarm.at_ns, keeper->worker->heard_ns + BUSY_ASK_NS));
}

void xrt_keeper_give(struct xrt_keeper *keeper, struct region *region)
{
        assert(keeper->is_ready);
        xrt_process_give(keeper->worker->process, region);
}

void xrt_keeper_forget(struct xrt_keeper *keeper, struct region *region)
{
        if (keeper->worker)
                xrt_process_forget(keeper->worker->process, region);
}

/* ---- life ---- */

void xrt_keeper_open(struct xrt_keeper *keeper, uv_loop_t *loop, struct timeline *timeline,
                     const struct xrt_settings *settings, const struct xrt_keeper_events *events,
                     void *userdata)
{
        *keeper = (struct xrt_keeper){
                .loop = loop,
                .timeline = timeline,
                .settings = settings,
                .events = events,
                .userdata = userdata,
                .health = {.state = DEVICE_RECOVERING,
                           .cause = xrt_cause_info(WIRE_CAUSE_NONE)->name,
                           .advice = "",
                           .reason = "it is being opened",
                           .retry_ns = TIMELINE_NEVER},
        };
        TAILQ_INIT(&keeper->ended);
        xrt_breaker_init(&keeper->breaker, settings->retry_ns);
        keeper->absent_ns = now_ns(keeper);
        alarm_init(&keeper->alarm, on_alarm, keeper);
        alarm_set(timeline, &keeper->alarm, now_ns(keeper));
}

void xrt_keeper_close(struct xrt_keeper *keeper)
{
        struct xrt_worker *worker;

        alarm_set(keeper->timeline, &keeper->alarm, TIMELINE_NEVER);
        if (keeper->worker)
                worker_end(keeper);
        while ((worker = TAILQ_FIRST(&keeper->ended))) {
                TAILQ_REMOVE(&keeper->ended, worker, link);
                xrt_process_leave(worker->process);
                worker_free(worker);
        }
}
