/* SPDX-License-Identifier: MIT */
/*
 * emu-calls.c - the driver's ioctls: what XRT's shim asks of it, on buffer objects and contexts.
 *
 * In:    arguments as the kernel's own headers have them. Of a structure only what the first version had is looked at:
 *        programs may be built with a shorter one.
 * Never: takes what the shim does not do, as user memory or umq contexts: EOPNOTSUPP, EINVAL.
 */
#include "tests/emu/emu-device.h"

#include <drm/amdxdna_accel.h>
#include <errno.h>
#include <inttypes.h>
#include <sys/ioctl.h>

#define SYNCOBJ_BASE 0x100 /* handle of a context's syncobj: this and the context's */

/* An array or a structure that an argument names. */
static void *pointer_of(uint64_t address)
{
        return (void *)(uintptr_t)address;
}

static struct emu_context *context_find(struct emu_device *device, uint32_t handle)
{
        return handle < EMU_DEVICE_CONTEXTS_MAX ? device->contexts[handle] : NULL;
}

/* ---- buffer objects ---- */

static int call_create_bo(struct emu_device *device, void *argument, struct emu_line *line)
{
        static const char *const types[] = {"?", "SHARE", "DEV_HEAP", "DEV", "CMD"};
        struct amdxdna_drm_create_bo *call = argument;
        struct emu_bo *bo;
        int r;

        emu_line_add(line, " type=%s size=%" PRIu64, types[call->type < ARRAY_SIZE(types) ? call->type : 0],
                     (uint64_t)call->size);
        if (call->vaddr != 0)
                return -EOPNOTSUPP;
        if (call->flags != 0)
                return -EINVAL;
        r = emu_bo_new(&device->memory, call->type, call->size, &bo);
        if (r < 0)
                return r;
        call->handle = bo->handle;
        emu_line_add(line, " bo=%u", bo->handle);
        return 0;
}

static int call_get_bo_info(struct emu_device *device, void *argument, struct emu_line *line)
{
        struct amdxdna_drm_get_bo_info *call = argument;
        const struct emu_bo *bo = emu_bo_find(&device->memory, call->handle);

        emu_line_add(line, " bo=%u", call->handle);
        if (!bo)
                return -ENOENT;
        call->map_offset = emu_bo_map_offset(bo);
        call->vaddr = 0;
        call->xdna_addr = bo->address;
        emu_line_add(line, " address=0x%" PRIx64, bo->address);
        return 0;
}

static int call_sync_bo(struct emu_device *device, void *argument, struct emu_line *line)
{
        const struct amdxdna_drm_sync_bo *call = argument;
        const struct emu_bo *bo = emu_bo_find(&device->memory, call->handle);

        emu_line_add(line, " bo=%u direction=%s offset=%" PRIu64 " size=%" PRIu64, call->handle,
                     call->direction == SYNC_DIRECT_TO_DEVICE ? "to" : "from", (uint64_t)call->offset,
                     (uint64_t)call->size);
        if (!bo)
                return -ENOENT;
        return emu_bo_sync(&device->memory, bo, call->direction == SYNC_DIRECT_TO_DEVICE, call->offset,
                           call->size);
}

static int call_gem_close(struct emu_device *device, void *argument, struct emu_line *line)
{
        const struct drm_gem_close *call = argument;
        struct emu_bo *bo = emu_bo_find(&device->memory, call->handle);

        emu_line_add(line, " bo=%u", call->handle);
        if (!bo)
                return -EINVAL;
        emu_bo_close(&device->memory, bo);
        return 0;
}

/* ---- contexts ---- */

