/* SPDX-License-Identifier: MIT */
/*
 * ring.h - two rings of bytes in shared memory, which carry frames in place of the socket.
 *
 * Role:   one side's end of both rings: bytes in, bytes out, and whom to wake. Both sides use this file.
 * In:     memory that the other side writes to as well. Out: bytes, copied once.
 * Thread: one end belongs to one thread; the two ends know each other by the shared words alone.
 * Owns:   nothing: the memory is the caller's.
 * Never:  waits, or makes a system call; takes an index of the other side for granted, or reads one twice.
 *
 * Design notes (README.md section 15 is normative)
 * - What one side writes lies in one line of the cache, so that it moves once for all that this side has to say: how
 *   far it has filled its ring, how far it has emptied the other, whether it sleeps, which CPU it is on.
 * - Each end keeps its own indexes to itself and only publishes them: nothing that the other side does to the shared
 *   words makes it read or write outside the rings.
 * - Whoever publishes looks afterwards whether the other wants to be woken; whoever goes to sleep says so first and
 *   looks once more afterwards. All four are sequentially consistent, so that one of the two sees the other.
 */
#ifndef PROTO_RING_H
#define PROTO_RING_H

#include "base.h"

#include <stdatomic.h>

#define RING_BYTES_MIN    4096u
#define RING_BYTES_MAX    1048576u
#define RING_ALIGN_BYTES  64u /* of the place in the arena */
#define RING_HEADER_BYTES 384u
#define RING_CPU_UNKNOWN  UINT32_MAX

/* What a side that sleeps wants to be woken for. */
enum {
        RING_WANTS_DATA = 1 << 0, /* bytes to read */
        RING_WANTS_ROOM = 1 << 1, /* the other side has read some */
};

/* What one side says. Two lines: processors fetch them in pairs. */
struct ring_side {
        _Alignas(64) _Atomic uint32_t tail; /* bytes it has written, of all time, modulo 2^32 */
        _Atomic uint32_t head;              /* bytes it has read, likewise */
        _Atomic uint32_t wants;             /* RING_WANTS_*: it sleeps; who takes it from 0 rings its bell */
        _Atomic uint32_t cpu;               /* where it last ran: a hint */
        uint8_t rest[112];
};

struct ring_header {
        struct ring_side client, daemon;
        _Atomic uint32_t open; /* the daemon's: 0 once it has let go, and the rings may be cleared */
        uint8_t rest[124];
};
static_assert(sizeof(struct ring_header) == RING_HEADER_BYTES, "the layout of README.md");

/* One of the rings, as one end sees it. */
struct ring_half {
        uint8_t *bytes; /* borrowed: shared */
        uint32_t size;
        uint32_t head, tail; /* ours is the truth, theirs what was last seen and found sound */
        uint32_t published;  /* of ours */
};

struct ring {
        struct ring_side *own, *peer; /* borrowed: shared */
        _Atomic uint32_t *open;       /* same */
        struct ring_half tx, rx;
        uint32_t cpu; /* as published */
};

/* Positive results: the other side broke the rules, and its ring cannot be used any more. */
enum {
        RING_E_SUCCESS = 0,
        RING_E_TAIL, /* it says to have written what it cannot have */
        RING_E_HEAD, /* it says to have read what it cannot have */
};

/* Whether a ring may have that size. */
bool ring_size_is_valid(uint64_t bytes);

/* What both take together, from their place on. */
static inline uint64_t ring_extent_bytes(uint32_t submission_bytes, uint32_t completion_bytes)
{
        return (uint64_t)RING_HEADER_BYTES + submission_bytes + completion_bytes;
}

/* The daemon begins: clears the words, and opens. Sizes are valid, `memory` is aligned to RING_ALIGN_BYTES. */
void ring_init_daemon(struct ring *ring, uint8_t *memory, uint32_t submission_bytes,
                      uint32_t completion_bytes);

/* Then the client joins. */
void ring_init_client(struct ring *ring, uint8_t *memory, uint32_t submission_bytes,
                      uint32_t completion_bytes);

/* How many bytes can be read. Returns 0 or RING_E_TAIL. */
int ring_readable(struct ring *ring, uint32_t *ret_bytes);

/* Tells the processor that bytes may come: to be called while one looks for them. */
void ring_expect(const struct ring *ring);

/* Copies bytes out, `n_bytes` at most what ring_readable found. */
void ring_read(struct ring *ring, uint8_t *to, uint32_t n_bytes);

/* How many bytes can be written. Returns 0 or RING_E_HEAD. */
int ring_room(struct ring *ring, uint32_t *ret_bytes);

/* Copies bytes in, `n_bytes` at most what ring_room found. They are not to be seen before ring_publish. */
void ring_write(struct ring *ring, const uint8_t *bytes, uint32_t n_bytes);

/* Whether the other side has read all that was published, as far as it says. */
bool ring_is_drained(struct ring *ring);

/* Shows the other side what was read and written. True: it sleeps and wants to know; ring its bell. */
bool ring_publish(struct ring *ring, uint32_t cpu);

/* Before sleeping; then look once more. */
void ring_sleep(struct ring *ring, uint32_t wants);

/* Awake again: bells are not needed. True: one was, and has been rung or will be presently. */
bool ring_wake(struct ring *ring);

/* Where the other side last ran. */
uint32_t ring_peer_cpu(const struct ring *ring);

/* The daemon lets go: what the client reads from now on may be anything. */
void ring_shut(struct ring *ring);

/* To be asked after bytes were copied out: whether they are what the daemon wrote. */
bool ring_is_open(const struct ring *ring);

#endif
