/* SPDX-License-Identifier: MIT */
/*
 * cli-matmul.c - npumm-client matmul: two .npy files in, their product out.
 *
 * Role:   options -> open files -> agree on one job -> connect -> load in place -> multiply -> write.
 * In:     .npy files; what their headers and the options can get wrong is refused before connecting.
 * Out:    the product's file, complete or not at all.
 * Thread: one.
 * Owns:   the open files, the connection, and the operands' memory: of the library's arenas, so that the
 *         daemon reads what read(2) put there, or with --inline from malloc.
 */
#include "cli.h"
#include "npy.h"

#include <errno.h>

/* M and N of a job; K has the smaller NPUMM_K_MAX. */
#define DIM_MAX 0x7fffffffu

enum input { INPUT_A = 0, INPUT_B, INPUT_ROW_SCALE, INPUT_COL_SCALE, INPUT_BIAS, INPUT_MAX };

/* Everything that a run has; the borrowed strings are argv's. */
struct run {
        struct cli_common common;
        const char *paths[INPUT_MAX]; /* borrowed; NULL: not given */
        const char *product_path;     /* borrowed */
        size_t n_matrices;            /* A and B arguments seen so far */
        bool transposed_b;            /* the array in B.npy is N x K */
        struct npumm_matmul job;
        struct npumm_client *client;      /* owned */
        struct npy_file files[INPUT_MAX]; /* owned; fd -1 where not open */
        void *memory[INPUT_MAX +
                     1]; /* owned: with NPUMM_MATMUL_INLINE by us, else by the client; last: the product */
};

/* ---- options ---- */

static const enum npy_elem output_elems[] = {
        [NPUMM_OUTPUT_INT32] = NPY_ELEM_INT32,
        [NPUMM_OUTPUT_INT8] = NPY_ELEM_INT8,
        [NPUMM_OUTPUT_FLOAT32] = NPY_ELEM_FLOAT32,
        [NPUMM_OUTPUT_TILE16_SHIFT7] = NPY_ELEM_INT8,
};

enum {
        KEY_PRODUCT = 'o',
        KEY_OUTPUT = 0x200,
        KEY_SHIFT,
        KEY_ROUNDING,
        KEY_ROW_SCALE,
        KEY_COL_SCALE,
        KEY_BIAS,
        KEY_TRANSPOSED_B,
        KEY_INLINE,
        KEY_CLASS,
        KEY_DEADLINE_US,
};

static const struct argp_option options[] = {
        {NULL, KEY_PRODUCT, "C.npy", 0, "Where the product goes (required)", 0},
        {"output", KEY_OUTPUT, "FORM", 0,
         "Elements of the product: int32, int8, float32 or tile16-shift7 (default int32)", 0},
        {"shift", KEY_SHIFT, "N", 0, "int8: divide by 2^N, N in 0..31 (default 0)", 0},
        {"rounding", KEY_ROUNDING, "MODE", 0, "int8: floor or nearest-even (default floor)", 0},
        {"row-scale", KEY_ROW_SCALE, "F.npy", 0, "float32: one factor for each row of the product", 0},
        {"col-scale", KEY_COL_SCALE, "F.npy", 0, "float32: one factor for each column", 0},
        {"bias", KEY_BIAS, "F.npy", 0, "float32: one summand for each column", 0},
        {"transposed-b", KEY_TRANSPOSED_B, NULL, 0, "B.npy holds B transposed, N x K", 0},
        {"inline", KEY_INLINE, NULL, 0, "Send the matrices through the socket, not through shared memory", 0},
        {"class", KEY_CLASS, "CLASS", 0, "Class of the job: normal, interactive or bulk (default normal)", 0},
        {"deadline-us", KEY_DEADLINE_US, "N", 0,
         "Fail if it takes more microseconds, 0 for no limit (default 0)", 0},
        {0},
};

static error_t parse_rounding(const char *arg, struct argp_state *state, struct run *run)
{
        if (strcmp(arg, "floor") == 0) {
                run->job.rounding = NPUMM_ROUNDING_FLOOR;
        } else if (strcmp(arg, "nearest-even") == 0) {
                run->job.rounding = NPUMM_ROUNDING_NEAREST_EVEN;
        } else {
                argp_error(state, "--rounding=%s is unknown; give floor or nearest-even", arg);
                return EINVAL;
        }
        return 0;
}

static error_t parse_product(char *arg, struct argp_state *state, struct run *run)
{
        size_t n = strlen(arg);

        if (n == 0 || arg[n - 1] == '/') {
                argp_error(state, "-o '%s' names no file; give -o C.npy", arg);
                return EINVAL;
        }
        run->product_path = arg;
        return 0;
}

