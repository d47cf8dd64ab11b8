/* SPDX-License-Identifier: MIT */
/*
 * test-arena.c - arenas: what a client cannot do to one, who pays for it and until when, and that its pages
 * are gone when it is, whoever still maps them.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "daemon/arena.h"
#include "tests/lib/rng.h"
#include "tests/unit/suite.h"

#define UID        1000
#define PAGE       UINT64_C(4096)
#define BYTES_MAX  (64 * PAGE)
#define TOTAL_MAX  (96 * PAGE)
#define SIZE_BYTES (16 * PAGE)

static uv_loop_t loop;
static struct quota quota;
static struct arena_set set;
static struct rng rng;

static void setup(void)
{
        const struct quota_limits limits = {
                .per_uid = {[QUOTA_BYTES] = BYTES_MAX, [QUOTA_ARENAS] = 1000},
                .total = {[QUOTA_BYTES] = TOTAL_MAX, [QUOTA_ARENAS] = 1000},
        };

        ck_assert_int_eq(sysconf(_SC_PAGESIZE), PAGE); /* the numbers above are written for it */
        ck_assert_int_eq(uv_loop_init(&loop), 0);
        quota_init(&quota, &limits);
        set = (struct arena_set){.loop = &loop, .quota = &quota};
}

static void teardown(void)
{
        ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
        ck_assert_uint_eq(set.n_arenas, 0);
        ck_assert_uint_eq(quota.used[QUOTA_BYTES], 0);
        ck_assert_uint_eq(quota.used[QUOTA_ARENAS], 0);
        quota_deinit(&quota);
        ck_assert_int_eq(uv_loop_close(&loop), 0);
}

static struct arena *make(uid_t uid, uint64_t size_bytes)
{
        struct arena *arena = NULL;

        ck_assert_int_eq(arena_new(&set, uid, size_bytes, &arena), 0);
        ck_assert_ptr_nonnull(arena);
        return arena;
}

static void expect_refused(uid_t uid, uint64_t size_bytes, int expected)
{
        const uint64_t used = quota.used[QUOTA_BYTES], n_arenas = set.n_arenas;
        struct arena *arena = NULL;

        ck_assert_int_eq(arena_new(&set, uid, size_bytes, &arena), expected);
        ck_assert_ptr_null(arena);
        ck_assert_uint_eq(quota.used[QUOTA_BYTES], used);
        ck_assert_uint_eq(set.n_arenas, n_arenas);
}

static void settle(void)
{
        ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
}

/* ---- what it is ---- */

START_TEST(test_whole_pages)
{
        static const struct {
                uint64_t asked, got;
        } cases[] = {
                {1, PAGE}, {PAGE - 1, PAGE}, {PAGE, PAGE}, {PAGE + 1, 2 * PAGE}, {BYTES_MAX - 1, BYTES_MAX}};

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct arena *arena = make(UID, cases[i].asked);
                struct stat stat;

                ck_assert_uint_eq(arena->size_bytes, cases[i].got);
                ck_assert_uint_eq(quota.used[QUOTA_BYTES],
                                  cases[i].got); /* charged as it is, not as asked for */
                ck_assert_int_eq(fstat(arena->fd, &stat), 0);
                ck_assert_uint_eq((uint64_t)stat.st_size, cases[i].got);
                (void)arena_unref(arena);
                settle();
        }
}
END_TEST

START_TEST(test_zeros_and_writable)
{
        struct arena *arena = make(UID, SIZE_BYTES);

        for (uint64_t i = 0; i < SIZE_BYTES; i++)
                ck_assert_uint_eq(arena->memory[i], 0);
        arena->memory[0] = 1;
        arena->memory[SIZE_BYTES - 1] = 1;
        (void)arena_unref(arena);
}
END_TEST

