/* SPDX-License-Identifier: MIT */
/*
 * test-config.c - settings: defaults, both ends of every bound, words that are no numbers, files with every
 * kind of mistake, and that what is printed reads back as the same.
 */
#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "daemon/config.h"
#include "daemon/device.h"
#include "daemon/version.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

enum unit { PLAIN = 0, BYTES };

static const struct number {
        const char *key;
        enum unit unit;
        size_t offset;
        uint64_t standard, least, most;
} numbers[] = {
#define X(field, key, unit, standard, least, most, text)                                                     \
        {key, unit, offsetof(struct config, field), standard, least, most},
        CONFIG_NUMBERS(X)
#undef X
};

static const struct choice {
        const char *key;
        const char *const *names;
        size_t offset;
        int standard;
} choices[] = {
#define X(field, key, names, standard, text) {key, names, offsetof(struct config, field), standard},
        CONFIG_CHOICES(X)
#undef X
};

static struct rng rng;
static struct config config;
static char path[64];

static uint64_t number_of(const struct config *from, const struct number *number)
{
        uint64_t value;

        memcpy(&value, (const char *)from + number->offset, sizeof value);
        return value;
}

static int choice_of(const struct config *from, const struct choice *choice)
{
        int value;

        memcpy(&value, (const char *)from + choice->offset, sizeof value);
        return value;
}

static size_t n_names(const struct choice *choice)
{
        size_t n = 0;

        while (choice->names[n])
                n++;
        return n;
}

static void setup(void)
{
        int fd;

        ck_assert_int_eq(config_init(&config), 0);
        (void)snprintf(path, sizeof path, "/tmp/npumm-test-config-XXXXXX");
        fd = mkstemp(path);
        ck_assert_int_ge(fd, 0);
        (void)close(fd);
}

static void teardown(void)
{
        config_deinit(&config);
        config_deinit(&config); /* twice is once */
        (void)unlink(path);
}

static void expect_equal(const struct config *left, const struct config *right)
{
        ck_assert_str_eq(left->socket_path, right->socket_path);
        ck_assert_str_eq(left->backend, right->backend);
        ck_assert_str_eq(left->sim_faults, right->sim_faults);
        for (size_t i = 0; i < ARRAY_SIZE(choices); i++)
                ck_assert_msg(choice_of(left, &choices[i]) == choice_of(right, &choices[i]), "%s",
                              choices[i].key);
        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
                ck_assert_msg(number_of(left, &numbers[i]) == number_of(right, &numbers[i]), "%s",
                              numbers[i].key);
}

/* Sets nothing, and says one line that has `words` in it. */
static void expect_refused(const char *key, const char *value, const char *words)
{
        char error[CONFIG_ERROR_MAX] = "";
        struct config before;

        ck_assert_int_eq(config_init(&before), 0);
        ck_assert_msg(config_set(&config, key, value, error) == CONFIG_E_INVALID, "%s = %s", key, value);
        ck_assert_msg(strstr(error, words), "\"%s\" lacks \"%s\"", error, words);
        ck_assert_ptr_null(strchr(error, '\n'));
        expect_equal(&config, &before);
        config_deinit(&before);
}

static void expect_number(const struct number *number, const char *value, uint64_t expected)
{
        char error[CONFIG_ERROR_MAX] = "";

        ck_assert_msg(config_set(&config, number->key, value, error) == 0, "%s = %s: %s", number->key, value,
                      error);
        ck_assert_uint_eq(number_of(&config, number), expected);
}

static const struct number *number_find(const char *key)
{
        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
                if (strcmp(numbers[i].key, key) == 0)
                        return &numbers[i];
        ck_abort_msg("there is no key %s", key);
        return NULL;
}

/* ---- single keys ---- */

