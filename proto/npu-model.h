/* SPDX-License-Identifier: MIT */
/*
 * npu-model.h - how long an NPU would take, by models of it.
 *
 * Role:   shapes of a submission -> time, transfers and padding, for the daemon's simulated device and for
 *         npumm-client, which compares with the same numbers. Pure arithmetic.
 * Thread: any.
 * Never:  a measurement: nothing here has run on an NPU. Whoever shows a number of it says that it is a model's.
 */
#ifndef PROTO_NPU_MODEL_H
#define PROTO_NPU_MODEL_H

#include "stream64.h"

enum npu_model {
        NPU_PHOENIX = 0, /* stream64, one batched submission: xclbin/README.md */
        NPU_ORIGIN, /* the original wrapper, one call for each 16x16x16 tile, as its authors estimated it */
        NPU_ORIGIN_MEASURED, /* the same, as they measured it later */
        NPU_MODEL_MAX
};

/* "phoenix", "origin", "origin-measured", NULL: of --check-config's sim-profile. */
extern const char *const npu_model_names[];

/* What a model is like as a device. */
struct npu_traits {
        const char *description;
        uint64_t tile_rows, tile_depth, tile_cols; /* what M, K and N are padded to */
        size_t stacks_max;                         /* products of one submission */
        size_t slots;      /* submissions that it takes at once, the running one included */
        double fixed_ns;   /* of a submission */
        double ns_per_mac; /* and of a multiply-add, padding included, where those are what takes time */
};
const struct npu_traits *npu_model_traits(enum npu_model model);

/* One product of a submission, stacked along M where several share their B. */
struct npu_product {
        uint64_t m, k, n;
        bool b_is_resident; /* else B is sent along */
        uint64_t n_parts; /* how many matrices A and C are made of; 0: of those that another product counts */
};

/* What a submission of these totals takes on NPU_PHOENIX. */
double npu_phoenix_ns(const struct stream64_totals *totals);
/* What of it takes longest: a static word or two. */
const char *npu_phoenix_limit(const struct stream64_totals *totals);

/* Of one product on NPU_PHOENIX: as many multiply-adds as would take as long. At least those that it has. */
double npu_phoenix_work_macs(uint64_t m, uint64_t k, uint64_t n);

/* What a submission of them takes. */
struct npu_outlay {
        double ns;
        uint64_t calls;        /* of the device: 1, but for those that compute a tile a call */
        uint64_t buffer_syncs; /* of matrices */
        uint64_t matrix_copies;
};
struct npu_outlay npu_model_run(enum npu_model model, const struct npu_product *products, size_t n_products);

#endif
