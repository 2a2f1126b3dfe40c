/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A JSON object of any size (RFC 8259), read as it arrives.
 *
 * The long strings in it are handed on piece by piece.  Of all else a copy is
 * made, in which they are empty, and Jansson reads that: what JSON is and what
 * not is its decision.  The reader itself knows where strings begin and end,
 * and no more.
 */
#ifndef HSMSIGND_READER_H
#define HSMSIGND_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>

/* The copy is no longer, in bytes. */
#define READER_TEXT_MAX ((size_t)65536)

/* A member of the outermost object.  The strings of others are left out. */
struct reader_field {
    const char *name;
    bool stream; /* handed on, and empty in the copy */
};

/*
 * Takes what has arrived of a field's string: of a streamed one a piece, with
 * len 0 at its begin; of another one all of it, unless a \ is in it.  Returns
 * NULL or what is wrong, a string that stays.
 */
typedef const char *reader_value_fn(void *arg, size_t field, const char *text,
                                    size_t len);

struct reader {
    const struct reader_field *fields; /* the last has no name */
    reader_value_fn *value;
    void *arg;
    const char *error; /* NULL, or what is wrong */
    char *text;        /* the copy, owned */
    size_t len;
    int state, place;
    size_t start;          /* in text, of the string that is being copied */
    size_t field;          /* the last name's; of no known one: the last */
    unsigned depth, bom;   /* how deep in objects and arrays */
    unsigned code, digits; /* of \u and four digits in a streamed string */
};

/* Prepare *r; what it is given has to live as long. */
void reader_init(struct reader *r, const struct reader_field *fields,
                 reader_value_fn *value, void *arg);
/* Take the next len bytes.  After an error the rest is ignored. */
void reader_feed(struct reader *r, const char *data, size_t len);
/*
 * The object, once all is there, in which streamed strings are "": the caller
 * owns it.  NULL if it is none, and r->error says why.
 */
json_t *reader_end(struct reader *r);
void reader_free(struct reader *r);

#endif