/* What proto/README.md, section 13, promises clients. */
START_TEST(test_defaults)
{
        static const struct {
                const char *key;
                uint64_t value;
        } promised[] = {
                {"arena-bytes", 4 * GIB},         {"arenas-per-connection", 64},
                {"bytes-per-uid", 4 * GIB},       {"bytes", 6 * GIB},
                {"weights-per-uid", 24576},       {"weights", 32768},
                {"jobs-per-connection", 256},     {"jobs-per-uid", 1024},
                {"connections-per-uid", 256},     {"connections", 1024},
                {"inline-bytes", 64 * MIB},       {"hello-timeout-ms", 5000},
                {"frame-timeout-ms", 5000},       {"stall-timeout-ms", 5000},
                {"payload-bytes-per-s", 1 * MIB}, {"high-water-bytes", 1 * MIB},
        };

        for (size_t i = 0; i < ARRAY_SIZE(promised); i++)
                ck_assert_uint_eq(number_of(&config, number_find(promised[i].key)), promised[i].value);
        ck_assert_str_eq(config.socket_path, DAEMON_SOCKET_PATH);
        ck_assert_str_eq(config.backend, "auto");
        ck_assert_int_eq(config.log_level, LOG_LEVEL_INFO);
        ck_assert_int_eq(config.policy, POLICY_HOLD);
        ck_assert_str_eq(config_switch[config.stacking], "on");
        ck_assert_int_eq(config.sim_profile, NPU_PHOENIX);
        ck_assert_str_eq(config.sim_faults, "");
}
END_TEST

/* _i: which number. */
/* Where 0 switches something off; anywhere else it would be a limit that nobody can live with. */
static bool may_be_0(const char *key)
{
        static const char *const keys[] = {"weights-kept-bytes", "window-us",         "submission-us",
                                           "cpu-inline-us",      "cpu-weights-bytes", "ring-spin-us"};

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                if (strcmp(key, keys[i]) == 0)
                        return true;
        return false;
}

START_TEST(test_bounds)
{
        const struct number *number = &numbers[_i];
        char value[32], words[96];

        ck_assert_uint_le(number->least, number->standard);
        ck_assert_uint_le(number->standard, number->most);
        /* No limit means anything at 0; but nothing may be kept, no wait at all is a wait, and a cost be unknown. */
        ck_assert(number->least > 0 || may_be_0(number->key));
        (void)snprintf(words, sizeof words, "%s: \"", number->key);
        if (number->least > 0) {
                (void)snprintf(value, sizeof value, "%" PRIu64, number->least - 1);
                expect_refused(number->key, value, words);
        }
        (void)snprintf(value, sizeof value, "%" PRIu64, number->most + 1);
        expect_refused(number->key, value, words);
        (void)snprintf(words, sizeof words, "from %" PRIu64 " to %" PRIu64, number->least, number->most);
        expect_refused(number->key, value, words);
        (void)snprintf(value, sizeof value, "%" PRIu64, number->least);
        expect_number(number, value, number->least);
        (void)snprintf(value, sizeof value, "%" PRIu64, number->most);
        expect_number(number, value, number->most);
}
END_TEST

/* _i: which number. */
START_TEST(test_suffixes)
{
        const struct number *number = &numbers[_i];

        if (number->unit == PLAIN) {
                expect_refused(number->key, "1K", number->key);
                return;
        }
        expect_number(number, "64K", 64 * KIB);
        expect_number(number, "3M", 3 * MIB);
        expect_number(number, "1G", 1 * GIB);
}
END_TEST

START_TEST(test_no_numbers)
{
        static const char *const values[] = {
                "",
                " ",
                " 5",
                "5 ",
                "-5",
                "+5",
                "5.5",
                "5e3",
                "0x10",
                "five",
                "5 M",
                "5k",
                "5KB",
                "5MM",
                "5T",
                "5%",
                "M",
                "5\t",
                "5,000",
                "18446744073709551616",  /* 2^64 */
                "18446744073709551615G", /* fits before the suffix, not after */
                "17179869184G",          /* 2^64 again */
                "99999999999999999999999999",
        };

        for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
                expect_refused("arena-bytes", values[i], "is not a number");
                expect_refused("jobs-per-uid", values[i], "is not a number");
        }
}
END_TEST

START_TEST(test_words)
{
        char error[CONFIG_ERROR_MAX] = "";

        for (size_t i = 0; device_names[i]; i++) {
                ck_assert_int_eq(config_set(&config, "backend", device_names[i], error), 0);
                ck_assert_str_eq(config.backend, device_names[i]);
        }
        for (size_t i = 0; i < ARRAY_SIZE(choices); i++) {
                for (size_t name = 0; choices[i].names[name]; name++) {
                        ck_assert_int_eq(config_set(&config, choices[i].key, choices[i].names[name], error),
                                         0);
                        ck_assert_int_eq(choice_of(&config, &choices[i]), (int)name);
                }
        }
        ck_assert_int_eq(config_set(&config, "socket", "/a/b c", error), 0);
        ck_assert_str_eq(config.socket_path, "/a/b c");
}
END_TEST

