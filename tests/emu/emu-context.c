/* SPDX-License-Identifier: MIT */
/* emu-context.c - see emu-context.h. */
#include "tests/emu/emu-context.h"
#include "tests/emu/emu-clock.h"
#include "tests/emu/emu-config.h"
#include "tests/emu/emu-device.h"
#include "tests/emu/emu-program.h"
#include "xclbin/src/stream64.h"
#include "xclbin/src/tile16.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>

#define DESTROY_NS (2 * EMU_NS_PER_S) /* the driver's patience */
#define EVER       UINT64_MAX

/* ---- ends of commands ---- */

static void log_end(const struct emu_context *context, const struct emu_command *command,
                    enum emu_state state, const struct emu_run *run)
{
        struct emu_line line;

        emu_line_begin(&line, "END");
        emu_line_add(&line, " ctx=%u seq=%" PRIu64 " n=%" PRIu64 " state=%s fault=%s", context->handle,
                     command->seq, command->number, emu_state_name(state),
                     emu_fault_names[command->fault.kind]);
        if (run)
                emu_line_add(&line, " us=%" PRIu64 " steps=%" PRIu64 " dropped=%" PRIu64 " clean=%d",
                             run->ns / 1000, run->stats.steps, run->stats.pushes_dropped, run->is_clean);
        emu_line_end_plain(&line);
}

static void release(struct emu_context *context, struct emu_command *command)
{
        struct emu_memory *memory = &context->device->memory;

        for (size_t i = 0; i < command->n_bos; i++)
                emu_bo_unref(memory, command->bos[i]);
        emu_bo_unref(memory, command->packet);
}

/* The first command inside: its state is written, then its fence is signalled. */
static void end_first(struct emu_context *context, enum emu_state state, const struct emu_run *run)
{
        struct emu_command command = context->commands[0];

        log_end(context, &command, state, run);
        if (state != EMU_STATE_NEW)
                emu_command_set_state(&command, &context->device->memory, state);
        if (context->shared) {
                if (state == EMU_STATE_COMPLETED)
                        context->shared->completed++;
                else
                        context->shared->errors++;
        }
        context->n_commands--;
        memmove(context->commands, context->commands + 1, context->n_commands * sizeof command);
        context->n_signalled = command.seq + 1;
        release(context, &command);
        (void)pthread_cond_broadcast(&context->device->changed);
}

static void end_all(struct emu_context *context, enum emu_state state)
{
        while (context->n_commands > 0)
                end_first(context, state, NULL);
}

/* What the driver does when its patience ends: the context is made anew under the program, or is dead. */
static void recover(struct emu_context *context, const struct emu_run *run)
{
        if (emu_config()->profile == EMU_MAINLINE) {
                context->is_dead = true;
                end_first(context, EMU_STATE_NEW, run);
                end_all(context, EMU_STATE_NEW);
                return;
        }
        end_first(context, EMU_STATE_TIMEOUT, run);
        end_all(context, EMU_STATE_ABORT);
        array_reset(context->array);
}

/* ---- its thread ---- */

static bool is_out_of_reach(const struct emu_context *context)
{
        return context->is_stopped || emu_device_check(context->device) < 0;
}

/* The first command makes no progress. */
static void be_stuck(struct emu_context *context, const struct emu_run *run)
{
        const enum emu_fault_kind kind = context->commands[0].fault.kind;
        const bool is_for_ever = kind == EMU_FAULT_HANG || kind == EMU_FAULT_STUCK || kind == EMU_FAULT_WEDGE;
        const uint64_t until_ns = is_for_ever ? EVER : emu_now_ns() + emu_config()->tdr_ns;

        if (kind == EMU_FAULT_WEDGE)
                emu_shared()->is_wedged = 1;
        while (!is_out_of_reach(context) && emu_now_ns() < until_ns)
                emu_device_wait(context->device, until_ns);
        if (!is_out_of_reach(context))
                recover(context, run);
}

static void run_first(struct emu_context *context)
{
        struct emu_device *device = context->device;
        const struct emu_command command = context->commands[0];
        const enum emu_fault_kind kind = command.fault.kind;
        enum emu_end end;
        struct emu_run run;

        (void)pthread_mutex_unlock(&device->lock);
        end = emu_command_run(&command, &device->memory, context->array, context->program, &run);
        (void)pthread_mutex_lock(&device->lock);
        if (is_out_of_reach(context))
                return;
        if (end == EMU_END_ERROR || kind == EMU_FAULT_ERROR)
                end_first(context, EMU_STATE_ERROR, &run);
        else if (kind == EMU_FAULT_ABORT)
                end_first(context, EMU_STATE_ABORT, &run);
        else if (kind == EMU_FAULT_NOSTATE)
                end_first(context, EMU_STATE_NEW, &run);
        else if (end == EMU_END_STUCK)
                be_stuck(context, &run);
        else
                end_first(context, EMU_STATE_COMPLETED, &run);
}

static void unref(struct emu_context *context)
{
        if (--context->n_refs > 0)
                return;
        for (size_t i = 0; i < context->n_commands; i++)
                release(context, &context->commands[i]);
        array_free(context->array);
        free(context);
}

