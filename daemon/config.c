/* SPDX-License-Identifier: MIT */
/* config.c - see config.h. */
#include "daemon/config.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <inttypes.h>
#include <stdarg.h>

#include "daemon/device.h"
#include "daemon/version.h"

#define SECTION "npumatmuld"

#define DEFAULT_BACKEND    "auto"
#define DEFAULT_SIM_FAULTS ""

const char *const config_switch[] = {"off", "on", NULL};
const char *const npu_check_names[] = {
        [NPU_CHECK_OFF] = "off", [NPU_CHECK_SAMPLE] = "sample", [NPU_CHECK_ALWAYS] = "always", NULL};

enum unit { PLAIN = 0, BYTES };

static const struct number {
        const char *key;
        enum unit unit;
        size_t offset; /* in struct config */
        uint64_t standard, least, most;
        const char *text;
} numbers[] = {
#define X(field, key, unit, standard, least, most, text)                                                     \
        {key, unit, offsetof(struct config, field), standard, least, most, text},
        CONFIG_NUMBERS(X)
#undef X
};

/* Keys whose values are names of a list. */
static const struct choice {
        const char *key;
        const char *const *names;
        size_t offset; /* in struct config */
        int standard;
        const char *text;
} choices[] = {
#define X(field, key, names, standard, text) {key, names, offsetof(struct config, field), standard, text},
        CONFIG_CHOICES(X)
#undef X
};

static const struct path {
        const char *key;
        size_t offset; /* in struct config */
        const char *standard, *text;
} paths[] = {
#define X(field, key, standard, text) {key, offsetof(struct config, field), standard, text},
        CONFIG_PATHS(X)
#undef X
};

static char **path_of(struct config *config, const struct path *path)
{
        return (char **)(void *)((char *)config + path->offset);
}

static int *choice_of(struct config *config, const struct choice *choice)
{
        return (int *)(void *)((char *)config + choice->offset);
}

static uint64_t *number_of(struct config *config, const struct number *number)
{
        return (uint64_t *)(void *)((char *)config + number->offset);
}

/* Index of `name` in a NULL-terminated list; -1: not there. */
static int name_find(const char *const names[], const char *name)
{
        for (int i = 0; names[i]; i++)
                if (strcmp(names[i], name) == 0)
                        return i;
        return -1;
}

static bool strings_are_there(struct config *config)
{
        for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
                if (!*path_of(config, &paths[i]))
                        return false;
        return config->socket_path && config->backend && config->sim_faults;
}

int config_init(struct config *config)
{
        const char *socket = getenv("NPUMM_SOCKET");

        *config = (struct config){
                .socket_path = strdup(socket && socket[0] ? socket : DAEMON_SOCKET_PATH),
                .backend = strdup(DEFAULT_BACKEND),
                .sim_faults = strdup(DEFAULT_SIM_FAULTS),
        };
        for (size_t i = 0; i < ARRAY_SIZE(choices); i++)
                *choice_of(config, &choices[i]) = choices[i].standard;
        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
                *number_of(config, &numbers[i]) = numbers[i].standard;
        for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
                *path_of(config, &paths[i]) = strdup(paths[i].standard);
        if (strings_are_there(config))
                return 0;
        config_deinit(config);
        return -ENOMEM;
}

void config_deinit(struct config *config)
{
        free(config->socket_path);
        free(config->backend);
        free(config->sim_faults);
        for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
                free(*path_of(config, &paths[i]));
        *config = (struct config){0};
}

static int invalid(char ret_error[CONFIG_ERROR_MAX], const char *format, ...) _printf_(2, 3);
static int invalid(char ret_error[CONFIG_ERROR_MAX], const char *format, ...)
{
        va_list args;

        va_start(args, format);
        (void)vsnprintf(ret_error, CONFIG_ERROR_MAX, format, args);
        va_end(args);
        return CONFIG_E_INVALID;
}

static int string_set(char **string, const char *value)
{
        char *copy = strdup(value);

        if (!copy)
                return -ENOMEM;
        free(*string);
        *string = copy;
        return 0;
}

/* Decimal digits, for bytes perhaps with K, M or G; false for anything else, or what 64 bits do not hold. */
static bool number_parse(const char *text, enum unit unit, uint64_t *ret_value)
{
        const char *suffixes = unit == BYTES ? "KMG" : "";
        const char *suffix;
        uint64_t value;
        char *end;

        if (!isdigit((unsigned char)text[0]))
                return false;
        errno = 0;
        value = strtoull(text, &end, 10);
        if (errno != 0)
                return false;
        if (*end != '\0') {
                suffix = strchr(suffixes, *end);
                if (!suffix || end[1] != '\0')
                        return false;
                for (const char *s = suffixes; s <= suffix; s++)
                        if (!checked_mul(value, 1024, &value))
                                return false;
        }
        *ret_value = value;
        return true;
}

