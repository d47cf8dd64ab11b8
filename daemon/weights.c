/* SPDX-License-Identifier: MIT */
/* weights.c - see weights.h. */
#include "daemon/weights.h"

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <sys/mman.h>

/* Handles, and as many copies, that the loop lets go of between two looks at the rest: some hundred microseconds. */
#define PIECE 128
/* What is unmapped on the pool between two looks of the loop, which then discharges it. */
#define PIECE_BYTES UINT64_C(67108864)

/* ---- users, and what is kept of them ---- */

static struct weights_user *user_find(const struct weights_set *set, uid_t uid)
{
        struct weights_user *user;

        TAILQ_FOREACH(user, &set->users, link)
                if (user->uid == uid)
                        return user;
        return NULL;
}

/* For one more copy; NULL when memory is short. */
static struct weights_user *user_take(struct weights_set *set, uid_t uid)
{
        struct weights_user *user = user_find(set, uid);

        if (!user) {
                user = calloc(1, sizeof *user);
                if (!user)
                        return NULL;
                user->uid = uid;
                TAILQ_INIT(&user->kept.list);
                TAILQ_INIT(&user->loads);
                TAILQ_INSERT_TAIL(&set->users, user, link);
        }
        user->n_weights++;
        return user;
}

static void user_leave(struct weights_set *set, struct weights_user *user)
{
        if (--user->n_weights > 0)
                return;
        TAILQ_REMOVE(&set->users, user, link);
        free(user);
}

static void kept_add(struct weights *weights)
{
        struct weights_kept *of_user = &weights->user->kept, *of_all = &weights->set->kept;

        TAILQ_INSERT_TAIL(&of_user->list, weights, user_link);
        TAILQ_INSERT_TAIL(&of_all->list, weights, set_link);
        of_user->n++;
        of_all->n++;
        of_user->n_bytes += weights->size_bytes;
        of_all->n_bytes += weights->size_bytes;
}

static void kept_remove(struct weights *weights)
{
        struct weights_kept *of_user = &weights->user->kept, *of_all = &weights->set->kept;

        TAILQ_REMOVE(&of_user->list, weights, user_link);
        TAILQ_REMOVE(&of_all->list, weights, set_link);
        of_user->n--;
        of_all->n--;
        of_user->n_bytes -= weights->size_bytes;
        of_all->n_bytes -= weights->size_bytes;
}

/* ---- the end of a copy ---- */

/*
 * Unmapping the middle of a mapping fails in a process that has as many as it may: then at least the pages go; those of
 * a memfd at once, whoever still maps them.
 */
static void memory_free(const struct weights *weights)
{
        if (weights->fd >= 0) {
                (void)fallocate(weights->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                                (off_t)weights->size_bytes);
                (void)close(weights->fd);
        }
        if (munmap(weights->memory, weights->size_bytes) < 0)
                (void)madvise(weights->memory, weights->size_bytes, MADV_DONTNEED);
}

static void discharge(struct weights *weights)
{
        if (!weights->charge.user)
                return;
        weights->set->charged_bytes -= weights->size_bytes;
        quota_discharge(&weights->charge);
        quota_discharge(&weights->count_charge);
}

static void end_finish(struct weights *weights)
{
        struct weights_set *set = weights->set;

        discharge(weights);
        if (weights->is_leaving)
                set->leaving_bytes -= weights->size_bytes;
        user_leave(set, weights->user);
        free(weights);
}

static uint64_t leaving_bytes_left(const struct weights_set *set)
{
        const uint64_t most = MAX(WEIGHTS_LEAVING_BYTES_MAX, set->kept_bytes_max);

        return most - MIN(most, set->leaving_bytes);
}

static void unmap_work(uv_work_t *work)
{
        const struct weights_set *set = container_of(work, struct weights_set, unmap_work);
        const struct weights *weights;

        TAILQ_FOREACH(weights, &set->unmapped, set_link)
                memory_free(weights);
}

