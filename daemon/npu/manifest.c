/* SPDX-License-Identifier: MIT */
/* manifest.c - see manifest.h. */
#include "daemon/npu/manifest.h"

#include <blake2.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

/* A dozen programs at a few hundred bytes each, and room for comments. */
#define MANIFEST_BYTES_MAX 65536
#define SECTIONS_MAX       16
/*
 * A line, the 0 included: one less than inih's own bound, since newer versions (59 does, 55 does not) take a full
 * buffer for the beginning of a longer line, and skip what comes next. The longest that there is, stream64's channels,
 * has 142 letters.
 */
#define LINE_BYTES 199

#define AGAIN "; build it again with xclbin/build.sh"

const char *const manifest_format_names[] = {"stream64", "tile16", NULL};

/* By enum stream64_flow. */
static const char *const flow_names[] = {[STREAM64_POLL] = "poll", [STREAM64_TOKEN] = "token", NULL};

/* ---- keys ---- */

enum key {
        KEY_NPU = 0,
        KEY_KERNEL,
        KEY_FORMAT,
        KEY_VERSION,
        KEY_COLUMNS,
        KEY_FLOW,
        KEY_CHANNELS,
        KEY_FILE,
        KEY_BLAKE2B,
        KEY_PDI_BLAKE2B,
        KEY_MAX
};

/* Index of `name` in a NULL-terminated list; -1: not there. */
static int name_find(const char *const names[], const char *name)
{
        for (int i = 0; names[i]; i++)
                if (strcmp(names[i], name) == 0)
                        return i;
        return -1;
}

/* Also of a file: that there is no slash and no dot at the beginning keeps it in the manifest's folder. */
static bool is_name(const char *value)
{
        const size_t n = strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.");

        return n > 0 && n < MANIFEST_NAME_BYTES && value[n] == '\0' && value[0] != '.';
}

static bool is_number(const char *value)
{
        const size_t n = strspn(value, "0123456789");

        return n > 0 && n <= 3 && value[n] == '\0' && value[0] != '0';
}

static bool is_flow(const char *value)
{
        return name_find(flow_names, value) >= 0;
}

/* Which lanes there must be, and where, is a matter of the format: lanes_check. */
static bool is_lanes(const char *value)
{
        int n;

        do {
                n = 0;
                (void)sscanf(value, " %*[A-Za-z0-9]=%*[0-9]:%*[A-Z0-9]%n", &n);
                value += n;
        } while (n > 0 && (*value == ' ' || *value == '\t'));
        return n > 0 && *value == '\0';
}

static bool is_hash(const char *value)
{
        const size_t n_digits = (size_t)2 * MANIFEST_HASH_BYTES;

        return strlen(value) == n_digits && strspn(value, "0123456789abcdef") == n_digits;
}

#define A_NAME   "a name of letters, digits, _, - and ., at most 63 and no dot first"
#define A_NUMBER "a number from 1 to 999"
#define A_HASH   "64 digits of 0-9 and a-f, as b2sum -l 256 prints them"

static const struct {
        const char *name;
        bool is_required;
        bool (*is_right)(const char *value); /* by itself, whatever the other keys say */
        const char *right;
} keys[KEY_MAX] = {
        [KEY_NPU] = {"npu", true, is_name, A_NAME},
        [KEY_KERNEL] = {"kernel", true, is_name, A_NAME},
        [KEY_FORMAT] = {"format", true, is_name, A_NAME},
        [KEY_VERSION] = {"version", true, is_number, A_NUMBER},
        [KEY_COLUMNS] = {"columns", true, is_number, A_NUMBER},
        [KEY_FLOW] = {"flow", true, is_flow, "poll or token"},
        [KEY_CHANNELS] = {"channels", true, is_lanes, "a list of lane=column:channel"},
        [KEY_FILE] = {"file", false, is_name, A_NAME},
        [KEY_BLAKE2B] = {"blake2b", false, is_hash, A_HASH},
        [KEY_PDI_BLAKE2B] = {"pdi-blake2b", false, is_hash, A_HASH},
};

