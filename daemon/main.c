/* SPDX-License-Identifier: MIT */
/*
 * main.c - command line -> configuration -> daemon -> exit code.
 *
 * Exit codes: 0 stopped in order, 1 could not start or run, 2 bad usage or configuration.
 */
#include <argp.h>
#include <errno.h>
#include <stdio.h>

#include "daemon/daemon.h"
#include "daemon/version.h"

/* libc reads this one by its name: it must not be hidden like all else. */
__attribute__((visibility("default"))) const char *argp_program_version = "npumatmuld " DAEMON_VERSION;

enum { OPTION_SOCKET = 256, OPTION_BACKEND, OPTION_CONFIG, OPTION_CHECK_CONFIG, OPTION_LOG_LEVEL };

static const struct argp_option options[] = {
        {"socket", OPTION_SOCKET, "PATH", 0, "Listen at PATH (default: " DAEMON_SOCKET_PATH ")", 0},
        {"backend", OPTION_BACKEND, "NAME", 0,
         "Device: auto, cpu, sim or xrt (default: auto, the NPU where one can be used, else the CPU)", 0},
        {"config", OPTION_CONFIG, "FILE", 0, "Read FILE, see npumatmuld.conf(5) (default: none)", 0},
        {"check-config", OPTION_CHECK_CONFIG, NULL, 0, "Print the configuration that would be used, and exit",
         0},
        {"log-level", OPTION_LOG_LEVEL, "LEVEL", 0, "error, warning, info or debug (default: info)", 0},
        {0},
};

/* What the command line says. Options come after the file, so they are kept until it has been read. */
struct arguments {
        const char *config_path; /* NULL: none */
        bool check;
        struct {
                const char *key, *value; /* borrowed from argv */
        } settings[16];
        size_t n_settings;
};

static void setting_add(struct arguments *arguments, struct argp_state *state, const char *key,
                        const char *value)
{
        if (arguments->n_settings == ARRAY_SIZE(arguments->settings))
                argp_error(state, "too many options");
        arguments->settings[arguments->n_settings].key = key;
        arguments->settings[arguments->n_settings].value = value;
        arguments->n_settings++;
}

static error_t option_parse(int option, char *value, struct argp_state *state)
{
        struct arguments *arguments = state->input;

        switch (option) {
        case OPTION_SOCKET:
                setting_add(arguments, state, "socket", value);
                return 0;
        case OPTION_BACKEND:
                setting_add(arguments, state, "backend", value);
                return 0;
        case OPTION_LOG_LEVEL:
                setting_add(arguments, state, "log-level", value);
                return 0;
        case OPTION_CONFIG:
                arguments->config_path = value;
                return 0;
        case OPTION_CHECK_CONFIG:
                arguments->check = true;
                return 0;
        case ARGP_KEY_ARG:
                argp_error(state, "\"%s\" is one argument too many", value);
                return 0;
        default:
                return ARGP_ERR_UNKNOWN;
        }
}

static int config_load(const struct arguments *arguments, struct config *config)
{
        char error[CONFIG_ERROR_MAX];
        int r = config_init(config);

        if (r == 0 && arguments->config_path)
                r = config_read(config, arguments->config_path, error);
        for (size_t i = 0; r == 0 && i < arguments->n_settings; i++)
                r = config_set(config, arguments->settings[i].key, arguments->settings[i].value, error);
        if (r != 0)
                (void)fprintf(stderr, "npumatmuld: %s\n", r > 0 ? error : strerror(-r));
        return r;
}

int main(int argc, char **argv)
{
        static const struct argp argp = {
                .options = options,
                .parser = option_parse,
                .doc = "Serves int8 matrix products to many processes from one device.",
        };
        struct arguments arguments = {0};
        struct config config = {0};
        struct daemon *daemon = NULL;
        int r;

        argp_err_exit_status = 2;
        if (argp_parse(&argp, argc, argv, 0, NULL, &arguments) != 0)
                return 2;
        r = config_load(&arguments, &config);
        if (r != 0 || arguments.check) {
                if (r == 0)
                        config_print(&config, stdout);
                config_deinit(&config);
                return r == 0 ? 0 : r > 0 ? 2 : 1;
        }
        log_init((enum log_level)config.log_level);
        /* Arenas end on libuv's pool, and each may wait for a client that writes to it: four threads are soon busy. */
        (void)setenv("UV_THREADPOOL_SIZE", "16", 0);
        r = daemon_new(&config, &daemon);
        if (r == 0)
                r = daemon_run(daemon);
        (void)daemon_free(daemon);
        config_deinit(&config);
        return r == 0 ? 0 : 1;
}
