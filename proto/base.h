/* SPDX-License-Identifier: MIT */
/*
 * base.h - the few words that every file of both sides uses.
 *
 * Role:  cleanup attribute, ownership transfer, checked arithmetic, little-endian access.
 * Owns:  nothing; everything here is a pure inline function or a macro.
 * Never: includes anything of daemon/ or client/.
 */
#ifndef PROTO_BASE_H
#define PROTO_BASE_H

#undef NDEBUG /* asserts live in every build: they guard our own invariants, never a peer's input */
#include <assert.h>
#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define _cleanup_(fn)       __attribute__((cleanup(fn)))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define MIN(a, b)         ((a) < (b) ? (a) : (b))
#define MAX(a, b)         ((a) > (b) ? (a) : (b))

#define container_of(ptr, type, member) ((type *)(void *)(((char *)(ptr)) - offsetof(type, member)))

/* Gives a pointer away: returns it and leaves NULL behind, so that a cleanup on the variable does nothing. */
#define steal(ptr)                                                                                           \
        ({                                                                                                   \
                __typeof__(ptr) _steal_from = (ptr);                                                         \
                __typeof__(*_steal_from) _stolen = *_steal_from;                                             \
                *_steal_from = NULL;                                                                         \
                _stolen;                                                                                     \
        })

static inline void freep(void *p)
{
        free(*(void **)p);
}

static inline void closep(const int *fd)
{
        if (*fd >= 0)
                (void)close(*fd);
}

/* Same as steal, for a file descriptor. */
static inline int steal_fd(int *fd)
{
        int stolen = *fd;
        *fd = -1;
        return stolen;
}

/* Arithmetic on numbers that a peer chose: false on overflow, and then *ret is untouched. */
static inline bool checked_add(uint64_t a, uint64_t b, uint64_t *ret)
{
        uint64_t sum;
        if (__builtin_add_overflow(a, b, &sum))
                return false;
        *ret = sum;
        return true;
}

static inline bool checked_mul(uint64_t a, uint64_t b, uint64_t *ret)
{
        uint64_t product;
        if (__builtin_mul_overflow(a, b, &product))
                return false;
        *ret = product;
        return true;
}

/* The smallest multiple of `align` (a power of two) that is at least `n`; false on overflow. */
static inline bool checked_align(uint64_t n, uint64_t align, uint64_t *ret)
{
        uint64_t sum;
        if (!checked_add(n, align - 1, &sum))
                return false;
        *ret = sum & ~(align - 1);
        return true;
}

/* Little-endian fields of the wire, at any alignment. */
static inline void put_le(uint8_t *to, uint64_t value, size_t n_bytes)
{
        value = le64toh(value); /* either way, it is the same */
        memcpy(to, &value, n_bytes);
}

static inline uint64_t get_le(const uint8_t *from, size_t n_bytes)
{
        uint64_t value = 0;
        memcpy(&value, from, n_bytes);
        return le64toh(value);
}

#endif
