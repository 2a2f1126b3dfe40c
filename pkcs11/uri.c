/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RFC 7512, by table: a row says how an attribute is called, on which side of
 * the "?" it stands, how long its value may be and where it goes.  The rest is
 * one walk over
 *
 *     "pkcs11:" [ attribute *( ";" attribute ) ]
 *               [ "?" [ attribute *( "&" attribute ) ] ]
 *
 * from left to right that stops at the first thing that it does not
 * understand.  The order matters for secrecy: nothing behind a pin-value is
 * ever quoted, since it may be the rest of a PIN whose "&" was not written
 * %26.
 */
#include "uri_attr.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SCHEME_LEN (sizeof(P11_URI_SCHEME) - 1)

/* Longer names are not quoted and get no hint; the longest known has 20. */
#define NAME_SHOWN 32

#define VALUE(field) offsetof(struct p11_uri, field)
#define NO_VALUE     P11_URI_NO_VALUE

/* RFC 7512, 2.3 and 2.4; the lengths are those of PKCS #11's structures. */
const struct p11_uri_attr p11_uri_attrs[P11_URI_N_ATTRS] = {
    { "token", false, P11_URI_TEXT, 32, VALUE(token) },
    { "manufacturer", false, P11_URI_TEXT, 32, VALUE(manufacturer) },
    { "serial", false, P11_URI_TEXT, 16, VALUE(serial) },
    { "model", false, P11_URI_TEXT, 16, VALUE(model) },
    { "library-manufacturer", false, P11_URI_TEXT, 32,
      VALUE(library_manufacturer) },
    { "library-description", false, P11_URI_TEXT, 32,
      VALUE(library_description) },
    { "library-version", false, P11_URI_VERSION, 0, NO_VALUE },
    { "object", false, P11_URI_TEXT, 0, VALUE(object) },
    { "type", false, P11_URI_TYPE, 0, NO_VALUE },
    { "id", false, P11_URI_BYTES, 0, VALUE(id) },
    { "slot-manufacturer", false, P11_URI_TEXT, 32, VALUE(slot_manufacturer) },
    { "slot-description", false, P11_URI_TEXT, 64, VALUE(slot_description) },
    { "slot-id", false, P11_URI_SLOT_ID, 0, NO_VALUE },
    { "pin-source", true, P11_URI_PIN_SOURCE, 0, NO_VALUE },
    { "pin-value", true, P11_URI_PIN_VALUE, P11_PIN_MAX, NO_VALUE },
    { "module-name", true, P11_URI_TEXT, 0, VALUE(module_name) },
    { "module-path", true, P11_URI_PATH, 0, VALUE(module_path) },
};

/* The walk over one URI. */
struct walk {
    struct p11_uri *uri;
    bool seen[P11_URI_N_ATTRS];
    bool query;      /* behind the "?" */
    bool behind_pin; /* behind pin-value: quote nothing */
    struct p11_error *err;
};

static const struct p11_uri_attr *find(const char *name, size_t len)
{
    size_t i;

    for (i = 0; i < P11_URI_N_ATTRS; i++) {
        if (strlen(p11_uri_attrs[i].name) == len &&
            memcmp(p11_uri_attrs[i].name, name, len) == 0)
            return &p11_uri_attrs[i];
    }
    return NULL;
}

static const char *known_name(size_t i)
{
    return i < P11_URI_N_ATTRS ? p11_uri_attrs[i].name : NULL;
}

/* Refuse a name that no row has; equals: whether a "=" follows it. */
static CK_RV refuse_unknown(const struct walk *walk, const char *name,
                            size_t len, bool equals)
{
    static const char plain[] = P11_URI_LETTERS P11_URI_DIGITS "-_";
    const char *known;

    /* A bare word behind the "?" may be a PIN that lacks its "pin-value=". */
    if (len == 0 || len > NAME_SHOWN || strspn(name, plain) < len ||
        (walk->query && !equals))
        return p11_error_set(walk->err, P11_URI_INVALID,
                             "%s the \"?\" stands something that is not "
                             "NAME=VALUE",
                             walk->query ? "behind" : "before");
    known = p11_nearest(name, len, known_name);
    if (known == NULL)
        return p11_error_set(walk->err, P11_URI_INVALID,
                             "unknown attribute \"%.*s\"", (int)len, name);
    return p11_error_set(walk->err, P11_URI_INVALID,
                         "unknown attribute \"%.*s\", did you mean \"%s\"?",
                         (int)len, name, known);
}