START_TEST(test_wrong_words)
{
        expect_refused("backend", "gpu", "\"gpu\" is none of auto, cpu, sim, xrt");
        expect_refused("backend", "", "backend");
        expect_refused("backend", "CPU", "backend");
        expect_refused("log-level", "loud", "\"loud\" is none of error, warning, info, debug");
        expect_refused("log-level", "", "log-level");
        expect_refused("policy", "wait", "\"wait\" is none of natural, hold, window");
        expect_refused("stacking", "yes", "\"yes\" is none of off, on");
        expect_refused("sim-profile", "strix", "\"strix\" is none of phoenix, origin, origin-measured");
        for (size_t i = 0; i < ARRAY_SIZE(choices); i++)
                expect_refused(choices[i].key, "", choices[i].key);
        expect_refused("socket", "", "socket: the path is empty");
        expect_refused("jobs", "5", "jobs: there is no such key");
        expect_refused("Socket", "x", "no such key");
        expect_refused("", "5", "no such key");
}
END_TEST

/* Scripts of what goes wrong in a model. */
START_TEST(test_sim_faults)
{
        static const char *const right[] = {
                "", "error@1", "slow@2", "error@3,slow@5", "error@3,error@3", "slow@18446744073709551615"};
        static const char *const wrong[] = {" ",         "error",    "error@",         "error@0",
                                            "error@x",   "error@-1", "error@1;slow@2", "hang@1",
                                            "error@1,x", "@1",       "error @1",       "ERROR@1",
                                            "error@1x",  ",error@1", "error@+1",       "error@1,,slow@2",
                                            "error@ 1",  "error@1 ", "error@01"};
        char error[CONFIG_ERROR_MAX] = "";

        for (size_t i = 0; i < ARRAY_SIZE(right); i++) {
                ck_assert_msg(config_set(&config, "sim-faults", right[i], error) == 0, "%s", error);
                ck_assert_str_eq(config.sim_faults, right[i]);
        }
        ck_assert_int_eq(config_set(&config, "sim-faults", "", error), 0);
        for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
                expect_refused("sim-faults", wrong[i], "is not FAULT@N");
}
END_TEST

/* A value as long as a line of the file leaves room for the words about it. */
START_TEST(test_long_value_in_error)
{
        char value[400];

        memset(value, 'x', sizeof value - 1);
        value[sizeof value - 1] = '\0';
        expect_refused("jobs-per-uid", value, "is not a number from 1 to 1048576");
        expect_refused("backend", value, "is none of");
        expect_refused(value, "1", "there is no such key");
}
END_TEST

/* ---- files ---- */

static void file_write(const char *text)
{
        FILE *file = fopen(path, "we");

        ck_assert_ptr_nonnull(file);
        ck_assert_int_ge(fputs(text, file), 0);
        ck_assert_int_eq(fclose(file), 0);
}

static void expect_read(const char *text)
{
        char error[CONFIG_ERROR_MAX] = "";

        file_write(text);
        ck_assert_msg(config_read(&config, path, error) == 0, "%s", error);
}

START_TEST(test_file)
{
        expect_read("# a comment\n; and another\n\n[npumatmuld]\nsocket = /x\njobs-per-uid=7\r\n"
                    "  # indented\narena-bytes = 2M ; behind a value\nbackend: cpu\njobs-per-uid = 8");
        ck_assert_str_eq(config.socket_path, "/x");
        ck_assert_str_eq(config.backend, "cpu");
        ck_assert_uint_eq(config.arena_bytes, 2 * MIB);
        ck_assert_uint_eq(config.jobs_per_uid, 8); /* the last one counts */
}
END_TEST

START_TEST(test_empty_files)
{
        struct config standard;

        ck_assert_int_eq(config_init(&standard), 0);
        expect_read("");
        expect_read("\n\n");
        expect_read("[npumatmuld]\n");
        expect_read("# jobs-per-uid = 1\n");
        expect_equal(&config, &standard);
        config_deinit(&standard);
}
END_TEST