static int call_create_hwctx(struct emu_device *device, void *argument, struct emu_line *line)
{
        struct amdxdna_drm_create_hwctx *call = argument;
        uint32_t handle = 1;
        int r;

        emu_line_add(line, " tiles=%u", call->num_tiles);
        while (handle < EMU_DEVICE_CONTEXTS_MAX && device->contexts[handle])
                handle++;
        if (handle == EMU_DEVICE_CONTEXTS_MAX || call->num_tiles == 0)
                return -EINVAL;
        r = emu_context_new(device, handle, call->num_tiles / EMU_TILES_OF_COLUMN, &device->contexts[handle]);
        if (r < 0)
                return r;
        call->handle = handle;
        call->syncobj_handle = SYNCOBJ_BASE + handle;
        call->umq_doorbell = AMDXDNA_INVALID_DOORBELL_OFFSET;
        emu_line_add(line, " ctx=%u", handle);
        return 0;
}

static int call_destroy_hwctx(struct emu_device *device, void *argument, struct emu_line *line)
{
        const struct amdxdna_drm_destroy_hwctx *call = argument;
        struct emu_context *context = context_find(device, call->handle);
        int r;

        emu_line_add(line, " ctx=%u", call->handle);
        if (!context)
                return -EINVAL;
        r = emu_context_destroy(context);
        if (r == 0 && device->contexts[call->handle] == context)
                device->contexts[call->handle] = NULL;
        return r;
}

static int configure_cu(struct emu_device *device, struct emu_context *context,
                        const struct amdxdna_hwctx_param_config_cu *cus, struct emu_line *line)
{
        const struct emu_bo *bo;

        if (cus->num_cus != 1)
                return -EINVAL; /* our programs have one */
        bo = emu_bo_find(&device->memory, cus->cu_configs[0].cu_bo);
        emu_line_add(line, " bo=%u", cus->cu_configs[0].cu_bo);
        if (!bo)
                return -ENOENT;
        return emu_context_configure(context, device->memory.device + bo->offset, bo->size);
}

static int call_config_hwctx(struct emu_device *device, void *argument, struct emu_line *line)
{
        const struct amdxdna_drm_config_hwctx *call = argument;
        struct emu_context *context = context_find(device, call->handle);

        emu_line_add(line, " ctx=%u param=%u", call->handle, call->param_type);
        if (!context)
                return -EINVAL;
        if (call->param_type != DRM_AMDXDNA_HWCTX_CONFIG_CU)
                return -EOPNOTSUPP;
        return configure_cu(device, context, pointer_of(call->param_val), line);
}

/* ---- commands ---- */

/* Takes references only if all are there. */
static int command_fill(struct emu_device *device, const struct amdxdna_drm_exec_cmd *call,
                        struct emu_command *command, struct emu_line *line)
{
        const uint32_t *handles = pointer_of(call->args);
        struct emu_bo *packet = emu_bo_find(&device->memory, (uint32_t)call->cmd_handles);

        emu_line_add(line, " ctx=%u cmd=%u bos=", call->hwctx, (uint32_t)call->cmd_handles);
        if (call->arg_count > EMU_COMMAND_BOS_MAX)
                return -EINVAL;
        for (uint32_t i = 0; i < call->arg_count; i++)
                emu_line_add(line, "%s%u", i > 0 ? "," : "", handles[i]);
        if (call->type != AMDXDNA_CMD_SUBMIT_EXEC_BUF || call->cmd_count != 1 || !packet ||
            packet->type != AMDXDNA_BO_CMD)
                return -EINVAL;
        for (uint32_t i = 0; i < call->arg_count; i++)
                if (!emu_bo_find(&device->memory, handles[i]))
                        return -ENOENT;
        *command = (struct emu_command){.packet = emu_bo_ref(packet), .n_bos = call->arg_count};
        for (uint32_t i = 0; i < call->arg_count; i++)
                command->bos[i] = emu_bo_ref(emu_bo_find(&device->memory, handles[i]));
        return 0;
}

static int call_exec_cmd(struct emu_device *device, void *argument, struct emu_line *line)
{
        struct amdxdna_drm_exec_cmd *call = argument;
        struct emu_context *context = context_find(device, call->hwctx);
        struct emu_command command;
        int r;

        r = command_fill(device, call, &command, line);
        if (r < 0)
                return r;
        r = context ? emu_context_submit(context, &command) : -EINVAL;
        if (r < 0) {
                for (size_t i = 0; i < command.n_bos; i++)
                        emu_bo_unref(&device->memory, command.bos[i]);
                emu_bo_unref(&device->memory, command.packet);
                return r;
        }
        call->seq = command.seq;
        emu_line_add(line, " seq=%" PRIu64 " n=%" PRIu64 " fault=%s", command.seq, command.number,
                     emu_fault_names[command.fault.kind]);
        return 0;
}

