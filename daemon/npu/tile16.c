/* SPDX-License-Identifier: MIT */
/* tile16.c - see tile16.h. */
#include "daemon/npu/tile16.h"
#include "daemon/npu/txn-write.h"

void tile16_generate(uint32_t words[TILE16_WORDS])
{
        struct txn txn;
        bool fits;

        txn_begin(&txn, words, TILE16_WORDS);
        txn_push(&txn, &(struct txn_task){.channel = TXN_MM2S0,
                                          .bd = 1,
                                          .arg = TILE16_ARG_IN,
                                          .bytes = TILE16_IN_BYTES,
                                          .repeats = 1});
        txn_push(&txn, &(struct txn_task){.channel = TXN_S2MM0,
                                          .bd = 0,
                                          .arg = TILE16_ARG_OUT,
                                          .bytes = TILE16_OUT_BYTES,
                                          .repeats = 1,
                                          .gives_token = true,
                                          .sets_control = true});
        txn_wait_token(&txn, 0, TXN_S2MM0);
        fits = txn_end(&txn);
        assert(fits && txn.n_words == TILE16_WORDS);
}
