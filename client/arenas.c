/* SPDX-License-Identifier: MIT */
/* arenas.c - see arenas.h. */
#include "arenas.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "client.h"
#include "clock.h"
#include "heap.h"

/* What arena_create() waits for. */
struct creation {
        bool is_over;
        int result; /* its text is that of the client */
};

struct arena {
        TAILQ_ENTRY(arena) link; /* arenas::list */
        struct call call;        /* ARENA_CREATE while it comes, ARENA_RELEASE while it goes */
        enum { ARENA_COMING = 0, ARENA_USABLE, ARENA_GOING } state;
        struct creation
                *creation; /* borrowed: on the stack of arena_create(), NULL when it waits no longer */
        bool is_regular;   /* of the sizes that double */
        uint32_t id;       /* the daemon's name for it */
        uint64_t size_bytes;
        uint8_t *memory; /* owned: the mapping; NULL unless usable */
        struct heap heap;
};

void arenas_init(struct arenas *arenas)
{
        *arenas = (struct arenas){0};
        TAILQ_INIT(&arenas->list);
}

static void arena_unmap(struct arena *arena)
{
        if (arena->memory)
                (void)munmap(arena->memory, arena->size_bytes);
        arena->memory = NULL;
        heap_deinit(&arena->heap);
}

static void arena_remove(struct arenas *arenas, struct arena *arena)
{
        TAILQ_REMOVE(&arenas->list, arena, link);
        arenas->n_arenas--;
        arena_unmap(arena);
        free(arena);
}

void arenas_deinit(struct arenas *arenas)
{
        struct arena *arena;

        while ((arena = TAILQ_FIRST(&arenas->list)))
                arena_remove(arenas, arena);
}

/* ---- giving arenas back ---- */

/* Gone, or the connection is, or the daemon does not know it: in any case nothing is left of it here. */
static void arena_released(struct npumm_client *client, struct call *call, const struct reply *reply)
{
        (void)reply;
        arena_remove(&client->arenas, container_of(call, struct arena, call));
}

/* Unmaps an arena and returns it to the daemon; it may be gone when this returns. */
static void arena_return(struct npumm_client *client, struct arena *arena)
{
        struct request request = {.type = FRAME_ARENA_RELEASE, .arena_release.arena = arena->id};

        arena_unmap(arena);
        arena->state = ARENA_GOING;
        arena->call = (struct call){.answer = FRAME_ARENA_RELEASED, .answer_fn = arena_released};
        if (client_call(client, &request, NULL, 0, &arena->call) < 0)
                arena_remove(&client->arenas,
                             arena); /* no memory to say so: the daemon keeps it until we close */
}

static bool arena_is_spare(const struct arena *arena)
{
        return arena->state == ARENA_USABLE && heap_is_empty(&arena->heap);
}

/* An empty arena that is too large to be kept, or the smaller one of two; NULL: none. */
static struct arena *arenas_find_surplus(const struct arenas *arenas)
{
        struct arena *arena, *kept = NULL;

        TAILQ_FOREACH(arena, &arenas->list, link) {
                if (!arena_is_spare(arena))
                        continue;
                if (arena->size_bytes > ARENAS_SPARE_BYTES_MAX)
                        return arena;
                if (kept)
                        return arena->size_bytes < kept->size_bytes ? arena : kept;
                kept = arena;
        }
        return NULL;
}

static void arenas_trim(struct npumm_client *client)
{
        struct arena *arena;

        while (!channel_has_ended(&client->channel) && (arena = arenas_find_surplus(&client->arenas)))
                arena_return(client, arena);
}

/* Gives back all empty arenas and waits until the daemon has cleared them and they count no longer. */
static int arenas_reclaim(struct npumm_client *client, uint64_t deadline_ns)
{
        struct arena *arena;

        do {
                TAILQ_FOREACH(arena, &client->arenas.list, link)
                        if (arena_is_spare(arena))
                                break;
                if (arena)
                        arena_return(client, arena);
        } while (arena && !channel_has_ended(&client->channel));
        for (;;) {
                int r;

                TAILQ_FOREACH(arena, &client->arenas.list, link)
                        if (arena->state == ARENA_GOING)
                                break;
                if (!arena)
                        return channel_has_ended(&client->channel) ? client_fail_lost(client) : 0;
                r = client_step(client, deadline_ns);
                if (r == -ETIMEDOUT)
                        return client_fail(client, r, "the daemon at %s did not take an arena back in time",
                                           client->channel.path);
                if (r != 0)
                        return r;
        }
}

/* ---- getting arenas ---- */

