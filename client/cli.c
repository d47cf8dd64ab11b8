/* SPDX-License-Identifier: MIT */
/*
 * cli.c - npumm-client: subcommand table, common options, exit codes.
 *
 * Role:   parses what stands before the subcommand and hands the rest to it.
 * In:     argv, $NPUMM_SOCKET (read by the library).
 * Out:    an exit code of cli.h and, for every failure, exactly one line on stderr.
 * Thread: one.
 * Never:  knows more of the daemon than npumm.h says.
 */
#include "cli.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- lines for people ---- */

#define LINE_BYTES_MAX 4096

/* A file may be named with a line break, a daemon may send what terminals obey: it stays one line of text. */
_printf_(2, 0) static void format_line(char ret_line[LINE_BYTES_MAX], const char *format, va_list args)
{
        if (vsnprintf(ret_line, LINE_BYTES_MAX, format, args) < 0)
                ret_line[0] = '\0';
        for (char *c = ret_line; *c; c++)
                if (*c < ' ' || *c > '~')
                        *c = '?';
}

void cli_say(const char *format, ...)
{
        char line[LINE_BYTES_MAX];
        va_list args;

        va_start(args, format);
        format_line(line, format, args);
        va_end(args);
        (void)puts(line); /* cli_finish_stdout() tells whether it could be written */
}

enum cli_exit cli_fail(enum cli_exit code, const char *format, ...)
{
        char line[LINE_BYTES_MAX];
        va_list args;

        va_start(args, format);
        format_line(line, format, args);
        va_end(args);
        (void)dprintf(STDERR_FILENO, "npumm-client: %s\n", line); /* not stderr: see cli_parse */
        return code;
}

enum cli_exit cli_fail_job(const struct npumm_client *client, int result, const struct cli_asked *asked)
{
        char text[NPUMM_TEXT_MAX];

        cli_explain(client, result, asked, text);
        return cli_fail(CLI_FAILED, "%s", text);
}

enum cli_exit cli_finish_stdout(void)
{
        if (fflush(stdout) == 0 && !ferror(stdout))
                return CLI_DONE;
        return cli_fail(CLI_FAILED, "cannot write to stdout: %s; see what it is redirected to",
                        strerror(errno));
}

/* ---- options ---- */

/*
 * getopt writes its complaint to stderr by itself and argp adds a second line. Both are caught in memory
 * (glibc's stderr is a variable for this use) and the complaint is said in our own single line.
 */
enum cli_exit cli_parse(const struct argp *argp, int argc, char **argv, void *input)
{
        _cleanup_(freep) char *caught = NULL;
        FILE *real_stderr = stderr, *memory;
        size_t n_caught, skip = 0;
        int r;

        memory = open_memstream(&caught, &n_caught);
        if (!memory)
                return cli_fail(CLI_FAILED, "out of memory; close something and try again");
        stderr = memory;
        r = argp_parse(argp, argc, argv, ARGP_IN_ORDER | ARGP_NO_HELP | ARGP_NO_EXIT, NULL, input);
        stderr = real_stderr;
        (void)fclose(memory);
        if (r == 0)
                return CLI_DONE;
        if (strncmp(caught, argv[0], strlen(argv[0])) == 0)
                skip = strlen(argv[0]) + strlen(": ");
        return cli_fail(CLI_USAGE, "%.*s; see %s --help", (int)strcspn(caught + skip, "\n"), caught + skip,
                        argv[0]);
}

