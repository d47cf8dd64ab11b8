/* SPDX-License-Identifier: MIT */
/* emu-desk.c - see emu-desk.h. */
#include "tests/emu/emu-desk.h"
#include "daemon/npu/tile16.h"
#include "tests/unit/suite.h"

#include <blake2.h>
#include <dirent.h>
#include <drm/amdxdna_accel.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#define TILES    16 /* compute tiles of four columns */
#define PACKET   4096
#define START_CU (1u | 16u << 12) /* state NEW, 16 words, one of them the mask of compute units */

const char desk_image[] = "an image that the manifest has";

static char folder[] = "/tmp/npumm-emu.XXXXXX";
static size_t
        n_threads; /* before there is a device: a sanitizer may have one, too, since the first was made */

/* ---- its folder ---- */

static void write_text(const char *name, const char *text)
{
        char path[256], new_path[264];
        FILE *file;

        (void)snprintf(path, sizeof path, "%s/%s", folder, name);
        (void)snprintf(new_path, sizeof new_path, "%s.new", path);
        file = fopen(new_path, "w");
        ck_assert_ptr_nonnull(file);
        ck_assert_int_ge(fputs(text, file), 0);
        ck_assert_int_eq(fclose(file), 0);
        ck_assert_int_eq(rename(new_path, path), 0);
}

static void set_path(const char *variable, const char *name)
{
        char path[256];

        (void)snprintf(path, sizeof path, "%s/%s", folder, name);
        ck_assert_int_eq(setenv(variable, path, 1), 0);
}

static size_t threads_count(void)
{
        DIR *tasks = opendir("/proc/self/task");
        size_t n = 0;

        ck_assert_ptr_nonnull(tasks);
        while (readdir(tasks))
                n++;
        (void)closedir(tasks);
        return n;
}

void desk_settle(void)
{
        const struct timespec pause = {.tv_nsec = 1000000};

        for (int i = 0; i < 20000 && threads_count() > n_threads; i++)
                (void)nanosleep(&pause, NULL);
}

static void *thread_main(void *userdata)
{
        return userdata;
}

void desk_begin(void)
{
        char text[512], hash[65];
        uint8_t bytes[32];
        pthread_t thread;

        ck_assert_ptr_nonnull(mkdtemp(folder));
        ck_assert_int_eq(pthread_create(&thread, NULL, thread_main, NULL), 0);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        n_threads = threads_count();
        ck_assert_int_eq(blake2b(bytes, desk_image, NULL, sizeof bytes, sizeof desk_image, 0), 0);
        for (size_t i = 0; i < sizeof bytes; i++)
                (void)snprintf(hash + 2 * i, 3, "%02x", bytes[i]);
        (void)snprintf(text, sizeof text,
                       "[other]\nformat = stream64\npdi-blake2b = %064d\n"
                       "[tile16]\npdi-blake2b = %s\nformat = tile16\n",
                       0, hash);
        write_text("manifest.ini", text);
        write_text("control", "");
        set_path("XDNAEMU_ROOT", "npu");
        set_path("XDNAEMU_MANIFEST", "manifest.ini");
        set_path("XDNAEMU_CONTROL", "control");
        set_path("XDNAEMU_LOG", "log");
        ck_assert_int_eq(setenv("XDNAEMU_TDR_MS", "100", 1), 0);
}

void desk_end(void)
{
        char command[128];

        (void)snprintf(command, sizeof command, "rm -rf %s", folder);
        (void)!system(command);
}

void desk_control(const char *text)
{
        write_text("control", text);
}

/* ---- node and objects ---- */

int desk_call(int fd, unsigned long request, void *argument)
{
        return ioctl(fd, request, argument) == 0 ? 0 : -errno;
}

static struct desk_bo bo_new(int fd, uint32_t type, uint64_t size, uint64_t *ret_map_offset)
{
        struct amdxdna_drm_create_bo create = {.type = type, .size = size};
        struct amdxdna_drm_get_bo_info info = {0};

