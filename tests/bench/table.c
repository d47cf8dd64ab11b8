/* SPDX-License-Identifier: MIT */
/* table.c - see table.h. */
#include "tests/bench/table.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { CELL_MAX = 160, COLUMNS_MAX = 64 };

static void format_number(char *text, size_t size, double number)
{
        const double magnitude = fabs(number);

        (void)snprintf(text, size, "%.*f",
                       magnitude >= 100 || number == floor(number) ? 0
                       : magnitude >= 10                           ? 1
                       : magnitude >= 1                            ? 2
                                                                   : 3,
                       number);
}

static void format_value(char *text, size_t size, const json_t *value)
{
        if (json_is_string(value))
                (void)snprintf(text, size, "%s", json_string_value(value));
        else if (json_is_number(value))
                format_number(text, size, json_number_value(value));
        else
                (void)snprintf(text, size, "%s",
                               json_is_true(value)    ? "yes"
                               : json_is_false(value) ? "no"
                                                      : "-");
}

static const json_t *get_end(const json_t *row, const char *key, const char *which)
{
        char name[CELL_MAX];

        (void)snprintf(name, sizeof name, "%s_%s", key, which);
        return json_object_get(row, name);
}

static void format_cell(char *text, const json_t *row, const char *key)
{
        const json_t *low = get_end(row, key, "low"), *high = get_end(row, key, "high");
        char low_text[32], high_text[32];

        format_value(text, CELL_MAX, json_object_get(row, key));
        if (!low || !high)
                return;
        format_value(low_text, sizeof low_text, low);
        format_value(high_text, sizeof high_text, high);
        (void)snprintf(text + strlen(text), CELL_MAX - strlen(text), " [%s, %s]", low_text, high_text);
}

/* Whether it is the end of another key's interval. */
static bool is_end(const json_t *row, const char *key)
{
        const char *tail = strrchr(key, '_');
        char base[CELL_MAX];

        if (!tail || (strcmp(tail, "_low") != 0 && strcmp(tail, "_high") != 0))
                return false;
        (void)snprintf(base, sizeof base, "%.*s", (int)(tail - key), key);
        return json_object_get(row, base) != NULL;
}

/* The keys of a row's columns, in the row's own order; returns how many. */
static size_t columns_of(const json_t *row, const char **ret_keys)
{
        const char *key;
        const json_t *value;
        size_t n = 0;

        json_object_foreach((json_t *)row, key, value)
        {
                if (n < COLUMNS_MAX && !is_end(row, key))
                        ret_keys[n++] = key;
        }
        return n;
}

static bool has_same_keys(const json_t *a, const json_t *b)
{
        const char *key;
        const json_t *value;

        json_object_foreach((json_t *)a, key, value)
        {
                if (!json_object_get(b, key))
                        return false;
        }
        return json_object_size(a) == json_object_size(b);
}

static void print_table(FILE *file, const json_t *rows, size_t first, size_t end)
{
        const char *keys[COLUMNS_MAX];
        size_t width[COLUMNS_MAX];
        const size_t n = columns_of(json_array_get(rows, first), keys);
        char text[CELL_MAX];

        for (size_t column = 0; column < n; column++) {
                width[column] = strlen(keys[column]);
                for (size_t i = first; i < end; i++) {
                        format_cell(text, json_array_get(rows, i), keys[column]);
                        if (strlen(text) > width[column])
                                width[column] = strlen(text);
                }
        }
        (void)fprintf(file, "\n");
        for (size_t column = 0; column < n; column++)
                (void)fprintf(file, "%-*s%s", (int)width[column], keys[column], column + 1 < n ? "  " : "\n");
        for (size_t i = first; i < end; i++) {
                for (size_t column = 0; column < n; column++) {
                        format_cell(text, json_array_get(rows, i), keys[column]);
                        (void)fprintf(file, "%-*s%s", (int)width[column], text, column + 1 < n ? "  " : "\n");
                }
        }
}

void table_print_pairs(FILE *file, const json_t *object)
{
        const char *key;
        const json_t *value;
        char text[CELL_MAX];

        json_object_foreach((json_t *)object, key, value)
        {
                format_value(text, sizeof text, value);
                (void)fprintf(file, "%-18s  %s\n", key, text);
        }
}

void table_print_rows(FILE *file, const json_t *rows)
{
        const size_t n = json_array_size(rows);

        for (size_t first = 0, end; first < n; first = end) {
                for (end = first + 1; end < n; end++) {
                        if (!has_same_keys(json_array_get(rows, first), json_array_get(rows, end)))
                                break;
                }
                print_table(file, rows, first, end);
        }
}