static int number_set(struct config *config, const char *key, const char *value,
                      char ret_error[CONFIG_ERROR_MAX])
{
        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
                const struct number *number = &numbers[i];
                uint64_t parsed;

                if (strcmp(number->key, key) != 0)
                        continue;
                if (!number_parse(value, number->unit, &parsed) || parsed < number->least ||
                    parsed > number->most)
                        return invalid(ret_error,
                                       "%s: \"%.40s\" is not a number from %" PRIu64 " to %" PRIu64, key,
                                       value, number->least, number->most);
                *number_of(config, number) = parsed;
                return 0;
        }
        return invalid(ret_error, "%.40s: there is no such key", key);
}

/* "none of a, b, c", for as long as the names fit. */
static int no_such_name(const char *key, const char *value, const char *const names[],
                        char ret_error[CONFIG_ERROR_MAX])
{
        char list[CONFIG_ERROR_MAX / 2] = "";

        for (size_t i = 0, n = 0; names[i] && n < sizeof list; i++)
                n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", i > 0 ? ", " : "", names[i]);
        return invalid(ret_error, "%s: \"%.40s\" is none of %s", key, value, list);
}

/* Sets nothing where `key` is no path. */
static int path_set(struct config *config, const char *key, const char *value, bool *ret_is_path,
                    char ret_error[CONFIG_ERROR_MAX])
{
        *ret_is_path = true;
        for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
                if (strcmp(key, paths[i].key) != 0)
                        continue;
                if (value[0] != '/')
                        return invalid(ret_error, "%s: \"%.40s\" is no path from / on", key, value);
                return string_set(path_of(config, &paths[i]), value);
        }
        *ret_is_path = false;
        return 0;
}

/* The same of choices. */
static int choice_set(struct config *config, const char *key, const char *value, bool *ret_is_choice,
                      char ret_error[CONFIG_ERROR_MAX])
{
        for (size_t i = 0; i < ARRAY_SIZE(choices); i++) {
                const struct choice *choice = &choices[i];
                int name;

                if (strcmp(choice->key, key) != 0)
                        continue;
                *ret_is_choice = true;
                name = name_find(choice->names, value);
                if (name < 0)
                        return no_such_name(key, value, choice->names, ret_error);
                *choice_of(config, choice) = name;
                return 0;
        }
        *ret_is_choice = false;
        return 0;
}

int config_set(struct config *config, const char *key, const char *value, char ret_error[CONFIG_ERROR_MAX])
{
        bool is_known;
        int r;

        if (strcmp(key, "socket") == 0) {
                if (value[0] == '\0')
                        return invalid(ret_error, "socket: the path is empty");
                return string_set(&config->socket_path, value);
        }
        if (strcmp(key, "backend") == 0) {
                if (name_find(device_names, value) < 0)
                        return no_such_name(key, value, device_names, ret_error);
                return string_set(&config->backend, value);
        }
        if (strcmp(key, "sim-faults") == 0) {
                if (!sim_faults_are_valid(value))
                        return invalid(
                                ret_error,
                                "sim-faults: \"%.40s\" is not FAULT@N[,FAULT@N...], FAULT error or slow, "
                                "N from 1",
                                value);
                return string_set(&config->sim_faults, value);
        }
        r = path_set(config, key, value, &is_known, ret_error);
        if (is_known)
                return r;
        r = choice_set(config, key, value, &is_known, ret_error);
        if (is_known)
                return r;
        return number_set(config, key, value, ret_error);
}

/* ---- file ---- */

struct reading {
        struct config *config;
        FILE *file; /* borrowed: closed by config_read */
        int line;   /* the one that is being read, from 1 */
        int result; /* of the first line that failed, other than by its form */
        int result_line;
        char error[CONFIG_ERROR_MAX];
};

static void reading_fail(struct reading *reading, int r, const char *error)
{
        if (reading->result != 0)
                return;
        reading->result = r;
        reading->result_line = reading->line;
        (void)snprintf(reading->error, sizeof reading->error, "%s", error);
}

/* inih asks this for each line. By itself it would take what does not fit in its buffer for another line. */
static char *on_line(char *line, int n_bytes, void *userdata)
{
        struct reading *reading = userdata;
        size_t n;
        int c;

        if (!fgets(line, n_bytes, reading->file))
                return NULL;
        reading->line++;
        n = strlen(line);
        if (n + 1 < (size_t)n_bytes || line[n - 1] == '\n')
                return line;
        do
                c = fgetc(reading->file);
        while (c != '\n' && c != EOF);
        if (!strchr("#;", line[strspn(line, " \t")])) /* comments may be as long as they like */
                reading_fail(reading, CONFIG_E_INVALID, "the line is too long");
        line[0] = '\0';
        return line;
}