        ck_assert_int_eq(desk_call(fd, DRM_IOCTL_AMDXDNA_CREATE_BO, &create), 0);
        info.handle = create.handle;
        ck_assert_int_eq(desk_call(fd, DRM_IOCTL_AMDXDNA_GET_BO_INFO, &info), 0);
        *ret_map_offset = info.map_offset;
        return (struct desk_bo){.handle = create.handle, .address = info.xdna_addr, .size = size};
}

static uint8_t *map(int fd, uint64_t offset, uint64_t size)
{
        void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);

        ck_assert_ptr_ne(at, MAP_FAILED);
        return at;
}

struct desk desk_open(void)
{
        struct desk desk = {.fd = open("/dev/accel/accel0", O_RDWR)};
        struct desk_bo heap;
        uint64_t offset;

        ck_assert_int_ge(desk.fd, 0);
        heap = bo_new(desk.fd, AMDXDNA_BO_DEV_HEAP, DESK_HEAP_BYTES, &offset);
        desk.heap = map(desk.fd, offset, DESK_HEAP_BYTES);
        desk.heap_address = heap.address;
        return desk;
}

void desk_close(struct desk *desk)
{
        (void)munmap(desk->heap, DESK_HEAP_BYTES);
        ck_assert_int_eq(close(desk->fd), 0);
}

struct desk_bo desk_bo(struct desk *desk, uint32_t type, uint64_t size)
{
        uint64_t offset;
        struct desk_bo bo = bo_new(desk->fd, type, size, &offset);

        bo.at = type == AMDXDNA_BO_DEV ? desk->heap + (bo.address - desk->heap_address)
                                       : map(desk->fd, offset, size);
        return bo;
}

/* ---- contexts ---- */

int desk_context_create(struct desk *desk, struct desk_context *ret_context)
{
        struct amdxdna_drm_create_hwctx create = {.num_tiles = TILES, .max_opc = 2048};
        const int r = desk_call(desk->fd, DRM_IOCTL_AMDXDNA_CREATE_HWCTX, &create);

        if (r == 0)
                *ret_context = (struct desk_context){create.handle, create.syncobj_handle, 0};
        return r;
}

int desk_context_configure(struct desk *desk, struct desk_context *context, const char *image)
{
        union {
                struct amdxdna_hwctx_param_config_cu cus;
                uint8_t bytes[sizeof(struct amdxdna_hwctx_param_config_cu) +
                              sizeof(struct amdxdna_cu_config)];
        } param = {.bytes = {0}};
        const struct desk_bo bo = desk_bo(desk, AMDXDNA_BO_DEV, strlen(image) + 1);
        struct amdxdna_drm_config_hwctx configure = {.handle = context->handle,
                                                     .param_type = DRM_AMDXDNA_HWCTX_CONFIG_CU,
                                                     .param_val = (uintptr_t)&param,
                                                     .param_val_size = sizeof param};

        memcpy(bo.at, image, bo.size);
        desk_sync(desk, &bo, true);
        param.cus.num_cus = 1;
        param.cus.cu_configs[0].cu_bo = bo.handle;
        context->image = bo.handle;
        return desk_call(desk->fd, DRM_IOCTL_AMDXDNA_CONFIG_HWCTX, &configure);
}

struct desk_context desk_context(struct desk *desk)
{
        struct desk_context context;

        ck_assert_int_eq(desk_context_create(desk, &context), 0);
        ck_assert_int_eq(desk_context_configure(desk, &context, desk_image), 0);
        return context;
}

int desk_context_destroy(struct desk *desk, const struct desk_context *context)
{
        struct amdxdna_drm_destroy_hwctx destroy = {.handle = context->handle};

        return desk_call(desk->fd, DRM_IOCTL_AMDXDNA_DESTROY_HWCTX, &destroy);
}

/* ---- commands ---- */

struct desk_command desk_command(struct desk *desk, unsigned seed)
{
        struct desk_command command = {.packet = desk_bo(desk, AMDXDNA_BO_CMD, PACKET),
                                       .stream = desk_bo(desk, AMDXDNA_BO_DEV, 4 * TILE16_WORDS),
                                       .in = desk_bo(desk, AMDXDNA_BO_SHARE, TILE16_IN_BYTES),
                                       .out = desk_bo(desk, AMDXDNA_BO_SHARE, TILE16_OUT_BYTES)};
        uint8_t *packet = command.packet.at;
        uint32_t words[TILE16_WORDS];

