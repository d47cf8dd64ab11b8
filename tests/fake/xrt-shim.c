/* SPDX-License-Identifier: MIT */
/* xrt-shim.c - see xrt-shim.h. */
#include "tests/fake/xrt-shim.h"

#include "tests/npu/array-model.h"
#include "xclbin/src/stream64.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#define RUNS_MAX  4
#define ALIGNMENT 4096 /* buffer objects are pages */

struct xrt_shim_device {
        struct array *array; /* owned; the waiter's thread is in it alone */
};

struct xrt_shim_buffer {
        unsigned arg;
        size_t size_bytes;
        uint8_t *host, *device; /* owned */
        unsigned n_users;       /* commands in flight; under the mutex */
};

struct xrt_shim_run {
        struct xrt_shim_buffer *instructions, *args[XRT_SHIM_ARGS];
        uint32_t n_words;
        uint64_t number; /* 0: never started */
        bool is_in_flight;
};

struct fake_xrt fake_xrt;
static struct xrt_shim_device device;
static struct xrt_shim_run runs[RUNS_MAX];
static size_t n_runs;
static uint64_t n_in_flight;
static uint64_t n_started; /* under the mutex */
static const struct xrt_shim_buffer *last_instructions;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static int thrown(struct xrt_shim_error *ret_error, int error)
{
        *ret_error = (struct xrt_shim_error){.error = error, .text = "as the test wants"};
        return XRT_SHIM_E_THROWN;
}

static bool is_faulty(const struct xrt_shim_run *run, enum fake_xrt_fault fault)
{
        return fake_xrt.fault == fault && (fake_xrt.at == 0 || run->number == fake_xrt.at);
}

struct xrt_shim_device *fake_xrt_open(void)
{
        static const struct array_options options = {.program = ARRAY_STREAM64,
                                                     .mode = ARRAY_NUMBERS,
                                                     .schedule = ARRAY_RANDOM,
                                                     .seed = 1,
                                                     .zero = stream64_zero,
                                                     .step = stream64_step};

        assert(!device.array && fake_xrt.bytes == 0);
        fake_xrt = (struct fake_xrt){0};
        device.array = array_new(&options);
        assert(device.array);
        n_runs = 0;
        n_in_flight = 0;
        n_started = 0;
        last_instructions = NULL;
        memset(runs, 0, sizeof runs);
        return &device;
}

void fake_xrt_close(void)
{
        assert(fake_xrt.bytes == 0);
        array_free(device.array);
        device.array = NULL;
}

/* ---- opening: nothing to do ---- */

int xrt_shim_device_open(struct xrt_shim_device **ret_device, struct xrt_shim_error *ret_error)
{
        (void)ret_error;
        *ret_device = &device;
        return 0;
}

int xrt_shim_device_program(struct xrt_shim_device *opened, const uint8_t *xclbin, size_t xclbin_bytes,
                            struct xrt_shim_error *ret_error)
{
        (void)opened, (void)xclbin, (void)xclbin_bytes, (void)ret_error;
        return 0;
}

int xrt_shim_device_context(struct xrt_shim_device *opened, const char *kernel,
                            struct xrt_shim_error *ret_error)
{
        (void)opened, (void)kernel, (void)ret_error;
        return 0;
}

void xrt_shim_device_info(const struct xrt_shim_device *opened, struct xrt_shim_info *ret_info)
{
        (void)opened;
        memset(ret_info, 0, sizeof *ret_info);
}

/* ---- buffer objects ---- */

int xrt_shim_buffer_new(struct xrt_shim_device *opened, unsigned arg, size_t size_bytes,
                        struct xrt_shim_buffer **ret_buffer, uint8_t **ret_bytes,
                        struct xrt_shim_error *ret_error)
{
        struct xrt_shim_buffer *buffer;

        (void)opened;
        assert(arg < FAKE_XRT_OBJECTS && size_bytes > 0 && size_bytes % ALIGNMENT == 0);
        if (fake_xrt.bytes_most > 0 && fake_xrt.bytes + size_bytes > fake_xrt.bytes_most)
                return thrown(ret_error, ENOMEM);
        buffer = calloc(1, sizeof *buffer);
        assert(buffer);
        buffer->arg = arg;
        buffer->size_bytes = size_bytes;
        buffer->host = aligned_alloc(ALIGNMENT, size_bytes);
        buffer->device = aligned_alloc(ALIGNMENT, size_bytes);
        assert(buffer->host && buffer->device);
        memset(buffer->device, 0x5a, size_bytes);
        memset(buffer->host, 0xa5, size_bytes);
        fake_xrt.bytes += size_bytes;
        *ret_buffer = buffer;
        *ret_bytes = buffer->host;
        return 0;
}

static bool buffer_is_in_flight(const struct xrt_shim_buffer *buffer)
{
        bool is_in_flight;

        (void)pthread_mutex_lock(&mutex);
        is_in_flight = buffer->n_users > 0;
        (void)pthread_mutex_unlock(&mutex);
        return is_in_flight;
}

struct xrt_shim_buffer *xrt_shim_buffer_free(struct xrt_shim_buffer *buffer)
{
        if (!buffer)
                return NULL;
        assert(!buffer_is_in_flight(buffer));
        fake_xrt.bytes -= buffer->size_bytes;
        free(buffer->host);
        free(buffer->device);
        free(buffer);
        return NULL;
}

