/* SPDX-License-Identifier: MIT */
/*
 * main.c - drive: traffic that one makes up, under each policy, on a modelled device and a virtual clock.
 *
 * For whoever tunes a policy: try `drive --help`. Every time it prints is a model's.
 */
#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "daemon/device.h"
#include "tests/drive/drive.h"

enum {
        KEY_MODEL = 256,
        KEY_JOBS,
        KEY_SEED,
        KEY_BOUND,
        KEY_AGING,
        KEY_WINDOW,
        KEY_CLIENTS,
        KEY_NO_STACKING,
        KEY_FAULTS
};

static const struct argp_option options[] = {
        {"clients", KEY_CLIENTS, "N[,KEY=VALUE...]", 0,
         "So many clients (again for others). Keys, with their defaults: uid=1, m=1536, m-most=0, k=384, "
         "n=384, "
         "weights=0 (-1: B with each job), class=normal, group=1, credits=0, depth=1, think=30, cv=0.3, "
         "exp=0, "
         "pause-share=0, pause=20000, rate=0 (open loop, of each), deadline=0; times in us, rates in 1/s",
         0},
        {"model", KEY_MODEL, "NAME", 0, "phoenix, origin or origin-measured (default: phoenix)", 0},
        {"jobs", KEY_JOBS, "N", 0, "Jobs in all (default: 100000)", 0},
        {"seed", KEY_SEED, "N", 0, "Of chance (default: 1)", 0},
        {"bound-us", KEY_BOUND, "US", 0, "batch-bound-us (default: 10000)", 0},
        {"aging-us", KEY_AGING, "US", 0, "aging-ms, in us (default: 100000)", 0},
        {"window-us", KEY_WINDOW, "US", 0, "window-us (default: 200)", 0},
        {"no-stacking", KEY_NO_STACKING, NULL, 0, "Each job by itself", 0},
        {"faults", KEY_FAULTS, "SCRIPT", 0, "sim-faults (default: none)", 0},
        {0},
};

/* Those that are not numbers are the end of the program. */
static uint64_t number_of(const char *value, struct argp_state *state)
{
        char *end;
        unsigned long long number;

        errno = 0;
        number = strtoull(value, &end, 10);
        if (!isdigit((unsigned char)value[0]) || *end != '\0' || errno != 0)
                argp_error(state, "\"%s\" is not a whole number", value);
        return number;
}

static double real_of(const char *value, struct argp_state *state)
{
        char *end;
        const double real = strtod(value, &end);

        if (end == value || *end != '\0' || !isfinite(real) || real < 0)
                argp_error(state, "\"%s\" is not a number from 0 on", value);
        return real;
}

/* Where in `names`, which NULL ends, a word stands. */
static unsigned name_of(const char *const names[], const char *value, struct argp_state *state)
{
        unsigned i = 0;

        while (names[i] && strcmp(names[i], value) != 0)
                i++;
        if (!names[i])
                argp_error(state, "there is no \"%s\"", value);
        return i;
}

static uint64_t *number_key(struct drive_client *client, const char *key)
{
        const struct {
                const char *key;
                uint64_t *value;
        } keys[] = {
                {"m", &client->m}, {"m-most", &client->m_most},        {"k", &client->k},
                {"n", &client->n}, {"deadline", &client->deadline_us},
        };

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                if (strcmp(keys[i].key, key) == 0)
                        return keys[i].value;
        return NULL;
}

static double *real_key(struct drive_client *client, const char *key)
{
        const struct {
                const char *key;
                double *value;
        } keys[] = {
                {"think", &client->think_us},          {"cv", &client->think_cv},
                {"pause-share", &client->pause_share}, {"pause", &client->pause_us},
                {"rate", &client->rate_a_s},
        };

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                if (strcmp(keys[i].key, key) == 0)
                        return keys[i].value;
        return NULL;
}

static size_t *size_key(struct drive_client *client, const char *key)
{
        const struct {
                const char *key;
                size_t *value;
        } keys[] = {{"group", &client->group}, {"credits", &client->credits}, {"depth", &client->depth}};

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                if (strcmp(keys[i].key, key) == 0)
                        return keys[i].value;
        return NULL;
}

static bool other_key(struct drive_client *client, const char *key, const char *value,
                      struct argp_state *state)
{
        static const char *const classes[] = {
                [CLASS_NORMAL] = "normal", [CLASS_INTERACTIVE] = "interactive", [CLASS_BULK] = "bulk", NULL};

        if (strcmp(key, "class") == 0)
                client->class = (enum job_class)name_of(classes, value, state);
        else if (strcmp(key, "uid") == 0)
                client->uid = (uid_t)number_of(value, state);
        else if (strcmp(key, "weights") == 0)
                client->weights = strcmp(value, "-1") == 0 ? DRIVE_OWN_B : (int)number_of(value, state);
        else if (strcmp(key, "exp") == 0)
                client->think = number_of(value, state) != 0 ? DRIVE_EXPONENTIAL : DRIVE_NORMAL;
        else
                return false;
        return true;
}

