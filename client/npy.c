/* SPDX-License-Identifier: MIT */
/*
 * npy.c - .npy files on disk: see npy.h. First reading, then writing. npy-header.c knows what a header means.
 */
#include "npy.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "elements are read and written as they lie in memory");

/* Column-major files are turned in pieces of this size: large for a read, small for a cache. */
#define TURN_BYTES (256u * 1024u)

/* ---- reading ---- */

/* Reads until `n_bytes` have come or the file ends. */
static int read_all(int fd, void *to, size_t n_bytes, size_t *ret_have, char *ret_text)
{
        size_t have = 0;

        while (have < n_bytes) {
                ssize_t r = read(fd, (uint8_t *)to + have, n_bytes - have);
                if (r < 0 && errno == EINTR)
                        continue;
                if (r < 0)
                        return npy_refuse(ret_text, -errno, "cannot be read (%s); give a readable .npy file",
                                          strerror(errno));
                if (r == 0)
                        break;
                have += (size_t)r;
        }
        *ret_have = have;
        return 0;
}

static int refuse_truncated(char *ret_text, uint64_t have, uint64_t want)
{
        return npy_refuse(ret_text, NPY_E_TRUNCATED,
                          "is truncated: %llu of %llu bytes of elements; save it again",
                          (unsigned long long)have, (unsigned long long)want);
}

static int refuse_trailing(char *ret_text)
{
        return npy_refuse(ret_text, NPY_E_TRAILING, "goes on after its last element; save one array only");
}

static int read_exactly(struct npy_file *file, void *to, size_t n_bytes, uint64_t done, char *ret_text)
{
        size_t have;
        int r;

        r = read_all(file->fd, to, n_bytes, &have, ret_text);
        if (r == 0 && have < n_bytes)
                r = refuse_truncated(ret_text, done + have, file->header.data_bytes);
        return r;
}

static int read_end(struct npy_file *file, char *ret_text)
{
        uint8_t extra;
        size_t have;
        int r;

        r = read_all(file->fd, &extra, 1, &have, ret_text);
        if (r == 0 && have > 0)
                r = refuse_trailing(ret_text);
        return r;
}

static int read_header(int fd, enum npy_kind kind, struct npy_header *ret_header, char *ret_text)
{
        uint8_t bytes[NPY_PREAMBLE_BYTES + NPY_DICT_BYTES_MAX];
        size_t have, more, header_bytes;
        int r;

        r = read_all(fd, bytes, NPY_PREAMBLE_BYTES, &have, ret_text);
        if (r == 0)
                r = npy_parse_preamble(bytes, have, &header_bytes, ret_text);
        if (r == 0)
                r = read_all(fd, bytes + have, header_bytes - have, &more, ret_text);
        if (r == 0)
                r = npy_parse_header(bytes, have + more, kind, ret_header, ret_text);
        return r;
}

/* What a regular file's size tells before anything is loaded. */
static int check_size(int fd, const struct npy_header *header, char *ret_text)
{
        struct stat st;
        uint64_t have;

        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return 0; /* then reading finds out */
        have = (uint64_t)st.st_size - MIN((uint64_t)st.st_size, header->header_bytes);
        if (have < header->data_bytes)
                return refuse_truncated(ret_text, have, header->data_bytes);
        if (have > header->data_bytes)
                return refuse_trailing(ret_text);
        return 0;
}

int npy_open(const char *path, enum npy_kind kind, struct npy_file *ret_file, char *ret_text)
{
        _cleanup_(closep) int fd = -1;
        struct npy_header header;
        int r;

        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return npy_refuse(ret_text, -errno, "cannot be opened (%s); give a readable .npy file",
                                  strerror(errno));
        r = read_header(fd, kind, &header, ret_text);
        if (r == 0)
                r = check_size(fd, &header, ret_text);
        if (r != 0)
                return r;
        *ret_file = (struct npy_file){.fd = steal_fd(&fd), .header = header};
        return 0;
}

