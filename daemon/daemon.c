/* SPDX-License-Identifier: MIT */
/*
 * daemon.c - see daemon.h.
 *
 * Stopping, in order: no new connections and jobs; accepted jobs are drained (bounded by drain-timeout-ms, then
 * cancelled); every client hears BYE; the device closes; the loop's last handles close and it runs empty. A second
 * signal skips the waiting.
 */
#include "daemon/daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

#include "daemon/dispatch.h"
#include "daemon/listener.h"
#include "daemon/loop-meter.h"
#include "daemon/reporter.h"
#include "daemon/timer.h"
#include "daemon/turn.h"
#include "daemon/version.h"
#include "daemon/weights.h"

#define DRAIN_AGAIN_MS 100

enum daemon_state {
        DAEMON_SERVING = 0,
        DAEMON_DRAINING, /* jobs are ending */
        DAEMON_LEAVING,  /* clients hear BYE */
        DAEMON_CLOSING,  /* device and handles close */
};

struct daemon {
        struct config config; /* owned */
        uv_loop_t loop;
        enum daemon_state state;
        uint64_t start_ns;
        struct stats stats;
        struct loop_meter meter;
        struct reporter reporter;
        struct quota quota;
        struct region_set regions; /* empty, unless the device is a process of its own */
        struct arena_set arenas;
        struct timer timer;
        struct turn turn; /* composes batches at the end of it */
        struct weights_set weights;
        struct pipeline pipeline;
        struct device *device; /* owned; NULL once closing */
        struct {
                enum device_state state;
                const char *cause;
        } health; /* of the device, as it was last told of */
        struct session_context sessions;
        struct connection_set connections;
        struct dispatch_context clients;
        struct listener listener;
        bool listens; /* `listener` is open */
        uv_signal_t sigterm, sigint;
        uv_timer_t watchdog, drain;
};

/* ---- stopping ---- */

static void on_device_closed(void *userdata)
{
        (void)userdata; /* the loop now runs out of handles by itself */
}

/* The last client has gone, or there never was one: the daemon may be half made. */
static void finish(struct daemon *daemon)
{
        daemon->state = DAEMON_CLOSING;
        daemon->pipeline.device = NULL;
        weights_set_close(&daemon->weights); /* while there is a device that may have forms of its own */
        if (daemon->listens)
                listener_close(&daemon->listener);
        if (daemon->device)
                daemon->device->ops->close(daemon->device, on_device_closed, daemon);
        daemon->device = NULL;
        timer_close(&daemon->timer);
        turn_close(&daemon->turn);
        connection_set_close(&daemon->connections);
        loop_meter_close(&daemon->meter);
        uv_close((uv_handle_t *)&daemon->sigterm, NULL);
        uv_close((uv_handle_t *)&daemon->sigint, NULL);
        /* That has put back the default: an impatient last signal must not turn an orderly end into a death. */
        (void)signal(SIGTERM, SIG_IGN);
        (void)signal(SIGINT, SIG_IGN);
        uv_close((uv_handle_t *)&daemon->watchdog, NULL);
        uv_close((uv_handle_t *)&daemon->drain, NULL);
}

static void on_client_gone(void *userdata)
{
        struct daemon *daemon = userdata;

        if (daemon->state == DAEMON_LEAVING && daemon->clients.n_clients == 0 &&
            pipeline_is_idle(&daemon->pipeline))
                finish(daemon);
}

/* Again and again once the time is over: a job may still arrive whole, and a client read its last words slowly. */
static void on_drain_timeout(uv_timer_t *timer)
{
        struct daemon *daemon = container_of(timer, struct daemon, drain);

        if (daemon->state == DAEMON_LEAVING) {
                dispatch_close_all(&daemon->clients);
                return;
        }
        log_warning("%zu jobs are not done in time (drain-timeout-ms = %" PRIu64 "); they are cancelled",
                    daemon->pipeline.jobs_inside, daemon->config.drain_timeout_ms);
        pipeline_cancel_all(&daemon->pipeline);
}

static void drain_start(struct daemon *daemon, uint64_t timeout_ms)
{
        (void)uv_timer_start(&daemon->drain, on_drain_timeout, timeout_ms, DRAIN_AGAIN_MS);
}

/* The last job has ended, and no batch is inside. */
static void on_idle(void *userdata)
{
        struct daemon *daemon = userdata;

        if (daemon->state == DAEMON_DRAINING) {
                daemon->state = DAEMON_LEAVING;
                drain_start(daemon, daemon->config.stall_timeout_ms);
                dispatch_bye_all(&daemon->clients, STATUS_OK, "the daemon is stopping");
        }
        on_client_gone(daemon);
}

