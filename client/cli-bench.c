/* SPDX-License-Identifier: MIT */
/*
 * cli-bench.c - npumm-client bench: load for a daemon, and how it bears it.
 *
 * Role:   options -> plan -> bench_measure() -> bench_report(). A further kind of report that needs measurements
 *         of its own makes its plans here and calls bench_measure() for each.
 * In:     argv, a workload file.
 * Out:    a report on stdout; exit code.
 * Thread: one.
 * Owns:   the plan.
 */
#include "cli-bench.h"

#include <errno.h>
#include <inttypes.h>

#define CLIENTS_MAX 1024u
#define DEPTH_MAX   65536u
#define SEED_MAX    INT64_MAX     /* a JSON integer of the report has a sign */
#define SHAPE       "500,512,512" /* a product of speech recognition: 10 s of sound by a layer of a small model */

struct bench_options {
        struct cli_common common;
        struct bench_plan plan;
        const char *workload_path; /* borrowed: argv */
        bool has_depth;
        bool as_json;
        bool origin_table; /* instead of a measurement */
};

enum {
        KEY_SCENARIO = 0x200,
        KEY_CLIENTS,
        KEY_DEPTH,
        KEY_RATE,
        KEY_THINK_US,
        KEY_SHAPE,
        KEY_WORKLOAD,
        KEY_SECONDS,
        KEY_WARMUP,
        KEY_OUTPUT,
        KEY_CLASS,
        KEY_DEADLINE_US,
        KEY_INLINE,
        KEY_OWN_B,
        KEY_VERIFY,
        KEY_SEED,
        KEY_JSON,
        KEY_ORIGIN_TABLE,
};

static const struct argp_option bench_argp_options[] = {
        {"scenario", KEY_SCENARIO, "NAME", 0,
         "When jobs are sent: single, multi, server or offline (default single)", 0},
        {"clients", KEY_CLIENTS, "N", 0, "Client processes (default 1)", 0},
        {"depth", KEY_DEPTH, "N", 0, "multi: jobs of a group; offline: jobs outstanding (default 8)", 0},
        {"rate", KEY_RATE, "R", 0, "server: jobs a second, of all clients together (required there)", 0},
        {"think-us", KEY_THINK_US, "MEAN", 0,
         "single: microseconds from an answer to the next job (default 0)", 0},
        {"shape", KEY_SHAPE, "M,K,N", 0,
         "Shape of the jobs; given several times, jobs take them in turn (default " SHAPE ")", 0},
        {"workload", KEY_WORKLOAD, "FILE", 0, "Read shapes from FILE, one M,K,N [COUNT] a line", 0},
        {"seconds", KEY_SECONDS, "S", 0, "How long to measure (default 10)", 0},
        {"warmup", KEY_WARMUP, "S", 0, "How long to work before that (default 1)", 0},
        {"output", KEY_OUTPUT, "FORM", 0,
         "Elements of the products: int32, int8, float32 or tile16-shift7 (default int32)", 0},
        {"class", KEY_CLASS, "CLASS", 0, "Class of the jobs: normal, interactive or bulk (default normal)",
         0},
        {"deadline-us", KEY_DEADLINE_US, "N", 0,
         "Deadline of each job in microseconds, 0 for none (default 0)", 0},
        {"inline", KEY_INLINE, NULL, 0, "Send matrices through the socket, not through shared memory", 0},
        {"own-b", KEY_OWN_B, NULL, 0, "Send B with each job, not once as weights", 0},
        {"verify", KEY_VERIFY, "WHICH", OPTION_ARG_OPTIONAL,
         "Check a row of products: all, sample or none (default sample)", 0},
        {"seed", KEY_SEED, "N", 0, "What contents and times are made from (default 1)", 0},
        {"json", KEY_JSON, NULL, 0, "Print the report as one JSON object", 0},
        {"origin-table", KEY_ORIGIN_TABLE, NULL, 0,
         "Measure nothing: print what the shapes would take of an NPU, a tile a call and batched, by models",
         0},
        {0},
};

/* ---- values ---- */

static error_t parse_scenario(const char *arg, struct argp_state *state, struct bench_plan *plan)
{
        size_t i = BENCH_SINGLE;
        const error_t r = cli_parse_name("scenario", arg, state, bench_scenario_names, BENCH_SCENARIO_MAX,
                                         "single, multi, server or offline", &i);

        plan->scenario = (enum bench_scenario)i;
        return r;
}