void npy_close(struct npy_file *file)
{
        closep(&file->fd);
        file->fd = -1;
}

int npy_read(struct npy_file *file, void *to, char *ret_text)
{
        int r;

        r = read_exactly(file, to, (size_t)file->header.data_bytes, 0, ret_text);
        if (r == 0)
                r = read_end(file, ret_text);
        return r;
}

int npy_read_row_major(struct npy_file *file, int8_t *to, char *ret_text)
{
        size_t rows = (size_t)file->header.rows, cols = (size_t)file->header.cols;
        size_t row = 0, col = 0, total = (size_t)file->header.data_bytes;
        _cleanup_(freep) int8_t *piece = NULL;
        int r;

        if (!file->header.fortran_order)
                return npy_read(file, to, ret_text);
        piece = malloc(TURN_BYTES);
        if (!piece)
                return npy_refuse(ret_text, -ENOMEM, "cannot be loaded: out of memory");
        for (size_t done = 0; done < total;) {
                size_t n = MIN(total - done, TURN_BYTES);

                r = read_exactly(file, piece, n, done, ret_text);
                if (r != 0)
                        return r;
                for (size_t i = 0; i < n; i++) {
                        to[row * cols + col] = piece[i];
                        if (++row == rows) {
                                row = 0;
                                col++;
                        }
                }
                done += n;
        }
        return read_end(file, ret_text);
}

/* ---- writing ---- */

static const struct {
        const char *descr;
        size_t n_bytes;
} elems[NPY_ELEM_MAX] = {
        [NPY_ELEM_INT8] = {"|i1", 1},
        [NPY_ELEM_INT32] = {"<i4", 4},
        [NPY_ELEM_FLOAT32] = {"<f4", 4},
};

size_t npy_elem_bytes(enum npy_elem elem)
{
        return elems[elem].n_bytes;
}

/* Two 64-bit numbers and the words fit in the second 64 bytes; the elements begin at a multiple of 64. */
#define WRITE_HEADER_BYTES 128

static void format_header(enum npy_elem elem, uint64_t rows, uint64_t cols,
                          uint8_t ret_bytes[WRITE_HEADER_BYTES])
{
        static const uint8_t preamble[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, WRITE_HEADER_BYTES - 10, 0};
        char dict[WRITE_HEADER_BYTES];
        int n;

        n = snprintf(dict, sizeof dict, "{'descr': '%s', 'fortran_order': False, 'shape': (%llu, %llu), }",
                     elems[elem].descr, (unsigned long long)rows, (unsigned long long)cols);
        assert(n > 0 && (size_t)n < WRITE_HEADER_BYTES - sizeof preamble);
        memset(ret_bytes, ' ', WRITE_HEADER_BYTES);
        memcpy(ret_bytes, preamble, sizeof preamble);
        memcpy(ret_bytes + sizeof preamble, dict, (size_t)n);
        ret_bytes[WRITE_HEADER_BYTES - 1] = '\n';
}

static int write_all(int fd, const void *from, size_t n_bytes)
{
        while (n_bytes > 0) {
                ssize_t r = write(fd, from, n_bytes);
                if (r < 0 && errno == EINTR)
                        continue;
                if (r < 0)
                        return -errno;
                from = (const uint8_t *)from + r;
                n_bytes -= (size_t)r;
        }
        return 0;
}

static int write_matrix(int fd, enum npy_elem elem, uint64_t rows, uint64_t cols, const void *elements)
{
        uint8_t header[WRITE_HEADER_BYTES];
        int r;

        format_header(elem, rows, cols, header);
        r = write_all(fd, header, sizeof header);
        return r == 0 ? write_all(fd, elements, (size_t)(rows * cols) * elems[elem].n_bytes) : r;
}