/* ---- what the packers know ---- */

/* An NPU is a part of it: the header of a stream names its generation. */
static const struct geometry {
        const char *npu;
        unsigned version, columns;
        const char *lanes; /* as in the manifest */
} geometries[MANIFEST_FORMAT_MAX] = {
        [MANIFEST_STREAM64] = {"npu1", 1, STREAM64_COLUMNS,
                               "A0=0:MM2S0 B0=0:MM2S1 C0=0:S2MM0 A1=1:MM2S0 B1=1:MM2S1 C1=1:S2MM0 "
                               "A2=2:MM2S0 B2=2:MM2S1 C2=2:S2MM0 A3=3:MM2S0 B3=3:MM2S1 C3=3:S2MM0"},
        [MANIFEST_TILE16] = {"npu1", 1, 4, "in=0:MM2S0 out=0:S2MM0"},
};

/* ---- a manifest in memory ---- */

struct section {
        char name[MANIFEST_NAME_BYTES];
        int line;
        struct {
                int line; /* 0: not given */
                char text[LINE_BYTES];
        } values[KEY_MAX];
};

struct manifest {
        const char *path; /* borrowed: the caller's */
        char *error;      /* borrowed: the caller's, MANIFEST_ERROR_MAX */
        /* Of the reading: */
        const char *next, *end; /* borrowed: in what manifest_read has read */
        int line;               /* the last one that inih was given, from 1 */
        int result;             /* of that line: the first that is wrong is the last */
        /* What was read: */
        size_t n_sections;
        struct section sections[SECTIONS_MAX];
};

/* Says "path:line: ..", without a line if it is 0, and returns `result`. */
static int refuse(const struct manifest *manifest, int line, int result, const char *format, ...)
        _printf_(4, 5);
static int refuse(const struct manifest *manifest, int line, int result, const char *format, ...)
{
        char where[16] = "";
        va_list args;
        size_t n;

        if (line > 0)
                (void)snprintf(where, sizeof where, ":%d", line);
        n = (size_t)snprintf(manifest->error, MANIFEST_ERROR_MAX, "%.150s%s: ", manifest->path, where);
        va_start(args, format);
        (void)vsnprintf(manifest->error + n, MANIFEST_ERROR_MAX - n, format, args);
        va_end(args);
        return result;
}

static const char *text_of(const struct section *section, enum key key)
{
        return section->values[key].text;
}

static unsigned number_of(const struct section *section, enum key key)
{
        return (unsigned)strtoul(text_of(section, key), NULL, 10);
}

/*
 * All of a file, as long as it was when it was opened. Links are followed: what is behind one is judged by its content,
 * and some packages install nothing but links. What is no file is not waited for.
 */
static int file_read(const char *path, uint64_t bytes_max, uint8_t **ret_bytes, size_t *ret_n_bytes,
                     const char **ret_why)
{
        _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        _cleanup_(freep) uint8_t *bytes = NULL;
        size_t n_bytes = 0, size;
        struct stat info;
        ssize_t n;

        *ret_why = NULL;
        if (fd < 0 || fstat(fd, &info) != 0)
                *ret_why = strerror(errno);
        else if (!S_ISREG(info.st_mode))
                *ret_why = "it is not a regular file";
        else if ((uint64_t)info.st_size > bytes_max)
                *ret_why = "it is too large";
        if (*ret_why)
                return MANIFEST_E_MISSING;
        size = (size_t)info.st_size;
        bytes = malloc(MAX(size, 1u));
        if (!bytes)
                return -ENOMEM;
        while (n_bytes < size && (n = read(fd, bytes + n_bytes, size - n_bytes)) != 0) {
                if (n > 0) {
                        n_bytes += (size_t)n;
                } else if (errno != EINTR) {
                        *ret_why = strerror(errno);
                        return MANIFEST_E_MISSING;
                }
        }
        *ret_bytes = steal(&bytes);
        *ret_n_bytes = n_bytes;
        return 0;
}

/* ---- reading it ---- */

