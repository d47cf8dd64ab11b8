/* SPDX-License-Identifier: MIT */
/* txn.c - see txn.h. */
#include "daemon/npu/txn.h"

const char *const txn_channel_names[TXN_CHANNELS] = {"S2MM0", "S2MM1", "MM2S0", "MM2S1"};