static error_t parse_verify(const char *arg, struct argp_state *state, struct bench_plan *plan)
{
        static const char *const names[] = {
                [BENCH_VERIFY_SAMPLE] = "sample", [BENCH_VERIFY_ALL] = "all", [BENCH_VERIFY_NONE] = "none"};
        size_t i = BENCH_VERIFY_ALL; /* what --verify means by itself */
        error_t r = 0;

        if (arg)
                r = cli_parse_name("verify", arg, state, names, ARRAY_SIZE(names), "all, sample or none", &i);
        plan->verify = (enum bench_verify)i;
        return r;
}

static error_t parse_real(const char *option, const char *arg, struct argp_state *state, double least,
                          double most, double *ret_number)
{
        char *end;
        const double number = strtod(arg, &end);

        if (end == arg || *end != '\0' || !(number >= least && number <= most)) {
                argp_error(state, "--%s=%s is out of range; give a number from %g to %g", option, arg, least,
                           most);
                return EINVAL;
        }
        *ret_number = number;
        return 0;
}

static error_t parse_shape(const char *arg, struct argp_state *state, struct bench_plan *plan)
{
        char text[BENCH_TEXT_MAX];

        if (arg[strcspn(arg, " \t")] == '\0' && bench_shapes_add(&plan->shapes, arg, text))
                return 0;
        if (arg[strcspn(arg, " \t")] != '\0')
                argp_error(state, "--shape='%s' has blanks in it; give M,K,N", arg);
        else
                argp_error(state, "--shape=%s: %s", arg, text);
        return EINVAL;
}

