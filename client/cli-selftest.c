/* SPDX-License-Identifier: MIT */
/*
 * cli-selftest.c - npumm-client selftest: does this machine's daemon compute right, and on what?
 *
 * Role:   known products through the library, each element compared; then what the daemon says of its device.
 * In:     the daemon's status before and after, of which any member may be missing.
 * Out:    a line for each item on stdout, then the verdict; exit code.
 * Thread: one.
 * Never:  takes exact products for a proof that the NPU computed them: the CPU stands in for it without a word.
 */
#include "cli-selftest-item.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "cli-bench.h"

/*
 * Where an NPU's program would go wrong first. It computes C by macro-tiles of 256 x 256, in steps of 64 along K, with
 * 64 x 64 for each core: see xclbin/README.md.
 */
static const struct selftest_item items[] = {
        {.m = 1, .k = 1, .n = 1},
        {.m = 16, .k = 16, .n = 16},
        {.m = 64, .k = 64, .n = 64},
        {.m = 256, .k = 64, .n = 256},
        {.m = 257, .k = 65, .n = 257},
        {.m = 1, .k = 512, .n = 512},
        {.m = 500, .k = 512, .n = 512},
        {.m = 1024, .k = 64, .n = 256},
        {.m = 256, .k = 64, .n = 1024},
        {.m = 4, .k = NPUMM_K_MAX, .n = 8},
        {.m = 17, .k = NPUMM_K_MAX, .n = 15, .extremes = true},
        {.m = 65, .k = 300, .n = 70, .extremes = true},
        {.m = 65, .k = 300, .n = 70, .transposed_b = true},
        {.m = 100, .k = 256, .n = 100, .output = NPUMM_OUTPUT_INT8},
        {.m = 100, .k = 256, .n = 100, .output = NPUMM_OUTPUT_FLOAT32},
        {.m = 20, .k = 16, .k_step = 63, .n = 24, .n_jobs = 16, .in_group = true},
        {.m = 48, .k = 320, .n = 272, .n_jobs = 4, .has_weights = true},
        {.m = 1, .k = 512, .n = 512, .n_jobs = 64, .has_weights = true},
};

#define READY_NS                                                                                             \
        UINT64_C(10000000000) /* for an NPU that is being opened: that takes some hundred milliseconds */
#define LOOK_MS 100           /* from one look at it to the next */

struct selftest_options {
        struct cli_common common;
        bool any_device;
};

struct tally {
        uint64_t n_jobs, n_wrong, n_failed;
};

/* ---- options ---- */

enum { KEY_ANY_DEVICE = 0x200 };

