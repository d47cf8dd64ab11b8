/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_WEIGHTS_H
#define DAEMON_WEIGHTS_H
#include "daemon/product.h"
struct weights { struct resident resident; };
struct weights *weights_unref(struct weights *weights);
#endif
