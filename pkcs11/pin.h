/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PINs: where they come from, and memory that does not leak them.
 *
 * A PIN lives in its own pages: locked (mlock, as far as the limit allows),
 * excluded from core dumps, cleansed before the pages are given back.  It is
 * never formatted into a message.  What read it from a file or a prompt
 * cleanses its own buffer.
 */
#ifndef HSMSIGN_PIN_H
#define HSMSIGN_PIN_H

#include <stdbool.h>
#include <stddef.h>
#include "rv.h"

/* PKCS #11 sets no limit; CloudHSM's "user:password" needs 64. */
#define P11_PIN_MAX 1024

struct p11_pin;

/* A copy of len bytes; NULL when memory is short or len > P11_PIN_MAX. */
struct p11_pin *p11_pin_new(const void *pin, size_t len);
struct p11_pin *p11_pin_copy(const struct p11_pin *pin);
/* Cleanse and free; NULL is allowed. */
void p11_pin_free(struct p11_pin *pin);
/*
 * The bytes, not NUL-terminated, owned by pin; *len receives their number.
 * Good in a fork's child too, where this locks the pages again.
 */
const unsigned char *p11_pin_bytes(const struct p11_pin *pin, size_t *len);
/* Compares in constant time for equal lengths; NULL equals NULL only. */
bool p11_pin_equal(const struct p11_pin *a, const struct p11_pin *b);

enum p11_pin_kind {
    P11_PIN_NONE,
    P11_PIN_LITERAL, /* the PIN itself */
    P11_PIN_FILE,    /* the first line of a file */
    P11_PIN_ENV,     /* an environment variable, read with secure_getenv */
    P11_PIN_COMMAND  /* the first line that a program prints */
};

/* Where a PIN comes from.  All zero is "nowhere". */
struct p11_pin_source {
    enum p11_pin_kind kind;
    struct p11_pin *literal; /* owned; P11_PIN_LITERAL only */
    char *name;              /* owned; path, variable or command */
    const char *origin;      /* static: the option or attribute, for errors */
};

/* A file that is a FIFO, or a command, has this long; in milliseconds. */
#define P11_PIN_WAIT 10000
/* Milliseconds, by a clock that nobody sets. */
long p11_pin_now(void);

/*
 * Parse an option's value: "file:PATH", "env:NAME", "command:/PATH ARGUMENT..."
 * (p11_command_start()), or else the PIN itself.
 * origin is the option's name and must be static.  Fills *source, which must
 * be all zero and is to be cleared.  Returns CKR_OK, CKR_HOST_MEMORY, or
 * P11_CONFIG (empty path or name, PIN too long).
 */
CK_RV p11_pin_source_parse(const char *value, const char *origin,
                           struct p11_pin_source *source,
                           struct p11_error *err);

/*
 * The same for a value whose kind is known: the PIN itself, which may be empty
 * until read, a path, a name, or a command.
 */
CK_RV p11_pin_source_set(enum p11_pin_kind kind, const char *value,
                         const char *origin, struct p11_pin_source *source,
                         struct p11_error *err);

/*
 * RFC 7512's pin-source: "file:PATH" (also "file:///PATH" and
 * "file://localhost/PATH") or an absolute path; anything else, "|command"
 * included, is P11_PIN_SOURCE, whose text does not show it.
 */
CK_RV p11_pin_source_uri(const char *value, struct p11_pin_source *source,
                         struct p11_error *err);

void p11_pin_source_clear(struct p11_pin_source *source);

/*
 * Asks a person for the PIN of the token with that label.  Writes at most
 * size bytes to buf and their number to *len; returns false when there is
 * nobody to ask.  May block for as long as a person does.
 */
typedef bool p11_pin_prompt(void *arg, const char *label, char *buf,
                            size_t size, size_t *len);

/*
 * What a login may draw on, in order; the first that is not NONE is used, and
 * if that fails the others are not tried.
 */
struct p11_pin_request {
    const struct p11_pin_source *uri;    /* may be NULL */
    const struct p11_pin_source *config; /* may be NULL */
    p11_pin_prompt *prompt;              /* may be NULL */
    void *prompt_arg;
};

/* Its source of the two, or NULL: a person. */
const struct p11_pin_source *
p11_pin_request_source(const struct p11_pin_request *request);

/*
 * Read the PIN for label afresh; *pin is the caller's to free.  A file gives
 * its first line without the line end ("\n" or "\r\n"); one that others can
 * read (mode & 077) is logged as a warning.  A command gives the same of what
 * it prints, if its exit status is 0.  Returns CKR_OK, CKR_HOST_MEMORY,
 * P11_NO_PIN (no source, no prompt, no answer or an empty one), or
 * P11_PIN_SOURCE (unreadable, failed, late, empty, longer than P11_PIN_MAX)
 * with a text that names origin and place.  Blocks on the file system, for
 * P11_PIN_WAIT at most, or for a person.
 */
CK_RV p11_pin_get(const struct p11_pin_request *request, const char *label,
                  struct p11_pin **pin, struct p11_error *err);

#endif
