/* SPDX-License-Identifier: MIT */
/*
 * test-emu.c - what the emulated NPU holds programs to: limits, addresses, coherence, memory that is locked, and who is
 * there. With XDNAEMU_STRICT=1 coherence is strict.
 */
#include "tests/emu/emu-desk.h"
#include "tests/unit/suite.h"

#include <drm/amdxdna_accel.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { NEW = 1, COMPLETED = 4, ERROR = 5 };

#define BELOW_64_MIB (UINT64_C(8) << 20)
#define NOBODY       65534

static bool is_strict(void)
{
        const char *strict = getenv("XDNAEMU_STRICT");

        return strict && strcmp(strict, "1") == 0;
}

/* ---- files ---- */

START_TEST(test_paths)
{
        char *real = realpath("/sys/bus/pci/devices/0000:c5:00.1", NULL);
        struct stat info;

        ck_assert_ptr_nonnull(real);
        ck_assert_str_eq(real, "/sys/devices/pci0000:00/0000:00:08.2/0000:c5:00.1");
        free(real);
        ck_assert_int_eq(stat("/dev/accel/accel0", &info), 0);
        ck_assert_int_eq(stat("/dev/accelerate", &info), -1);
        ck_assert_int_eq(stat("/dev/null", &info), 0);
        ck_assert(S_ISCHR(info.st_mode));
}
END_TEST

START_TEST(test_one_open_for_a_process)
{
        struct desk desk = desk_open();

        ck_assert_int_eq(open("/dev/accel/accel0", O_RDWR), -1);
        ck_assert_int_eq(errno, EBUSY);
        desk_close(&desk);
        desk = desk_open();
        desk_close(&desk);
}
END_TEST

/* ---- buffer objects ---- */

START_TEST(test_heap_comes_first)
{
        struct amdxdna_drm_create_bo create = {.type = AMDXDNA_BO_DEV, .size = 4096};
        const int fd = open("/dev/accel/accel0", O_RDWR);

        ck_assert_int_eq(desk_call(fd, DRM_IOCTL_AMDXDNA_CREATE_BO, &create), -EINVAL);
        ck_assert_int_eq(close(fd), 0);
}
END_TEST

START_TEST(test_heap_grows)
{
        struct amdxdna_drm_create_bo large = {.type = AMDXDNA_BO_DEV, .size = DESK_HEAP_BYTES},
                                     more = {.type = AMDXDNA_BO_DEV, .size = 4096},
                                     chunk = {.type = AMDXDNA_BO_DEV_HEAP, .size = DESK_HEAP_BYTES};
        struct drm_gem_close gem_close = {0};
        struct desk desk = desk_open();

        ck_assert_int_eq(desk_call(desk.fd, DRM_IOCTL_AMDXDNA_CREATE_BO, &large), 0);
        ck_assert_int_eq(desk_call(desk.fd, DRM_IOCTL_AMDXDNA_CREATE_BO, &more), -EAGAIN);
        ck_assert_int_eq(desk_call(desk.fd, DRM_IOCTL_AMDXDNA_CREATE_BO, &chunk), 0);
        ck_assert_int_eq(desk_call(desk.fd, DRM_IOCTL_AMDXDNA_CREATE_BO, &more), 0);
        gem_close.handle = large.handle;
        ck_assert_int_eq(desk_call(desk.fd, DRM_IOCTL_GEM_CLOSE, &gem_close), 0);
        ck_assert_int_eq(desk_call(desk.fd, DRM_IOCTL_GEM_CLOSE, &gem_close), -EINVAL);
        ck_assert_int_eq(desk_call(desk.fd, DRM_IOCTL_AMDXDNA_CREATE_BO, &large), 0);
        desk_close(&desk);
}
END_TEST

/* What is closed is given again, at another time, as zeros. */
START_TEST(test_memory_is_used_again)
{
        struct desk desk = desk_open();

        for (int i = 0; i < 100; i++) {
                const struct desk_bo bo = desk_bo(&desk, AMDXDNA_BO_SHARE, UINT64_C(1) << 30);
                struct drm_gem_close gem_close = {.handle = bo.handle};

                ck_assert_uint_eq(bo.at[5], 0);
                bo.at[5] = 1;
                (void)munmap(bo.at, bo.size);
                ck_assert_int_eq(desk_call(desk.fd, DRM_IOCTL_GEM_CLOSE, &gem_close), 0);
        }
        desk_close(&desk);
}
END_TEST

/* Runs `fn` in a child, which must end with 0. */
static void in_child(void (*fn)(void))
{
        pid_t child;
        int status;

        desk_settle();
        child = fork();
        if (child == 0) {
                fn();
                _exit(0);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_int_eq(status, 0);
}

/* As XRT's shim maps it. Another user than root has no right to lock more than the limit. */
static void lock_heap_above_limit(void)
{
        const struct rlimit limit = {BELOW_64_MIB, BELOW_64_MIB};
        struct desk desk = desk_open();
        void *at;

        if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 ||
            (getuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) != 0))
                _exit(1);
        at = mmap(NULL, DESK_HEAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_LOCKED, desk.fd, 0);
        _exit(at == MAP_FAILED && errno == EAGAIN ? 0 : 2);
}

