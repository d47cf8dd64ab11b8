/* SPDX-License-Identifier: MIT */
/*
 * test-emu-faults.c - each fault of a control file, as a program sees it. XDNAEMU_PROFILE=mainline: what differs then.
 */
#include "tests/emu/emu-desk.h"
#include "tests/unit/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { NEW = 1, COMPLETED = 4, ERROR = 5, ABORT = 6, TIMEOUT = 8 };

static bool is_mainline(void)
{
        const char *profile = getenv("XDNAEMU_PROFILE");

        return profile && strcmp(profile, "mainline") == 0;
}

static struct desk desk;
static struct desk_context context;
static struct desk_command command;

static void setup(void)
{
        desk = desk_open();
        context = desk_context(&desk);
        command = desk_command(&desk, 1);
}

static void teardown(void)
{
        desk_control("");
        desk_close(&desk);
}

/* ---- rules ---- */

/* States of the next commands, a letter each. After an error the array is not what it was. */
static void expect_states(const char *states)
{
        for (const char *state = states; *state != '\0'; state++) {
                ck_assert_uint_eq(desk_run(&desk, &context, &command), *state == '.' ? COMPLETED : ERROR);
                if (*state == '.')
                        continue;
                ck_assert_int_eq(desk_context_destroy(&desk, &context), 0);
                context = desk_context(&desk);
        }
}

START_TEST(test_counts)
{
        desk_control("error\n");
        expect_states("EE");
        desk_control("# error\n\n  error  x2 # and no more\n");
        expect_states("EE..");
        desk_control("error x1\n");
        expect_states("E.");
        desk_control("error x1\n"); /* another file of the same content */
        expect_states("E.");
        desk_control("slow 0 x1\nerror x1\n");
        expect_states(".E.");
        desk_control("error x0\nerror 5\nerror @0\nerror @\nerror y\nERROR\n"); /* none of them is a rule */
        expect_states(".");
}
END_TEST

/* Numbers go on from what is there: a process of its own begins at 1 with a folder of its own. */
START_TEST(test_numbers)
{
        expect_states("."); /* the first of all */
        desk_control("error @3\n");
        expect_states(".E.");
        desk_control("error @6 x2\nerror @9 x*\n");
        expect_states(".EE.EE");
}
END_TEST

/* ---- of a command ---- */

START_TEST(test_abort)
{
        desk_control("abort x1\n");
        ck_assert_uint_eq(desk_run(&desk, &context, &command), ABORT);
}
END_TEST

/* Half a command is left in the array: its input's task, which the next command's output is made of. */
START_TEST(test_what_is_left)
{
        struct desk_command second = desk_command(&desk, 2);

        desk_control("error x1\n");
        ck_assert_uint_eq(desk_run(&desk, &context, &command), ERROR);
        ck_assert(desk_run(&desk, &context, &second) != COMPLETED || !desk_is_right(&desk, &second));
}
END_TEST

START_TEST(test_wrong)
{
        desk_control("wrong x1\n");
        ck_assert_uint_eq(desk_run(&desk, &context, &command), COMPLETED);
        ck_assert(!desk_is_right(&desk, &command));
        ck_assert_uint_eq(desk_run(&desk, &context, &command), COMPLETED);
        ck_assert(desk_is_right(&desk, &command));
}
END_TEST

START_TEST(test_nostate)
{
        desk_control("nostate x1\n");
        ck_assert_uint_eq(desk_run(&desk, &context, &command), NEW);
}
END_TEST

/* The driver's patience: with what is behind it, and after it. */
static void expect_recovery(const char *control)
{
        struct desk_command second = desk_command(&desk, 2);
        const bool mainline = is_mainline();

        desk_control(control);
        ck_assert_int_eq(desk_start(&desk, &context, &command), 0);
        ck_assert_int_eq(desk_start(&desk, &context, &second), 0);
        ck_assert_int_eq(desk_wait(&desk, &context, command.seq, 1), -ETIME);
        ck_assert_uint_eq(desk_state(&command), NEW);
        ck_assert_int_eq(desk_wait(&desk, &context, second.seq, 20000), 0);
        ck_assert_uint_eq(desk_state(&command), mainline ? NEW : TIMEOUT);
        ck_assert_uint_eq(desk_state(&second), mainline ? NEW : ABORT);
        ck_assert_uint_eq(desk_run(&desk, &context, &command), mainline ? NEW : COMPLETED);
        if (!mainline)
                ck_assert(desk_is_right(&desk, &command));
        ck_assert_int_eq(desk_context_destroy(&desk, &context), 0);
        context = desk_context(&desk);
        ck_assert_uint_eq(desk_run(&desk, &context, &command), COMPLETED);
        ck_assert(desk_is_right(&desk, &command));
}