static error_t parse_selftest(int key, char *arg, struct argp_state *state)
{
        struct selftest_options *options = state->input;

        (void)arg;
        switch (key) {
        case ARGP_KEY_INIT:
                state->child_inputs[0] = &options->common;
                return 0;
        case KEY_ANY_DEVICE:
                options->any_device = true;
                return 0;
        default:
                return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp_option selftest_argp_options[] = {
        {"any-device", KEY_ANY_DEVICE, NULL, 0, "Accept a CPU that computes in the NPU's place", 0},
        {0},
};
static const struct argp selftest_argp = {
        .options = selftest_argp_options,
        .parser = parse_selftest,
        .children = cli_common_children,
        .doc = "Has the daemon compute known products, compares every element, and says what computed them.",
};

/* ---- what the daemon says ---- */

static enum cli_exit status_ask(struct npumm_client *client, json_t **ret_status)
{
        _cleanup_(freep) char *text = NULL;
        json_auto_t *status = NULL;
        int r;

        r = npumm_daemon_status(client, &text);
        if (r != 0)
                return cli_fail_job(client, r, &(struct cli_asked){0});
        status = json_loads(text, 0, NULL);
        if (!json_is_object(status))
                return cli_fail(CLI_FAILED,
                                "the daemon's status is no JSON object; use the client of its version, %s",
                                npumm_info(client)->daemon_version);
        *ret_status = steal(&status);
        return CLI_DONE;
}

static const char *word_of(const json_t *object, const char *key)
{
        const char *word = json_string_value(json_object_get(object, key));

        return word ? word : "";
}

/* How much a counter of the NPU has grown. */
static uint64_t grown(const json_t *before, const json_t *after, const char *key)
{
        const json_int_t least = json_integer_value(json_object_get(json_object_get(before, "npu"), key));
        const json_int_t most = json_integer_value(json_object_get(json_object_get(after, "npu"), key));

        return most > least ? (uint64_t)most - (uint64_t)least : 0;
}

/* The status from before; a daemon that has just been started may need a moment until its NPU is open. */
static enum cli_exit status_when_ready(struct npumm_client *client, json_t **ret_status)
{
        const uint64_t until_ns = bench_now_ns() + READY_NS;

        for (;;) {
                json_auto_t *status = NULL;
                const enum cli_exit r = status_ask(client, &status);
                int result;

                if (r != CLI_DONE)
                        return r;
                if (strcmp(word_of(json_object_get(status, "npu"), "state"), "recovering") != 0 ||
                    bench_now_ns() >= until_ns) {
                        *ret_status = steal(&status);
                        return CLI_DONE;
                }
                result = npumm_dispatch(client, LOOK_MS);
                if (result != 0)
                        return cli_fail_job(client, result, &(struct cli_asked){0});
        }
}

/* ---- the verdict ---- */

#define WORDS_MAX 512

static void device_name(const json_t *status, char ret_words[WORDS_MAX])
{
        const json_t *npu = json_object_get(status, "npu");
        const char *hardware = word_of(npu, "hardware"), *driver = word_of(npu, "driver");

        /* The driver, too: it is by its version that an emulated NPU is told from one. */
        (void)snprintf(ret_words, WORDS_MAX, "backend %s, device %s: %s%s%s", word_of(status, "backend"),
                       word_of(status, "device_state"), *hardware ? hardware : word_of(status, "device"),
                       *driver ? ", driver " : "", driver);
}

/* Whether the NPU, if the daemon has one, did it all; if not, or not at the first try, a line says why. */
static enum cli_exit judge_npu(const json_t *before, const json_t *after, bool any_device)
{
        const json_t *npu = json_object_get(after, "npu");
        const bool is_ok = strcmp(word_of(npu, "state"), "ok") == 0;
        const bool by_cpu = grown(before, after, "cpu_batches") > 0;
        const char *reason = *word_of(npu, "reason") ? word_of(npu, "reason") : "no reason is known";
        const char *advice = word_of(npu, "advice"), *stop = *advice ? "; " : "";
        const char *what = "the NPU failed meanwhile and recovered";

        if (!npu || (is_ok && !by_cpu && grown(before, after, "faults") == 0))
                return CLI_DONE;
        if (by_cpu)
                what = "the CPU computed what the NPU was to";
        else if (!is_ok)
                what = "the NPU does not serve now";
        if ((by_cpu || !is_ok) && !any_device)
                return cli_fail(CLI_FAILED, "%s: %s%s%s", what, reason, stop, advice);
        cli_say("%s: %s%s%s", what, reason, stop, advice);
        return CLI_DONE;
}

static enum cli_exit conclude(const json_t *before, const json_t *after, const struct tally *tally,
                              bool any_device)
{
        char device[WORDS_MAX];
        enum cli_exit r;

        device_name(after, device);
        if (tally->n_wrong > 0 || tally->n_failed > 0)
                return cli_fail(CLI_FAILED,
                                "of %" PRIu64 " products %" PRIu64 " are wrong and %" PRIu64
                                " failed; %s; do not use it until the reason is found",
                                tally->n_jobs, tally->n_wrong, tally->n_failed, device);
        cli_say("all %" PRIu64 " products are exact; %s", tally->n_jobs, device);
        r = cli_finish_stdout();
        if (r == CLI_DONE)
                r = judge_npu(before, after, any_device);
        return r == CLI_DONE ? cli_finish_stdout() : r;
}

static enum cli_exit items_run(struct npumm_client *client, struct tally *tally)
{
        for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
                struct selftest_outcome outcome;
                enum cli_exit r;

                r = selftest_item_run(client, &items[i], i, &outcome);
                if (r != CLI_DONE)
                        return r;
                selftest_item_say(&items[i], &outcome);
                tally->n_jobs += outcome.n_jobs;
                tally->n_wrong += outcome.n_wrong;
                tally->n_failed += outcome.n_failed;
        }
        return CLI_DONE;
}

enum cli_exit cli_selftest(struct cli_common common, int argc, char **argv)
{
        _cleanup_(npumm_closep) struct npumm_client *client = NULL;
        struct selftest_options options = {.common = common};
        json_auto_t *before = NULL, *after = NULL;
        struct tally tally = {0};
        enum cli_exit r;

        r = cli_parse(&selftest_argp, argc, argv, &options);
        if (r == CLI_DONE)
                r = cli_connect(&options.common, &client);
        if (r == CLI_DONE)
                r = status_when_ready(client, &before);
        if (r == CLI_DONE)
                r = items_run(client, &tally);
        if (r == CLI_DONE)
                r = status_ask(client, &after);
        return r == CLI_DONE ? conclude(before, after, &tally, options.any_device) : r;
}