static void unmap_done(uv_work_t *work, int status);

/* Gives the pool its next piece, unless it has one. It may be empty: then it is only a pause. */
static void unmap_start(struct weights_set *set)
{
        struct weights *weights;
        uint64_t n = 0, n_bytes = 0;
        int r;

        if (set->is_unmapping || (TAILQ_EMPTY(&set->leaving) && TAILQ_EMPTY(&set->holders)))
                return;
        while (n < PIECE && n_bytes < PIECE_BYTES && (weights = TAILQ_FIRST(&set->leaving))) {
                TAILQ_REMOVE(&set->leaving, weights, set_link);
                TAILQ_INSERT_TAIL(&set->unmapped, weights, set_link);
                n++;
                n_bytes += weights->size_bytes;
        }
        set->is_unmapping = true;
        r = uv_queue_work(set->loop, &set->unmap_work, unmap_work, unmap_done);
        assert(r == 0); /* fails only without a function to run */
}

static void holders_end_some(struct weights_set *set, uint64_t n_max)
{
        struct weights_holder *holder;

        for (uint64_t n = 0; n < n_max && (holder = TAILQ_FIRST(&set->holders)); n++) {
                TAILQ_REMOVE(&set->holders, holder, link);
                holder->end_fn(holder);
        }
}

static void kept_trim(struct weights_set *set, struct weights_user *user);

static void unmap_done(uv_work_t *work, int status)
{
        struct weights_set *set = container_of(work, struct weights_set, unmap_work);
        struct weights_user *user;
        struct weights *weights;

        (void)status; /* never cancelled */
        while ((weights = TAILQ_FIRST(&set->unmapped))) {
                TAILQ_REMOVE(&set->unmapped, weights, set_link);
                end_finish(weights);
        }
        holders_end_some(set, PIECE);
        TAILQ_FOREACH(user, &set->users, link)
                kept_trim(set, user);
        set->is_unmapping = false;
        unmap_start(set);
}

void weights_end_holders(struct weights_set *set, struct weights_holder_list *holders)
{
        const bool is_first = TAILQ_EMPTY(&set->holders);

        TAILQ_CONCAT(&set->holders, holders, link);
        if (is_first)
                holders_end_some(set, PIECE);
        unmap_start(set);
}

static void end_unheld(struct region *region)
{
        struct weights *weights = container_of(region, struct weights, region);
        struct weights_set *set = weights->set;

        if (weights->size_bytes <= leaving_bytes_left(set)) {
                weights->is_leaving = true;
                set->leaving_bytes += weights->size_bytes;
                discharge(weights);
        }
        TAILQ_INSERT_TAIL(&set->leaving, weights, set_link);
        unmap_start(set);
}

static void end(struct weights *weights)
{
        region_end(weights->set->regions, &weights->region, end_unheld);
}

struct weights *weights_free(struct weights *weights)
{
        if (weights)
                end(weights);
        return NULL;
}

static int compare(const void *left, const void *right)
{
        const struct weights *l = left, *r = right;
        const int by_hash = memcmp(l->hash, r->hash, sizeof l->hash);

        if (by_hash != 0)
                return by_hash;
        if (l->user->uid != r->user->uid)
                return l->user->uid < r->user->uid ? -1 : 1;
        if (l->resident.k != r->resident.k)
                return l->resident.k < r->resident.k ? -1 : 1;
        return l->resident.n < r->resident.n ? -1 : l->resident.n > r->resident.n;
}

static void drop(struct weights *weights)
{
        struct weights_set *set = weights->set;

        assert(TAILQ_EMPTY(&weights->resident.waiting)); /* jobs hold what they want */
        (void)tdelete(weights, &set->by_content, compare);
        set->n_weights--;
        if (set->forget_fn)
                set->forget_fn(set->forget_userdata, &weights->resident);
        end(weights);
}

static void kept_drop(struct weights *weights)
{
        kept_remove(weights);
        drop(weights);
}

