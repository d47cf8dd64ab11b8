/* SPDX-License-Identifier: MIT */
/* weights.c - see weights.h. */
#include "weights.h"

#include <inttypes.h>

#include "client.h"
#include "operands.h"
#include "question.h"

/* Against a daemon that hangs, so it must be out of reach of one that works: a few GiB are to be copied and
   hashed, which takes seconds, perhaps behind the weights of others. */
#define LOAD_TIMEOUT_MS 60000

#define FLAGS_KNOWN (NPUMM_WEIGHTS_B_TRANSPOSED | NPUMM_WEIGHTS_INLINE)

/* Checks everything and describes the request; B's place is still its address. */
static int spec_check(struct npumm_client *client, const struct npumm_weights_spec *spec,
                      struct request_weights_load *ret_load)
{
        struct fault fault;

        if (spec->flags & ~(uint64_t)FLAGS_KNOWN)
                return client_fail(client, NPUMM_STATUS_INVALID,
                                   "flags are %#" PRIx64 "; this library knows %#x", spec->flags,
                                   FLAGS_KNOWN);
        if (!spec->b)
                return client_fail(client, NPUMM_STATUS_INVALID, "b is NULL");
        *ret_load = (struct request_weights_load){
                .k = spec->k,
                .n = spec->n,
                .b = operand_address(1, spec->b, spec->ldb),
                .b_transposed = (spec->flags & NPUMM_WEIGHTS_B_TRANSPOSED) != 0,
        };
        if (!message_check_weights_load(ret_load, 0, &fault))
                return client_fail(client, (int)fault.status, "%s", fault.text);
        return client_need_minor(client, 1, "weights", "give b to each job");
}

int weights_load(struct npumm_client *client, const struct npumm_weights_spec *spec, uint64_t *ret_weights)
{
        struct operands operands = {.inline_flag = "NPUMM_WEIGHTS_INLINE"};
        struct question_options question = {
                .request.type = FRAME_WEIGHTS_LOAD,
                .answer = FRAME_WEIGHTS_LOADED,
                .timeout_ms = LOAD_TIMEOUT_MS,
        };
        struct request_weights_load *load = &question.request.weights_load;
        struct question_answer answer;
        struct fault fault;
        int r;

        r = spec_check(client, spec, load);
        if (r != 0)
                return r;
        operands_add(&operands, "B", spec->b, &load->b, load->b_transposed ? load->n : load->k,
                     load->b_transposed ? load->k : load->n, 1);
        if (spec->flags & NPUMM_WEIGHTS_INLINE)
                r = operands_place_inline(client, &operands);
        else
                r = operands_place_arenas(client, &operands, &question.staged);
        if (r != 0)
                return r;
        /* The daemon looks at the same numbers in the same way: it must find nothing that we have missed. */
        if (!message_check_weights_load(load, operands.payload_bytes, &fault)) {
                (void)arenas_free(client, question.staged);
                return client_fail(client, NPUMM_STATUS_INTERNAL, "%s", fault.text);
        }
        question.views = operands.views;
        question.n_views = operands.n_views;
        r = question_ask(client, &question, &answer);
        if (r == 0)
                *ret_weights = answer.weights;
        return r;
}

int weights_release(struct npumm_client *client, uint64_t weights)
{
        struct question_options question = {
                .request = {.type = FRAME_WEIGHTS_RELEASE, .weights_release.weights = weights},
                .answer = FRAME_WEIGHTS_RELEASED,
                .timeout_ms = CLIENT_ANSWER_TIMEOUT_MS,
        };
        int r;

        if (weights == 0)
                return client_fail(client, NPUMM_STATUS_INVALID, "weights is 0, which no handle ever is");
        r = client_need_minor(client, 1, "weights", "release nothing");
        return r != 0 ? r : question_ask(client, &question, NULL);
}
