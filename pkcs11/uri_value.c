/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One attribute's value, from the characters of RFC 7512's grammar to the
 * field that holds it.  What the grammar spells out literally (type, slot-id,
 * library-version) has no percent-encoded form, so that each of these values
 * has one spelling.
 *
 * No error quotes a value: it may be a PIN, or hold one.
 */
#include "uri_attr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What may stand unescaped besides letters and digits: RFC 7512, 2.3. */
#define MARKS       "-._~:[]@!$'()*+,="
#define PATH_MARKS  MARKS "&"
#define QUERY_MARKS MARKS "/?|"

#define NOT_PLAIN(marks)                                                       \
    "all but letters, digits and " marks " must be percent-encoded, a blank "  \
    "is %20"

/* What a hexadecimal digit is worth, in ASCII: letters begin at 0x41, 0x61. */
#define HEX_DIGIT(c) (((c)&15) + 9 * ((c) >> 6))

const struct p11_uri_type p11_uri_types[P11_URI_N_TYPES] = {
    { "public", CKO_PUBLIC_KEY }, { "private", CKO_PRIVATE_KEY },
    { "cert", CKO_CERTIFICATE },  { "secret-key", CKO_SECRET_KEY },
    { "data", CKO_DATA },
};

CK_RV p11_uri_invalid(struct p11_error *err, const struct p11_uri_attr *attr,
                      const char *why)
{
    return p11_error_set(err, P11_URI_INVALID, "%s: %s", attr->name, why);
}

/* Well-formed UTF-8: RFC 3629, sections 3 and 4. */
static bool is_utf8(const char *text, size_t len)
{
    static const struct {
        unsigned char mask, bits; /* of the first byte */
        uint32_t least;           /* a smaller one has a shorter form */
    } forms[] = { { 0x80, 0x00, 0x0 },
                  { 0xE0, 0xC0, 0x80 },
                  { 0xF0, 0xE0, 0x800 },
                  { 0xF8, 0xF0, 0x10000 } };
    const unsigned char *at = (const unsigned char *)text, *end = at + len;
    uint32_t point;
    size_t more, i;

    for (; at < end; at += more + 1) {
        for (more = 0; more < 4; more++) { /* bytes behind the first */
            if ((*at & forms[more].mask) == forms[more].bits)
                break;
        }
        if (more == 4 || (size_t)(end - at) <= more)
            return false;
        point = *at & (unsigned char)~forms[more].mask;
        for (i = 1; i <= more; i++) {
            if ((at[i] & 0xC0) != 0x80)
                return false;
            point = point << 6 | (at[i] & 0x3F);
        }
        if (point < forms[more].least || point > 0x10FFFF ||
            (point >= 0xD800 && point <= 0xDFFF))
            return false;
    }
    return true;
}

struct p11_uri_value *p11_uri_value_of(const struct p11_uri_attr *attr,
                                       const struct p11_uri *uri)
{
    if (attr->offset == P11_URI_NO_VALUE)
        return NULL;
    return (void *)((const char *)uri + attr->offset);
}

/* Every value is cleansed, so that none of the few that are PINs is missed. */
void p11_uri_value_clear(struct p11_uri_value *value)
{
    if (value->bytes != NULL)
        explicit_bzero(value->bytes, value->len);
    free(value->bytes);
    *value = (struct p11_uri_value){ 0 };
}

/* Undo percent-encoding into value, which the caller clears on failure too. */
static CK_RV decode(const struct p11_uri_attr *attr,
                    struct p11_uri_value *value, const char *raw, size_t len,
                    struct p11_error *err)
{
    const char *plain = attr->query ? P11_URI_LETTERS P11_URI_DIGITS QUERY_MARKS
                                    : P11_URI_LETTERS P11_URI_DIGITS PATH_MARKS;
    const char *end = raw + len;
    size_t n;

    value->bytes = calloc(len + 1, 1);
    if (value->bytes == NULL)
        return p11_error_set(err, CKR_HOST_MEMORY, "%s", attr->name);
    value->present = true;
    /* Behind len comes a separator or NUL, which is neither plain nor hex. */
    for (;;) {
        n = strspn(raw, plain);
        memcpy(value->bytes + value->len, raw, n);
        value->len += n;
        raw += n;
        if (raw == end)
            break;
        if (*raw != '%')
            return p11_uri_invalid(err, attr,
                                   attr->query ? NOT_PLAIN(QUERY_MARKS)
                                               : NOT_PLAIN(PATH_MARKS));
        if (strspn(raw + 1, P11_URI_DIGITS "ABCDEFabcdef") < 2)
            return p11_uri_invalid(err, attr,
                                   "\"%\" without two hexadecimal digits; "
                                   "\"%\" itself is %25");
        value->bytes[value->len++] =
            (char)(HEX_DIGIT(raw[1]) * 16 + HEX_DIGIT(raw[2]));
        raw += 3;
    }
    if (attr->max != 0 && value->len > attr->max)
        return p11_error_set(err, P11_URI_INVALID, "%s: longer than %zu bytes",
                             attr->name, attr->max);
    if (attr->kind == P11_URI_BYTES)
        return CKR_OK;
    /* Text is UTF-8 (RFC 7512, 2.3) that holds no NUL. */
    if (memchr(value->bytes, '\0', value->len) != NULL)
        return p11_uri_invalid(err, attr, "%00 is not text");
    if (!is_utf8(value->bytes, value->len))
        return p11_uri_invalid(err, attr, "not UTF-8");
    /* A relative path would name another module in every directory. */
    if (attr->kind == P11_URI_PATH && value->bytes[0] != '/')
        return p11_uri_invalid(err, attr, "not an absolute path");
    return CKR_OK;
}

