/* SPDX-License-Identifier: MIT */
/*
 * cli-info.c - npumm-client ping and npumm-client status.
 *
 * Role:   one question to the daemon, its answer on stdout.
 * In:     the daemon's status: one JSON object, flat but for the lists of users and of clients. A key that this version
 *         does not know is no error.
 * Out:    one line, a table for people, or the object as it came.
 * Thread: one.
 */
#include "cli.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

/* ---- ping ---- */

static const struct argp ping_argp = {
        .children = cli_common_children, /* without a parser of its own, argp hands them the input as it is */
        .doc = "Goes to the daemon and back, and prints how long that took.",
};

enum cli_exit cli_ping(struct cli_common common, int argc, char **argv)
{
        _cleanup_(npumm_closep) struct npumm_client *client = NULL;
        const struct npumm_info *info;
        uint64_t round_trip_ns;
        enum cli_exit r;
        int result;

        r = cli_parse(&ping_argp, argc, argv, &common);
        if (r == CLI_DONE)
                r = cli_connect(&common, &client);
        if (r != CLI_DONE)
                return r;
        result = npumm_ping(client, &round_trip_ns);
        if (result != 0)
                return cli_fail_job(client, result, &(struct cli_asked){0});
        info = npumm_info(client);
        cli_say("round trip %.3f ms by %s, backend %s, npumatmuld %s", (double)round_trip_ns / 1e6,
                info->transport, info->backend, info->daemon_version);
        return cli_finish_stdout();
}

/* ---- status ---- */

enum unit { UNIT_PLAIN = 0, UNIT_BYTES, UNIT_SECONDS, UNIT_US };

/* How a key is shown to people; anything else is shown as it is. */
static const struct {
        const char *key;
        const char *label;
        enum unit unit;
} rows[] = {
        {"version", "daemon version", UNIT_PLAIN},
        {"backend", "backend", UNIT_PLAIN},
        {"device_state", "device state", UNIT_PLAIN},
        {"device", "device", UNIT_PLAIN},
        {"policy", "policy", UNIT_PLAIN},
        {"stacking", "stacking", UNIT_PLAIN},
        {"uptime_s", "uptime", UNIT_SECONDS},
        {"submissions", "submissions", UNIT_PLAIN},
        {"submission_jobs", "jobs in them", UNIT_PLAIN},
        {"stacks", "products computed", UNIT_PLAIN},
        {"rows_stacked", "rows stacked", UNIT_PLAIN},
        {"macs", "multiply-adds", UNIT_PLAIN},
        {"padded_macs", "  with padding", UNIT_PLAIN},
        {"padding_share", "  padding's share", UNIT_PLAIN},
        {"jobs", "jobs ended", UNIT_PLAIN},
        {"jobs_ok", "  done", UNIT_PLAIN},
        {"jobs_refused", "  refused", UNIT_PLAIN},
        {"jobs_expired", "  too late", UNIT_PLAIN},
        {"jobs_cancelled", "  cancelled", UNIT_PLAIN},
        {"jobs_failed", "  failed", UNIT_PLAIN},
        {"jobs_per_submission", "jobs per submission", UNIT_PLAIN},
        {"buffer_syncs", "buffer syncs", UNIT_PLAIN},
        {"matrix_copies", "matrix copies", UNIT_PLAIN},
        {"weights_packs", "weights packed", UNIT_PLAIN},
        {"model_overruns", "model overruns", UNIT_PLAIN},
        {"jobs_inside", "jobs inside", UNIT_PLAIN},
        {"queue_depth", "jobs queued", UNIT_PLAIN},
        {"queue_interactive", "  interactive", UNIT_PLAIN},
        {"queue_normal", "  normal", UNIT_PLAIN},
        {"queue_bulk", "  bulk", UNIT_PLAIN},
        {"connections", "connections", UNIT_PLAIN},
        {"connections_accepted", "  accepted", UNIT_PLAIN},
        {"connections_refused", "  refused", UNIT_PLAIN},
        {"connections_faulted", "  faulted", UNIT_PLAIN},
        {"arenas", "arenas", UNIT_PLAIN},
        {"arena_bytes", "arena memory", UNIT_BYTES},
        {"weights", "weights", UNIT_PLAIN},
        {"weights_kept", "  kept unused", UNIT_PLAIN},
        {"weights_bytes", "weights memory", UNIT_BYTES},
        {"loads", "weights loaded", UNIT_PLAIN},
        {"loads_shared", "  shared", UNIT_PLAIN},
        {"device_busy_us", "device busy", UNIT_US},
        {"hold_us", "device held", UNIT_US},
        {"submission_cost_us", "submission cost", UNIT_US},
        {"loop_held_max_us", "loop held, max", UNIT_US},
        {"loop_held_p99_us", "loop held, p99", UNIT_US},
        {"ring_spin_us", "rings spun at", UNIT_US},
};

