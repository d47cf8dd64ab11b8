#include "daemon/weights.h"
struct weights *weights_unref(struct weights *weights){(void)weights;return NULL;}