static const struct {
        const char *text;
        int line;
        const char *words;
} mistakes[] = {
        {"[npumatmuld]\njobs-per-uid = 0\n", 2, "jobs-per-uid: \"0\" is not a number from 1 to"},
        {"[npumatmuld]\n\n\n# x\nnonsense = 1\n", 5, "nonsense: there is no such key"},
        {"[npumatmuld]\njobs-per-uid = 5\nbackend = gpu", 3, "\"gpu\" is none of"},
        {"[other]\njobs-per-uid = 5\n", 2, "section [other]: there is only [npumatmuld]"},
        {"jobs-per-uid = 5\n", 1, "section []: there is only [npumatmuld]"},
        {"[npumatmuld]\njobs-per-uid\n", 2, "not \"key = value\""},
        {"[npumatmuld\njobs-per-uid = 5\n", 1, "not \"key = value\""},
        {"[npumatmuld]\n= 5\n", 2, "no such key"},
        {"[npumatmuld]\njobs-per-uid =\n", 2, "\"\" is not a number"},
        /* of several mistakes, the first; each with the words that belong to it */
        {"[npumatmuld]\ngarbage\nnonsense = 1\n", 2, "not \"key = value\""},
        {"[npumatmuld]\nnonsense = 1\ngarbage\n", 2, "nonsense: there is no such key"},
        {"[npumatmuld]\nnonsense = 1\nmore = 1\n", 2, "nonsense: there is no such key"},
        /* an indented line goes on with the value before it */
        {"[npumatmuld]\njobs-per-uid = 5\n  bytes = 1G\n", 3, "\"bytes = 1G\" is not a number"},
};

START_TEST(test_mistakes)
{
        char error[CONFIG_ERROR_MAX] = "", where[96];

        file_write(mistakes[_i].text);
        ck_assert_int_eq(config_read(&config, path, error), CONFIG_E_INVALID);
        (void)snprintf(where, sizeof where, "%s:%d: ", path, mistakes[_i].line);
        ck_assert_msg(strncmp(error, where, strlen(where)) == 0, "\"%s\" does not begin with \"%s\"", error,
                      where);
        ck_assert_msg(strstr(error, mistakes[_i].words), "\"%s\" lacks \"%s\"", error, mistakes[_i].words);
        ck_assert_ptr_null(strchr(error, '\n'));
}
END_TEST

/* A long comment is one line, whatever its middle looks like; a long value is never cut. */
START_TEST(test_long_lines)
{
        char filler[260], text[1024], error[CONFIG_ERROR_MAX] = "", where[96];

        for (size_t n = 100; n < sizeof filler; n++) {
                memset(filler, ' ', n);
                filler[n] = '\0';
                (void)snprintf(
                        text, sizeof text,
                        "[npumatmuld]\n#%sjobs-per-uid = 3\n ;%sjobs-per-uid = 3\njobs-per-connection = 4\n",
                        filler, filler);
                expect_read(text);
                ck_assert_uint_eq(config.jobs_per_uid, 1024);
                ck_assert_uint_eq(config.jobs_per_connection, 4);
        }
        memset(filler, 'x', sizeof filler - 1);
        (void)snprintf(text, sizeof text, "[npumatmuld]\nsocket = /%s\njobs-per-uid = 1\n", filler);
        file_write(text);
        ck_assert_int_eq(config_read(&config, path, error), CONFIG_E_INVALID);
        (void)snprintf(where, sizeof where, "%s:2: the line is too long", path);
        ck_assert_str_eq(error, where);
}
END_TEST

START_TEST(test_unreadable_files)
{
        char error[CONFIG_ERROR_MAX] = "";

        (void)unlink(path);
        ck_assert_int_eq(config_read(&config, path, error), CONFIG_E_FILE);
        ck_assert_ptr_nonnull(strstr(error, path));
        ck_assert_ptr_nonnull(strstr(error, strerror(ENOENT)));
        ck_assert_int_eq(mkdir(path, 0700), 0);
        ck_assert_int_eq(config_read(&config, path, error), CONFIG_E_FILE);
        ck_assert_ptr_nonnull(strstr(error, strerror(EISDIR)));
        ck_assert_int_eq(rmdir(path), 0);
}
END_TEST

/* ---- printed ---- */

static void print(const struct config *from)
{
        FILE *file = fopen(path, "we");

        ck_assert_ptr_nonnull(file);
        config_print(from, file);
        ck_assert_int_eq(fclose(file), 0);
}

