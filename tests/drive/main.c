/* SPDX-License-Identifier: MIT */
/*
 * main.c - drive: traffic that one makes up, under each policy, on a modelled device and a virtual clock.
 *
 * For whoever tunes a policy: try `drive --help`. Every time it prints is a model's.
 */
#include <argp.h>
#include <errno.h>
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

static bool other_key(struct drive_client *client, const char *key, const char *value)
{
        if (strcmp(key, "class") == 0)
                client->class = value[0] == 'i'   ? CLASS_INTERACTIVE
                                : value[0] == 'b' ? CLASS_BULK
                                                  : CLASS_NORMAL;
        else if (strcmp(key, "uid") == 0)
                client->uid = (uid_t)strtoul(value, NULL, 10);
        else if (strcmp(key, "weights") == 0)
                client->weights = (int)strtol(value, NULL, 10);
        else if (strcmp(key, "group") == 0)
                client->group = strtoul(value, NULL, 10);
        else if (strcmp(key, "credits") == 0)
                client->credits = strtoul(value, NULL, 10);
        else if (strcmp(key, "depth") == 0)
                client->depth = strtoul(value, NULL, 10);
        else if (strcmp(key, "exp") == 0)
                client->think = value[0] == '1' ? DRIVE_EXPONENTIAL : DRIVE_NORMAL;
        else
                return false;
        return true;
}

static void clients_add(struct drive_spec *spec, char *text, struct argp_state *state)
{
        struct drive_client client = {
                .uid = 1, .m = 1536, .k = 384, .n = 384, .think_us = 30, .think_cv = 0.3, .pause_us = 20000};
        char *part = strtok(text, ",");
        const unsigned long n = part ? strtoul(part, NULL, 10) : 0;

        while ((part = strtok(NULL, ","))) {
                char *value = strchr(part, '=');

                if (!value)
                        argp_error(state, "\"%s\" is not KEY=VALUE", part);
                *value++ = '\0';
                if (number_key(&client, part))
                        *number_key(&client, part) = strtoull(value, NULL, 10);
                else if (real_key(&client, part))
                        *real_key(&client, part) = strtod(value, NULL);
                else if (!other_key(&client, part, value))
                        argp_error(state, "there is no key \"%s\"", part);
        }
        client.arrivals = client.rate_a_s > 0 ? DRIVE_OPEN : DRIVE_CLOSED;
        if (n == 0 || spec->n_clients + n > DRIVE_CLIENTS_MAX)
                argp_error(state, "1 to %d clients in all", DRIVE_CLIENTS_MAX);
        for (unsigned long i = 0; i < n; i++)
                spec->clients[spec->n_clients++] = client;
}

static error_t parse(int key, char *value, struct argp_state *state)
{
        struct drive_spec *spec = state->input;

        switch (key) {
        case KEY_CLIENTS:
                clients_add(spec, value, state);
                return 0;
        case KEY_MODEL:
                for (spec->model = 0; npu_model_names[spec->model]; spec->model++)
                        if (strcmp(npu_model_names[spec->model], value) == 0)
                                return 0;
                argp_error(state, "there is no model \"%s\"", value);
                return EINVAL;
        case KEY_JOBS:
                spec->n_jobs = strtoull(value, NULL, 10);
                return 0;
        case KEY_SEED:
                spec->seed = strtoull(value, NULL, 10);
                return 0;
        case KEY_BOUND:
                spec->bound_us = strtoull(value, NULL, 10);
                return 0;
        case KEY_AGING:
                spec->aging_us = strtoull(value, NULL, 10);
                return 0;
        case KEY_WINDOW:
                spec->window_us = strtoull(value, NULL, 10);
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