static int section_begin(struct manifest *manifest, const char *line)
{
        const size_t n = strlen(line);
        struct section *section = &manifest->sections[manifest->n_sections];
        char name[LINE_BYTES] = "";

        if (line[n - 1] == ']')
                memcpy(name, line + 1, n - 2);
        if (!is_name(name))
                return refuse(manifest, manifest->line, MANIFEST_E_MALFORMED,
                              "\"%.40s\" is not [name], the name " A_NAME, line);
        for (size_t i = 0; i < manifest->n_sections; i++)
                if (strcmp(manifest->sections[i].name, name) == 0)
                        return refuse(manifest, manifest->line, MANIFEST_E_MALFORMED,
                                      "[%s] is there already, in line %d", name, manifest->sections[i].line);
        if (manifest->n_sections == SECTIONS_MAX)
                return refuse(manifest, manifest->line, MANIFEST_E_MALFORMED,
                              "there are more than %d sections", SECTIONS_MAX);
        strcpy(section->name, name);
        section->line = manifest->line;
        manifest->n_sections++;
        return 0;
}

/*
 * What inih would take for something else, or half of it: it makes two lines of a long one, ends a line at a byte 0,
 * adds an indented line to the value before it, and reads nothing behind a ']'.
 */
static int line_check(struct manifest *manifest, const char *line, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if ((line[i] < ' ' || line[i] > '~') && line[i] != '\t')
                        return refuse(manifest, manifest->line, MANIFEST_E_MALFORMED,
                                      "byte 0x%02x is not text", (unsigned char)line[i]);
        if (line[0] == ' ' || line[0] == '\t')
                return refuse(manifest, manifest->line, MANIFEST_E_MALFORMED, "the line is indented");
        return line[0] == '[' ? section_begin(manifest, line) : 0;
}

/* inih asks this for each line. NULL: there are no more, or this one is wrong. */
static char *on_line(char *line, int n_bytes, void *userdata)
{
        struct manifest *manifest = userdata;
        const char *from = manifest->next, *end = manifest->end;
        size_t n;

        if (from == end || manifest->result != 0)
                return NULL;
        manifest->line++;
        n = (size_t)(end - from);
        end = memchr(from, '\n', n);
        if (end)
                n = (size_t)(end - from);
        manifest->next = end ? end + 1 : manifest->end;
        while (n > 0 && strchr(" \t\r", from[n - 1]) && from[n - 1] != '\0')
                n--;
        if (n > 0 && (from[0] == '#' || from[0] == ';'))
                n = 0; /* comments may be as long as they like, and say anything */
        if (n < MIN((size_t)n_bytes, (size_t)LINE_BYTES)) {
                memcpy(line, from, n);
                line[n] = '\0';
                manifest->result = line_check(manifest, line, n);
        } else {
                manifest->result =
                        refuse(manifest, manifest->line, MANIFEST_E_MALFORMED, "the line is too long");
        }
        return manifest->result == 0 ? line : NULL;
}

static int key_set(struct manifest *manifest, const char *name, const char *value)
{
        struct section *section;

        if (manifest->n_sections == 0)
                return refuse(manifest, manifest->line, MANIFEST_E_MALFORMED,
                              "%.40s stands before the first [section]", name);
        section = &manifest->sections[manifest->n_sections - 1];
        for (size_t i = 0; i < KEY_MAX; i++) {
                if (strcmp(keys[i].name, name) != 0)
                        continue;
                if (section->values[i].line != 0)
                        return refuse(manifest, manifest->line, MANIFEST_E_MALFORMED,
                                      "%s is there already, in line %d", name, section->values[i].line);
                if (!keys[i].is_right(value))
                        return refuse(manifest, manifest->line, MANIFEST_E_MALFORMED,
                                      "%s: \"%.70s\" is not %s", name, value, keys[i].right);
                section->values[i].line = manifest->line;
                strcpy(section->values[i].text, value); /* on_line has measured it */
                return 0;
        }
        return refuse(manifest, manifest->line, MANIFEST_E_MALFORMED, "%.40s: there is no such key", name);
}

