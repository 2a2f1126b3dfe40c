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

#include <stdlib.h>
#include <string.h>

/* What may stand unescaped besides letters and digits: RFC 7512, 2.3. */
#define MARKS       "-._~:[]@!$'()*+,="
#define PATH_MARKS  MARKS "&"
#define QUERY_MARKS MARKS "/?|"

#define NOT_PLAIN(marks)                                                       \
    "all but letters, digits and " marks " must be percent-encoded, a blank "  \
    "is %20"

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

bool p11_uri_is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = c == '\0' ? NULL : strchr(digits, c);

    return at == NULL ? -1 : (int)(at - digits) % 16;
}

/* Well-formed UTF-8, by the rows of the grammar in RFC 3629, section 4. */
static bool is_utf8(const char *text, size_t len)
{
    static const struct {
        unsigned char first, last; /* of the first byte */
        unsigned char low, high;   /* of the second; the others are 80-BF */
        size_t more;               /* bytes that follow the first */
    } rows[] = {
        { 0x00, 0x7F, 0x00, 0x00, 0 }, { 0xC2, 0xDF, 0x80, 0xBF, 1 },
        { 0xE0, 0xE0, 0xA0, 0xBF, 2 }, { 0xE1, 0xEC, 0x80, 0xBF, 2 },
        { 0xED, 0xED, 0x80, 0x9F, 2 }, { 0xEE, 0xEF, 0x80, 0xBF, 2 },
        { 0xF0, 0xF0, 0x90, 0xBF, 3 }, { 0xF1, 0xF3, 0x80, 0xBF, 3 },
        { 0xF4, 0xF4, 0x80, 0x8F, 3 },
    };
    const size_t n_rows = sizeof(rows) / sizeof(rows[0]);
    const unsigned char *at = (const unsigned char *)text;
    const unsigned char *end = at + len;
    size_t row, i;

    while (at < end) {
        for (row = 0; row < n_rows; row++) {
            if (*at >= rows[row].first && *at <= rows[row].last)
                break;
        }
        if (row == n_rows || (size_t)(end - at) <= rows[row].more)
            return false;
        if (rows[row].more > 0 &&
            (at[1] < rows[row].low || at[1] > rows[row].high))
            return false;
        for (i = 2; i <= rows[row].more; i++) {
            if (at[i] < 0x80 || at[i] > 0xBF)
                return false;
        }
        at += rows[row].more + 1;
    }
    return true;
}

struct p11_uri_value *p11_uri_value_of(const struct p11_uri_attr *attr,
                                       struct p11_uri *uri)
{
    if (attr->offset == P11_URI_NO_VALUE)
        return NULL;
    return (void *)((char *)uri + attr->offset);
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
    const char *marks = attr->query ? QUERY_MARKS : PATH_MARKS;
    int high, low;
    size_t i;

    value->bytes = calloc(len + 1, 1);
    if (value->bytes == NULL)
        return p11_error_set(err, CKR_HOST_MEMORY, "%s", attr->name);
    value->present = true;
    for (i = 0; i < len; i++) {
        if (raw[i] == '%') {
            /* Behind len comes a separator or NUL, which is no hex digit. */
            high = hex_digit(raw[i + 1]);
            low = high < 0 ? -1 : hex_digit(raw[i + 2]);
            if (low < 0)
                return p11_uri_invalid(err, attr,
                                       "\"%\" without two hexadecimal digits; "
                                       "\"%\" itself is %25");
            value->bytes[value->len++] = (char)(high * 16 + low);
            i += 2;
        } else if (p11_uri_is_one_of(raw[i], P11_URI_LETTERS P11_URI_DIGITS) ||
                   p11_uri_is_one_of(raw[i], marks)) {
            value->bytes[value->len++] = raw[i];
        } else {
            return p11_uri_invalid(err, attr,
                                   attr->query ? NOT_PLAIN(QUERY_MARKS)
                                               : NOT_PLAIN(PATH_MARKS));
        }
    }
    if (attr->max != 0 && value->len > attr->max)
        return p11_error_set(err, P11_URI_INVALID, "%s: longer than %zu bytes",
                             attr->name, attr->max);
    return CKR_OK;
}

/* The same for text: UTF-8 (RFC 7512, 2.3) that holds no NUL. */
static CK_RV decode_text(const struct p11_uri_attr *attr,
                         struct p11_uri_value *value, const char *raw,
                         size_t len, struct p11_error *err)
{
    CK_RV rv = decode(attr, value, raw, len, err);

    if (rv != CKR_OK)
        return rv;
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

/* 1*DIGIT, leading zeros included, of at most max. */
static bool decimal(const char *text, size_t len, CK_ULONG max, CK_ULONG *value)
{
    CK_ULONG digit;
    size_t i;

    *value = 0;
    for (i = 0; i < len; i++) {
        if (!p11_uri_is_one_of(text[i], P11_URI_DIGITS))
            return false;
        digit = (CK_ULONG)(text[i] - '0');
        if (*value > (max - digit) / 10)
            return false;
        *value = *value * 10 + digit;
    }
    return len > 0;
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
    rv = decode_text(attr, &value, raw, len, err);
    if (rv != CKR_OK)
        goto out;
    if (attr->kind == P11_URI_PIN_VALUE)
        rv = p11_pin_source_literal(value.bytes, attr->name, &uri->pin, err);
    else
        rv = p11_pin_source_uri(value.bytes, &uri->pin, err);
out:
    p11_uri_value_clear(&value);
    return rv;
}

CK_RV p11_uri_set(const struct p11_uri_attr *attr, struct p11_uri *uri,
                  const char *raw, size_t len, struct p11_error *err)
{
    switch (attr->kind) {
    case P11_URI_BYTES:
        return decode(attr, p11_uri_value_of(attr, uri), raw, len, err);
    case P11_URI_TEXT:
    case P11_URI_PATH:
        return decode_text(attr, p11_uri_value_of(attr, uri), raw, len, err);
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