/* What no option can tell by itself. */
static error_t check_options(struct argp_state *state, const struct run *run)
{
        bool scaled = run->paths[INPUT_ROW_SCALE] || run->paths[INPUT_COL_SCALE] || run->paths[INPUT_BIAS];
        bool shifted = run->job.shift != 0 || run->job.rounding != NPUMM_ROUNDING_FLOOR;

        if (run->n_matrices < 2)
                argp_error(state, "two matrices are needed; give A.npy B.npy -o C.npy");
        else if (!run->product_path)
                argp_error(state, "no place for the product; give -o C.npy");
        else if (shifted && run->job.output != NPUMM_OUTPUT_INT8)
                argp_error(state, "--shift and --rounding say nothing here; they need --output=int8");
        else if (scaled && run->job.output != NPUMM_OUTPUT_FLOAT32)
                argp_error(state, "--row-scale, --col-scale and --bias need --output=float32");
        else
                return 0;
        return EINVAL;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
        struct run *run = state->input;
        uint64_t number;

        switch (key) {
        case ARGP_KEY_INIT:
                state->child_inputs[0] = &run->common;
                return 0;
        case KEY_PRODUCT:
                return parse_product(arg, state, run);
        case KEY_OUTPUT:
                return cli_parse_output(arg, state, &run->job.output);
        case KEY_SHIFT:
                if (cli_parse_number("shift", arg, state, 0, 31, &number) != 0)
                        return EINVAL;
                run->job.shift = (uint32_t)number;
                return 0;
        case KEY_ROUNDING:
                return parse_rounding(arg, state, run);
        case KEY_ROW_SCALE:
                run->paths[INPUT_ROW_SCALE] = arg;
                return 0;
        case KEY_COL_SCALE:
                run->paths[INPUT_COL_SCALE] = arg;
                return 0;
        case KEY_BIAS:
                run->paths[INPUT_BIAS] = arg;
                return 0;
        case KEY_TRANSPOSED_B:
                run->transposed_b = true;
                return 0;
        case KEY_INLINE:
                run->job.flags |= NPUMM_MATMUL_INLINE;
                return 0;
        case KEY_CLASS:
                return cli_parse_class(arg, state, &run->job.job_class);
        case KEY_DEADLINE_US:
                return cli_parse_number("deadline-us", arg, state, 0, CLI_DEADLINE_US_MAX,
                                        &run->job.deadline_us);
        case ARGP_KEY_ARG:
                if (run->n_matrices == 2)
                        return ARGP_ERR_UNKNOWN;
                run->paths[run->n_matrices++] = arg;
                return 0;
        case ARGP_KEY_END:
                return check_options(state, run);
        default:
                return ARGP_ERR_UNKNOWN;
        }
}

static const struct argp matmul_argp = {
        .options = options,
        .parser = parse_option,
        .children = cli_common_children,
        .args_doc = "A.npy B.npy -o C.npy",
        .doc = "Multiplies the int8 matrices of two .npy files, C = A x B, exactly.",
};

/* ---- files ---- */

/* Not every failure is the file's fault: a disk and the memory have theirs. */
static enum cli_exit fail_input(const char *path, int result, const char *text)
{
        return cli_fail(result == -EIO || result == -ENOMEM ? CLI_FAILED : CLI_USAGE, "%s %s", path, text);
}

static enum cli_exit open_inputs(struct run *run)
{
        char text[NPY_TEXT_MAX];

        for (size_t i = 0; i < INPUT_MAX; i++) {
                enum npy_kind kind = i <= INPUT_B ? NPY_INT8_MATRIX : NPY_FLOAT32_VECTOR;
                int r;

                if (!run->paths[i])
                        continue;
                r = npy_open(run->paths[i], kind, &run->files[i], text);
                if (r != 0)
                        return fail_input(run->paths[i], r, text);
        }
        return CLI_DONE;
}

static enum cli_exit check_vector(const struct run *run, enum input input, const char *option, uint64_t n,
                                  const char *of_what)
{
        if (!run->paths[input] || run->files[input].header.cols == n)
                return CLI_DONE;
        return cli_fail(CLI_USAGE, "%s %s has %llu elements and the product %llu %s; give one for each",
                        option, run->paths[input], (unsigned long long)run->files[input].header.cols,
                        (unsigned long long)n, of_what);
}

/*
 * The job's shape from the files' headers. A Fortran-order file of B is the C-order matrix of its transpose,
 * so it is passed as it lies, with the flag turned.
 */
static enum cli_exit agree_on_shape(struct run *run)
{
        const struct npy_header *a = &run->files[INPUT_A].header, *b = &run->files[INPUT_B].header;
        uint64_t b_rows = run->transposed_b ? b->cols : b->rows;
        enum cli_exit r;

        run->job.m = a->rows;
        run->job.k = a->cols;
        run->job.n = run->transposed_b ? b->rows : b->cols;
        if (run->transposed_b != b->fortran_order)
                run->job.flags |= NPUMM_MATMUL_B_TRANSPOSED;
        if (a->cols != b_rows)
                return cli_fail(CLI_USAGE,
                                "%s has %llu columns and %s %llu %s; the two must be equal, so transpose or "
                                "reshape one of them",
                                run->paths[INPUT_A], (unsigned long long)a->cols, run->paths[INPUT_B],
                                (unsigned long long)b_rows, run->transposed_b ? "columns" : "rows");
        if (run->job.k > NPUMM_K_MAX)
                return cli_fail(
                        CLI_USAGE,
                        "%s has %llu columns and at most %u fit an int32 sum; split the product and add "
                        "the parts",
                        run->paths[INPUT_A], (unsigned long long)a->cols, NPUMM_K_MAX);
        if (run->job.m > DIM_MAX || run->job.n > DIM_MAX)
                return cli_fail(CLI_USAGE, "%s x %s has over %u rows or columns; split the larger file",
                                run->paths[INPUT_A], run->paths[INPUT_B], DIM_MAX);
        r = check_vector(run, INPUT_ROW_SCALE, "--row-scale", run->job.m, "rows");
        if (r == CLI_DONE)
                r = check_vector(run, INPUT_COL_SCALE, "--col-scale", run->job.n, "columns");
        if (r == CLI_DONE)
                r = check_vector(run, INPUT_BIAS, "--bias", run->job.n, "columns");
        return r;
}

