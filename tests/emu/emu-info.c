/* SPDX-License-Identifier: MIT */
/*
 * emu-info.c - what the driver tells of the device: GET_INFO and GET_ARRAY.
 *
 * Role: a Phoenix: 5 columns, 4 rows of cores above a row of memory tiles. Clocks, firmware and power are what such a
 *       laptop's driver may say, and mean nothing here.
 */
#include "tests/emu/emu-device.h"

#include <drm/amdxdna_accel.h>
#include <errno.h>
#include <stdio.h>

union answer {
        struct amdxdna_drm_query_aie_version version;
        struct amdxdna_drm_query_aie_metadata metadata;
        struct amdxdna_drm_query_clock_metadata clocks;
        struct amdxdna_drm_query_firmware_version firmware;
        struct amdxdna_drm_get_power_mode power;
        struct amdxdna_drm_get_resource_info resources;
};

static const struct amdxdna_drm_query_aie_metadata metadata = {
        .col_size = 1 << 25,
        .cols = 5,
        .rows = 6,
        .version = {2, 0},
        .core = {.row_count = 4,
                 .row_start = 2,
                 .dma_channel_count = 2,
                 .lock_count = 16,
                 .event_reg_count = 256},
        .mem = {.row_count = 1,
                .row_start = 1,
                .dma_channel_count = 6,
                .lock_count = 64,
                .event_reg_count = 256},
        .shim = {.row_count = 1,
                 .row_start = 0,
                 .dma_channel_count = 2,
                 .lock_count = 16,
                 .event_reg_count = 256},
};

static size_t answer_clocks(union answer *answer)
{
        answer->clocks.mp_npu_clock.freq_mhz = 600;
        answer->clocks.h_clock.freq_mhz = 1000;
        memcpy(answer->clocks.mp_npu_clock.name, "MP-NPU Clock", sizeof "MP-NPU Clock");
        memcpy(answer->clocks.h_clock.name, "H Clock", sizeof "H Clock");
        return sizeof answer->clocks;
}

static uint64_t contexts_count(void)
{
        uint64_t n = 0;

        for (size_t i = 0; i < EMU_CONTEXTS_MAX; i++)
                n += emu_shared()->contexts[i].pid != 0;
        return n;
}

/* 0: nothing is known of that. */
static size_t answer_to(uint32_t param, union answer *answer)
{
        switch (param) {
        case DRM_AMDXDNA_QUERY_AIE_VERSION:
                answer->version = metadata.version;
                return sizeof answer->version;
        case DRM_AMDXDNA_QUERY_AIE_METADATA:
                answer->metadata = metadata;
                return sizeof answer->metadata;
        case DRM_AMDXDNA_QUERY_CLOCK_METADATA:
                return answer_clocks(answer);
        case DRM_AMDXDNA_QUERY_FIRMWARE_VERSION:
                answer->firmware = (struct amdxdna_drm_query_firmware_version){1, 5, 5, 391};
                return sizeof answer->firmware;
        case DRM_AMDXDNA_GET_POWER_MODE:
                answer->power.power_mode = POWER_MODE_DEFAULT;
                return sizeof answer->power;
        case DRM_AMDXDNA_QUERY_RESOURCE_INFO:
                answer->resources = (struct amdxdna_drm_get_resource_info){.npu_clk_max = 1000,
                                                                           .npu_tops_max = 10,
                                                                           .npu_task_max = EMU_CONTEXTS_MAX,
                                                                           .npu_tops_curr = 10,
                                                                           .npu_task_curr = contexts_count()};
                return sizeof answer->resources;
        default:
                return 0;
        }
}

int emu_call_get_info(struct emu_device *device, void *argument, struct emu_line *line)
{
        struct amdxdna_drm_get_info *call = argument;
        union answer answer = {0};
        size_t n;

        (void)device;
        emu_line_add(line, " param=%u", call->param);
        n = answer_to(call->param, &answer);
        if (n == 0)
                return -EOPNOTSUPP;
        memcpy((void *)(uintptr_t)call->buffer, &answer, MIN(n, call->buffer_size));
        return 0;
}

static void describe(const struct emu_shared_context *context, struct amdxdna_drm_hwctx_entry *ret_entry)
{
        *ret_entry = (struct amdxdna_drm_hwctx_entry){
                .context_id = context->handle,
                .start_col = 1,
                .num_col = context->columns,
                .pid = context->pid,
                .command_submissions = context->submitted,
                .command_completions = context->completed,
                .errors = context->errors,
                .priority = AMDXDNA_QOS_NORMAL_PRIORITY,
                .state = AMDXDNA_HWCTX_STATE_ACTIVE,
        };
}

int emu_call_get_array(struct emu_device *device, void *argument, struct emu_line *line)
{
        struct amdxdna_drm_get_array *call = argument;
        uint8_t *to = (uint8_t *)(uintptr_t)call->buffer;
        const uint32_t element = MIN(call->element_size, (uint32_t)sizeof(struct amdxdna_drm_hwctx_entry));
        uint32_t n = 0;

        (void)device;
        emu_line_add(line, " param=%u", call->param);
        if (call->param != DRM_AMDXDNA_HW_CONTEXT_ALL)
                return -EOPNOTSUPP;
        emu_shared_reclaim();
        emu_shared_lock();
        for (size_t i = 0; i < EMU_CONTEXTS_MAX && n < call->num_element; i++) {
                struct amdxdna_drm_hwctx_entry entry;

                if (emu_shared()->contexts[i].pid == 0)
                        continue;
                describe(&emu_shared()->contexts[i], &entry);
                memcpy(to + (size_t)n++ * call->element_size, &entry, element);
        }
        emu_shared_unlock();
        call->num_element = n;
        call->element_size = element;
        return 0;
}
