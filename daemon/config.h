/* SPDX-License-Identifier: MIT */
/*
 * config.h - every setting, with its default and bounds, in one table.
 *
 * Role:   configuration file and command line -> struct config; what the daemon lets change while it runs goes
 *         through here, too.
 * Thread: loop, before it runs.
 * Owns:   the strings of struct config.
 */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include "daemon/log.h"
#include "daemon/policy.h"
#include "proto/npu-model.h"

#include <stdio.h>

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

/*
 *      field                   key                       unit   default   least     most
 * Bytes may be given, and are printed, with a suffix K, M or G (1024-based); units of time stand in the keys.
 */
/* clang-format off */
#define CONFIG_NUMBERS(X)                                                                                    \
        X(connections,            "connections",            PLAIN, 1024,     1,        65536,                \
          "connections of all users together")                                                               \
        X(connections_per_uid,    "connections-per-uid",    PLAIN, 256,      1,        65536,                \
          "connections of one user")                                                                         \
        X(arenas_per_connection,  "arenas-per-connection",  PLAIN, 64,       1,        65536,                \
          "arenas that one connection may hold")                                                             \
        X(arena_bytes,            "arena-bytes",            BYTES, 4 * GIB,  4 * KIB,  1024 * GIB,           \
          "size of one arena")                                                                               \
        X(bytes_per_uid,          "bytes-per-uid",          BYTES, 4 * GIB,  4 * KIB,  1024 * GIB,           \
          "arenas, inline operands and loaded weights of one user together")                                 \
        X(bytes,                  "bytes",                  BYTES, 6 * GIB,  4 * KIB,  1024 * GIB,           \
          "the same of all users together; keep it below the service's MemoryMax")                           \
        X(arenas_per_uid,         "arenas-per-uid",         PLAIN, 4096,     1,        1048576,              \
          "arenas and inline jobs of one user together: each is a file descriptor")                          \
        X(arenas,                 "arenas",                 PLAIN, 16384,    1,        1048576,              \
          "the same of all users together; keep it below the service's LimitNOFILE")                         \
        X(weights_per_uid,        "weights-per-uid",        PLAIN, 24576,    1,        1048576,              \
          "loaded weights of one user, and handles on them, together")                                       \
        X(weights,                "weights",                PLAIN, 32768,    1,        1048576,              \
          "the same of all users together; with arenas, keep it below the kernel's vm.max_map_count, and "   \
          "with an NPU below the service's LimitNOFILE")                                                     \
        X(weights_kept_bytes,     "weights-kept-bytes",     BYTES, 256 * MIB, 0,       1024 * GIB,           \
          "loaded weights of one user that no client holds any more, kept in case they are loaded again")    \
        X(jobs_per_connection,    "jobs-per-connection",    PLAIN, 256,      1,        65536,                \
          "jobs of one connection that are not done; announced to clients")                                  \
        X(jobs_per_uid,           "jobs-per-uid",           PLAIN, 1024,     1,        1048576,              \
          "the same of one user")                                                                            \
        X(inline_bytes,           "inline-bytes",           BYTES, 64 * MIB, 1,        1024 * GIB,           \
          "inline operands of one job")                                                                      \
        X(high_water_bytes,       "high-water-bytes",       BYTES, 1 * MIB,  1,        1024 * MIB,           \
          "replies queued for a connection above which nothing more is read from it")                        \
        X(batch_bound_us,         "batch-bound-us",         PLAIN, 10000,    1,        1000000,              \
          "predicted device time of one submission, at most; a job's rows are reported that often")          \
        X(aging_ms,               "aging-ms",               PLAIN, 100,      1,        600000,               \
          "time without any of its jobs being served after which a class comes before all others")           \
        X(window_us,              "window-us",              PLAIN, 200,      0,        1000000,              \
          "of policy window: how long the oldest job waits for others")                                      \
        X(sim_scale,              "sim-scale",              PLAIN, 400,      1,        1000000,              \
          "of backend sim: the model's times are multiplied by this, so that the CPU keeps up")              \
        X(submission_us,          "submission-us",          PLAIN, 0,        0,        10000000,             \
          "what a submission costs besides its multiply-adds, if it is known; 0: it is learnt")              \
        X(cpu_threads,            "cpu-threads",            PLAIN, 1,        1,        256,                  \
          "threads that the CPU computes one large product with")                                            \
        X(cpu_inline_us,          "cpu-inline-us",          PLAIN, 1000,     0,        100000,               \
          "predicted time up to which the CPU computes a submission between two looks at the sockets")       \
        X(cpu_weights_bytes,      "cpu-weights-bytes",      BYTES, 1 * GIB,  0,        1024 * GIB,           \
          "memory for weights in the layout of the CPU's kernels; others are packed each time")              \
        X(npu_timeout_ms,         "npu-timeout-ms",         PLAIN, 5000,     10,       600000,               \
          "time for a command of the NPU, after which its worker is replaced; the driver's own should be less") \
        X(npu_retry_ms,           "npu-retry-ms",           PLAIN, 1000,     1,        600000,               \
          "time before an NPU that has failed repeatedly is tried again; doubles up to 32 times that")       \
        X(npu_weights_bytes,      "npu-weights-bytes",      BYTES, 1 * GIB,  4 * KIB,  3 * GIB,              \
          "memory for weights in the NPU's own layout; weights without room there are sent along each time") \
        X(hello_timeout_ms,       "hello-timeout-ms",       PLAIN, 5000,     1,        600000,               \
          "time for a new connection to say HELLO")                                                          \
        X(ring_spin_us,           "ring-spin-us",           PLAIN, 50,       0,        10000,                \
          "of rings: how long to look for more before sleeping, where that pays; 0: not at all")             \
        X(frame_timeout_ms,       "frame-timeout-ms",       PLAIN, 5000,     1,        600000,               \
          "time to finish a frame once it is begun, its payload apart")                                      \
        X(payload_bytes_per_s,    "payload-bytes-per-s",    BYTES, 1 * MIB,  1,        1024 * GIB,           \
          "the slowest rate at which a payload may arrive")                                                  \
        X(stall_timeout_ms,       "stall-timeout-ms",       PLAIN, 5000,     1,        600000,               \
          "time in which a client must accept a byte of its replies when they pile up")                      \
        X(drain_timeout_ms,       "drain-timeout-ms",       PLAIN, 20000,    1,        600000,               \
          "time that running jobs get when the daemon is told to stop")