#define VALUE_MAX 64

static void format_bytes(double bytes, char ret_text[VALUE_MAX])
{
        static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
        size_t unit = 0;

        while (bytes >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
                bytes /= 1024;
                unit++;
        }
        (void)snprintf(ret_text, VALUE_MAX, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
}

static void format_duration(double us, char ret_text[VALUE_MAX])
{
        const uint64_t s = (uint64_t)(us / 1e6), min = s / 60, h = min / 60, d = h / 24;

        if (us < 1e3)
                (void)snprintf(ret_text, VALUE_MAX, "%.0f us", us);
        else if (us < 1e6)
                (void)snprintf(ret_text, VALUE_MAX, "%.1f ms", us / 1e3);
        else if (min == 0)
                (void)snprintf(ret_text, VALUE_MAX, "%.1f s", us / 1e6);
        else if (h == 0)
                (void)snprintf(ret_text, VALUE_MAX, "%" PRIu64 " min %" PRIu64 " s", min, s % 60);
        else if (d == 0)
                (void)snprintf(ret_text, VALUE_MAX, "%" PRIu64 " h %" PRIu64 " min", h, min % 60);
        else
                (void)snprintf(ret_text, VALUE_MAX, "%" PRIu64 " d %" PRIu64 " h", d, h % 24);
}

static void print_row(int width, const char *label, enum unit unit, const json_t *value)
{
        /* A number below 0 or beyond all sense is shown as it came, like everything that is not a number. */
        const double number = json_is_number(value) ? json_number_value(value) : -1;
        const bool has_unit = number >= 0 && number < 1e15 && unit != UNIT_PLAIN;
        _cleanup_(freep) char *plain = NULL;
        char text[VALUE_MAX];
        const char *shown = text;

        if (has_unit && unit == UNIT_BYTES)
                format_bytes(number, text);
        else if (has_unit)
                format_duration(unit == UNIT_SECONDS ? number * 1e6 : number, text);
        else if (json_is_string(value))
                shown = json_string_value(value);
        else
                shown = plain = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        cli_say("%-*s  %s", width, label, shown ? shown : "?");
}

/* The index of a key in rows[], or its length for a key that this version does not know. */
static size_t find_row(const char *key)
{
        size_t i = 0;

        while (i < ARRAY_SIZE(rows) && strcmp(key, rows[i].key) != 0)
                i++;
        return i;
}

static uint64_t number_of(const json_t *object, const char *key)
{
        return (uint64_t)MAX(json_integer_value(json_object_get(object, key)), (json_int_t)0);
}

/* One line each; what is no object in that list is none of this version's. */
static void print_users(const json_t *users)
{
        const json_t *user;
        size_t i;

        json_array_foreach(users, i, user)
        {
                char busy[VALUE_MAX];

                if (!json_is_object(user))
                        continue;
                format_duration((double)number_of(user, "device_us"), busy);
                cli_say("user %" PRIu64 ": device busy %s, %" PRIu64 " jobs wait", number_of(user, "uid"),
                        busy, number_of(user, "jobs_waiting"));
        }
}

/* The same. */
static void print_clients(const json_t *clients)
{
        const json_t *client;
        size_t i;

        json_array_foreach(clients, i, client)
        {
                const char *name = json_string_value(json_object_get(client, "name"));
                char busy[VALUE_MAX];

                if (!json_is_object(client))
                        continue;
                format_duration((double)number_of(client, "device_us"), busy);
                cli_say("client \"%s\", pid %" PRIu64 ", uid %" PRIu64 ": device busy %s, waits for %" PRIu64
                        " jobs",
                        name ? name : "", number_of(client, "pid"), number_of(client, "uid"), busy,
                        number_of(client, "jobs"));
        }
}

/* Its members as they are; those that say nothing are left out. */
static void print_npu(const json_t *npu)
{
        const char *key;
        json_t *value;

        json_object_foreach((json_t *)(uintptr_t)npu, key, value)
        {
                _cleanup_(freep) char *plain = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));

                if (plain && strcmp(plain, "\"\"") != 0)
                        cli_say("npu %s: %s", key, json_is_string(value) ? json_string_value(value) : plain);
        }
}