enum { KEY_VERSION = 'V', KEY_HELP = '?', KEY_SOCKET = 0x100 };

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
        struct cli_common *common = state->input;

        switch (key) {
        case KEY_SOCKET:
                common->socket_path = arg;
                return 0;
        case KEY_VERSION:
                (void)printf("npumm-client %s\n", NPUMM_VERSION_TEXT);
                exit((int)cli_finish_stdout());
        case KEY_HELP:
                argp_state_help(state, stdout, ARGP_HELP_STD_HELP);
                exit((int)cli_finish_stdout());
        case ARGP_KEY_ARG:
                argp_error(state, "unexpected argument '%s'", arg);
                return EINVAL;
        default:
                return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp_option common_options[] = {
        {"socket", KEY_SOCKET, "PATH", 0,
         "Where the daemon listens (default: $NPUMM_SOCKET, else " NPUMM_SOCKET_DEFAULT ")", 0},
        {"help", KEY_HELP, NULL, 0, "Print this text", -1},
        {"version", KEY_VERSION, NULL, 0, "Print the program's version", -1},
        {0},
};
static const struct argp common_argp = {.options = common_options, .parser = parse_common};
const struct argp_child cli_common_children[] = {{&common_argp, 0, "Common options:", 1}, {0}};

/* ---- values of options ---- */

error_t cli_parse_number(const char *option, const char *arg, struct argp_state *state, uint64_t least,
                         uint64_t most, uint64_t *ret_number)
{
        const size_t n_digits = strspn(arg, "0123456789");
        uint64_t number;

        errno = 0;
        number = strtoull(arg, NULL, 10);
        if (n_digits == 0 || arg[n_digits] != '\0' || errno != 0 || number < least || number > most) {
                argp_error(state, "--%s=%s is out of range; give a number from %" PRIu64 " to %" PRIu64,
                           option, arg, least, most);
                return EINVAL;
        }
        *ret_number = number;
        return 0;
}

error_t cli_parse_name(const char *option, const char *arg, struct argp_state *state,
                       const char *const *names, size_t n_names, const char *words, size_t *ret_index)
{
        for (size_t i = 0; i < n_names; i++) {
                if (strcmp(arg, names[i]) == 0) {
                        *ret_index = i;
                        return 0;
                }
        }
        argp_error(state, "--%s=%s is unknown; give %s", option, arg, words);
        return EINVAL;
}

error_t cli_parse_output(const char *arg, struct argp_state *state, enum npumm_output *ret_output)
{
        static const char *const names[] = {
                [NPUMM_OUTPUT_INT32] = "int32",
                [NPUMM_OUTPUT_INT8] = "int8",
                [NPUMM_OUTPUT_FLOAT32] = "float32",
                [NPUMM_OUTPUT_TILE16_SHIFT7] = "tile16-shift7",
        };
        size_t i = NPUMM_OUTPUT_INT32;
        const error_t r = cli_parse_name("output", arg, state, names, ARRAY_SIZE(names),
                                         "int32, int8, float32 or tile16-shift7", &i);

        *ret_output = (enum npumm_output)i;
        return r;
}

error_t cli_parse_class(const char *arg, struct argp_state *state, enum npumm_class *ret_class)
{
        static const char *const names[] = {
                [NPUMM_CLASS_NORMAL] = "normal",
                [NPUMM_CLASS_INTERACTIVE] = "interactive",
                [NPUMM_CLASS_BULK] = "bulk",
        };
        size_t i = NPUMM_CLASS_NORMAL;
        const error_t r = cli_parse_name("class", arg, state, names, ARRAY_SIZE(names),
                                         "normal, interactive or bulk", &i);

        *ret_class = (enum npumm_class)i;
        return r;
}

/* ---- subcommands ---- */

static const struct cli_command commands[] = {
        {"matmul", cli_matmul}, {"ping", cli_ping}, {"status", cli_status},
        {"bench", cli_bench},   {"set", cli_set},   {"selftest", cli_selftest},
};

struct top {
        struct cli_common common;
        const struct cli_command *command; /* borrowed: commands[] */
        int argc;                          /* of the subcommand, whose name is argv[0] */
        char **argv;                       /* borrowed: main's argv */
};

static error_t parse_top(int key, char *arg, struct argp_state *state)
{
        struct top *top = state->input;

        switch (key) {
        case ARGP_KEY_INIT:
                state->child_inputs[0] = &top->common;
                return 0;
        case ARGP_KEY_ARGS: /* everything from the first argument on */
                top->argc = state->argc - state->next;
                top->argv = state->argv + state->next;
                for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
                        if (strcmp(top->argv[0], commands[i].name) == 0)
                                top->command = &commands[i];
                if (top->command)
                        return 0;
                argp_error(state, "unknown command '%s'; give matmul, ping, status, bench, set or selftest",
                           top->argv[0]);
                return EINVAL;
        case ARGP_KEY_NO_ARGS:
                argp_error(state, "no command; give matmul, ping, status, bench, set or selftest");
                return EINVAL;
        default:
                (void)arg;
                return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp top_argp = {
        .parser = parse_top,
        .children = cli_common_children,
        .args_doc = "COMMAND [ARGUMENT...]",
        .doc = "Multiplies int8 matrices through npumatmuld.\v"
               "Commands:\n"
               "  matmul    multiply two .npy files\n"
               "  ping      go to the daemon and back\n"
               "  status    print the daemon's counters\n"
               "  bench     give the daemon work, and report how it bears it\n"
               "  set       change a setting of the running daemon\n"
               "  selftest  have the daemon compute known products, and say what computed them\n"
               "\n"
               "'npumm-client COMMAND --help' lists the options of a command; npumm-client(1) explains them. "
               "Exit codes: 0 done, 1 the job or the daemon failed, 2 usage or bad input files, 3 cannot "
               "connect.",
};

enum cli_exit cli_connect(const struct cli_common *common, struct npumm_client **ret_client)
{
        const struct npumm_connect_options options = {
                .size = sizeof options,
                .socket_path = common->socket_path,
                .client_name = "npumm-client",
        };
        char text[NPUMM_TEXT_MAX] = "";
        int r;

        r = npumm_connect(&options, ret_client, text);
        if (r == 0)
                return CLI_DONE;
        return cli_fail(CLI_UNREACHABLE, "%s", *text ? text : npumm_strerror(r));
}

static enum cli_exit run(int argc, char **argv)
{
        static char name[] = "npumm-client"; /* how messages call us, whatever path we were started by */
        static char full_name[sizeof name + 16];
        struct top top = {0};
        enum cli_exit r;

        if (argc < 1)
                return cli_fail(CLI_USAGE, "started without a name; see npumm-client --help");
        argv[0] = name;
        r = cli_parse(&top_argp, argc, argv, &top);
        if (r != CLI_DONE)
                return r;
        (void)snprintf(full_name, sizeof full_name, "%s %s", name, top.command->name);
        top.argv[0] = full_name;
        return top.command->run(top.common, top.argc, top.argv);
}

int main(int argc, char **argv)
{
        /* A closed pipe and a file over its limit are failures with a line, not silent deaths. */
        (void)signal(SIGPIPE, SIG_IGN);
        (void)signal(SIGXFSZ, SIG_IGN);
        return (int)run(argc, argv);
}
