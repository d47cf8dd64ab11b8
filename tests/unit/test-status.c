/* SPDX-License-Identifier: MIT */
/* test-status.c - the one table of how things end, and faults as data. */
#include <check.h>

#include "proto/status.h"
#include "tests/unit/suite.h"

START_TEST(test_status_table)
{
        ck_assert_str_eq(status_name(STATUS_OK), "OK");
        ck_assert_str_eq(status_name(STATUS_TOO_BIG), "TOO_BIG");
        ck_assert_str_eq(status_name(STATUS_MAX), "UNKNOWN");
        ck_assert_str_eq(status_name(UINT32_MAX), "UNKNOWN");
        for (unsigned i = 0; i <= STATUS_MAX; i++) {
                ck_assert_ptr_nonnull(status_name(i));
                ck_assert_uint_gt(strlen(status_text(i)), 3);
        }
        ck_assert_str_eq(status_text(STATUS_CANCELLED), "cancelled");
        ck_assert_str_eq(status_text(UINT32_MAX), status_text(STATUS_MAX));
}
END_TEST

START_TEST(test_fault_text_is_cut)
{
        char words[1000];
        struct fault fault;

        memset(words, 'w', sizeof words - 1);
        words[sizeof words - 1] = '\0';
        ck_assert(!fault_set(&fault, STATUS_BUSY, "%s", words));
        ck_assert_int_eq(fault.status, STATUS_BUSY);
        ck_assert_uint_eq(strlen(fault.text), FAULT_TEXT_MAX - 1);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("status");
        TCase *tcase = tcase_create("status");

        tcase_add_test(tcase, test_status_table);
        tcase_add_test(tcase, test_fault_text_is_cut);
        suite_add_tcase(suite, tcase);
        return suite_run(suite);
}