/* A client that could shrink it would end the daemon with SIGBUS. */
START_TEST(test_sealed)
{
        struct arena *arena = make(UID, SIZE_BYTES);

        ck_assert_int_eq(fcntl(arena->fd, F_GET_SEALS) & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
                         F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
        ck_assert_int_lt(ftruncate(arena->fd, (off_t)(SIZE_BYTES - PAGE)), 0);
        ck_assert_int_eq(errno, EPERM);
        ck_assert_int_lt(ftruncate(arena->fd, (off_t)(SIZE_BYTES + PAGE)), 0);
        ck_assert_int_eq(errno, EPERM);
        ck_assert_int_lt(fcntl(arena->fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
        ck_assert_int_eq(errno, EPERM);
        (void)arena_unref(arena);
}
END_TEST

START_TEST(test_not_inherited)
{
        struct arena *arena = make(UID, SIZE_BYTES);

        ck_assert_int_ne(fcntl(arena->fd, F_GETFD) & FD_CLOEXEC, 0);
        (void)arena_unref(arena);
}
END_TEST

/* ---- who pays ---- */

START_TEST(test_limits)
{
        struct arena *first = make(UID, BYTES_MAX), *second;

        expect_refused(UID, 1, QUOTA_E_UID);
        second = make(UID + 1, TOTAL_MAX - BYTES_MAX);
        expect_refused(UID + 1, 1, QUOTA_E_TOTAL);
        (void)arena_unref(first);
        expect_refused(UID, 1, QUOTA_E_UID); /* its pages are not free yet */
        settle();
        first = make(UID, BYTES_MAX);
        (void)arena_unref(first);
        (void)arena_unref(second);
}
END_TEST

/* Rounding up, or the kernel's signed sizes, would wrap: such a size is over the limit, which has a name. */
START_TEST(test_sizes_cannot_overflow)
{
        expect_refused(UID, UINT64_MAX, QUOTA_E_UID);
        expect_refused(UID, UINT64_MAX - PAGE + 1, QUOTA_E_UID);
        expect_refused(UID, (uint64_t)INT64_MAX + 1, QUOTA_E_UID);
        expect_refused(UID, BYTES_MAX + 1, QUOTA_E_UID);
}
END_TEST

/* Allowed, charged, and then the kernel says no: nothing may stay charged. */
START_TEST(test_the_kernel_refuses)
{
        quota.limits.per_uid[QUOTA_BYTES] = UINT64_MAX;
        quota.limits.total[QUOTA_BYTES] = UINT64_MAX;
        expect_refused(UID, (uint64_t)INT64_MAX - PAGE + 1, -ENOMEM); /* no such address space */
        expect_refused(UID, UINT64_MAX, -EINVAL);                     /* no such file */
        ck_assert(TAILQ_EMPTY(&quota.users));
}
END_TEST

/* ---- its end ---- */

START_TEST(test_references)
{
        struct arena *arena = make(UID, SIZE_BYTES);

        ck_assert_ptr_null(arena_unref(NULL));
        ck_assert_ptr_eq(arena_ref(arena), arena);
        ck_assert_ptr_eq(arena_ref(arena), arena);
        ck_assert_ptr_null(arena_unref(arena));
        ck_assert_ptr_null(arena_unref(arena));
        settle();
        ck_assert_uint_eq(set.n_arenas, 1);
        arena->memory[0] = 1; /* still there */
        ck_assert_uint_eq(quota.used[QUOTA_BYTES], SIZE_BYTES);
        ck_assert_ptr_null(arena_unref(arena));
        settle();
        ck_assert_uint_eq(set.n_arenas, 0);
}
END_TEST

/* What the end looks like from inside gone_fn. */
struct gone {
        unsigned n_calls;
        uint64_t used;
        blkcnt_t blocks;
        int fd;
};

static void on_gone(void *userdata)
{
        struct gone *gone = userdata;
        struct stat stat = {0};

        ck_assert_int_eq(fstat(gone->fd, &stat), 0);
        gone->n_calls++;
        gone->used = quota.used[QUOTA_BYTES];
        gone->blocks = stat.st_blocks;
}

/* A client keeps mapping and descriptor as long as it likes; the pages go all the same, then the charge. */
START_TEST(test_pages_go_under_a_foreign_mapping)
{
        struct arena *arena = make(UID, SIZE_BYTES);
        struct gone gone = {.used = 1, .blocks = -1};
        const struct stat zero = {0};
        struct stat stat = zero;
        uint8_t *foreign;

        gone.fd = fcntl(arena->fd, F_DUPFD_CLOEXEC, 0);
        ck_assert_int_ge(gone.fd, 0);
        foreign = mmap(NULL, SIZE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, gone.fd, 0);
        ck_assert_ptr_ne(foreign, MAP_FAILED);
        arena->is_shared = true;
        rng_fill(&rng, arena->memory, SIZE_BYTES);
        ck_assert_mem_eq(foreign, arena->memory, SIZE_BYTES); /* it is the same memory */
        ck_assert_int_eq(fstat(gone.fd, &stat), 0);
        ck_assert_uint_eq((uint64_t)stat.st_blocks * 512, SIZE_BYTES);
        arena->gone_fn = on_gone;
        arena->gone_userdata = &gone;
        (void)arena_unref(arena);
        ck_assert_uint_eq(quota.used[QUOTA_BYTES], SIZE_BYTES); /* not before its pages are free */
        ck_assert_uint_eq(gone.n_calls, 0);
        settle();
        ck_assert_uint_eq(gone.n_calls, 1);
        ck_assert_uint_eq(gone.used, 0);
        ck_assert_int_eq(gone.blocks, 0);
        for (uint64_t i = 0; i < SIZE_BYTES; i += 512)
                ck_assert_uint_eq(foreign[i], 0);
        (void)munmap(foreign, SIZE_BYTES);
        (void)close(gone.fd);
}
END_TEST

/*
 * When the daemon stops, what nobody released is left to the clients that still map it: their products may be
 * unread. What was released goes as always.
 */
START_TEST(test_stopping_leaves_pages_to_clients)
{
        for (int is_released = 0; is_released < 2; is_released++) {
                struct arena *arena = make(UID, SIZE_BYTES);
                struct gone gone = {.fd = fcntl(arena->fd, F_DUPFD_CLOEXEC, 0)};
                uint8_t *foreign = mmap(NULL, SIZE_BYTES, PROT_READ, MAP_SHARED, gone.fd, 0);

                ck_assert_ptr_ne(foreign, MAP_FAILED);
                arena->is_shared = true;
                memset(arena->memory, 0x5a, SIZE_BYTES);
                set.stopping = true;
                if (is_released) {
                        arena->gone_fn = on_gone;
                        arena->gone_userdata = &gone;
                }
                (void)arena_unref(arena);
                settle();
                for (uint64_t i = 0; i < SIZE_BYTES; i += 512)
                        ck_assert_uint_eq(foreign[i], is_released ? 0 : 0x5a);
                ck_assert_uint_eq(quota.used[QUOTA_BYTES], 0);
                (void)munmap(foreign, SIZE_BYTES);
                (void)close(gone.fd);
        }
}
END_TEST

/* What no client has ever seen needs no punching, which waits for whoever writes to the memfd. */
START_TEST(test_staging_is_not_punched)
{
        struct arena *arena = make(UID, SIZE_BYTES);
        int fd = fcntl(arena->fd, F_DUPFD_CLOEXEC, 0);
        uint8_t byte = 0;

        memset(arena->memory, 0x5a, SIZE_BYTES);
        (void)arena_unref(arena);
        settle();
        ck_assert_int_eq(pread(fd, &byte, 1, SIZE_BYTES - 1), 1);
        ck_assert_uint_eq(byte, 0x5a);
        (void)close(fd);
}
END_TEST

/* However small, each arena is a file descriptor: their number has limits of its own, named in the refusal. */
START_TEST(test_number_of_arenas)
{
        struct arena *arenas[2];
        struct fault fault;

        quota.limits.per_uid[QUOTA_ARENAS] = 1;
        arenas[0] = make(UID, 1);
        expect_refused(UID, 1, ARENA_E_COUNT + QUOTA_E_UID);
        ck_assert(!arena_fault(&set, UID, ARENA_E_COUNT + QUOTA_E_UID, &fault));
        ck_assert_ptr_nonnull(strstr(fault.text, "arenas-per-uid = 1"));
        ck_assert_uint_eq(fault.status, STATUS_BUSY);
        quota.limits.total[QUOTA_ARENAS] = 2;
        arenas[1] = make(UID + 1, 1);
        expect_refused(UID + 2, 1, ARENA_E_COUNT + QUOTA_E_TOTAL);
        ck_assert(!arena_fault(&set, UID, ARENA_E_COUNT + QUOTA_E_TOTAL, &fault));
        ck_assert_ptr_nonnull(strstr(fault.text, "limit arenas = 2"));
        (void)arena_unref(arenas[0]);
        settle();
        arenas[0] = make(UID, 1);
        (void)arena_unref(arenas[0]);
        (void)arena_unref(arenas[1]);
}
END_TEST

/* Ends are under way on several threads at once; each has its own charge. */
START_TEST(test_many_ends_at_once)
{
        struct arena *arenas[32];
        struct gone gone = {.fd = open("/dev/null", O_RDONLY | O_CLOEXEC)};

        ck_assert_int_ge(gone.fd, 0);
        for (size_t i = 0; i < ARRAY_SIZE(arenas); i++) {
                arenas[i] = make(UID + (uid_t)(i % 2), PAGE * (1 + i % 3));
                arenas[i]->gone_fn = on_gone;
                arenas[i]->gone_userdata = &gone;
                rng_fill(&rng, arenas[i]->memory, PAGE);
        }
        for (size_t i = 0; i < ARRAY_SIZE(arenas); i++)
                (void)arena_unref(arenas[i]);
        settle();
        ck_assert_uint_eq(gone.n_calls, ARRAY_SIZE(arenas));
        ck_assert_uint_eq(gone.used, 0);
        (void)close(gone.fd);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("arena");
        TCase *tcase = tcase_create("arena");

        rng_start(&rng, "arena");
        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, test_whole_pages);
        tcase_add_test(tcase, test_zeros_and_writable);
        tcase_add_test(tcase, test_sealed);
        tcase_add_test(tcase, test_not_inherited);
        tcase_add_test(tcase, test_limits);
        tcase_add_test(tcase, test_sizes_cannot_overflow);
        tcase_add_test(tcase, test_the_kernel_refuses);
        tcase_add_test(tcase, test_references);
        tcase_add_test(tcase, test_pages_go_under_a_foreign_mapping);
        tcase_add_test(tcase, test_stopping_leaves_pages_to_clients);
        tcase_add_test(tcase, test_staging_is_not_punched);
        tcase_add_test(tcase, test_number_of_arenas);
        tcase_add_test(tcase, test_many_ends_at_once);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