/* Closes what was written with the result `r`: some file systems tell only now that the disk is full. */
static int close_written(int fd, int r)
{
        return close(fd) < 0 && r == 0 && errno != EINTR ? -errno : r;
}

/* Temporary files are for their owner alone; ours get what open() gives, or keep what was there. */
static mode_t mode_for(const struct stat *existing)
{
        mode_t mask;

        if (existing)
                return existing->st_mode & 0777;
        mask = umask(0);
        (void)umask(mask);
        return 0666 & ~mask;
}

#define TARGET_PATH_MAX (PATH_MAX - 8) /* leaves room for the temporary name's ending */
#define LINKS_MAX       40             /* the kernel's own bound */

/* Where a product goes once all links are followed: links stay, and what they point to is replaced. */
struct target {
        char path[TARGET_PATH_MAX];
        int fd;       /* borrowed: the process's own, where the path names a descriptor; else -1 */
        bool regular; /* or will be, when it does not exist */
        mode_t mode;
};

/* The descriptor that a path names, which is not the file that it happens to be redirected to; else -1. */
static int descriptor_of(const char *path)
{
        static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"}; /* /dev/stdout is a link there */

        for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
                const char *number = path + strlen(folders[i]);
                size_t n_digits;

                if (strncmp(path, folders[i], strlen(folders[i])) != 0)
                        continue;
                n_digits = strspn(number, "0123456789");
                if (n_digits > 0 && n_digits < 10 && number[n_digits] == '\0')
                        return atoi(number);
        }
        return -1;
}

/* Link by link, not by realpath: the last link may dangle, and a descriptor's must not be followed. */
static int follow_links(char path[TARGET_PATH_MAX])
{
        char to[TARGET_PATH_MAX];

        for (size_t i = 0; descriptor_of(path) < 0; i++) {
                const char *slash = strrchr(path, '/');
                size_t n_folder = slash ? (size_t)(slash - path) + 1 : 0;
                ssize_t n = readlink(path, to, sizeof to);

                if (n < 0)
                        return errno == EINVAL || errno == ENOENT ? 0
                                                                  : -errno; /* no link: the end of the way */
                if (n > 0 && to[0] == '/')
                        n_folder = 0;
                else if (strncmp(path, "/proc/", strlen("/proc/")) == 0)
                        return 0; /* "pipe:[7]", which another process has open, is no path */
                if (i == LINKS_MAX)
                        return -ELOOP;
                if (n_folder + (size_t)n >= TARGET_PATH_MAX)
                        return -ENAMETOOLONG;
                memcpy(path + n_folder, to, (size_t)n);
                path[n_folder + (size_t)n] = '\0';
        }
        return 0;
}

/* What can be told of a file, or of the place for one. */
static int look_at_file(struct target *target)
{
        size_t n = strlen(target->path);
        bool exists;
        struct stat st;

        exists = stat(target->path, &st) == 0;
        if (!exists && errno != ENOENT)
                return -errno;
        if (n == 0 || target->path[n - 1] == '/' || (exists && S_ISDIR(st.st_mode)))
                return -EISDIR;
        if (exists && access(target->path, W_OK) < 0)
                return -errno;
        target->regular = !exists || S_ISREG(st.st_mode);
        target->mode = mode_for(exists ? &st : NULL);
        return 0;
}

static int find_target(const char *path, struct target *ret_target)
{
        struct target target = {0};
        int flags, r;

        if (strlen(path) >= TARGET_PATH_MAX)
                return -ENAMETOOLONG;
        memcpy(target.path, path, strlen(path) + 1);
        r = follow_links(target.path);
        if (r < 0)
                return r;
        target.fd = descriptor_of(target.path);
        if (target.fd < 0) {
                r = look_at_file(&target);
        } else {
                flags = fcntl(target.fd, F_GETFL);
                r = flags < 0 || (flags & O_ACCMODE) == O_RDONLY ? -EBADF : 0;
        }
        if (r < 0)
                return r;
        *ret_target = target;
        return 0;
}