/* Of weights, ranges that no command uses may be written while others are. */
int xrt_shim_buffer_sync(struct xrt_shim_buffer *buffer, enum xrt_shim_direction direction,
                         size_t offset_bytes, size_t n_bytes, struct xrt_shim_error *ret_error)
{
        (void)ret_error;
        assert(offset_bytes <= buffer->size_bytes && n_bytes <= buffer->size_bytes - offset_bytes);
        assert(buffer->arg == STREAM64_ARG_WEIGHTS || !buffer_is_in_flight(buffer));
        if (direction == XRT_SHIM_TO_DEVICE) {
                fake_xrt.n_to[buffer->arg]++;
                if (fake_xrt.deaf[buffer->arg] == 0)
                        memcpy(buffer->device + offset_bytes, buffer->host + offset_bytes, n_bytes);
        } else {
                fake_xrt.n_from++;
                if (!fake_xrt.is_deaf_from)
                        memcpy(buffer->host + offset_bytes, buffer->device + offset_bytes, n_bytes);
        }
        return 0;
}

/* ---- runs ---- */

int xrt_shim_run_new(struct xrt_shim_device *opened, struct xrt_shim_run **ret_run,
                     struct xrt_shim_error *ret_error)
{
        (void)opened, (void)ret_error;
        assert(n_runs < RUNS_MAX);
        *ret_run = &runs[n_runs++];
        return 0;
}

/* Under the mutex: all that it has is in flight, or is no longer. */
static void run_hold(struct xrt_shim_run *run, bool is_in_flight)
{
        const unsigned one = is_in_flight ? 1 : UINT32_MAX;

        run->is_in_flight = is_in_flight;
        run->instructions->n_users += one;
        for (size_t i = 0; i < XRT_SHIM_ARGS; i++)
                run->args[i]->n_users += one;
        n_in_flight += is_in_flight ? 1 : UINT64_MAX;
        fake_xrt.n_in_flight_most = MAX(fake_xrt.n_in_flight_most, n_in_flight);
}

int xrt_shim_run_start(struct xrt_shim_run *run, struct xrt_shim_buffer *instructions, uint32_t n_words,
                       struct xrt_shim_buffer *const args[XRT_SHIM_ARGS], struct xrt_shim_error *ret_error)
{
        assert(!run->is_in_flight && instructions->arg == XRT_SHIM_ARGS);
        *run = (struct xrt_shim_run){
                .instructions = instructions, .n_words = n_words, .number = ++fake_xrt.n_commands};
        for (unsigned i = 0; i < XRT_SHIM_ARGS; i++) {
                assert(args[i]->arg == i);
                run->args[i] = args[i];
        }
        if (is_faulty(run, FAKE_XRT_START))
                return thrown(ret_error, fake_xrt.value);
        last_instructions = instructions;
        (void)pthread_mutex_lock(&mutex);
        run_hold(run, true);
        n_started++;
        (void)pthread_mutex_unlock(&mutex);
        return 0;
}

static bool is_held(void)
{
        bool is_held;

        (void)pthread_mutex_lock(&mutex);
        is_held = n_started < fake_xrt.n_held;
        (void)pthread_mutex_unlock(&mutex);
        return is_held;
}

/* Executes it, on what the device has. */
static int run_execute(const struct xrt_shim_run *run)
{
        static struct array_result result; /* of the waiter's thread alone */
        struct array_buffer buffers[ARRAY_ARGUMENTS] = {{0}};

        for (size_t i = 0; i < XRT_SHIM_ARGS; i++)
                buffers[i] = (struct array_buffer){run->args[i]->device, run->args[i]->size_bytes};
        if (is_faulty(run, FAKE_XRT_IDLE))
                return XRT_SHIM_STATE_COMPLETED;
        (void)array_run(device.array, (const uint32_t *)(const void *)run->instructions->device, run->n_words,
                        buffers, &result);
        if (result.outcome != ARRAY_COMPLETED) {
                (void)fprintf(stderr, "the model, at word %zu: %s\n", result.word, result.text);
                return XRT_SHIM_STATE_ERROR;
        }
        if (is_faulty(run, FAKE_XRT_WRONG))
                run->args[STREAM64_ARG_C]->device[1000] ^= 0x10;
        return XRT_SHIM_STATE_COMPLETED;
}

int xrt_shim_run_wait(struct xrt_shim_run *run, unsigned timeout_ms, int *ret_state,
                      struct xrt_shim_error *ret_error)
{
        const struct timespec time = {.tv_nsec = (long)timeout_ms * 1000000};

        assert(run->is_in_flight);
        if (is_faulty(run, FAKE_XRT_HANG) || is_held()) {
                (void)nanosleep(&time, NULL);
                *ret_state = 1;
                return 0;
        }
        if (is_faulty(run, FAKE_XRT_WAIT))
                return thrown(ret_error, fake_xrt.value);
        *ret_state = is_faulty(run, FAKE_XRT_STATE) ? fake_xrt.value : run_execute(run);
        (void)pthread_mutex_lock(&mutex);
        run_hold(run, false);
        (void)pthread_mutex_unlock(&mutex);
        return 0;
}

void fake_xrt_abandon(void)
{
        (void)pthread_mutex_lock(&mutex);
        for (size_t i = 0; i < n_runs; i++)
                if (runs[i].is_in_flight)
                        run_hold(&runs[i], false);
        (void)pthread_mutex_unlock(&mutex);
}

void fake_xrt_spoil_stream(void)
{
        assert(last_instructions);
        last_instructions->host[0] ^= 0x10;
}