static void stop(struct daemon *daemon, const char *why)
{
        if (daemon->state != DAEMON_SERVING) {
                log_info("%s again: not waiting any longer", why);
                pipeline_cancel_all(&daemon->pipeline);
                dispatch_close_all(&daemon->clients);
                return;
        }
        daemon->state = DAEMON_DRAINING;
        (void)sd_notifyf(0, "STOPPING=1\nSTATUS=Stopping: %zu jobs to finish", daemon->pipeline.jobs_inside);
        log_info("%s: stopping after %zu jobs", why, daemon->pipeline.jobs_inside);
        daemon->sessions.stopping = true;
        daemon->arenas.stopping = true;
        daemon->connections.rings.leaves_rings = true;
        listener_close(&daemon->listener);
        drain_start(daemon, daemon->config.drain_timeout_ms);
        pipeline_complete_all_groups(&daemon->pipeline);
        if (pipeline_is_idle(&daemon->pipeline))
                on_idle(daemon);
}

static void on_signal(uv_signal_t *handle, int signum)
{
        stop(handle->data, signum == SIGTERM ? "SIGTERM" : "SIGINT");
}

/* ---- serving ---- */

static void on_accepted(void *userdata, int fd, const struct peer *peer)
{
        struct daemon *daemon = userdata;
        struct quota_charge charge = {0};
        struct fault fault;
        int r;

        r = quota_charge(&daemon->quota, peer->uid, QUOTA_CONNECTIONS, 1, &charge);
        if (r > 0 && dispatch_shed(&daemon->clients, r == QUOTA_E_UID ? &peer->uid : NULL))
                r = quota_charge(&daemon->quota, peer->uid, QUOTA_CONNECTIONS, 1, &charge);
        if (r == 0)
                r = dispatch_open(&daemon->clients, fd, peer, &charge);
        else {
                quota_fault(&daemon->quota, peer->uid, QUOTA_CONNECTIONS, r, &fault);
                dispatch_turn_away(fd, fault.status, fault.text);
        }
        if (r == 0)
                return;
        daemon->stats.connections_refused++;
        log_event(LOG_LEVEL_WARNING,
                  &(struct log_fields){.has_client = true, .uid = peer->uid, .pid = peer->pid},
                  "connection refused: %s", r > 0 ? fault.text : strerror(-r));
}

static void on_exhausted(void *userdata)
{
        struct daemon *daemon = userdata;

        daemon->stats.connections_refused++;
        log_warning("out of file descriptors: a connection was turned away; raise LimitNOFILE or lower "
                    "connections");
        (void)dispatch_shed(&daemon->clients, NULL);
}

static const struct listener_ops listener_ops = {.accepted = on_accepted, .exhausted = on_exhausted};

static bool status_json(void *userdata, struct connection_payload *ret_payload)
{
        struct daemon *daemon = userdata;

        return reporter_answer(&daemon->reporter, ret_payload);
}

/* The settings that may change while the daemon runs, by the rules of the configuration. */
static bool set(void *userdata, const char *key, const char *value, struct fault *ret_fault)
{
        static const char *const changeable[] = {"policy", "window-us", "stacking", NULL};
        struct daemon *daemon = userdata;
        char error[CONFIG_ERROR_MAX];
        bool is_known = false;
        int r;

        for (size_t i = 0; changeable[i]; i++)
                is_known = is_known || strcmp(key, changeable[i]) == 0;
        if (!is_known)
                return fault_set(
                        ret_fault, STATUS_INVALID,
                        "\"%s\" cannot be set while the daemon runs; policy, window-us and stacking can",
                        key);
        r = config_set(&daemon->config, key, value, error);
        if (r != 0)
                return fault_set(ret_fault, STATUS_INVALID, "%.200s", error);
        pipeline_set_policy(&daemon->pipeline, (enum policy_kind)daemon->config.policy,
                            daemon->config.window_us * 1000);
        pipeline_set_stacking(&daemon->pipeline, daemon->config.stacking != 0);
        log_info("%s = %s, by a client", key, value);
        return true;
}

static void on_watchdog(uv_timer_t *timer)
{
        (void)timer;
        (void)sd_notify(0, "WATCHDOG=1");
}

/* ---- starting ---- */

