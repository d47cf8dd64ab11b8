/* SPDX-License-Identifier: MIT */
/* spin.c - see spin.h. */
#include "spin.h"

bool spin_try(struct spin *spin)
{
        if (spin->budget_ns == 0)
                return false;
        if (spin->n_left_out == 0)
                return true;
        spin->n_left_out--;
        return false;
}

void spin_succeeded(struct spin *spin)
{
        spin->n_failures = 0;
        spin->n_left_out = 0;
}

void spin_failed(struct spin *spin)
{
        spin->n_failures = MIN(spin->n_failures + 1, (unsigned)SPIN_FAILURES_MAX);
        spin->n_left_out = (1u << spin->n_failures) - 1;
}

void spin_rung(struct spin *spin, uint64_t slept_ns)
{
        if (slept_ns <= spin->budget_ns)
                spin->n_left_out = 0;
}