/* inih calls this for each key; the section it is in is the last that on_line has seen. */
static int on_key(void *userdata, const char *section, const char *name, const char *value)
{
        struct manifest *manifest = userdata;

        (void)section;
        manifest->result = key_set(manifest, name, value);
        return manifest->result == 0;
}

/* What a section lacks. */
static int section_check(const struct manifest *manifest, const struct section *section)
{
        const int file_line = section->values[KEY_FILE].line;
        const int hash_line = MAX(section->values[KEY_BLAKE2B].line, section->values[KEY_PDI_BLAKE2B].line);

        for (size_t i = 0; i < KEY_MAX; i++)
                if (keys[i].is_required && section->values[i].line == 0)
                        return refuse(manifest, section->line, MANIFEST_E_MALFORMED, "[%s] has no %s",
                                      section->name, keys[i].name);
        if (file_line != 0 && section->values[KEY_BLAKE2B].line == 0)
                return refuse(manifest, file_line, MANIFEST_E_MALFORMED,
                              "[%s] has a file, but no blake2b of it", section->name);
        if (file_line == 0 && hash_line != 0)
                return refuse(manifest, hash_line, MANIFEST_E_MALFORMED, "[%s] has a hash, but no file",
                              section->name);
        if (name_find(manifest_format_names, text_of(section, KEY_FORMAT)) < 0)
                return refuse(manifest, section->values[KEY_FORMAT].line, MANIFEST_E_GEOMETRY,
                              "format: the daemon knows stream64 and tile16, but not \"%s\"",
                              text_of(section, KEY_FORMAT));
        return 0;
}

/* The first of this format for this NPU from section `from` on; NULL: there is none. */
static const struct section *section_find(const struct manifest *manifest, size_t from, const char *npu,
                                          const char *format)
{
        for (size_t i = from; i < manifest->n_sections; i++)
                if (strcmp(text_of(&manifest->sections[i], KEY_NPU), npu) == 0 &&
                    strcmp(text_of(&manifest->sections[i], KEY_FORMAT), format) == 0)
                        return &manifest->sections[i];
        return NULL;
}

static int sections_check(const struct manifest *manifest)
{
        for (size_t i = 0; i < manifest->n_sections; i++) {
                const struct section *section = &manifest->sections[i], *other;
                int r = section_check(manifest, section);

                if (r != 0)
                        return r;
                other = section_find(manifest, i + 1, text_of(section, KEY_NPU),
                                     text_of(section, KEY_FORMAT));
                if (other)
                        return refuse(manifest, other->line, MANIFEST_E_MALFORMED,
                                      "[%s] is %s for %s, and so is [%s]", other->name,
                                      text_of(section, KEY_FORMAT), text_of(section, KEY_NPU), section->name);
        }
        return 0;
}

static int manifest_read(struct manifest *manifest)
{
        _cleanup_(freep) uint8_t *bytes = NULL;
        const char *why;
        size_t n_bytes;
        int line, r;

        r = file_read(manifest->path, MANIFEST_BYTES_MAX, &bytes, &n_bytes, &why);
        if (r > 0)
                return refuse(manifest, 0, r, "%s; install npumatmuld's xclbin folder", why);
        if (r < 0)
                return r;
        manifest->next = (const char *)bytes;
        manifest->end = manifest->next + n_bytes;
        line = ini_parse_stream(on_line, manifest, on_key, manifest);
        if (line < 0)
                return -ENOMEM;
        /* inih goes on after a line without form; then the next one that is wrong is not the first. */
        if (line > 0 && (manifest->result == 0 || line < manifest->line))
                return refuse(manifest, line, MANIFEST_E_MALFORMED, "not \"key = value\"");
        if (manifest->result != 0)
                return manifest->result;
        return sections_check(manifest);
}

/* ---- the program ---- */