/* M and N are at most DIM_MAX, so their product times an element's size cannot overflow. */
static uint64_t product_bytes(const struct run *run)
{
        return run->job.m * run->job.n * npy_elem_bytes(output_elems[run->job.output]);
}

static enum cli_exit allocate(struct run *run, uint64_t n_bytes, void **ret_memory)
{
        int r;

        if (!(run->job.flags & NPUMM_MATMUL_INLINE)) {
                r = npumm_alloc(run->client, n_bytes, ret_memory);
                return r == 0 ? CLI_DONE
                              : cli_fail_job(run->client, r, &(struct cli_asked){.memory_bytes = n_bytes});
        }
        *ret_memory = malloc(n_bytes);
        if (*ret_memory)
                return CLI_DONE;
        return cli_fail(CLI_FAILED, "out of memory: the matrices need %llu bytes more; split the product",
                        (unsigned long long)n_bytes);
}

static enum cli_exit load_inputs(struct run *run)
{
        char text[NPY_TEXT_MAX];

        for (size_t i = 0; i < INPUT_MAX; i++) {
                enum cli_exit r;
                int loaded;

                if (!run->paths[i])
                        continue;
                r = allocate(run, run->files[i].header.data_bytes, &run->memory[i]);
                if (r != CLI_DONE)
                        return r;
                if (i == INPUT_A)
                        loaded = npy_read_row_major(&run->files[i], run->memory[i], text);
                else
                        loaded = npy_read(&run->files[i], run->memory[i], text);
                if (loaded != 0)
                        return fail_input(run->paths[i], loaded, text);
        }
        return CLI_DONE;
}

/* ---- the job ---- */

static enum cli_exit fail_matmul(const struct run *run, int result)
{
        const struct cli_asked asked = {
                .is_inline = (run->job.flags & NPUMM_MATMUL_INLINE) != 0,
                .for_deadline = run->job.deadline_us != 0,
        };

        return cli_fail_job(run->client, result, &asked);
}

static enum cli_exit multiply(struct run *run)
{
        enum cli_exit r;
        int result;

        r = load_inputs(run);
        if (r == CLI_DONE)
                r = allocate(run, product_bytes(run), &run->memory[INPUT_MAX]);
        if (r != CLI_DONE)
                return r;
        run->job.a = run->memory[INPUT_A];
        run->job.b = run->memory[INPUT_B];
        run->job.row_scale = run->memory[INPUT_ROW_SCALE];
        run->job.col_scale = run->memory[INPUT_COL_SCALE];
        run->job.bias = run->memory[INPUT_BIAS];
        run->job.c = run->memory[INPUT_MAX];
        result = npumm_matmul(run->client, &run->job);
        return result == 0 ? CLI_DONE : fail_matmul(run, result);
}

static enum cli_exit run_job(struct run *run)
{
        char text[NPY_TEXT_MAX];
        enum cli_exit r;

        r = open_inputs(run);
        if (r == CLI_DONE)
                r = agree_on_shape(run);
        if (r == CLI_DONE && npy_check_target(run->product_path, text) != 0)
                r = cli_fail(CLI_FAILED, "%s %s", run->product_path, text);
        if (r == CLI_DONE)
                r = cli_connect(&run->common, &run->client);
        if (r == CLI_DONE)
                r = multiply(run);
        if (r == CLI_DONE && npy_write(run->product_path, output_elems[run->job.output], run->job.m,
                                       run->job.n, run->job.c, text) != 0)
                r = cli_fail(CLI_FAILED, "%s %s", run->product_path, text);
        return r;
}

static void run_deinit(struct run *run)
{
        for (size_t i = 0; i < INPUT_MAX; i++)
                npy_close(&run->files[i]);
        if (run->job.flags & NPUMM_MATMUL_INLINE)
                for (size_t i = 0; i < ARRAY_SIZE(run->memory); i++)
                        free(run->memory[i]);
        npumm_close(run->client);
}

enum cli_exit cli_matmul(struct cli_common common, int argc, char **argv)
{
        _cleanup_(run_deinit) struct run run = {.common = common, .job = {.size = sizeof run.job}};
        enum cli_exit r;

        for (size_t i = 0; i < INPUT_MAX; i++)
                run.files[i].fd = -1;
        r = cli_parse(&matmul_argp, argc, argv, &run);
        return r == CLI_DONE ? run_job(&run) : r;
}
