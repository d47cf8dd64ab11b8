/* SPDX-License-Identifier: MIT */
/*
 * main.c - npumatmuld-xrt: the process that holds the NPU. Started by npumatmuld, and by nobody else.
 *
 * Role:   command line -> worker.
 * In:     argv; the daemon's socket and gate as descriptors WIRE_SOCKET_FD and WIRE_GATE_FD.
 *
 * Exit codes: 0 the daemon has closed its end, 1 FAILED was said, 2 bad usage, or not started by the daemon.
 */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "daemon/version.h"
#include "daemon/xrt/worker.h"

/* libc reads this one by its name: it must not be hidden like all else. */
__attribute__((visibility("default"))) const char *argp_program_version = "npumatmuld-xrt " DAEMON_VERSION;

#define TIMEOUT_MS_MAX UINT64_C(3600000)

enum { OPTION_MANIFEST = 256, OPTION_CHECK, OPTION_TIMEOUT, OPTION_WEIGHTS };

static const struct argp_option options[] = {
        {"manifest", OPTION_MANIFEST, "PATH", 0, "The manifest that names the NPU's program", 0},
        {"check", OPTION_CHECK, "WHEN", 0,
         "Check products: off, sample (one submission in 64) or always (default: sample)", 0},
        {"timeout-ms", OPTION_TIMEOUT, "N", 0, "Give up a command that takes longer (default: 5000)", 0},
        {"weights-bytes", OPTION_WEIGHTS, "N", 0,
         "The most for packed weights, below 4294967296 (default: 1073741824)", 0},
        {0},
};

static uint64_t number_parse(struct argp_state *state, const char *name, const char *text, uint64_t least,
                             uint64_t most)
{
        unsigned long long number;
        char *end;

        errno = 0;
        number = strtoull(text, &end, 10);
        if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || number < least || number > most)
                argp_error(state, "--%s=%s: must be a number from %llu to %llu", name, text,
                           (unsigned long long)least, (unsigned long long)most);
        return number;
}

static enum engine_check check_parse(struct argp_state *state, const char *text)
{
        static const char *const names[] = {"off", "sample", "always"}; /* enum engine_check */

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (strcmp(text, names[i]) == 0)
                        return (enum engine_check)i;
        argp_error(state, "--check=%s: must be off, sample or always", text);
        return ENGINE_CHECK_SAMPLE;
}

static error_t option_parse(int option, char *value, struct argp_state *state)
{
        struct worker_options *worker = state->input;

        switch (option) {
        case OPTION_MANIFEST:
                worker->manifest_path = value;
                return 0;
        case OPTION_CHECK:
                worker->check = check_parse(state, value);
                return 0;
        case OPTION_TIMEOUT:
                worker->timeout_ns = number_parse(state, "timeout-ms", value, 1, TIMEOUT_MS_MAX) * 1000000;
                return 0;
        case OPTION_WEIGHTS:
                worker->weights_bytes =
                        number_parse(state, "weights-bytes", value, WEIGHTS_ALIGN, UINT32_MAX);
                worker->weights_bytes -= worker->weights_bytes % WEIGHTS_ALIGN;
                return 0;
        case ARGP_KEY_ARG:
                argp_error(state, "\"%s\" is one argument too many", value);
                return 0;
        default:
                return ARGP_ERR_UNKNOWN;
        }
}

/* Descriptors of these numbers may be anything where somebody else has started us. */
static bool is_daemons_child(void)
{
        int type;
        socklen_t n = sizeof type;

        return getsockopt(WIRE_SOCKET_FD, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_SEQPACKET;
}

/*
 * We end with the daemon, and not before: a signal to all of its processes lets it finish what is inside us. A client
 * is never what we write to, but the daemon may be gone.
 */
static void signals_arrange(void)
{
        static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};

        static const char *const others[] = {"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS"};

        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                (void)unsetenv(others[i]); /* the service manager's words are the daemon's */
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
                (void)signal(ignored[i], SIG_IGN);
}

int main(int argc, char **argv)
{
        static const struct argp argp = {
                .options = options,
                .parser = option_parse,
                .doc = "Holds the NPU for npumatmuld, which starts it.",
        };
        struct worker_options worker = {
                .check = ENGINE_CHECK_SAMPLE,
                .timeout_ns = ENGINE_TIMEOUT_MS * UINT64_C(1000000),
                .weights_bytes = ENGINE_WEIGHTS_DEFAULT,
        };

        argp_err_exit_status = 2;
        if (argp_parse(&argp, argc, argv, 0, NULL, &worker) != 0)
                return 2;
        if (!is_daemons_child()) {
                (void)fputs("npumatmuld-xrt: holds the NPU for npumatmuld, which starts it; "
                            "there is nothing to start by hand\n",
                            stderr);
                return 2;
        }
        if (!worker.manifest_path) {
                (void)fputs("npumatmuld-xrt: --manifest is missing\n", stderr);
                return 2;
        }
        signals_arrange();
        worker_run(&worker);
}