static CK_RV set_type(const struct p11_uri_attr *attr, struct p11_uri *uri,
                      const char *raw, size_t len, struct p11_error *err)
{
    size_t i;

    for (i = 0; i < P11_URI_N_TYPES; i++) {
        if (strlen(p11_uri_types[i].name) == len &&
            memcmp(p11_uri_types[i].name, raw, len) == 0) {
            uri->type = p11_uri_types[i].class;
            uri->has_type = true;
            return CKR_OK;
        }
    }
    return p11_uri_invalid(
        err, attr, "not one of public, private, cert, secret-key, data");
}

/* 1*DIGIT, leading zeros included, of at most max; behind len is no digit. */
static bool decimal(const char *text, size_t len, CK_ULONG max, CK_ULONG *value)
{
    errno = 0;
    *value = strtoul(text, NULL, 10);
    return len > 0 && strspn(text, P11_URI_DIGITS) == len && errno == 0 &&
           *value <= max;
}

static CK_RV set_version(const struct p11_uri_attr *attr, struct p11_uri *uri,
                         const char *raw, size_t len, struct p11_error *err)
{
    const char *dot = memchr(raw, '.', len);
    size_t major_len = dot == NULL ? len : (size_t)(dot - raw);
    CK_ULONG major, minor = 0;

    /* "M" alone means M.0 (RFC 7512, 2.3), not "any minor version". */
    if (!decimal(raw, major_len, 255, &major) ||
        (dot != NULL && !decimal(dot + 1, len - major_len - 1, 255, &minor)))
        return p11_uri_invalid(
            err, attr, "not MAJOR or MAJOR.MINOR, each a number up to 255");
    uri->library_version.major = (CK_BYTE)major;
    uri->library_version.minor = (CK_BYTE)minor;
    uri->has_library_version = true;
    return CKR_OK;
}

static CK_RV set_slot_id(const struct p11_uri_attr *attr, struct p11_uri *uri,
                         const char *raw, size_t len, struct p11_error *err)
{
    if (!decimal(raw, len, (CK_ULONG)-1, &uri->slot_id))
        return p11_error_set(err, P11_URI_INVALID,
                             "%s: not a decimal number up to %lu", attr->name,
                             (CK_ULONG)-1);
    uri->has_slot_id = true;
    return CKR_OK;
}

/* Either kind of PIN; RFC 7512, 2.4 calls a URI that has both invalid. */
static CK_RV set_pin(const struct p11_uri_attr *attr, struct p11_uri *uri,
                     const char *raw, size_t len, struct p11_error *err)
{
    struct p11_uri_value value = { 0 };
    CK_RV rv;

    if (uri->pin.kind != P11_PIN_NONE)
        return p11_error_set(err, P11_URI_INVALID,
                             "pin-value and pin-source exclude each other");
    rv = decode(attr, &value, raw, len, err);
    if (rv == CKR_OK && attr->kind == P11_URI_PIN_VALUE)
        rv = p11_pin_source_literal(value.bytes, attr->name, &uri->pin, err);
    else if (rv == CKR_OK)
        rv = p11_pin_source_uri(value.bytes, &uri->pin, err);
    p11_uri_value_clear(&value);
    return rv;
}

CK_RV p11_uri_set(const struct p11_uri_attr *attr, struct p11_uri *uri,
                  const char *raw, size_t len, struct p11_error *err)
{
    switch (attr->kind) {
    case P11_URI_BYTES:
    case P11_URI_TEXT:
    case P11_URI_PATH:
        return decode(attr, p11_uri_value_of(attr, uri), raw, len, err);
    case P11_URI_TYPE:
        return set_type(attr, uri, raw, len, err);
    case P11_URI_VERSION:
        return set_version(attr, uri, raw, len, err);
    case P11_URI_SLOT_ID:
        return set_slot_id(attr, uri, raw, len, err);
    case P11_URI_PIN_VALUE:
    case P11_URI_PIN_SOURCE:
        return set_pin(attr, uri, raw, len, err);
    }
    return CKR_GENERAL_ERROR;
}