/* What no option can tell by itself. */
static error_t check_options(struct argp_state *state, const struct bench_options *options)
{
        const struct bench_plan *plan = &options->plan;

        if (options->has_depth && plan->scenario != BENCH_MULTI && plan->scenario != BENCH_OFFLINE)
                argp_error(state,
                           "--depth says nothing here; it needs --scenario=multi or --scenario=offline");
        else if (plan->rate > 0 && plan->scenario != BENCH_SERVER)
                argp_error(state, "--rate says nothing here; it needs --scenario=server");
        else if (plan->rate <= 0 && plan->scenario == BENCH_SERVER && !options->origin_table)
                argp_error(state, "--scenario=server needs the jobs a second; give --rate");
        else if (plan->think_us > 0 && plan->scenario != BENCH_SINGLE)
                argp_error(state, "--think-us says nothing here; it needs --scenario=single");
        else if (options->workload_path && plan->shapes.n > 0)
                argp_error(state, "--shape and --workload both say what the jobs are; give one of the two");
        else
                return 0;
        return EINVAL;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
        struct bench_options *input = state->input;
        struct bench_plan *plan = &input->plan;

        switch (key) {
        case ARGP_KEY_INIT:
                state->child_inputs[0] = &input->common;
                return 0;
        case KEY_SCENARIO:
                return parse_scenario(arg, state, plan);
        case KEY_CLIENTS:
                return cli_parse_number("clients", arg, state, 1, CLIENTS_MAX, &plan->clients);
        case KEY_DEPTH:
                input->has_depth = true;
                return cli_parse_number("depth", arg, state, 1, DEPTH_MAX, &plan->depth);
        case KEY_RATE:
                return parse_real("rate", arg, state, 1e-3, 1e9, &plan->rate);
        case KEY_THINK_US:
                return parse_real("think-us", arg, state, 0, 1e9, &plan->think_us);
        case KEY_SHAPE:
                return parse_shape(arg, state, plan);
        case KEY_WORKLOAD:
                input->workload_path = arg;
                return 0;
        case KEY_SECONDS:
                return parse_real("seconds", arg, state, 1e-3, 1e6, &plan->seconds);
        case KEY_WARMUP:
                return parse_real("warmup", arg, state, 0, 1e6, &plan->warmup_s);
        case KEY_OUTPUT:
                return cli_parse_output(arg, state, &plan->output);
        case KEY_CLASS:
                return cli_parse_class(arg, state, &plan->job_class);
        case KEY_DEADLINE_US:
                return cli_parse_number("deadline-us", arg, state, 0, CLI_DEADLINE_US_MAX,
                                        &plan->deadline_us);
        case KEY_INLINE:
                plan->is_inline = true;
                return 0;
        case KEY_OWN_B:
                plan->own_b = true;
                return 0;
        case KEY_VERIFY:
                return parse_verify(arg, state, plan);
        case KEY_SEED:
                return cli_parse_number("seed", arg, state, 0, SEED_MAX, &plan->seed);
        case KEY_JSON:
                input->as_json = true;
                return 0;
        case KEY_ORIGIN_TABLE:
                input->origin_table = true;
                return 0;
        case ARGP_KEY_END:
                return check_options(state, input);
        default:
                return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp bench_argp = {
        .options = bench_argp_options,
        .parser = parse_option,
        .children = cli_common_children,
        .doc = "Gives the daemon work as so many programs would, and reports how it bears it.",
};

/* ---- the subcommand ---- */

/* What the options left open. */
static enum cli_exit plan_complete(struct bench_options *options)
{
        struct bench_plan *plan = &options->plan;
        char text[BENCH_TEXT_MAX];
        int r = 0;

        if (options->workload_path) {
                r = bench_shapes_read(&plan->shapes, options->workload_path, text);
                if (r != 0)
                        return cli_fail(r == -EIO ? CLI_FAILED : CLI_USAGE, "%s %s", options->workload_path,
                                        text);
        } else if (plan->shapes.n == 0 && !bench_shapes_add(&plan->shapes, SHAPE, text)) {
                return cli_fail(CLI_FAILED, "%s", text);
        }
        if (plan->scenario == BENCH_SINGLE || plan->scenario == BENCH_SERVER)
                plan->depth = 1;
        return CLI_DONE;
}

/* What can be done about it that no job ended well. */
static const char *advice_for(const struct bench_plan *plan, const struct bench_result *result)
{
        if (result->expired > 0 && result->expired >= result->refused)
                return "give a longer --deadline-us, or less work at once";
        if (result->refused > 0)
                return plan->scenario == BENCH_SERVER ? "give a lower --rate, or raise the daemon's limits"
                                                      : "give fewer --clients, a smaller --depth or smaller "
                                                        "shapes, or raise the daemon's limits";
        return "give --seconds more";
}

/* Whether the run was a success, now that it is reported. */
static enum cli_exit judge(const struct bench_plan *plan, const struct bench_result *result)
{
        if (result->failed > 0)
                return cli_fail(CLI_FAILED, "%" PRIu64 " jobs failed, one of them so: %s", result->failed,
                                result->failure);
        if (result->jobs == 0)
                return cli_fail(CLI_FAILED,
                                "no job ended well while it was measured: %" PRIu64
                                " were past their deadline, %" PRIu64 " were refused, %" PRIu64
                                " were not sent; %s",
                                result->expired, result->refused, result->unsent, advice_for(plan, result));
        if (result->unsent > 0) /* no failure, but not what was asked for either */
                return cli_fail(CLI_DONE,
                                "%" PRIu64 " jobs were due and not sent when the time was over: the clients "
                                "could not keep the rate, and latencies are those of the other jobs; give "
                                "more --clients or a lower --rate",
                                result->unsent);
        return CLI_DONE;
}

static void options_deinit(struct bench_options *options)
{
        bench_shapes_deinit(&options->plan.shapes);
}

enum cli_exit cli_bench(struct cli_common common, int argc, char **argv)
{
        _cleanup_(options_deinit) struct bench_options options = {
                .common = common,
                .plan = {.clients = 1, .depth = 8, .seconds = 10, .warmup_s = 1, .seed = 1},
        };
        struct bench_result result;
        enum cli_exit r;

        r = cli_parse(&bench_argp, argc, argv, &options);
        if (r == CLI_DONE)
                r = plan_complete(&options);
        if (r == CLI_DONE && options.origin_table)
                return bench_origin_table(&options.plan.shapes, options.as_json);
        if (r == CLI_DONE)
                r = bench_measure(&options.common, &options.plan, &result);
        if (r != CLI_DONE)
                return r;
        r = bench_report(&options.plan, &result, options.as_json);
        if (r == CLI_DONE)
                r = judge(&options.plan, &result);
        bench_result_deinit(&result);
        return r;
}