/* A file that is to be renamed into place needs a folder that takes new files. */
static int check_folder(const struct target *target)
{
        _cleanup_(freep) char *copy = strdup(target->path);

        if (!copy)
                return -ENOMEM;
        return access(dirname(copy), W_OK | X_OK) < 0 ? -errno : 0;
}

#define OWN_DESCRIPTORS "/proc/self/fd"

/* A file without a name, so that whatever kills us leaves none behind; -1 where there is no such thing. */
static int open_unnamed(const struct target *target)
{
        _cleanup_(freep) char *copy = strdup(target->path);

        if (!copy || access(OWN_DESCRIPTORS, X_OK) < 0) /* link_unnamed needs it */
                return -1;
        return open(dirname(copy), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
}

static int link_unnamed(int fd, const struct target *target, char ret_temporary[PATH_MAX])
{
        char unnamed[sizeof OWN_DESCRIPTORS + 12];
        uint8_t salt[3];
        int r;

        (void)snprintf(unnamed, sizeof unnamed, OWN_DESCRIPTORS "/%d", fd);
        do {
                if (getrandom(salt, sizeof salt, 0) < 0)
                        return -errno;
                (void)snprintf(ret_temporary, PATH_MAX, "%s.%02x%02x%02x", target->path, salt[0], salt[1],
                               salt[2]);
                r = linkat(AT_FDCWD, unnamed, AT_FDCWD, ret_temporary, AT_SYMLINK_FOLLOW);
        } while (r < 0 && errno == EEXIST);
        return r < 0 ? -errno : 0;
}

static int write_renamed(const struct target *target, enum npy_elem elem, uint64_t rows, uint64_t cols,
                         const void *elements)
{
        char temporary[PATH_MAX];
        bool named;
        int fd, r;

        fd = open_unnamed(target);
        named = fd < 0;
        if (named) {
                (void)snprintf(temporary, sizeof temporary, "%s.XXXXXX", target->path);
                fd = mkostemp(temporary, O_CLOEXEC);
        }
        if (fd < 0)
                return -errno;
        r = fchmod(fd, target->mode) < 0 ? -errno : 0;
        if (r == 0)
                r = write_matrix(fd, elem, rows, cols, elements);
        if (r == 0 && !named) {
                r = link_unnamed(fd, target, temporary);
                named = r == 0;
        }
        r = close_written(fd, r);
        if (r == 0 && rename(temporary, target->path) < 0)
                r = -errno;
        if (r < 0 && named)
                (void)unlink(temporary);
        return r;
}

/* To a descriptor where it stands, or to what is no regular file. */
static int write_directly(const struct target *target, enum npy_elem elem, uint64_t rows, uint64_t cols,
                          const void *elements)
{
        int fd;

        if (target->fd >= 0)
                fd = fcntl(target->fd, F_DUPFD_CLOEXEC, 0);
        else
                fd = open(target->path, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        return close_written(fd, write_matrix(fd, elem, rows, cols, elements));
}

static int refuse_target(char *ret_text, int r)
{
        return npy_refuse(ret_text, r,
                          "cannot be written (%s); name a place that you may write to and that has room",
                          strerror(-r));
}

int npy_check_target(const char *path, char *ret_text)
{
        struct target target;
        int r;

        r = find_target(path, &target);
        if (r == 0 && target.regular)
                r = check_folder(&target);
        return r == 0 ? 0 : refuse_target(ret_text, r);
}

int npy_write(const char *path, enum npy_elem elem, uint64_t rows, uint64_t cols, const void *elements,
              char *ret_text)
{
        struct target target;
        int r;

        r = find_target(path, &target);
        if (r == 0 && target.regular)
                r = write_renamed(&target, elem, rows, cols, elements);
        else if (r == 0)
                r = write_directly(&target, elem, rows, cols, elements);
        return r == 0 ? 0 : refuse_target(ret_text, r);
}