static bool is_list(const char *key, const json_t *value)
{
        return ((strcmp(key, "users") == 0 || strcmp(key, "clients") == 0) && json_is_array(value)) ||
               (strcmp(key, "npu") == 0 && json_is_object(value));
}

static void print_table(json_t *status)
{
        const char *key;
        json_t *value;
        size_t width = 0;

        json_object_foreach(status, key, value)
        {
                size_t row = find_row(key);
                size_t n = strlen(row < ARRAY_SIZE(rows) ? rows[row].label : key);

                width = MAX(width, n);
        }
        json_object_foreach(status, key, value)
        {
                size_t row = find_row(key);

                if (row < ARRAY_SIZE(rows))
                        print_row((int)width, rows[row].label, rows[row].unit, value);
                else if (!is_list(key, value))
                        print_row((int)width, key, UNIT_PLAIN, value);
        }
        print_npu(json_object_get(status, "npu"));
        print_users(json_object_get(status, "users"));
        print_clients(json_object_get(status, "clients"));
}

struct status_options {
        struct cli_common common;
        bool json;
};

enum { KEY_JSON = 0x200 };

static error_t parse_status(int key, char *arg, struct argp_state *state)
{
        struct status_options *options = state->input;

        (void)arg;
        switch (key) {
        case ARGP_KEY_INIT:
                state->child_inputs[0] = &options->common;
                return 0;
        case KEY_JSON:
                options->json = true;
                return 0;
        default:
                return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp_option status_argp_options[] = {
        {"json", KEY_JSON, NULL, 0,
         "Print the JSON object that the daemon sent; npumm-client(1) explains its keys", 0},
        {0},
};
static const struct argp status_argp = {
        .options = status_argp_options,
        .parser = parse_status,
        .children = cli_common_children,
        .doc = "Prints the daemon's counters.",
};

enum cli_exit cli_status(struct cli_common common, int argc, char **argv)
{
        _cleanup_(npumm_closep) struct npumm_client *client = NULL;
        struct status_options options = {.common = common};
        _cleanup_(freep) char *text = NULL;
        json_auto_t *status = NULL;
        enum cli_exit r;
        int result;

        r = cli_parse(&status_argp, argc, argv, &options);
        if (r == CLI_DONE)
                r = cli_connect(&options.common, &client);
        if (r != CLI_DONE)
                return r;
        result = npumm_daemon_status(client, &text);
        if (result != 0)
                return cli_fail_job(client, result, &(struct cli_asked){0});
        status = json_loads(text, 0, NULL);
        if (!json_is_object(status))
                return cli_fail(CLI_FAILED,
                                "the daemon's status is no JSON object; use the client of its version, %s",
                                npumm_info(client)->daemon_version);
        if (options.json)
                (void)printf("%s\n", text);
        else
                print_table(status);
        return cli_finish_stdout();
}