START_TEST(test_memlock)
{
        in_child(lock_heap_above_limit);
}
END_TEST

/* ---- contexts ---- */

START_TEST(test_unknown_image)
{
        struct desk desk = desk_open();
        struct desk_context context;
        struct desk_command command = desk_command(&desk, 1);

        ck_assert_int_eq(desk_context_create(&desk, &context), 0);
        ck_assert_int_eq(desk_start(&desk, &context, &command), -EINVAL);
        ck_assert_int_eq(desk_context_configure(&desk, &context, "another image"), -EINVAL);
        ck_assert_int_eq(desk_context_configure(&desk, &context, desk_image), 0);
        ck_assert_int_eq(desk_context_configure(&desk, &context, desk_image), -EINVAL);
        desk_close(&desk);
}
END_TEST

START_TEST(test_six_contexts)
{
        struct desk desk = desk_open();
        struct desk_context contexts[7];

        for (int round = 0; round < 2; round++) {
                for (size_t i = 0; i < 6; i++)
                        ck_assert_int_eq(desk_context_create(&desk, &contexts[i]), 0);
                ck_assert_int_eq(desk_context_create(&desk, &contexts[6]), -EINVAL);
                ck_assert_int_eq(desk_context_destroy(&desk, &contexts[2]), 0);
                ck_assert_int_eq(desk_context_destroy(&desk, &contexts[2]), -EINVAL);
                ck_assert_int_eq(desk_context_create(&desk, &contexts[2]), 0);
                desk_close(&desk); /* with all of them */
                desk = desk_open();
        }
        desk_close(&desk);
}
END_TEST