/* Sockets and arenas are file descriptors: the soft limit of 1,024 is for programs that use select(). */
static void raise_nofile(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return;
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static void pump(void *userdata)
{
        pipeline_pump(userdata);
}

static void pump_at_end_of_turn(void *userdata)
{
        struct daemon *daemon = userdata;

        turn_ask(&daemon->turn);
}

static void send_answers(void *userdata)
{
        struct daemon *daemon = userdata;

        connection_flush_dirty(&daemon->connections);
}

/* A copy of weights is about to go. */
static void forget(void *userdata, struct resident *resident)
{
        const struct daemon *daemon = userdata;

        if (daemon->device && daemon->device->ops->forget)
                daemon->device->ops->forget(daemon->device, resident);
}

/* For service managers, which show it to people: with a device that fails, why and what to do. */
static void status_notify(const struct daemon *daemon)
{
        const struct device *device = daemon->device;
        const struct device_health *health = device->health;

        if (!health || health->state == DEVICE_OK)
                (void)sd_notifyf(0, "STATUS=Serving on %s: %s", device->ops->name,
                                 health ? health->hardware : device->description);
        else
                (void)sd_notifyf(0, "STATUS=Serving on %s, %s: %s; %s", device->ops->name,
                                 device_state_names[health->state], health->reason, health->advice);
}

/* Once for each change: an NPU that is tried again and again fails in silence. */
static void on_health(void *userdata, const struct device_health *health)
{
        struct daemon *daemon = userdata;
        const char *state = device_state_names[health->state];
        const struct log_fields fields = {.device = "xrt"};

        if (health->state == daemon->health.state && health->cause == daemon->health.cause)
                return;
        daemon->health.state = health->state;
        daemon->health.cause = health->cause;
        if (health->state == DEVICE_OK)
                log_event(LOG_LEVEL_INFO, &fields, "NPU ok: %s, driver %s, firmware %s%s%s", health->hardware,
                          health->driver[0] ? health->driver : "unknown",
                          health->firmware[0] ? health->firmware : "unknown",
                          health->counters.faults > 0 ? "; it had failed: " : "", health->reason);
        else
                log_event(LOG_LEVEL_WARNING, &fields, "NPU %s: %s; %s%s", state, health->reason,
                          health->state == DEVICE_RECOVERING ? "" : "the CPU serves; ", health->advice);
        if (daemon->state == DAEMON_SERVING)
                status_notify(daemon);
}

static int device_choose(struct daemon *daemon)
{
        const char *wanted = daemon->config.backend;
        const struct device_settings settings = {
                .cpu =
                        {
                                .isa = getenv("NPUMM_ISA"),
                                .threads = (unsigned)daemon->config.cpu_threads,
                                .here_ns = daemon->config.cpu_inline_us * 1000,
                                .weights_bytes = daemon->config.cpu_weights_bytes,
                        },
                .sim_model = (enum npu_model)daemon->config.sim_profile,
                .sim_scale = (double)daemon->config.sim_scale,
                .sim_faults = daemon->config.sim_faults,
                .xrt =
                        {
                                .worker_path = daemon->config.npu_worker,
                                .manifest_path = daemon->config.npu_manifest,
                                .check = npu_check_names[daemon->config.npu_check],
                                .timeout_ns = daemon->config.npu_timeout_ms * 1000000,
                                .retry_ns = daemon->config.npu_retry_ms * 1000000,
                                .weights_bytes = daemon->config.npu_weights_bytes,
                                .regions = &daemon->regions,
                                .health_fn = on_health,
                                .health_userdata = daemon,
                        },
        };
        struct device *device = NULL;
        const char *reason;
        int r = device_open(wanted, &daemon->loop, &daemon->timer.timeline, &settings,
                            &pipeline_device_events, &daemon->pipeline, &device, &reason);

        if (r != 0) {
                log_error("backend %s cannot be used: %s; choose another with --backend=", wanted,
                          reason  ? reason
                          : r < 0 ? strerror(-r)
                                  : "unknown");
                return r < 0 ? r : -ENODEV;
        }
        log_event(LOG_LEVEL_INFO, &(struct log_fields){.device = device->ops->name}, "backend %s: %s%s%s%s",
                  device->ops->name, device->description, reason ? "; not a better one: " : "",
                  reason ? reason : "", strcmp(wanted, "auto") == 0 ? " (backend=auto)" : "");
        daemon->device = device;
        if (device->health) { /* what it computes, it computes in a process of its own */
                daemon->arenas.regions = &daemon->regions;
                daemon->weights.regions = &daemon->regions;
        }
        return pipeline_set_device(&daemon->pipeline, device);
}

static void quotas_init(struct daemon *daemon)
{
        const struct config *config = &daemon->config;
        const struct quota_limits limits = {
                .per_uid =
                        {
                                [QUOTA_CONNECTIONS] = config->connections_per_uid,
                                [QUOTA_BYTES] = config->bytes_per_uid,
                                [QUOTA_ARENAS] = config->arenas_per_uid,
                                [QUOTA_WEIGHTS] = config->weights_per_uid,
                                [QUOTA_JOBS] = config->jobs_per_uid,
                        },
                .total =
                        {
                                [QUOTA_CONNECTIONS] = config->connections,
                                [QUOTA_BYTES] = config->bytes,
                                [QUOTA_ARENAS] = config->arenas,
                                [QUOTA_WEIGHTS] = config->weights,
                                [QUOTA_JOBS] = UINT64_MAX, /* bounded by connections and users */
                        },
        };

        quota_init(&daemon->quota, &limits);
}

static void pipeline_start(struct daemon *daemon)
{
        const struct config *config = &daemon->config;
        const struct pipeline_settings settings = {
                .bound_ns = config->batch_bound_us * 1000,
                .aging_ns = config->aging_ms * 1000000,
                .window_ns = config->window_us * 1000,
                .policy = (enum policy_kind)config->policy,
                .fixed_ns = config->submission_us * 1000,
                .stacks = config->stacking != 0,
        };

        pipeline_init(&daemon->pipeline, &daemon->timer.timeline, &settings, &daemon->stats);
        turn_open(&daemon->turn, &daemon->loop, pump, &daemon->pipeline);
        daemon->pipeline.defer_fn = pump_at_end_of_turn;
        daemon->pipeline.defer_userdata = daemon;
        daemon->pipeline.answered_fn = send_answers;
        daemon->pipeline.answered_userdata = daemon;
        daemon->pipeline.idle_fn = on_idle;
        daemon->pipeline.idle_userdata = daemon;
}

static void finish_turn(void *userdata)
{
        struct daemon *daemon = userdata;

        turn_finish(&daemon->turn);
}

/* On a machine with one CPU nobody can say anything as long as we look. Whether a client is on ours shows later. */
static uint64_t spin_ns(const struct config *config)
{
        return sysconf(_SC_NPROCESSORS_ONLN) > 1 ? config->ring_spin_us * 1000 : 0;
}

/* While a batch is with the device its clients wait, and whoever computes it may need our CPU. */
static bool is_quiet(void *userdata)
{
        const struct daemon *daemon = userdata;

        return daemon->pipeline.n_inside == 0;
}

static void stages_init(struct daemon *daemon)
{
        const struct config *config = &daemon->config;

        quotas_init(daemon);
        daemon->arenas = (struct arena_set){.loop = &daemon->loop, .quota = &daemon->quota};
        weights_set_init(&daemon->weights, &daemon->loop, &daemon->quota, &daemon->stats,
                         config->weights_kept_bytes);
        daemon->weights.forget_fn = forget;
        daemon->weights.forget_userdata = daemon;
        pipeline_start(daemon);
        daemon->reporter = (struct reporter){
                .pipeline = &daemon->pipeline,
                .clients = &daemon->clients,
                .arenas = &daemon->arenas,
                .weights = &daemon->weights,
                .quota = &daemon->quota,
                .meter = &daemon->meter,
                .start_ns = daemon->start_ns,
        };
        daemon->sessions = (struct session_context){
                .arenas = &daemon->arenas,
                .weights = &daemon->weights,
                .quota = &daemon->quota,
                .pipeline = &daemon->pipeline,
                .stats = &daemon->stats,
                .limits =
                        {
                                .control_bytes = FRAME_CONTROL_BYTES_MAX,
                                .payload_bytes = config->inline_bytes,
                                .arena_bytes = config->arena_bytes,
                                .arenas = (uint32_t)config->arenas_per_connection,
                                .uid_bytes = config->bytes_per_uid,
                                .jobs = (uint32_t)config->jobs_per_connection,
                        },
                .owner_uid = geteuid(),
                .status_json = status_json,
                .set = set,
                .userdata = daemon,
        };
        daemon->clients = (struct dispatch_context){
                .connections = &daemon->connections,
                .sessions = &daemon->sessions,
                .stats = &daemon->stats,
                .client_gone = on_client_gone,
                .userdata = daemon,
        };
        TAILQ_INIT(&daemon->clients.clients);
        connection_set_open(&daemon->connections, &daemon->loop,
                            &(struct connection_times){
                                    .hello_ms = config->hello_timeout_ms,
                                    .frame_ms = config->frame_timeout_ms,
                                    .stall_ms = config->stall_timeout_ms,
                                    .payload_bytes_per_s = config->payload_bytes_per_s,
                            },
                            config->inline_bytes, config->high_water_bytes, spin_ns(config));
        daemon->connections.rings.meter = &daemon->meter;
        daemon->connections.rings.spun_ns = &daemon->stats.ring_spin_ns;
        daemon->connections.finish_turn_fn = finish_turn;
        daemon->connections.is_quiet_fn = is_quiet;
        daemon->connections.userdata = daemon;
}

static void handles_init(struct daemon *daemon)
{
        (void)uv_signal_init(&daemon->loop, &daemon->sigterm);
        (void)uv_signal_init(&daemon->loop, &daemon->sigint);
        (void)uv_timer_init(&daemon->loop, &daemon->watchdog);
        (void)uv_timer_init(&daemon->loop, &daemon->drain);
        daemon->sigterm.data = daemon;
        daemon->sigint.data = daemon;
}

/* Everything but the socket; what has been opened so far is closed by finish(). */
static int listen_and_watch(struct daemon *daemon)
{
        char error[LISTENER_ERROR_MAX];
        uint64_t watchdog_us = 0;
        int r;

        (void)uv_signal_start(&daemon->sigterm, on_signal, SIGTERM);
        (void)uv_signal_start(&daemon->sigint, on_signal, SIGINT);
        r = listener_open(&daemon->listener, &daemon->loop, daemon->config.socket_path, &listener_ops, daemon,
                          error);
        if (r < 0) {
                log_error("%s", error);
                return r;
        }
        daemon->listens = true;
        if (sd_watchdog_enabled(0, &watchdog_us) > 0) /* the loop itself says that it lives */
                (void)uv_timer_start(&daemon->watchdog, on_watchdog, 0, MAX(watchdog_us / 2000, 1));
        return 0;
}

int daemon_new(struct config *config, struct daemon **ret_daemon)
{
        _cleanup_(freep) struct daemon *daemon = calloc(1, sizeof *daemon);
        int r;

        if (!daemon)
                return -ENOMEM;
        daemon->start_ns = uv_hrtime();
        r = uv_loop_init(&daemon->loop);
        if (r < 0)
                return r;
        r = timer_open(&daemon->timer, &daemon->loop);
        if (r < 0) {
                (void)uv_loop_close(&daemon->loop);
                return r;
        }
        daemon->config = *config;
        *config = (struct config){0};
        r = loop_meter_open(&daemon->meter, &daemon->loop, &daemon->stats.hold);
        assert(r == 0); /* fails only for an option that libuv does not know */
        raise_nofile();
        (void)signal(SIGPIPE, SIG_IGN); /* a log that nobody reads any more is no reason to die */
        stages_init(daemon);
        handles_init(daemon);
        r = device_choose(daemon);
        if (r == 0) {
                daemon->sessions.backend = daemon->device->ops->name;
                r = listen_and_watch(daemon);
        }
        if (r < 0) {
                struct daemon *failed = steal(&daemon);

                (void)daemon_free(failed);
                return r;
        }
        *ret_daemon = steal(&daemon);
        return 0;
}

struct daemon *daemon_free(struct daemon *daemon)
{
        int r;

        if (!daemon)
                return NULL;
        if (daemon->state != DAEMON_CLOSING)
                finish(daemon);
        (void)uv_run(&daemon->loop, UV_RUN_DEFAULT);
        pipeline_deinit(&daemon->pipeline);
        weights_set_deinit(&daemon->weights);
        region_set_deinit(&daemon->regions);
        quota_deinit(&daemon->quota);
        r = uv_loop_close(&daemon->loop);
        assert(r == 0); /* every handle has been closed by its owner */
        config_deinit(&daemon->config);
        reporter_deinit(&daemon->reporter);
        free(daemon);
        return NULL;
}

int daemon_run(struct daemon *daemon)
{
        (void)sd_notify(0, "READY=1");
        status_notify(daemon);
        log_info("npumatmuld %s serves %s", DAEMON_VERSION,
                 daemon->listener.path ? daemon->listener.path : "systemd's socket");
        return uv_run(&daemon->loop, UV_RUN_DEFAULT);
}