/* Back to the bound, or nearer to it: what has gone is on its way to the pool, and when it comes back there is more. */
static void kept_trim(struct weights_set *set, struct weights_user *user)
{
        for (int n = 0; n < PIECE && user->kept.n_bytes > set->kept_bytes_max; n++)
                kept_drop(TAILQ_FIRST(&user->kept.list));
}

struct weights *weights_ref(struct weights *weights)
{
        assert(weights->refs > 0);
        weights->refs++;
        return weights;
}

struct weights *weights_unref(struct weights *weights)
{
        struct weights_set *set;

        if (!weights)
                return NULL;
        assert(weights->refs > 0);
        if (--weights->refs > 0)
                return NULL;
        set = weights->set;
        if (weights->size_bytes > set->kept_bytes_max) {
                drop(weights);
                return NULL;
        }
        kept_add(weights);
        if (!set->is_unmapping) /* else it is done with the next piece */
                kept_trim(set, weights->user);
        return NULL;
}

/* ---- room ---- */

static uint64_t kept_amount(const struct weights_kept *kept, enum quota_kind kind)
{
        return kind == QUOTA_BYTES ? kept->n_bytes : kept->n;
}

/* What is to go for a charge. */
struct choice {
        enum quota_kind kind;
        uint64_t amount; /* of that kind */
        size_t n;
        uint64_t bytes_left; /* of what can be discharged at once: room that comes later is none */
};

static void choose(struct choice *choice, struct weights *weights)
{
        if (weights->is_to_go || weights->size_bytes > choice->bytes_left)
                return;
        weights->is_to_go = true;
        choice->amount += choice->kind == QUOTA_BYTES ? weights->size_bytes : 1;
        choice->n++;
        choice->bytes_left -= weights->size_bytes;
}

/* Whether there is enough of them. Nothing has gone yet. */
static bool choose_all(struct choice *choice, const struct weights_set *set, const struct weights_user *user,
                       uint64_t of_uid, uint64_t of_all)
{
        struct weights *weights;

        if (user)
                TAILQ_FOREACH(weights, &user->kept.list, user_link)
                        if (choice->amount < of_uid)
                                choose(choice, weights);
        if (choice->amount < of_uid)
                return false;
        TAILQ_FOREACH(weights, &set->kept.list, set_link)
                if (choice->amount < of_all)
                        choose(choice, weights);
        return choice->amount >= of_all;
}

/* A quota_room_fn. */
static void make_room(void *userdata, uid_t uid, enum quota_kind kind, uint64_t of_uid, uint64_t of_all)
{
        struct weights_set *set = userdata;
        const struct weights_user *user = user_find(set, uid);
        struct choice choice = {.kind = kind, .bytes_left = leaving_bytes_left(set)};
        struct weights *weights, *next;
        bool is_enough;

        if (kind != QUOTA_BYTES && kind != QUOTA_WEIGHTS)
                return;
        if (of_uid > (user ? kept_amount(&user->kept, kind) : 0) || of_all > kept_amount(&set->kept, kind))
                return;
        is_enough = choose_all(&choice, set, user, of_uid, of_all);
        for (weights = TAILQ_FIRST(&set->kept.list); choice.n > 0; weights = next) {
                next = TAILQ_NEXT(weights, set_link);
                if (!weights->is_to_go)
                        continue;
                weights->is_to_go = false;
                choice.n--;
                if (is_enough)
                        kept_drop(weights);
        }
}

void weights_set_init(struct weights_set *set, uv_loop_t *loop, struct quota *quota, struct stats *stats,
                      uint64_t kept_bytes_max)
{
        *set = (struct weights_set){
                .loop = loop, .quota = quota, .stats = stats, .kept_bytes_max = kept_bytes_max};
        TAILQ_INIT(&set->users);
        TAILQ_INIT(&set->kept.list);
        TAILQ_INIT(&set->holders);
        TAILQ_INIT(&set->leaving);
        TAILQ_INIT(&set->unmapped);
        quota->room_fn = make_room;
        quota->room_userdata = set;
}