START_TEST(test_timeout)
{
        expect_recovery("timeout x1\n");
}
END_TEST

START_TEST(test_dropped)
{
        expect_recovery("dropped x1\n");
}
END_TEST

/* A stream that makes no progress by itself: its first wait is for a token that nobody gives. */
START_TEST(test_stuck_stream)
{
        uint32_t *words = (uint32_t *)(void *)command.stream.at;
        const uint32_t n_words = words[3] / 4;

        ck_assert_uint_eq(words[n_words - 4], 0x80);
        words[n_words - 1] ^= 1u << 24;
        ck_assert_uint_eq(desk_run(&desk, &context, &command), is_mainline() ? NEW : TIMEOUT);
}
END_TEST

START_TEST(test_hang)
{
        desk_control("hang x1\n");
        desk_sync_inputs(&desk, &command);
        ck_assert_int_eq(desk_start(&desk, &context, &command), 0);
        ck_assert_int_eq(desk_wait(&desk, &context, command.seq, 300),
                         -ETIME); /* thrice the driver's patience */
        ck_assert_int_eq(desk_context_destroy(&desk, &context), 0);
        ck_assert_uint_eq(desk_state(&command), ABORT);
        context = desk_context(&desk);
        ck_assert_uint_eq(desk_run(&desk, &context, &command), COMPLETED);
}
END_TEST

struct leaver {
        struct desk *desk;
        atomic_uint n_inside;
        atomic_int n_destroyed, n_refused;
};

static void *leaver_main(void *userdata)
{
        struct leaver *leaver = userdata;
        int r;

        leaver->n_inside++;
        r = desk_context_destroy(leaver->desk, &context);
        if (r == 0)
                leaver->n_destroyed++;
        else if (r == -EINVAL)
                leaver->n_refused++;
        return NULL;
}

/* Two threads destroy a context with a hang inside: one of them does. `is_closed`: close comes first, and neither. */
static void expect_destroyed_once(bool is_closed)
{
        const struct timespec pause = {.tv_nsec = 100000000};
        struct leaver leaver = {.desk = &desk};
        pthread_t threads[2];

        desk_control("hang x1\n");
        ck_assert_int_eq(desk_start(&desk, &context, &command), 0);
        for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
                ck_assert_int_eq(pthread_create(&threads[i], NULL, leaver_main, &leaver), 0);
        while (leaver.n_inside < ARRAY_SIZE(threads))
                (void)nanosleep(&pause, NULL);
        (void)nanosleep(&pause, NULL);
        if (is_closed)
                desk_close(&desk);
        for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
                ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_int_eq(leaver.n_destroyed, is_closed ? 0 : 1);
        if (!is_closed)
                ck_assert_int_eq(leaver.n_refused, 1); /* else it may find nothing open */
}

START_TEST(test_destroyed_by_two)
{
        expect_destroyed_once(false);
        ck_assert_uint_eq(desk_state(&command), ABORT);
        context = desk_context(&desk);
        ck_assert_uint_eq(desk_run(&desk, &context, &command), COMPLETED);
}
END_TEST

START_TEST(test_closed_while_it_is_destroyed)
{
        expect_destroyed_once(true);
        desk = desk_open();
}
END_TEST