static void key_set(struct drive_client *client, const char *key, const char *value, struct argp_state *state)
{
        if (number_key(client, key))
                *number_key(client, key) = number_of(value, state);
        else if (real_key(client, key))
                *real_key(client, key) = real_of(value, state);
        else if (size_key(client, key))
                *size_key(client, key) = number_of(value, state);
        else if (!other_key(client, key, value, state))
                argp_error(state, "there is no key \"%s\"", key);
}

static void clients_add(struct drive_spec *spec, char *text, struct argp_state *state)
{
        struct drive_client client = {
                .uid = 1, .m = 1536, .k = 384, .n = 384, .think_us = 30, .think_cv = 0.3, .pause_us = 20000};
        char *part = strtok(text, ",");
        const uint64_t n = part ? number_of(part, state) : 0;

        while ((part = strtok(NULL, ","))) {
                char *value = strchr(part, '=');

                if (!value)
                        argp_error(state, "\"%s\" is not KEY=VALUE", part);
                *value++ = '\0';
                key_set(&client, part, value, state);
        }
        if (client.m == 0 || client.k == 0 || client.n == 0)
                argp_error(state, "m, k and n are at least 1");
        client.arrivals = client.rate_a_s > 0 ? DRIVE_OPEN : DRIVE_CLOSED;
        if (n == 0 || n > DRIVE_CLIENTS_MAX - spec->n_clients)
                argp_error(state, "1 to %d clients in all", DRIVE_CLIENTS_MAX);
        for (uint64_t i = 0; i < n; i++)
                spec->clients[spec->n_clients++] = client;
}

static uint64_t *number_option(struct drive_spec *spec, int key)
{
        switch (key) {
        case KEY_JOBS:
                return &spec->n_jobs;
        case KEY_SEED:
                return &spec->seed;
        case KEY_BOUND:
                return &spec->bound_us;
        case KEY_AGING:
                return &spec->aging_us;
        case KEY_WINDOW:
                return &spec->window_us;
        default:
                return NULL;
        }
}

static error_t parse(int key, char *value, struct argp_state *state)
{
        struct drive_spec *spec = state->input;

        if (number_option(spec, key)) {
                *number_option(spec, key) = number_of(value, state);
                return 0;
        }
        switch (key) {
        case KEY_CLIENTS:
                clients_add(spec, value, state);
                return 0;
        case KEY_MODEL:
                spec->model = (enum npu_model)name_of(npu_model_names, value, state);
                return 0;
        case KEY_NO_STACKING:
                spec->no_stacking = true;
                return 0;
        case KEY_FAULTS:
                if (!sim_faults_are_valid(value))
                        argp_error(state, "faults are FAULT@N[,FAULT@N...]");
                spec->faults = value;
                return 0;
        default:
                return ARGP_ERR_UNKNOWN;
        }
}

int main(int argc, char **argv)
{
        static const struct argp argp = {
                .options = options,
                .parser = parse,
                .doc = "Simulated clients on the daemon's scheduler, batcher and policies, over a model of a "
                       "device.",
        };
        struct drive_spec spec = {.n_jobs = 100000, .seed = 1};

        if (argp_parse(&argp, argc, argv, 0, NULL, &spec) != 0)
                return 2;
        if (spec.n_clients == 0)
                clients_add(&spec, (char[]){"4"}, NULL);
        (void)printf("%s (a model)\n%-8s %10s %9s %9s %9s %9s %6s %8s %7s %6s %6s\n",
                     npu_model_traits(spec.model)->description, "policy", "jobs/s", "p50 us", "p90 us",
                     "p99 us", "max us", "jobs/b", "expired", "padding", "hold", "busy");
        for (spec.policy = 0; spec.policy < POLICY_MAX; spec.policy++) {
                struct drive_result result;

                drive_run(&spec, &result);
                (void)printf(
                        "%-8s %10.1f %9.1f %9.1f %9.1f %9.1f %6.2f %8llu %7.3f %6.3f %6.3f\n",
                        policy_names[spec.policy], drive_jobs_a_s(&result),
                        drive_quantile_us(&result.latencies, 0.5), drive_quantile_us(&result.latencies, 0.9),
                        drive_quantile_us(&result.latencies, 0.99), drive_quantile_us(&result.latencies, 1),
                        drive_jobs_a_submission(&result), (unsigned long long)result.n_expired,
                        1 - result.stats.macs / result.stats.padded_macs,
                        (double)result.stats.hold_ns * 1e-9 / result.seconds,
                        (double)result.stats.device_busy_ns * 1e-9 / result.seconds);
                drive_result_deinit(&result);
        }
        return 0;
}
