/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attributes of a pkcs11: URI as a table, for uri.c (which walks a URI by
 * it), uri_value.c (which reads one value) and uri_match.c (which shows them
 * again).  Nothing else includes this.
 */
#ifndef HSMSIGN_URI_ATTR_H
#define HSMSIGN_URI_ATTR_H

#include <stdint.h>
#include "uri.h"

#define P11_URI_SCHEME  "pkcs11:"
#define P11_URI_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define P11_URI_DIGITS  "0123456789"

/* How a value is written, and so which fields of struct p11_uri hold it. */
enum p11_uri_kind {
    P11_URI_TEXT,       /* UTF-8, percent-encoded */
    P11_URI_BYTES,      /* any bytes, percent-encoded */
    P11_URI_PATH,       /* text that is an absolute path */
    P11_URI_TYPE,       /* one of p11_uri_types */
    P11_URI_VERSION,    /* MAJOR or MAJOR.MINOR */
    P11_URI_SLOT_ID,    /* decimal */
    P11_URI_PIN_VALUE,  /* text, secret */
    P11_URI_PIN_SOURCE, /* text */
};

struct p11_uri_attr {
    const char *name;
    bool query; /* stands behind the "?" */
    enum p11_uri_kind kind;
    size_t max;    /* longest decoded value in bytes; 0: as long as the URI */
    size_t offset; /* of the struct p11_uri_value of the first three kinds */
};

#define P11_URI_NO_VALUE SIZE_MAX

/* In the order in which p11_uri_describe shows them. */
#define P11_URI_N_ATTRS 17
extern const struct p11_uri_attr p11_uri_attrs[P11_URI_N_ATTRS];

struct p11_uri_type {
    const char *name;
    CK_OBJECT_CLASS class;
};

#define P11_URI_N_TYPES 5
extern const struct p11_uri_type p11_uri_types[P11_URI_N_TYPES];

/*
 * Read a value as it stands in the URI, len bytes at raw, which are part of a
 * NUL-terminated string, into *uri.  Returns as p11_uri_parse does.  What was
 * read up to an error is in *uri too and goes with p11_uri_free.
 */
CK_RV p11_uri_set(const struct p11_uri_attr *attr, struct p11_uri *uri,
                  const char *raw, size_t len, struct p11_error *err);

/* The field that attr's offset names; NULL for P11_URI_NO_VALUE. */
struct p11_uri_value *p11_uri_value_of(const struct p11_uri_attr *attr,
                                       const struct p11_uri *uri);

/* Cleanse and free what value owns. */
void p11_uri_value_clear(struct p11_uri_value *value);

/* "NAME: WHY", as P11_URI_INVALID. */
CK_RV p11_uri_invalid(struct p11_error *err, const struct p11_uri_attr *attr,
                      const char *why);

#endif