/* close waits for nothing, and a process that has a hang can end. */
START_TEST(test_hang_and_leave)
{
        pid_t child;
        int status;

        desk_control("hang\n");
        ck_assert_int_eq(desk_start(&desk, &context, &command), 0);
        desk_close(&desk);
        desk_settle();
        child = fork();
        if (child == 0) {
                setup();
                exit(desk_start(&desk, &context, &command) == 0 ? 0 : 1);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_int_eq(status, 0);
        desk = desk_open();
}
END_TEST

START_TEST(test_wedge)
{
        struct desk_context other = desk_context(&desk), none;

        desk_control("wedge x1\n");
        ck_assert_int_eq(desk_start(&desk, &context, &command), 0);
        ck_assert_int_eq(desk_wait(&desk, &context, command.seq, 300), -ETIME);
        ck_assert_int_eq(desk_context_destroy(&desk, &context), -EBUSY);
        ck_assert_int_eq(desk_context_destroy(&desk, &other), -EBUSY);
        ck_assert_int_eq(desk_context_create(&desk, &none), -EINVAL);
        desk_close(&desk); /* not even with another process */
        desk = desk_open();
        ck_assert_int_eq(desk_context_create(&desk, &none), -EINVAL);
        desk_control("");
        context = desk_context(&desk);
        command = desk_command(&desk, 1);
        ck_assert_uint_eq(desk_run(&desk, &context, &command), COMPLETED);
}
END_TEST

START_TEST(test_lost)
{
        struct desk_context later;

        desk_control("lost x1\n");
        ck_assert_int_eq(desk_start(&desk, &context, &command), -EINVAL);
        ck_assert_int_eq(desk_start(&desk, &context, &command), -EINVAL);
        later = desk_context(&desk);
        ck_assert_uint_eq(desk_run(&desk, &later, &command), COMPLETED);
        ck_assert(desk_is_right(&desk, &command));
}
END_TEST

/* ---- while the line is there ---- */

START_TEST(test_nocontext)
{
        struct desk_context later;

        desk_control("nocontext\n");
        ck_assert_int_eq(desk_context_create(&desk, &later), -EINVAL);
        ck_assert_uint_eq(desk_run(&desk, &context, &command), COMPLETED);
        desk_control("");
        ck_assert_int_eq(desk_context_create(&desk, &later), 0);
}
END_TEST

START_TEST(test_permission)
{
        desk_close(&desk);
        desk_control("permission\n");
        ck_assert_int_eq(open("/dev/accel/accel0", O_RDWR), -1);
        ck_assert_int_eq(errno, EACCES);
        desk_control("");
        desk = desk_open();
}
END_TEST

/* It goes with a command inside, and comes back: for those who open it again. */
START_TEST(test_gone)
{
        struct stat info;

        desk_control("hang x1\n");
        ck_assert_int_eq(desk_start(&desk, &context, &command), 0);
        desk_control("gone\n");
        ck_assert_int_eq(stat("/dev/accel/accel0", &info), -1);
        ck_assert_int_eq(stat("/sys/bus/pci/devices/0000:c5:00.1/vbnv", &info), -1);
        ck_assert_int_eq(desk_wait(&desk, &context, command.seq, 20000), -ENODEV);
        ck_assert_int_eq(desk_start(&desk, &context, &command), -ENODEV);
        desk_control("");
        ck_assert_int_eq(stat("/dev/accel/accel0", &info), 0);
        ck_assert_int_eq(desk_start(&desk, &context, &command), -ENODEV);
        desk_close(&desk);
        setup();
        ck_assert_uint_eq(desk_run(&desk, &context, &command), COMPLETED);
        ck_assert(desk_is_right(&desk, &command));
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("emu faults");
        TCase *tcase = tcase_create("faults");

        tcase_set_timeout(tcase, 0);
        tcase_add_unchecked_fixture(tcase, desk_begin, desk_end);
        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, test_numbers); /* first: it counts from 1 */
        tcase_add_test(tcase, test_counts);
        tcase_add_test(tcase, test_abort);
        tcase_add_test(tcase, test_what_is_left);
        tcase_add_test(tcase, test_wrong);
        tcase_add_test(tcase, test_nostate);
        tcase_add_test(tcase, test_timeout);
        tcase_add_test(tcase, test_dropped);
        tcase_add_test(tcase, test_stuck_stream);
        tcase_add_test(tcase, test_hang);
        tcase_add_test(tcase, test_destroyed_by_two);
        tcase_add_test(tcase, test_closed_while_it_is_destroyed);
        tcase_add_test(tcase, test_hang_and_leave);
        tcase_add_test(tcase, test_wedge);
        tcase_add_test(tcase, test_lost);
        tcase_add_test(tcase, test_nocontext);
        tcase_add_test(tcase, test_permission);
        tcase_add_test(tcase, test_gone);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