/* Half of the keys stand at values by chance, round ones and others. */
static void numbers_change(void)
{
        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
                const struct number *number = &numbers[i];
                uint64_t value = rng_between(&rng, number->least, number->most);
                char text[32], error[CONFIG_ERROR_MAX] = "";

                if (rng_once_in(&rng, 2))
                        continue;
                if (rng_once_in(&rng, 2) && value > MIB)
                        value -= value % MIB;
                (void)snprintf(text, sizeof text, "%" PRIu64, value);
                ck_assert_msg(config_set(&config, number->key, text, error) == 0, "%s", error);
        }
}

static void choices_change(void)
{
        for (size_t i = 0; i < ARRAY_SIZE(choices); i++) {
                const char *name = choices[i].names[rng_below(&rng, n_names(&choices[i]))];
                char error[CONFIG_ERROR_MAX] = "";

                ck_assert_msg(config_set(&config, choices[i].key, name, error) == 0, "%s", error);
        }
}

START_TEST(test_printed_reads_back)
{
        for (int round = 0; round < 50; round++) {
                char error[CONFIG_ERROR_MAX] = "";
                struct config again;

                numbers_change();
                ck_assert_int_eq(config_set(&config, "socket", "/srv/n.sock", error), 0);
                ck_assert_int_eq(config_set(&config, "backend", device_names[round % 4], error), 0);
                ck_assert_int_eq(config_set(&config, "sim-faults", round % 2 ? "error@3,slow@7" : "", error),
                                 0);
                choices_change();
                print(&config);
                ck_assert_int_eq(config_init(&again), 0);
                ck_assert_msg(config_read(&again, path, error) == 0, "%s", error);
                expect_equal(&config, &again);
                config_deinit(&again);
        }
}
END_TEST

/* All defaults: every key is there, commented out, so that nothing is set but what somebody chose. */
START_TEST(test_printed_defaults_are_comments)
{
        bool is_there[ARRAY_SIZE(numbers)] = {false};
        size_t n_settings = 0;
        char line[256];
        FILE *file;

        print(&config);
        file = fopen(path, "re");
        ck_assert_ptr_nonnull(file);
        while (fgets(line, sizeof line, file)) {
                ck_assert_uint_lt(strlen(line), 199); /* as much as inih takes */
                if (strcmp(line, "[npumatmuld]\n") == 0 || strcmp(line, "\n") == 0)
                        continue;
                ck_assert_msg(line[0] == '#', "%s", line);
                n_settings += line[1] != ' ';
                for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
                        const size_t n = strlen(numbers[i].key);

                        if (strncmp(line + 1, numbers[i].key, n) == 0 && strncmp(line + 1 + n, " = ", 3) == 0)
                                is_there[i] = true;
                }
        }
        (void)fclose(file);
        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
                ck_assert_msg(is_there[i], "%s", numbers[i].key);
        ck_assert_uint_eq(n_settings, ARRAY_SIZE(numbers) + ARRAY_SIZE(choices) +
                                              5); /* socket, backend, sim-faults, npu-worker, npu-manifest */
}
END_TEST

static TCase *tests(void)
{
        TCase *tcase = tcase_create("config");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, test_defaults);
        tcase_add_loop_test(tcase, test_bounds, 0, ARRAY_SIZE(numbers));
        tcase_add_loop_test(tcase, test_suffixes, 0, ARRAY_SIZE(numbers));
        tcase_add_test(tcase, test_no_numbers);
        tcase_add_test(tcase, test_words);
        tcase_add_test(tcase, test_wrong_words);
        tcase_add_test(tcase, test_sim_faults);
        tcase_add_test(tcase, test_long_value_in_error);
        tcase_add_test(tcase, test_file);
        tcase_add_test(tcase, test_empty_files);
        tcase_add_loop_test(tcase, test_mistakes, 0, ARRAY_SIZE(mistakes));
        tcase_add_test(tcase, test_long_lines);
        tcase_add_test(tcase, test_unreadable_files);
        tcase_add_test(tcase, test_printed_reads_back);
        tcase_add_test(tcase, test_printed_defaults_are_comments);
        return tcase;
}

int main(void)
{
        Suite *suite = suite_create("config");

        rng_start(&rng, "config");
        suite_add_tcase(suite, tests());
        return suite_run(suite);
}