static struct emu_context *syncobj_find(struct emu_device *device, uint32_t handle)
{
        struct emu_context *context =
                handle > SYNCOBJ_BASE ? context_find(device, handle - SYNCOBJ_BASE) : NULL;

        return context && context->has_syncobj ? context : NULL;
}

static int call_syncobj_wait(struct emu_device *device, void *argument, struct emu_line *line)
{
        const struct drm_syncobj_timeline_wait *call = argument;
        const uint32_t *handles = pointer_of(call->handles);
        const uint64_t *points = pointer_of(call->points);
        struct emu_context *context;

        if (call->count_handles != 1)
                return -EINVAL;
        context = syncobj_find(device, handles[0]);
        emu_line_add(line, " ctx=%u seq=%" PRIu64, handles[0] - SYNCOBJ_BASE, points[0]);
        if (!context)
                return -ENOENT;
        return emu_context_wait(context, points[0], (uint64_t)MAX(call->timeout_nsec, 0));
}

static int call_syncobj_destroy(struct emu_device *device, void *argument, struct emu_line *line)
{
        const struct drm_syncobj_destroy *call = argument;
        struct emu_context *context = syncobj_find(device, call->handle);

        emu_line_add(line, " ctx=%u", call->handle - SYNCOBJ_BASE);
        if (!context)
                return -EINVAL;
        context->has_syncobj = false;
        return 0;
}

/* ---- the table ---- */

static const struct {
        unsigned number;
        struct emu_call call;
} calls[] = {
        {_IOC_NR(DRM_IOCTL_AMDXDNA_CREATE_HWCTX), {"CREATE_HWCTX", call_create_hwctx}},
        {_IOC_NR(DRM_IOCTL_AMDXDNA_DESTROY_HWCTX), {"DESTROY_HWCTX", call_destroy_hwctx}},
        {_IOC_NR(DRM_IOCTL_AMDXDNA_CONFIG_HWCTX), {"CONFIG_HWCTX", call_config_hwctx}},
        {_IOC_NR(DRM_IOCTL_AMDXDNA_CREATE_BO), {"CREATE_BO", call_create_bo}},
        {_IOC_NR(DRM_IOCTL_AMDXDNA_GET_BO_INFO), {"GET_BO_INFO", call_get_bo_info}},
        {_IOC_NR(DRM_IOCTL_AMDXDNA_SYNC_BO), {"SYNC_BO", call_sync_bo}},
        {_IOC_NR(DRM_IOCTL_AMDXDNA_EXEC_CMD), {"EXEC_CMD", call_exec_cmd}},
        {_IOC_NR(DRM_IOCTL_AMDXDNA_GET_INFO), {"GET_INFO", emu_call_get_info}},
        {_IOC_NR(DRM_IOCTL_AMDXDNA_GET_ARRAY), {"GET_ARRAY", emu_call_get_array}},
        {_IOC_NR(DRM_IOCTL_GEM_CLOSE), {"GEM_CLOSE", call_gem_close}},
        {_IOC_NR(DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT), {"SYNCOBJ_TIMELINE_WAIT", call_syncobj_wait}},
        {_IOC_NR(DRM_IOCTL_SYNCOBJ_DESTROY), {"SYNCOBJ_DESTROY", call_syncobj_destroy}},
};

/* By number alone, as the kernel's DRM does: the size of an argument may be another version's. */
const struct emu_call *emu_call_find(unsigned long request)
{
        for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
                if (_IOC_TYPE(request) == DRM_IOCTL_BASE && _IOC_NR(request) == calls[i].number)
                        return &calls[i].call;
        return NULL;
}
