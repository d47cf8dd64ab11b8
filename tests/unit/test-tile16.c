/* SPDX-License-Identifier: MIT */
/* test-tile16.c - the original kernel's stream, word by word, from what is known of the original's. */
#include "daemon/npu/tile16.h"
#include "suite.h"

/*
 * Written by hand: header 16 bytes, then for each of two transfers a block write (16 + 32 bytes), a patch (48), for the
 * output a masked write (28), and a push (24); then a wait (16): 300 bytes. Lengths stand at 0x20 and 0x98 bytes.
 */
/* clang-format off */
static const uint32_t golden[75] = {
        /* 0x000 */ 0x06030100, 0x00000104, 8, 300,
        /* 0x010: in, descriptor 1 of column 0 */
        0x00000001, 0x00000000, 0x0001D020, 48,
        /* 0x020 */ 128, 0, 0, 0, 0x80000000, 0x02000000, 0, 0x02000000,
        /* 0x040: its address, argument 0 */
        0x00000081, 48, 0, 0, 0, 0, 0x0001D024, 0, 0, 0, 0, 0,
        /* 0x070: to MM2S 0 */
        0x00000000, 0, 0x0001D214, 0, 0x00000001, 24,
        /* 0x088: out, descriptor 0 */
        0x00000001, 0x00000000, 0x0001D000, 48,
        /* 0x098 */ 64, 0, 0, 0, 0x80000000, 0x02000000, 0, 0x02000000,
        /* 0x0B8: its address, argument 1 */
        0x00000081, 48, 0, 0, 0, 0, 0x0001D004, 0, 1, 0, 0, 0,
        /* 0x0E8: tokens of S2MM 0 */
        0x00000003, 0, 0x0001D200, 0, 0x00000F00, 0x00001F00, 28,
        /* 0x104: to S2MM 0, with a token */
        0x00000000, 0, 0x0001D204, 0, 0x80000000, 24,
        /* 0x11C: wait for it */
        0x00000080, 16, 0x00000000, 0x00010100,
};
/* clang-format on */

START_TEST(test_stream)
{
        uint32_t words[TILE16_WORDS] = {0};

        ck_assert_uint_eq(sizeof golden, 300);
        tile16_generate(words);
        for (size_t i = 0; i < ARRAY_SIZE(golden); i++)
                ck_assert_msg(words[i] == golden[i], "word %zu: %08x, not %08x", i, words[i], golden[i]);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("tile16");
        TCase *tc = tcase_create("tile16");

        tcase_add_test(tc, test_stream);
        suite_add_tcase(suite, tc);
        return suite_run(suite);
}