static void *context_main(void *userdata)
{
        struct emu_context *context = userdata;
        struct emu_device *device = context->device;

        (void)pthread_mutex_lock(&device->lock);
        while (!context->is_stopped) {
                if (context->n_commands == 0)
                        (void)pthread_cond_wait(&device->changed, &device->lock);
                else if (emu_device_check(device) < 0)
                        emu_device_wait(device, EVER);
                else if (context->is_dead)
                        end_all(context, EMU_STATE_NEW);
                else
                        run_first(context);
        }
        unref(context);
        emu_device_unref(device);
        return NULL;
}

/* Detached, and no signal of the program's is handled on it. */
static int start(struct emu_context *context)
{
        sigset_t all, before;
        pthread_attr_t attributes;
        pthread_t thread;
        int r;

        (void)sigfillset(&all);
        (void)pthread_attr_init(&attributes);
        (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&thread, &attributes, context_main, context);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        (void)pthread_attr_destroy(&attributes);
        return -r;
}

/* ---- its life ---- */

int emu_context_new(struct emu_device *device, uint32_t handle, uint32_t columns,
                    struct emu_context **ret_context)
{
        _cleanup_(freep) struct emu_context *context = calloc(1, sizeof *context);
        int r;

        if (!context)
                return -ENOMEM;
        if (emu_fault_is_wedged() || emu_fault_is_on(EMU_FAULT_NOCONTEXT))
                return -EINVAL;
        context->device = device;
        context->handle = handle;
        context->n_suspends = emu_shared()->n_suspends;
        context->shared = emu_shared_context_take(handle, columns);
        if (!context->shared)
                return -EINVAL;
        context->has_syncobj = true;
        context->n_refs = 2;
        device->n_refs++;
        r = start(context);
        if (r < 0) {
                device->n_refs--;
                emu_shared_context_give(context->shared);
                return r;
        }
        *ret_context = steal(&context);
        return 0;
}

int emu_context_destroy(struct emu_context *context)
{
        const uint64_t until_ns = emu_now_ns() + DESTROY_NS;
        int r = 0;

        context->n_refs++;
        while (context->n_commands > 0 && !context->is_stopped && emu_now_ns() < until_ns &&
               emu_device_check(context->device) == 0)
                emu_device_wait(context->device, until_ns);
        if (context->is_stopped) /* meanwhile, by another thread's DESTROY_HWCTX or close */
                r = -EINVAL;
        else if (emu_fault_is_wedged())
                r = -EBUSY;
        else
                emu_context_stop(context);
        unref(context);
        return r;
}

/* A command that is being computed is still its thread's, which finds that nobody waits for it. */
void emu_context_stop(struct emu_context *context)
{
        for (size_t i = 0; i < context->n_commands; i++) {
                log_end(context, &context->commands[i], EMU_STATE_ABORT, NULL);
                emu_command_set_state(&context->commands[i], &context->device->memory, EMU_STATE_ABORT);
        }
        context->n_signalled = context->n_submitted;
        emu_shared_context_give(context->shared);
        context->shared = NULL;
        context->is_stopped = true;
        (void)pthread_cond_broadcast(&context->device->changed);
        unref(context);
}

int emu_context_configure(struct emu_context *context, const uint8_t *image, uint64_t n_bytes)
{
        struct array_options options = {
                .mode = ARRAY_NUMBERS, .zero = stream64_zero, .step = stream64_step, .tile = tile16_run};

        if (context->array || !emu_program_find(image, n_bytes, &options.program))
                return -EINVAL;
        context->program = options.program;
        context->array = array_new(&options);
        return context->array ? 0 : -ENOMEM;
}

int emu_context_submit(struct emu_context *context, struct emu_command *command)
{
        struct emu_shared *shared = emu_shared();
        int r = 0;

        context->n_refs++;
        while (context->n_commands == EMU_IN_FLIGHT_MAX && !context->is_stopped && r == 0) {
                emu_device_wait(context->device, EVER);
                r = emu_device_check(context->device);
        }
        if (r == 0 && (context->is_stopped || !context->array))
                r = -EINVAL;
        unref(context);
        if (r < 0)
                return r;
        command->number = ++shared->n_commands;
        command->fault = emu_fault_take(command->number);
        if (command->fault.kind == EMU_FAULT_LOST)
                shared->n_suspends++;
        if (context->n_suspends != shared->n_suspends)
                return -EINVAL;
        command->seq = context->n_submitted++;
        context->commands[context->n_commands++] = *command;
        context->shared->submitted++;
        (void)pthread_cond_broadcast(&context->device->changed);
        return 0;
}

int emu_context_wait(struct emu_context *context, uint64_t seq, uint64_t until_ns)
{
        struct emu_device *device = context->device;
        int r = seq < context->n_submitted ? 0 : -EINVAL;

        context->n_refs++;
        while (r == 0 && seq >= context->n_signalled) {
                r = emu_device_check(device);
                if (r == 0 && context->commands[0].fault.kind == EMU_FAULT_STUCK)
                        until_ns = EVER;
                if (r == 0 && emu_now_ns() >= until_ns)
                        r = -ETIME;
                if (r == 0)
                        emu_device_wait(device, until_ns);
        }
        unref(context);
        return r;
}