/* Whether `fd` is memory of that size, and stays so: else the daemon could make our reads fault. */
static bool fd_is_sealed(int fd, uint64_t size_bytes)
{
        struct stat st;
        int seals;

        if (fstat(fd, &st) < 0 || st.st_size < 0 || (uint64_t)st.st_size != size_bytes)
                return false;
        seals = fcntl(fd, F_GET_SEALS);
        return seals >= 0 && (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) == (F_SEAL_SHRINK | F_SEAL_GROW);
}

/* Its number is that of another arena here: jobs would find the wrong memory. */
static bool number_is_taken(const struct arenas *arenas, uint32_t id)
{
        const struct arena *arena;

        TAILQ_FOREACH(arena, &arenas->list, link)
                if (arena->state != ARENA_COMING && arena->id == id)
                        return true;
        return false;
}

/* The daemon has made an arena. Returns what npumm_alloc() returns. */
static int arena_map(struct npumm_client *client, struct arena *arena,
                     const struct reply_arena_created *created)
{
        _cleanup_(closep) int fd = channel_pop_fd(&client->channel);
        void *memory = MAP_FAILED;

        if (created->size_bytes < arena->size_bytes) {
                client_protocol_fault(client,
                                      "an arena of %" PRIu64 " bytes where %" PRIu64 " were asked for",
                                      created->size_bytes, arena->size_bytes);
                return client_fail_lost(client);
        }
        if (created->size_bytes % (uint64_t)sysconf(_SC_PAGESIZE) != 0) {
                client_protocol_fault(client, "an arena of %" PRIu64 " bytes, which is no number of pages",
                                      created->size_bytes);
                return client_fail_lost(client);
        }
        if (number_is_taken(&client->arenas, created->arena)) {
                client_protocol_fault(client, "a new arena has number %" PRIu32 ", which is taken",
                                      created->arena);
                return client_fail_lost(client);
        }
        arena->id = created->arena;
        arena->size_bytes = created->size_bytes;
        if (fd == -ENOENT || (fd >= 0 && !fd_is_sealed(fd, arena->size_bytes))) {
                client_protocol_fault(client, "arena %" PRIu32 " came %s", arena->id,
                                      fd < 0 ? "without a file descriptor"
                                             : "as a file that is not sealed or has another size");
                return client_fail_lost(client);
        }
        if (fd >= 0)
                memory = mmap(NULL, arena->size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (memory == MAP_FAILED) {
                const int r = fd < 0 ? fd : -errno;

                return client_fail(client, r, "cannot map an arena of %" PRIu64 " bytes: %s",
                                   arena->size_bytes, npumm_strerror(r));
        }
        arena->memory = memory;
        heap_init(&arena->heap, arena->size_bytes);
        arena->state = ARENA_USABLE;
        return 0;
}

/* Whether somebody waits for it or not: an arena that comes late is an empty one to be used. */
static void arena_created(struct npumm_client *client, struct call *call, const struct reply *reply)
{
        struct arena *arena = container_of(call, struct arena, call);
        struct creation *creation = steal(&arena->creation);
        int result;

        if (!reply)
                result = client_fail_lost(client);
        else if (reply->type == FRAME_ERROR)
                result = client_fail(client, client_outcome_result(&reply->outcome), "%s",
                                     client_outcome_text(&reply->outcome));
        else
                result = arena_map(client, arena, &reply->arena_created);

        if (reply && reply->type == FRAME_ARENA_CREATED && result != 0 &&
            !channel_has_ended(&client->channel))
                arena_return(client, arena);
        else if (result != 0)
                arena_remove(&client->arenas, arena);
        if (creation)
                *creation = (struct creation){.is_over = true, .result = result};
}

static int arena_create(struct npumm_client *client, uint64_t size_bytes, bool is_regular,
                        uint64_t deadline_ns)
{
        struct request request = {.type = FRAME_ARENA_CREATE, .arena_create.size_bytes = size_bytes};
        struct creation creation = {0};
        struct arena *arena;
        int r;

        if (client->arenas.n_arenas >= client->limits.arenas)
                return client_fail(client, NPUMM_STATUS_BUSY,
                                   "all %" PRIu32
                                   " arenas of this connection are in use: have less in memory at once",
                                   client->limits.arenas);
        arena = calloc(1, sizeof *arena);
        if (!arena)
                return client_fail(client, -ENOMEM, "no memory to keep track of an arena");
        arena->creation = &creation;
        arena->is_regular = is_regular;
        arena->size_bytes = size_bytes;
        arena->call = (struct call){.answer = FRAME_ARENA_CREATED, .answer_fn = arena_created};
        TAILQ_INSERT_TAIL(&client->arenas.list, arena, link);
        client->arenas.n_arenas++;
        r = client_call(client, &request, NULL, 0, &arena->call);
        if (r < 0) {
                arena_remove(&client->arenas, arena);
                return client_fail(client, r, "no memory to ask for an arena");
        }
        while (!creation.is_over) {
                r = client_step(client, deadline_ns);
                if (r == -ETIMEDOUT && !creation.is_over) {
                        arena->creation = NULL;
                        return client_fail(client, r, "the daemon at %s did not make an arena within %d ms",
                                           client->channel.path, CLIENT_ANSWER_TIMEOUT_MS);
                }
        }
        return channel_has_ended(&client->channel) ? client_fail_lost(client) : creation.result;
}

static uint64_t regular_size_bytes(const struct npumm_client *client)
{
        const uint64_t most_bytes = client->limits.arena_bytes;
        uint64_t size_bytes = MIN(ARENAS_FIRST_BYTES, most_bytes);
        const struct arena *arena;

        TAILQ_FOREACH(arena, &client->arenas.list, link)
                if (arena->is_regular && arena->state != ARENA_GOING)
                        size_bytes = size_bytes < most_bytes / 2 ? size_bytes * 2 : most_bytes;
        return size_bytes;
}

/* ---- pieces ---- */

/* Returns 0, HEAP_E_FULL when no arena has room, or -ENOMEM. */
static int piece_take(struct npumm_client *client, uint64_t size_bytes, uint8_t **ret_memory)
{
        struct arena *arena;
        int r = HEAP_E_FULL;

        TAILQ_FOREACH(arena, &client->arenas.list, link) {
                uint64_t offset_bytes;

                if (arena->state != ARENA_USABLE)
                        continue;
                r = heap_alloc(&arena->heap, size_bytes, &offset_bytes);
                if (r == 0)
                        *ret_memory = arena->memory + offset_bytes;
                if (r != HEAP_E_FULL)
                        return r;
        }
        return r;
}

/* Gets an arena with room for `size_bytes`: one that leaves room to spare, or what the daemon can give. */
static int arenas_grow(struct npumm_client *client, uint64_t size_bytes)
{
        const uint64_t deadline_ns = clock_deadline_ns(CLIENT_ANSWER_TIMEOUT_MS);
        const uint64_t regular_bytes = regular_size_bytes(client);
        const bool is_regular = size_bytes <= regular_bytes;
        int r;

        r = arena_create(client, is_regular ? regular_bytes : size_bytes, is_regular, deadline_ns);
        if (r != NPUMM_STATUS_BUSY)
                return r;
        r = arenas_reclaim(client, deadline_ns);
        return r != 0 ? r : arena_create(client, size_bytes, false, deadline_ns);
}

int arenas_alloc(struct npumm_client *client, uint64_t size_bytes, uint8_t **ret_memory)
{
        int r;

        if (size_bytes > client->limits.arena_bytes)
                return client_fail(client, NPUMM_STATUS_BUSY,
                                   "%" PRIu64 " bytes at once are over the daemon's limit of %" PRIu64
                                   " for one arena (npumm_info::arena_bytes_max)",
                                   size_bytes, client->limits.arena_bytes);
        r = piece_take(client, size_bytes, ret_memory);
        if (r == HEAP_E_FULL) {
                r = arenas_grow(client, size_bytes);
                if (r != 0)
                        return r;
                r = piece_take(client, size_bytes, ret_memory);
        }
        if (r != 0)
                return client_fail(client, -ENOMEM, "no memory to keep track of what is lent out");
        return 0;
}

static struct arena *arena_of(const struct npumm_client *client, const void *memory,
                              uint64_t *ret_offset_bytes)
{
        const uintptr_t address = (uintptr_t)memory;
        struct arena *arena;

        TAILQ_FOREACH(arena, &client->arenas.list, link) {
                const uintptr_t begin = (uintptr_t)arena->memory;

                if (arena->memory && address >= begin && address - begin < arena->size_bytes) {
                        *ret_offset_bytes = address - begin;
                        return arena;
                }
        }
        return NULL;
}

bool arenas_free(struct npumm_client *client, const void *memory)
{
        uint64_t offset_bytes;
        struct arena *arena;

        if (!memory)
                return true;
        arena = arena_of(client, memory, &offset_bytes);
        if (!arena || !heap_free(&arena->heap, offset_bytes))
                return false;
        if (heap_is_empty(&arena->heap))
                arenas_trim(client);
        return true;
}

enum arenas_where arenas_find(const struct npumm_client *client, const void *memory, uint64_t size_bytes,
                              uint32_t *ret_arena, uint64_t *ret_offset_bytes)
{
        uint64_t offset_bytes;
        const struct arena *arena = arena_of(client, memory, &offset_bytes);
        const struct heap_block *block;

        if (!arena)
                return ARENAS_OUTSIDE;
        block = heap_find(&arena->heap, offset_bytes);
        if (!block || size_bytes > block->offset_bytes + block->size_bytes - offset_bytes)
                return ARENAS_ASTRAY;
        *ret_arena = arena->id;
        *ret_offset_bytes = offset_bytes;
        return ARENAS_INSIDE;
}
