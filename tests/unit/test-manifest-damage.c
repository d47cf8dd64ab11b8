/* SPDX-License-Identifier: MIT */
/* test-manifest-damage.c - a damaged manifest, or a damaged program: it loads what it says, or nothing. */
#include <fcntl.h>

#include "tests/lib/rng.h"
#include "tests/unit/manifest-desk.h"
#include "tests/unit/suite.h"

static struct rng rng;

struct text {
        size_t n;
        char bytes[2 * sizeof good];
};

static void text_replace(struct text *text, size_t at, size_t n, const char *by, size_t n_by)
{
        if (text->n - n + n_by >= sizeof text->bytes)
                return;
        memmove(text->bytes + at + n_by, text->bytes + at + n, text->n - at - n);
        memcpy(text->bytes + at, by, n_by);
        text->n += n_by - n;
        text->bytes[text->n] = '\0';
}

/* One byte, a few, or a line goes, comes or becomes another. */
static void text_mutate(struct text *text)
{
        static const char telling[] = "\n\r\t =:;#[]./0149abfAxNS";
        char bytes[64];
        const size_t at = rng_below(&rng, text->n), left = MIN(text->n - at, sizeof bytes);
        const size_t n = rng_between(&rng, 1, rng_once_in(&rng, 3) ? left : 1);

        rng_fill(&rng, bytes, sizeof bytes);
        if (rng_once_in(&rng, 2))
                bytes[0] = telling[rng_below(&rng, sizeof telling - 1)];
        else if (rng_once_in(&rng, 2))
                memcpy(bytes, text->bytes + rng_below(&rng, text->n - n + 1), n);
        switch (rng_below(&rng, 3)) {
        case 0:
                text_replace(text, at, n, "", 0);
                break;
        case 1:
                text_replace(text, at, 0, bytes, n);
                break;
        default:
                text_replace(text, at, n, bytes, n);
        }
}

/* Nothing but what the manifest says, and of what it says the content that has this hash. */
static void expect_same_content(const struct manifest_program *program, const struct text *text)
{
        char pdi_hash[2 * MANIFEST_HASH_BYTES + 1] = "";
        const char *flow;

        ck_assert_str_eq(program->npu, "npu1");
        ck_assert_int_eq(program->format, MANIFEST_STREAM64);
        ck_assert_uint_eq(program->columns, 4);
        ck_assert_uint_eq(program->xclbin_bytes, strlen(ABC));
        ck_assert_mem_eq(program->xclbin, ABC, strlen(ABC));
        ck_assert_ptr_nonnull(memmem(text->bytes, text->n, ABC_HASH, strlen(ABC_HASH)));
        ck_assert_ptr_nonnull(memmem(text->bytes, text->n, program->kernel, strlen(program->kernel)));
        for (size_t i = 0; program->has_pdi_hash && i < MANIFEST_HASH_BYTES; i++)
                (void)snprintf(pdi_hash + 2 * i, 3, "%02x", program->pdi_hash[i]);
        ck_assert_ptr_nonnull(memmem(text->bytes, text->n, pdi_hash, strlen(pdi_hash)));
        flow = program->flow == STREAM64_POLL ? "poll" : "token";
        ck_assert_ptr_nonnull(memmem(text->bytes, text->n, flow, strlen(flow)));
}

/* Returns the outcome. */
static int mutant_load(const struct text *text)
{
        struct manifest_program *program = NULL;
        char error[MANIFEST_ERROR_MAX] = "";
        int r;

        bytes_write(path, text->bytes, text->n);
        r = manifest_program_new(path, "npu1", MANIFEST_STREAM64, &program, error);
        ck_assert_int_ge(r, 0);
        if (r == 0) {
                expect_same_content(program, text);
        } else {
                ck_assert_msg(strncmp(error, path, strlen(path)) == 0, "\"%s\"", error);
                ck_assert_ptr_null(strchr(error, '\n'));
                ck_assert_ptr_null(program);
        }
        (void)manifest_program_free(program);
        return r;
}

static int fd_free(void)
{
        const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        ck_assert_int_eq(close(fd), 0);
        return fd;
}

START_TEST(test_mutations)
{
        unsigned outcomes[MANIFEST_E_MISMATCH + 1] = {0};
        const int fd = fd_free();

        for (int round = 0; round < 3000; round++) {
                struct text text = {.n = strlen(good)};
                int r;

                memcpy(text.bytes, good, sizeof good);
                for (uint64_t n = rng_between(&rng, 1, 3); n > 0 && text.n > 0; n--)
                        text_mutate(&text);
                r = mutant_load(&text);
                ck_assert_int_le(r, MANIFEST_E_MISMATCH);
                outcomes[r]++;
        }
        ck_assert_uint_gt(outcomes[MANIFEST_E_SUCCESS], 0);
        ck_assert_uint_gt(outcomes[MANIFEST_E_MALFORMED], 0);
        ck_assert_uint_gt(outcomes[MANIFEST_E_GEOMETRY], 0);
        ck_assert_int_eq(fd_free(), fd);
}
END_TEST

/* A byte 0 anywhere, and all that stands behind it, is not passed over; but comments are. */
START_TEST(test_zero_byte)
{
        for (size_t at = 0; at <= strlen(good); at++) {
                const bool in_comment = at > 0 && at < strlen("# The programs.\n");
                struct text text = {.n = strlen(good)};

                memcpy(text.bytes, good, sizeof good);
                text_replace(&text, at, 0, "", 1);
                ck_assert_int_eq(mutant_load(&text), in_comment ? MANIFEST_E_SUCCESS : MANIFEST_E_MALFORMED);
        }
}
END_TEST

/* Cut anywhere, it loads what it says or nothing. */
START_TEST(test_prefixes)
{
        const size_t hash_end = (size_t)(strstr(good, ABC_HASH) - good) + strlen(ABC_HASH);
        struct text text;

        memcpy(text.bytes, good, sizeof good);
        for (text.n = strlen(good); text.n > 0; text.n--) {
                const int r = mutant_load(&text);

                if (text.n >= strlen(good) - 1 || text.n == hash_end)
                        ck_assert_int_eq(r, 0);
                else if (text.n < hash_end)
                        ck_assert_int_ne(r, 0);
        }
}
END_TEST

/* No other content has the hash. */
START_TEST(test_xclbin_mutations)
{
        for (unsigned bit = 0; bit < 8 * strlen(ABC); bit++) {
                char bytes[] = ABC;

                bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
                bytes_write(stream64_path, bytes, strlen(ABC));
                expect_refused(MANIFEST_E_MISMATCH, 11, "stream64.xclbin does not have this BLAKE2b-256");
        }
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("manifest-damage");
        TCase *tcase = tcase_create("manifest-damage");

        rng_start(&rng, "manifest-damage");
        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, test_zero_byte);
        tcase_add_test(tcase, test_mutations);
        tcase_add_test(tcase, test_prefixes);
        tcase_add_test(tcase, test_xclbin_mutations);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