static int refuse_program(const struct manifest *manifest, const char *npu, const char *format)
{
        char list[MANIFEST_ERROR_MAX / 2] = "none at all";

        for (size_t i = 0, n = 0; i < manifest->n_sections && n < sizeof list; i++) {
                const struct section *section = &manifest->sections[i];

                n += (size_t)snprintf(list + n, sizeof list - n, "%s%s for %s", i > 0 ? ", " : "",
                                      text_of(section, KEY_FORMAT), text_of(section, KEY_NPU));
        }
        return refuse(manifest, 0, MANIFEST_E_NO_PROGRAM, "there is no %s for %.40s; there is %s", format,
                      npu, list);
}

/* Lanes in a list: "name=column:channel", blanks between them. */
static const char *lane_next(const char *lane)
{
        lane += strcspn(lane, " \t");
        return lane + strspn(lane, " \t");
}

static int lane_bytes(const char *lane)
{
        return (int)strcspn(lane, " \t");
}

/* The lane of the same name; NULL: there is none. */
static const char *lane_find(const char *list, const char *lane)
{
        for (; *list != '\0'; list = lane_next(list))
                if (strncmp(list, lane, strcspn(lane, "=") + 1) == 0)
                        return list;
        return NULL;
}

/* Each lane that is known, where it is known to be, and no other; in any order. */
static int lanes_check(const struct manifest *manifest, const struct section *section, const char *known)
{
        const int line = section->values[KEY_CHANNELS].line;
        const char *lanes = text_of(section, KEY_CHANNELS), *other;

        for (const char *lane = lanes; *lane != '\0'; lane = lane_next(lane)) {
                other = lane_find(known, lane);
                if (!other)
                        return refuse(manifest, line, MANIFEST_E_GEOMETRY,
                                      "channels: the daemon's streams do not know lane %.*s" AGAIN,
                                      lane_bytes(lane), lane);
                if (lane_bytes(lane) != lane_bytes(other) ||
                    memcmp(lane, other, (size_t)lane_bytes(lane)) != 0)
                        return refuse(manifest, line, MANIFEST_E_GEOMETRY,
                                      "channels: lane %.*s is %.*s in the daemon's streams" AGAIN,
                                      lane_bytes(lane), lane, lane_bytes(other), other);
                if (lane_find(lane_next(lane), lane))
                        return refuse(manifest, line, MANIFEST_E_GEOMETRY,
                                      "channels: lane %.*s is there twice", lane_bytes(lane), lane);
        }
        for (const char *lane = known; *lane != '\0'; lane = lane_next(lane))
                if (!lane_find(lanes, lane))
                        return refuse(manifest, line, MANIFEST_E_GEOMETRY,
                                      "channels: lane %.*s is missing" AGAIN, lane_bytes(lane), lane);
        return 0;
}

static int geometry_check(const struct manifest *manifest, const struct section *section,
                          const struct geometry *geometry)
{
        const struct {
                enum key key;
                unsigned known;
        } numbers[] = {{KEY_VERSION, geometry->version}, {KEY_COLUMNS, geometry->columns}};

        if (strcmp(text_of(section, KEY_NPU), geometry->npu) != 0)
                return refuse(manifest, section->values[KEY_NPU].line, MANIFEST_E_GEOMETRY,
                              "npu: the daemon's streams are for %s, not for %s", geometry->npu,
                              text_of(section, KEY_NPU));
        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
                if (number_of(section, numbers[i].key) != numbers[i].known)
                        return refuse(manifest, section->values[numbers[i].key].line, MANIFEST_E_GEOMETRY,
                                      "%s: the daemon knows %u, not %u" AGAIN, keys[numbers[i].key].name,
                                      numbers[i].known, number_of(section, numbers[i].key));
        return lanes_check(manifest, section, geometry->lanes);
}

static void hash_parse(const char *text, uint8_t hash[MANIFEST_HASH_BYTES])
{
        for (size_t i = 0; i < MANIFEST_HASH_BYTES; i++)
                hash[i] = (uint8_t)strtoul((const char[]){text[2 * i], text[2 * i + 1], '\0'}, NULL, 16);
}