/*      field                   key             names             default          text */
#define CONFIG_CHOICES(X)                                                                                    \
        X(log_level,            "log-level",    log_level_names,  LOG_LEVEL_INFO,  "error, warning, info or debug") \
        X(policy,               "policy",       policy_names,     POLICY_HOLD,                               \
          "when a submission is composed: natural (at once), hold (the idle device waits for clients that "  \
          "were just answered and will be back at once) or window (see window-us)")                          \
        X(stacking,             "stacking",     config_switch,    1,                                         \
          "on or off: jobs of the same weights are computed as one product")                                 \
        X(npu_check,            "npu-check",    npu_check_names,  NPU_CHECK_SAMPLE,                           \
          "which of the NPU's results are verified before they are used: off, sample (1 submission in 64) "  \
          "or always")                                                                                       \
        X(sim_profile,          "sim-profile",  npu_model_names,  NPU_PHOENIX,                               \
          "of backend sim: phoenix, origin or origin-measured")

/*      field                   key             default                      text */
#define CONFIG_PATHS(X)                                                                                      \
        X(npu_worker,           "npu-worker",   DAEMON_WORKER_PATH,                                          \
          "the program that holds the NPU")                                                                  \
        X(npu_manifest,         "npu-manifest", DAEMON_MANIFEST_PATH,                                        \
          "the list of programs for the NPU, beside them; xclbin/README.md, section 10")
/* clang-format on */

enum npu_check { NPU_CHECK_OFF = 0, NPU_CHECK_SAMPLE, NPU_CHECK_ALWAYS };

/* "off", "sample", "always", NULL. */
extern const char *const npu_check_names[];

struct config {
        char *socket_path;                         /* owned */
        char *backend;                             /* owned */
        char *sim_faults;                          /* owned */
#define X(field, key, standard, text) char *field; /* owned */
        CONFIG_PATHS(X)
#undef X
#define X(field, key, names, standard, text) int field; /* an index into names */
        CONFIG_CHOICES(X)
#undef X
#define X(field, key, unit, standard, least, most, text) uint64_t field;
        CONFIG_NUMBERS(X)
#undef X
};

/* "off", "on", NULL. */
extern const char *const config_switch[];

#define CONFIG_ERROR_MAX 256

/* All defaults. Returns 0 or -ENOMEM. */
int config_init(struct config *config);
void config_deinit(struct config *config);

/* Positive results; ret_error then has one line that says what, where and what to do. */
enum {
        CONFIG_E_SUCCESS = 0,
        CONFIG_E_INVALID, /* an unknown key, or a value out of bounds */
        CONFIG_E_FILE,    /* the file cannot be read */
};

/* Sets one key. Also for the command line: `socket`, `backend`, `log-level` are keys like the others. */
int config_set(struct config *config, const char *key, const char *value, char ret_error[CONFIG_ERROR_MAX]);

/* Reads an INI file with one section, [npumatmuld]. */
int config_read(struct config *config, const char *path, char ret_error[CONFIG_ERROR_MAX]);

/*
 * Prints every key with its value, default, bounds and meaning, as a configuration file; keys that stand at their
 * default are commented out.
 */
void config_print(const struct config *config, FILE *to);

#endif