/* One "name=value" of len bytes. */
static CK_RV walk_attribute(struct walk *walk, const char *text, size_t len)
{
    static const char pin_value[] = "pin-value=";
    const char *equals = memchr(text, '=', len);
    size_t name_len = equals == NULL ? len : (size_t)(equals - text);
    const struct p11_uri_attr *attr = find(text, name_len);

    if (walk->behind_pin && (attr == NULL || !attr->query || equals == NULL))
        return p11_error_set(walk->err, P11_URI_INVALID,
                             "pin-value: no attribute follows the \"&\" behind "
                             "it; in a PIN write %%26 for \"&\"");
    if (len == 0)
        return p11_error_set(walk->err, P11_URI_INVALID,
                             "an attribute is empty: there is a \"%c\" too "
                             "many",
                             walk->query ? '&' : ';');
    if (attr == NULL)
        return refuse_unknown(walk, text, name_len, equals != NULL);
    if (attr->query != walk->query)
        return p11_uri_invalid(walk->err, attr,
                               attr->query ? "belongs behind the \"?\""
                                           : "belongs before the \"?\"");
    if (equals == NULL)
        return p11_uri_invalid(walk->err, attr, "has no \"=\"");
    if (walk->seen[attr - p11_uri_attrs])
        return p11_uri_invalid(walk->err, attr, "given twice");
    walk->seen[attr - p11_uri_attrs] = true;
    text = equals + 1;
    len -= name_len + 1;
    if (attr->kind == P11_URI_PIN_VALUE)
        walk->behind_pin = true;
    else if (memmem(text, len, pin_value, sizeof(pin_value) - 1) != NULL)
        return p11_uri_invalid(walk->err, attr,
                               "holds \"pin-value=\"; the PIN belongs behind "
                               "the \"?\", or behind a \"&\" there");
    return p11_uri_set(attr, walk->uri, text, len, walk->err);
}

/* The path or the query; either may be empty, an attribute may not. */
static CK_RV walk_component(struct walk *walk, const char *text,
                            const char *end)
{
    const char *next;
    bool more = text < end;
    CK_RV rv = CKR_OK;

    while (rv == CKR_OK && more) {
        next = memchr(text, walk->query ? '&' : ';', (size_t)(end - text));
        more = next != NULL;
        if (next == NULL)
            next = end;
        rv = walk_attribute(walk, text, (size_t)(next - text));
        text = next + 1;
    }
    return rv;
}

bool p11_uri_has_scheme(const char *text)
{
    return strncasecmp(text, P11_URI_SCHEME, SCHEME_LEN) == 0;
}

CK_RV p11_uri_parse(const char *text, struct p11_uri **uri,
                    struct p11_error *err)
{
    struct walk walk = { .err = err };
    const char *path, *query;
    CK_RV rv;

    *uri = NULL;
    if (!p11_uri_has_scheme(text))
        return p11_error_set(err, P11_URI_INVALID,
                             "does not begin with \"pkcs11:\"");
    if (strnlen(text, P11_URI_MAX + 1) > P11_URI_MAX)
        return p11_error_set(err, P11_URI_INVALID, "longer than %d bytes",
                             P11_URI_MAX);
    walk.uri = calloc(1, sizeof(*walk.uri));
    if (walk.uri == NULL)
        return p11_error_set(err, CKR_HOST_MEMORY, "URI");

    path = text + SCHEME_LEN;
    query = strchrnul(path, '?');
    rv = walk_component(&walk, path, query);
    if (rv == CKR_OK && *query == '?') {
        walk.query = true;
        rv = walk_component(&walk, query + 1, query + strlen(query));
    }
    if (rv != CKR_OK) {
        p11_uri_free(walk.uri);
        return rv;
    }
    *uri = walk.uri;
    return CKR_OK;
}

void p11_uri_free(struct p11_uri *uri)
{
    if (uri == NULL)
        return;
    for (size_t i = 0; i < P11_URI_N_ATTRS; i++) {
        if (p11_uri_attrs[i].offset != NO_VALUE)
            p11_uri_value_clear(p11_uri_value_of(&p11_uri_attrs[i], uri));
    }
    p11_pin_source_clear(&uri->pin);
    free(uri);
}