/* The file of a section, if it is the one that was built: from here on it is in memory and nowhere else. */
static int xclbin_read(const struct manifest *manifest, const struct section *section, uint8_t **ret_bytes,
                       size_t *ret_n_bytes)
{
        const char *slash = strrchr(manifest->path, '/'), *name = text_of(section, KEY_FILE), *why;
        const size_t n_folder = slash ? (size_t)(slash - manifest->path) + 1 : 0;
        uint8_t expected[MANIFEST_HASH_BYTES], hash[MANIFEST_HASH_BYTES];
        _cleanup_(freep) uint8_t *bytes = NULL;
        _cleanup_(freep) char *path = NULL;
        size_t n_bytes;
        int r;

        path = malloc(n_folder + strlen(name) + 1);
        if (!path)
                return -ENOMEM;
        memcpy(path, manifest->path, n_folder);
        strcpy(path + n_folder, name);
        r = file_read(path, MANIFEST_XCLBIN_BYTES_MAX, &bytes, &n_bytes, &why);
        if (r > 0)
                return refuse(manifest, section->values[KEY_FILE].line, r, "%s: %s" AGAIN, name, why);
        if (r < 0)
                return r;
        r = blake2b(hash, bytes, NULL, sizeof hash, n_bytes, 0);
        assert(r == 0); /* fails only for lengths that there are not */
        hash_parse(text_of(section, KEY_BLAKE2B), expected);
        if (memcmp(hash, expected, sizeof hash) != 0)
                return refuse(
                        manifest, section->values[KEY_BLAKE2B].line, MANIFEST_E_MISMATCH,
                        "%s does not have this BLAKE2b-256, but %02x%02x%02x%02x..: it is damaged or of "
                        "another build" AGAIN,
                        name, hash[0], hash[1], hash[2], hash[3]);
        *ret_bytes = steal(&bytes);
        *ret_n_bytes = n_bytes;
        return 0;
}

/* All but the xclbin. */
static void program_fill(struct manifest_program *program, const struct section *section,
                         enum manifest_format format)
{
        strcpy(program->npu, text_of(section, KEY_NPU)); /* both: is_name */
        strcpy(program->kernel, text_of(section, KEY_KERNEL));
        program->format = format;
        program->flow = (enum stream64_flow)name_find(flow_names, text_of(section, KEY_FLOW));
        program->columns = number_of(section, KEY_COLUMNS);
        program->has_pdi_hash = section->values[KEY_PDI_BLAKE2B].line != 0;
        if (program->has_pdi_hash)
                hash_parse(text_of(section, KEY_PDI_BLAKE2B), program->pdi_hash);
}

int manifest_program_new(const char *path, const char *npu, enum manifest_format format,
                         struct manifest_program **ret_program, char ret_error[MANIFEST_ERROR_MAX])
{
        _cleanup_(freep) struct manifest *manifest = calloc(1, sizeof *manifest);
        _cleanup_(freep) struct manifest_program *program = calloc(1, sizeof *program);
        const struct section *section;
        int r;

        if (!manifest || !program)
                return -ENOMEM;
        manifest->path = path;
        manifest->error = ret_error;
        r = manifest_read(manifest);
        if (r != 0)
                return r;
        section = section_find(manifest, 0, npu, manifest_format_names[format]);
        if (!section)
                return refuse_program(manifest, npu, manifest_format_names[format]);
        r = geometry_check(manifest, section, &geometries[format]);
        if (r != 0)
                return r;
        if (section->values[KEY_FILE].line == 0)
                return refuse(manifest, section->line, MANIFEST_E_NOT_BUILT,
                              "[%s] is not built: it has no file; run xclbin/build.sh", section->name);
        program_fill(program, section, format);
        r = xclbin_read(manifest, section, &program->xclbin, &program->xclbin_bytes);
        if (r != 0)
                return r;
        *ret_program = steal(&program);
        return 0;
}

struct manifest_program *manifest_program_free(struct manifest_program *program)
{
        if (!program)
                return NULL;
        free(program->xclbin);
        free(program);
        return NULL;
}