/* Contexts of a process that is killed are free, also while it is a zombie. */
START_TEST(test_contexts_of_the_dead)
{
        struct desk_context context;
        struct desk desk;
        int ends[2];
        pid_t child;
        char byte;

        ck_assert_int_eq(pipe(ends), 0);
        desk_settle();
        child = fork();
        if (child == 0) {
                desk = desk_open();
                for (size_t i = 0; i < 6; i++)
                        if (desk_context_create(&desk, &context) != 0)
                                _exit(1);
                (void)!write(ends[1], "", 1);
                for (;;)
                        (void)pause();
        }
        ck_assert_int_eq(read(ends[0], &byte, 1), 1);
        desk = desk_open();
        ck_assert_int_eq(desk_context_create(&desk, &context), -EINVAL);
        ck_assert_int_eq(kill(child, SIGKILL), 0);
        ck_assert_int_eq(waitid(P_PID, (id_t)child, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
        ck_assert_int_eq(desk_context_create(&desk, &context), 0);
        ck_assert_int_eq(waitpid(child, NULL, 0), child);
        desk_close(&desk);
        (void)close(ends[0]);
        (void)close(ends[1]);
}
END_TEST

/* ---- commands ---- */

START_TEST(test_product)
{
        struct desk desk = desk_open();
        struct desk_context context = desk_context(&desk);
        struct desk_command command = desk_command(&desk, 1);

        for (unsigned i = 0; i < 20; i++) {
                ck_assert_uint_eq(desk_run(&desk, &context, &command), COMPLETED);
                ck_assert_uint_eq(command.seq, i);
                ck_assert(desk_is_right(&desk, &command));
        }
        ck_assert_int_eq(desk_wait(&desk, &context, 20, 0), -EINVAL); /* there was none */
        ck_assert_int_eq(desk_context_destroy(&desk, &context), 0);
        ck_assert_int_eq(desk_start(&desk, &context, &command), -EINVAL);
        desk_close(&desk);
}
END_TEST

/* An address outside of what EXEC_CMD lists is an error, and touches nothing. */
START_TEST(test_stray_addresses)
{
        struct desk desk = desk_open();
        struct desk_context context = desk_context(&desk);
        struct desk_command command = desk_command(&desk, 1), other = desk_command(&desk, 2);
        uint8_t *packet = command.packet.at;
        const struct {
                size_t at;
                uint64_t address, good;
        } cases[] = {{16, 0, command.stream.address},
                     {16, other.stream.address, command.stream.address},
                     {16, command.stream.address + 4, command.stream.address},
                     {28, other.in.address, command.in.address},
                     {28, command.in.address - 1, command.in.address},
                     {36, command.out.address + command.out.size, command.out.address},
                     {36, UINT64_MAX, command.out.address},
                     {8, 2, 3}};

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                put_le(packet + cases[i].at, cases[i].address, 8);
                ck_assert_uint_eq(desk_run(&desk, &context, &command), ERROR);
                put_le(packet + cases[i].at, cases[i].good, 8);
        }
        ck_assert_uint_eq(desk_run(&desk, &context, &command), COMPLETED);
        ck_assert(desk_is_right(&desk, &command));
        desk_close(&desk);
}
END_TEST

START_TEST(test_closed_object)
{
        struct desk desk = desk_open();
        struct desk_context context = desk_context(&desk);
        struct desk_command command = desk_command(&desk, 1);
        struct drm_gem_close gem_close = {.handle = command.in.handle};

        ck_assert_int_eq(desk_call(desk.fd, DRM_IOCTL_GEM_CLOSE, &gem_close), 0);
        ck_assert_int_eq(desk_start(&desk, &context, &command), -ENOENT);
        desk_close(&desk);
}
END_TEST

/* The fifth waits until the first has ended. */
START_TEST(test_four_inside)
{
        struct desk desk = desk_open();
        struct desk_context context = desk_context(&desk);
        struct desk_command commands[5];

        desk_control("slow 50 x5\n");
        for (unsigned i = 0; i < 5; i++) {
                commands[i] = desk_command(&desk, i);
                desk_sync_inputs(&desk, &commands[i]);
        }
        for (unsigned i = 0; i < 4; i++)
                ck_assert_int_eq(desk_start(&desk, &context, &commands[i]), 0);
        ck_assert_int_eq(desk_wait(&desk, &context, commands[3].seq, 0), -ETIME);
        ck_assert_int_eq(desk_start(&desk, &context, &commands[4]), 0);
        ck_assert_uint_eq(desk_state(&commands[0]), COMPLETED);
        ck_assert_int_eq(desk_wait(&desk, &context, commands[4].seq, 20000), 0);
        for (unsigned i = 0; i < 5; i++)
                ck_assert(desk_is_right(&desk, &commands[i]));
        desk_control("");
        desk_close(&desk);
}
END_TEST

/* Only what is synced gets to the device, and back. */
START_TEST(test_coherence)
{
        struct desk desk = desk_open();
        struct desk_context context = desk_context(&desk);
        struct desk_command command = desk_command(&desk, 1);

        ck_assert_uint_eq(desk_run(&desk, &context, &command), COMPLETED);
        command.in.at[0] ^= 0x40; /* enough for an element of C to be another */
        command.in.at[256] |= 0x41;
        ck_assert_int_eq(desk_start(&desk, &context, &command), 0);
        ck_assert_int_eq(desk_wait(&desk, &context, command.seq, 20000), 0);
        ck_assert_int_eq(desk_is_right(&desk, &command), !is_strict());
        desk_sync(&desk, &command.in, true);
        memset(command.out.at, 0x55, command.out.size);
        ck_assert_int_eq(desk_start(&desk, &context, &command), 0);
        ck_assert_int_eq(desk_wait(&desk, &context, command.seq, 20000), 0);
        ck_assert_int_eq(command.out.at[0] == 0x55 && command.out.at[255] == 0x55, is_strict());
        ck_assert(desk_is_right(&desk, &command));
        desk_close(&desk);
}
END_TEST

/* ---- threads ---- */

struct crowd {
        struct desk *desk;
        struct desk_context context;
        atomic_uint n_right;
};

static void *crowd_main(void *userdata)
{
        struct crowd *crowd = userdata;
        struct desk_command command = desk_command(crowd->desk, 7);

        for (int i = 0; i < 50; i++)
                if (desk_run(crowd->desk, &crowd->context, &command) == COMPLETED &&
                    desk_is_right(crowd->desk, &command))
                        crowd->n_right++;
        return NULL;
}

START_TEST(test_many_threads)
{
        struct desk desk = desk_open();
        struct crowd crowd = {.desk = &desk, .context = desk_context(&desk)};
        pthread_t threads[6];

        for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
                ck_assert_int_eq(pthread_create(&threads[i], NULL, crowd_main, &crowd), 0);
        for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
                ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_uint_eq(crowd.n_right, 50 * ARRAY_SIZE(threads));
        desk_close(&desk);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("emu");
        TCase *tcase = tcase_create("limits");

        tcase_set_timeout(tcase, 0);
        tcase_add_unchecked_fixture(tcase, desk_begin, desk_end);
        tcase_add_test(tcase, test_paths);
        tcase_add_test(tcase, test_one_open_for_a_process);
        tcase_add_test(tcase, test_heap_comes_first);
        tcase_add_test(tcase, test_heap_grows);
        tcase_add_test(tcase, test_memory_is_used_again);
        tcase_add_test(tcase, test_memlock);
        tcase_add_test(tcase, test_unknown_image);
        tcase_add_test(tcase, test_six_contexts);
        tcase_add_test(tcase, test_contexts_of_the_dead);
        tcase_add_test(tcase, test_product);
        tcase_add_test(tcase, test_stray_addresses);
        tcase_add_test(tcase, test_closed_object);
        tcase_add_test(tcase, test_four_inside);
        tcase_add_test(tcase, test_coherence);
        tcase_add_test(tcase, test_many_threads);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