        tile16_generate(words);
        memcpy(command.stream.at, words, sizeof words);
        for (unsigned i = 0; i < TILE16_IN_BYTES; i++)
                command.in.at[i] = (uint8_t)((i * 7 + seed) * 37);
        put_le(packet + 4, 1, 4);
        put_le(packet + 8, 3, 8);
        put_le(packet + 16, command.stream.address, 8);
        put_le(packet + 24, TILE16_WORDS, 4);
        put_le(packet + 28, command.in.address, 8);
        put_le(packet + 36, command.out.address, 8);
        return command;
}

void desk_sync(struct desk *desk, const struct desk_bo *bo, bool is_to_device)
{
        struct amdxdna_drm_sync_bo sync = {.handle = bo->handle,
                                           .direction = is_to_device ? SYNC_DIRECT_TO_DEVICE
                                                                     : SYNC_DIRECT_FROM_DEVICE,
                                           .size = bo->size};

        ck_assert_int_eq(desk_call(desk->fd, DRM_IOCTL_AMDXDNA_SYNC_BO, &sync), 0);
}

void desk_sync_inputs(struct desk *desk, const struct desk_command *command)
{
        desk_sync(desk, &command->stream, true);
        desk_sync(desk, &command->in, true);
}

int desk_start(struct desk *desk, const struct desk_context *context, struct desk_command *command)
{
        const uint32_t args[] = {command->stream.handle, command->in.handle, command->out.handle};
        struct amdxdna_drm_exec_cmd exec = {.hwctx = context->handle,
                                            .type = AMDXDNA_CMD_SUBMIT_EXEC_BUF,
                                            .cmd_handles = command->packet.handle,
                                            .args = (uintptr_t)args,
                                            .cmd_count = 1,
                                            .arg_count = ARRAY_SIZE(args)};
        int r;

        put_le(command->packet.at, START_CU, 4);
        r = desk_call(desk->fd, DRM_IOCTL_AMDXDNA_EXEC_CMD, &exec);
        if (r == 0)
                command->seq = exec.seq;
        return r;
}

int desk_wait(struct desk *desk, const struct desk_context *context, uint64_t seq, uint64_t ms)
{
        struct drm_syncobj_timeline_wait wait = {
                .handles = (uintptr_t)&context->syncobj, .points = (uintptr_t)&seq, .count_handles = 1};
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        wait.timeout_nsec = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec + (int64_t)ms * 1000000;
        return desk_call(desk->fd, DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT, &wait);
}

unsigned desk_state(const struct desk_command *command)
{
        return __atomic_load_n((const uint32_t *)(const void *)command->packet.at, __ATOMIC_ACQUIRE) & 0xF;
}

bool desk_is_right(struct desk *desk, const struct desk_command *command)
{
        const int8_t *a = (const int8_t *)command->in.at, *b = a + 256, *c = (const int8_t *)command->out.at;

        desk_sync(desk, &command->out, false);
        for (unsigned row = 0; row < 16; row++)
                for (unsigned column = 0; column < 16; column++) {
                        int sum = 0;

                        for (unsigned k = 0; k < 16; k++)
                                sum += a[row * 16 + k] * b[k * 16 + column];
                        if (c[row * 16 + column] != MAX(MIN(sum >> 7, 127), -128))
                                return false;
                }
        return true;
}

unsigned desk_run(struct desk *desk, const struct desk_context *context, struct desk_command *command)
{
        memset(command->out.at, 0x55, command->out.size);
        desk_sync_inputs(desk, command);
        desk_sync(desk, &command->out, true);
        ck_assert_int_eq(desk_start(desk, context, command), 0);
        ck_assert_int_eq(desk_wait(desk, context, command->seq, 20000), 0);
        return desk_state(command);
}
