/* SPDX-License-Identifier: MIT */
/*
 * cli.h - what the subcommands of npumm-client share.
 *
 * Role:   exit codes, the one line on stderr that every failure is, common options, connecting.
 * Thread: one; npumm-client has no other.
 */
#ifndef CLIENT_CLI_H
#define CLIENT_CLI_H

#include "npumm.h"
#include "proto/base.h"

#include <argp.h>

enum cli_exit {
        CLI_DONE = 0,
        CLI_FAILED = 1,      /* the job or the daemon failed */
        CLI_USAGE = 2,       /* usage, or bad input files */
        CLI_UNREACHABLE = 3, /* cannot connect */
};

/* Options that are understood before and after the subcommand. */
struct cli_common {
        const char *socket_path; /* borrowed: argv; NULL: the library's default */
};

/*
 * The children of every subcommand's argp, which gives them a struct cli_common as child_inputs[0]. They take
 * --socket, --help and --version, and refuse arguments that nobody else took.
 */
extern const struct argp_child cli_common_children[];

/* A subcommand. `argv[0]` is "npumm-client NAME"; `common` holds the options given before it. */
struct cli_command {
        const char *name;
        enum cli_exit (*run)(struct cli_common common, int argc, char **argv);
};

enum cli_exit cli_bench(struct cli_common common, int argc, char **argv);
enum cli_exit cli_matmul(struct cli_common common, int argc, char **argv);
enum cli_exit cli_ping(struct cli_common common, int argc, char **argv);
enum cli_exit cli_selftest(struct cli_common common, int argc, char **argv);
enum cli_exit cli_set(struct cli_common common, int argc, char **argv);
enum cli_exit cli_status(struct cli_common common, int argc, char **argv);

/* Writes one line for people to stdout. Whatever is not printable ASCII becomes '?', here and in cli_fail. */
void cli_say(const char *format, ...) _printf_(1, 2);

/* Writes "npumm-client: what, where, what to do" as one line to stderr and returns `code`. */
enum cli_exit cli_fail(enum cli_exit code, const char *format, ...) _printf_(2, 3);

/* argp_parse, but a usage error is one line, and returned as CLI_USAGE. --help and --version exit in here. */
enum cli_exit cli_parse(const struct argp *argp, int argc, char **argv, void *input);

#define CLI_DEADLINE_US_MAX 3600000000u /* as the library says */

/* Values of options that several commands have; for argp's parsers: 0, or EINVAL with its error said. */
error_t cli_parse_number(const char *option, const char *arg, struct argp_state *state, uint64_t least,
                         uint64_t most, uint64_t *ret_number);
error_t cli_parse_name(const char *option, const char *arg, struct argp_state *state,
                       const char *const *names, size_t n_names, const char *words, size_t *ret_index);
error_t cli_parse_output(const char *arg, struct argp_state *state, enum npumm_output *ret_output);
error_t cli_parse_class(const char *arg, struct argp_state *state, enum npumm_class *ret_class);

/* CLI_DONE or CLI_UNREACHABLE, with its line written. The caller ends the client with npumm_close(). */
enum cli_exit cli_connect(const struct cli_common *common, struct npumm_client **ret_client);

/* What a call of the library asked for, as far as an option may be the reason that it failed. */
struct cli_asked {
        bool is_inline;
        bool for_weights, for_deadline, for_group;
        uint64_t memory_bytes; /* 0: none */
};

/* Why a call on a connection that came about has failed: in words of options where the library's are of npumm.h. */
void cli_explain(const struct npumm_client *client, int result, const struct cli_asked *asked,
                 char ret_text[NPUMM_TEXT_MAX]);

/* Says so, and returns CLI_FAILED. */
enum cli_exit cli_fail_job(const struct npumm_client *client, int result, const struct cli_asked *asked);

/* Flushes stdout: CLI_DONE, or CLI_FAILED where not all of it could be written. */
enum cli_exit cli_finish_stdout(void);

static inline void npumm_closep(struct npumm_client **client)
{
        npumm_close(*client);
}

#endif