void weights_set_close(struct weights_set *set)
{
        holders_end_some(set, UINT64_MAX); /* nobody waits for the loop any more */
        set->kept_bytes_max = 0;
        while (!TAILQ_EMPTY(&set->kept.list))
                kept_drop(TAILQ_FIRST(&set->kept.list));
}

void weights_set_deinit(struct weights_set *set)
{
        assert(TAILQ_EMPTY(&set->users) && !set->by_content && TAILQ_EMPTY(&set->holders));
        assert(set->charged_bytes == 0 && set->leaving_bytes == 0);
        set->quota->room_fn = NULL;
}

/* ---- a new copy ---- */

/* Both charges or neither. */
static int charge_both(struct weights *weights, uid_t uid)
{
        struct quota *quota = weights->set->quota;
        int r = quota_charge(quota, uid, QUOTA_BYTES, weights->size_bytes, &weights->charge);

        if (r != 0)
                return r;
        r = quota_charge(quota, uid, QUOTA_WEIGHTS, 1, &weights->count_charge);
        if (r != 0)
                quota_discharge(&weights->charge);
        else
                weights->set->charged_bytes += weights->size_bytes;
        return r > 0 ? WEIGHTS_E_COUNT + r : r;
}

static int memory_take(struct weights *weights)
{
        struct region_set *regions = weights->set->regions;
        void *memory;
        int r;

        if (!regions) {
                memory = mmap(NULL, weights->size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                              -1, 0);
                weights->fd = -1;
                weights->memory = memory;
                return memory == MAP_FAILED ? -errno : 0;
        }
        r = shared_memory_open("npumm-weights", weights->size_bytes, &weights->fd, &weights->memory);
        if (r < 0)
                return r;
        if (region_add(regions, &weights->region, weights->memory, weights->size_bytes, weights->fd, false))
                return 0;
        memory_free(weights);
        return -ENOMEM;
}

int weights_new(struct weights_set *set, uid_t uid, uint64_t k, uint64_t n, struct weights **ret_weights)
{
        _cleanup_(freep) struct weights *weights = calloc(1, sizeof *weights);
        int r;

        if (!weights)
                return -ENOMEM;
        weights->set = set;
        if (!checked_mul(k, n, &weights->size_bytes) ||
            !checked_align(weights->size_bytes, (uint64_t)sysconf(_SC_PAGESIZE), &weights->size_bytes))
                weights->size_bytes = UINT64_MAX; /* more than any limit, which then has a name */
        weights->user = user_take(set, uid);
        if (!weights->user)
                return -ENOMEM;
        r = charge_both(weights, uid);
        if (r == 0) {
                r = memory_take(weights);
                if (r < 0)
                        discharge(weights);
        }
        if (r != 0) {
                user_leave(set, weights->user);
                return r;
        }
        resident_init(&weights->resident, (const int8_t *)weights->memory, k, n);
        *ret_weights = steal(&weights);
        return 0;
}

bool weights_fault(const struct weights_set *set, uid_t uid, int r, struct fault *ret_fault)
{
        const bool is_count = r > WEIGHTS_E_COUNT;

        return quota_fault(set->quota, uid, is_count ? QUOTA_WEIGHTS : QUOTA_BYTES,
                           is_count ? r - WEIGHTS_E_COUNT : r, ret_fault);
}

struct weights *weights_settle(struct weights *weights, bool *ret_is_shared)
{
        struct weights_set *set = weights->set;
        struct weights **node = tsearch(weights, &set->by_content, compare);
        struct weights *found;

        if (!node) {
                end(weights);
                return NULL;
        }
        found = *node;
        *ret_is_shared = found != weights;
        set->stats->loads++;
        if (*ret_is_shared) {
                set->stats->loads_shared++;
                end(weights);
                if (found->refs == 0)
                        kept_remove(found);
        } else {
                set->n_weights++;
        }
        found->refs++;
        return found;
}
