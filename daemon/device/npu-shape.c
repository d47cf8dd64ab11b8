/* SPDX-License-Identifier: MIT */
/* npu-shape.c - see npu-shape.h. */
#include "daemon/device/npu-shape.h"

#include "daemon/npu/stream64-plan.h"
#include "proto/npu-model.h"

bool npu_b_resides(const struct product *product)
{
        return product->resident != NULL && stream64_can_reside(product->k, product->n);
}

double npu_work_macs(const struct product *product, uint64_t rows)
{
        return npu_phoenix_work_macs(rows, product->k, product->n);
}

double npu_share(const struct product *product, uint64_t rows)
{
        return stream64_share(&(struct stream64_product){
                .m = rows, .k = product->k, .n = product->n, .b_is_resident = npu_b_resides(product)});
}