/* inih calls this for each key; 0 tells it that the line is bad. */
static int on_key(void *userdata, const char *section, const char *key, const char *value)
{
        struct reading *reading = userdata;
        char error[CONFIG_ERROR_MAX] = "";
        int r;

        if (strcmp(section, SECTION) != 0)
                r = invalid(error, "section [%.40s]: there is only [" SECTION "]", section);
        else
                r = config_set(reading->config, key, value, error);
        if (r != 0)
                reading_fail(reading, r, error);
        return r == 0;
}

int config_read(struct config *config, const char *path, char ret_error[CONFIG_ERROR_MAX])
{
        struct reading reading = {.config = config, .file = fopen(path, "re")};
        int line, error;

        if (!reading.file) {
                (void)invalid(ret_error, "%.150s: %s", path, strerror(errno));
                return CONFIG_E_FILE;
        }
        errno = 0;
        line = ini_parse_stream(on_line, &reading, on_key, &reading);
        error = ferror(reading.file) ? errno : 0; /* a directory opens, and fails only here */
        (void)fclose(reading.file);
        if (error != 0) {
                (void)invalid(ret_error, "%.150s: %s", path, strerror(error));
                return CONFIG_E_FILE;
        }
        if (reading.result < 0)
                return reading.result;
        /* The first line that is wrong, be it by its form or by what it says. */
        if (line > 0 && (reading.result == 0 || line < reading.result_line))
                return invalid(ret_error, "%.150s:%d: not \"key = value\"", path, line);
        if (reading.result != 0)
                return invalid(ret_error, "%.100s:%d: %.120s", path, reading.result_line, reading.error);
        return 0;
}

/* ---- print ---- */

static void number_format(uint64_t value, enum unit unit, char *to, size_t to_bytes)
{
        static const char suffixes[] = "\0KMG";
        size_t i = 0;

        while (unit == BYTES && value != 0 && value % 1024 == 0 && i < 3) {
                value /= 1024;
                i++;
        }
        (void)snprintf(to, to_bytes, "%" PRIu64 "%.1s", value, &suffixes[i]);
}

static void line_print(FILE *to, bool is_default, const char *key, const char *value)
{
        (void)fprintf(to, "%s%s = %s\n\n", is_default ? "#" : "", key, value);
}

void config_print(const struct config *config, FILE *to)
{
        (void)fputs("# Configuration of npumatmuld; see npumatmuld.conf(5). Options on the command line come "
                    "first.\n"
                    "[" SECTION "]\n\n",
                    to);
        (void)fprintf(to,
                      "# socket: where clients connect, unless systemd passes a socket or $NPUMM_SOCKET "
                      "names one. Default: %s\n",
                      DAEMON_SOCKET_PATH);
        line_print(to, strcmp(config->socket_path, DAEMON_SOCKET_PATH) == 0, "socket", config->socket_path);
        (void)fprintf(to, "# backend: the device: auto, cpu, sim or xrt. Default: %s\n", DEFAULT_BACKEND);
        line_print(to, strcmp(config->backend, DEFAULT_BACKEND) == 0, "backend", config->backend);
        for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
                const char *value = *(char *const *)(const void *)((const char *)config + paths[i].offset);

                (void)fprintf(to, "# %s: %s. Default: %s\n", paths[i].key, paths[i].text, paths[i].standard);
                line_print(to, strcmp(value, paths[i].standard) == 0, paths[i].key, value);
        }
        for (size_t i = 0; i < ARRAY_SIZE(choices); i++) {
                const struct choice *choice = &choices[i];
                const int value = *(const int *)(const void *)((const char *)config + choice->offset);

                (void)fprintf(to, "# %s: %s. Default: %s\n", choice->key, choice->text,
                              choice->names[choice->standard]);
                line_print(to, value == choice->standard, choice->key, choice->names[value]);
        }
        (void)fprintf(
                to, "# sim-faults: of backend sim: what goes wrong, FAULT@N[,FAULT@N...]: error or slow, at "
                    "submission N. Default: none\n");
        line_print(to, config->sim_faults[0] == '\0', "sim-faults", config->sim_faults);
        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
                const struct number *number = &numbers[i];
                uint64_t value = *(const uint64_t *)(const void *)((const char *)config + number->offset);
                char text[4][24];

                number_format(number->standard, number->unit, text[0], sizeof text[0]);
                number_format(number->least, number->unit, text[1], sizeof text[1]);
                number_format(number->most, number->unit, text[2], sizeof text[2]);
                number_format(value, number->unit, text[3], sizeof text[3]);
                (void)fprintf(to, "# %s: %s. Default: %s; %s to %s\n", number->key, number->text, text[0],
                              text[1], text[2]);
                line_print(to, value == number->standard, number->key, text[3]);
        }
}
