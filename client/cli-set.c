/* SPDX-License-Identifier: MIT */
/*
 * cli-set.c - npumm-client set: changes a setting of the running daemon.
 *
 * In:     KEY=VALUE. Which there are is the daemon's affair: it says so when it knows none of that name.
 * Out:    nothing but an exit code.
 * Thread: one.
 */
#include "cli.h"

#include <errno.h>

struct set_options {
        struct cli_common common;
        char *setting; /* borrowed: argv; KEY=VALUE */
};

static error_t parse_set(int key, char *arg, struct argp_state *state)
{
        struct set_options *options = state->input;

        switch (key) {
        case ARGP_KEY_INIT:
                state->child_inputs[0] = &options->common;
                return 0;
        case ARGP_KEY_ARG:
                if (options->setting)
                        return ARGP_ERR_UNKNOWN;
                options->setting = arg;
                if (strchr(arg, '=') > arg)
                        return 0;
                argp_error(state, "'%s' is no setting; give KEY=VALUE", arg);
                return EINVAL;
        case ARGP_KEY_NO_ARGS:
                argp_error(state, "no setting; give KEY=VALUE");
                return EINVAL;
        default:
                return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp set_argp = {
        .parser = parse_set,
        .children = cli_common_children,
        .args_doc = "KEY=VALUE",
        .doc = "Changes a setting of the running daemon, until it ends.",
};

enum cli_exit cli_set(struct cli_common common, int argc, char **argv)
{
        _cleanup_(npumm_closep) struct npumm_client *client = NULL;
        struct set_options options = {.common = common};
        enum cli_exit r;
        char *value;
        int result;

        r = cli_parse(&set_argp, argc, argv, &options);
        if (r == CLI_DONE)
                r = cli_connect(&options.common, &client);
        if (r != CLI_DONE)
                return r;
        value = strchr(options.setting, '=');
        *value++ = '\0';
        result = npumm_set(client, options.setting, value);
        return result == 0 ? CLI_DONE : cli_fail_job(client, result, &(struct cli_asked){0});
}
