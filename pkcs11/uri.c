/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RFC 7512, by table: a row says how an attribute is called, on which side of
 * the "?" it stands, what its value may be and where it goes.  The rest is
 * one walk over
 *
 *     "pkcs11:" [ attribute *( ";" attribute ) ]
 *               [ "?" [ attribute *( "&" attribute ) ] ]
 *
 * from left to right that stops at the first thing that it does not
 * understand.  The order matters for secrecy: nothing behind a pin-value is
 * ever quoted, since it may be the rest of a PIN whose "&" was not written
 * %26.  Nor does an error quote any value: it may hold a PIN as well.
 */
#include "uri.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SCHEME     "pkcs11:"
#define SCHEME_LEN (sizeof(SCHEME) - 1)
#define LETTERS    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS     "0123456789"

/* What may stand unescaped besides letters and digits: RFC 7512, 2.3. */
#define MARKS       "-._~:[]@!$'()*+,="
#define PATH_MARKS  MARKS "&"
#define QUERY_MARKS MARKS "/?|"

#define NOT_PLAIN(marks)                                                       \
    "all but letters, digits and " marks " must be percent-encoded, a blank "  \
    "is %20"

/*
 * What p11_uri_describe leaves unescaped: what RFC 7512 allows in a path but
 * for "!", "$" and "'", so that the text can be pasted into a shell between
 * quotes of either kind.
 */
#define SHOWN_PLAIN LETTERS DIGITS "-._~:[]@()*+,=&"

/* What a hexadecimal digit is worth, in ASCII: letters begin at 0x41, 0x61. */
#define HEX_DIGIT(c) (((c)&15) + 9 * ((c) >> 6))

/* Longer names are not quoted and get no hint; the longest known has 20. */
#define NAME_SHOWN 32

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

/*
 * The checks of a value: each returns NULL, or why it is refused.  Those of
 * what the grammar spells out literally see it as it stands in the URI: it has
 * no percent-encoded form.
 */

/* Text is UTF-8 (RFC 7512, 2.3) that holds no NUL. */
static const char *check_text(struct p11_uri_value *value)
{
    if (memchr(value->bytes, '\0', value->len) != NULL)
        return "%00 is not text";
    return is_utf8(value->bytes, value->len) ? NULL : "not UTF-8";
}

/* A relative path would name another module in every directory. */
static const char *check_path(struct p11_uri_value *value)
{
    const char *why = check_text(value);

    if (why == NULL && value->bytes[0] != '/')
        why = "not an absolute path";
    return why;
}

static const char *check_type(struct p11_uri_value *value)
{
    static const char *const types[] = { "public", "private", "cert",
                                         "secret-key", "data" };

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(types[i], value->bytes) == 0)
            return NULL;
    }
    return "not one of public, private, cert, secret-key, data";
}

/* 1*DIGIT, leading zeros included, of at most max; len bytes of text. */
static bool decimal(const char *text, size_t len, CK_ULONG max, CK_ULONG *value)
{
    errno = 0;
    *value = strtoul(text, NULL, 10);
    return len > 0 && strspn(text, DIGITS) == len && errno == 0 &&
           *value <= max;
}

static const char *check_slot_id(struct p11_uri_value *value)
{
    CK_SLOT_ID id;

    if (!decimal(value->bytes, value->len, (CK_ULONG)-1, &id))
        return "not a decimal number, or one too large for a slot";
    value->len = (size_t)snprintf(value->bytes, value->len + 1, "%lu", id);
    return NULL;
}

static const char *check_version(struct p11_uri_value *value)
{
    const char *dot = strchrnul(value->bytes, '.');
    size_t major_len = (size_t)(dot - value->bytes);
    CK_ULONG major, minor = 0;

    /* "M" alone means M.0 (RFC 7512, 2.3), not "any minor version". */
    if (!decimal(value->bytes, major_len, 255, &major) ||
        (*dot == '.' &&
         !decimal(dot + 1, value->len - major_len - 1, 255, &minor)))
        return "not MAJOR or MAJOR.MINOR, each a number up to 255";
    value->len = (size_t)snprintf(value->bytes, value->len + sizeof(".0"),
                                  "%lu.%lu", major, minor);
    return NULL;
}

static const char *check_spki(struct p11_uri_value *value)
{
    return p11_spki_valid(value->bytes)
               ? NULL
               : "not 64 hexadecimal digits, nor more of such with commas";
}

/* An attribute of RFC 7512, 2.3 and 2.4. */
struct attr {
    const char *name;
    bool query;   /* stands behind the "?" */
    bool literal; /* not percent-encoded */
    const char *(*check)(struct p11_uri_value *value); /* NULL: any bytes */
    size_t max;    /* longest decoded value in bytes; 0: as long as the URI */
    size_t offset; /* of the struct p11_uri_value, or one of these: */
};

#define PIN_VALUE  SIZE_MAX
#define PIN_SOURCE (SIZE_MAX - 1)

#define VALUE(field)          offsetof(struct p11_uri, field)
#define TEXT(max, field)      false, false, check_text, max, VALUE(field)
#define LITERAL(check, field) false, true, check, 0, VALUE(field)

/*
 * In the order in which p11_uri_describe shows them, the query last; the
 * lengths are those of PKCS #11's structures.
 */
static const struct attr attrs[] = {
    { "token", TEXT(32, token) },
    { "manufacturer", TEXT(32, manufacturer) },
    { "serial", TEXT(16, serial) },
    { "model", TEXT(16, model) },
    { "library-manufacturer", TEXT(32, library_manufacturer) },
    { "library-description", TEXT(32, library_description) },
    { "library-version", LITERAL(check_version, library_version) },
    { "object", TEXT(0, object) },
    { "type", LITERAL(check_type, type) },
    { "id", false, false, NULL, 0, VALUE(id) },
    { "slot-manufacturer", TEXT(32, slot_manufacturer) },
    { "slot-description", TEXT(64, slot_description) },
    { "slot-id", LITERAL(check_slot_id, slot_id) },
    { "pin-source", true, false, check_text, 0, PIN_SOURCE },
    { "pin-value", true, false, check_text, P11_PIN_MAX, PIN_VALUE },
    { "module-name", true, false, check_text, 0, VALUE(module_name) },
    { "module-path", true, false, check_path, 0, VALUE(module_path) },
    { "spki-sha256", true, true, check_spki, 0, VALUE(spki_sha256) },
};

#define N_ATTRS (sizeof(attrs) / sizeof(attrs[0]))

/* NULL for a PIN, whose place is locked memory. */
static struct p11_uri_value *value_of(const struct attr *attr,
                                      const struct p11_uri *uri)
{
    if (attr->offset >= sizeof(*uri))
        return NULL;
    return (void *)((const char *)uri + attr->offset);
}

/* The walk over one URI. */
struct walk {
    struct p11_uri *uri;
    bool seen[N_ATTRS];
    bool query;      /* behind the "?" */
    bool behind_pin; /* behind pin-value: quote nothing */
    struct p11_error *err;
};

static CK_RV refuse(const struct walk *walk, const struct attr *attr,
                    const char *why)
{
    return p11_error_set(walk->err, P11_URI_INVALID, "%s: %s", attr->name, why);
}

/* Every value is cleansed, so that none of the few that are PINs is missed. */
static void value_clear(struct p11_uri_value *value)
{
    if (value->bytes != NULL)
        explicit_bzero(value->bytes, value->len);
    free(value->bytes);
    *value = (struct p11_uri_value){ 0 };
}

/*
 * Read a value as it stands in the URI, len bytes at raw; the caller clears it
 * on failure too.  Behind them comes a separator or NUL, which is neither
 * plain nor hexadecimal.
 */
static CK_RV read_value(const struct walk *walk, const struct attr *attr,
                        const char *raw, size_t len,
                        struct p11_uri_value *value)
{
    const char *plain =
        attr->query ? LETTERS DIGITS QUERY_MARKS : LETTERS DIGITS PATH_MARKS;
    const char *end = raw + len, *why = NULL;
    size_t n;

    value->bytes = calloc(len + sizeof(".0"), 1); /* of a version */
    if (value->bytes == NULL)
        return p11_error_set(walk->err, CKR_HOST_MEMORY, "%s", attr->name);
    value->present = true;
    for (;;) {
        n = attr->literal ? len : strspn(raw, plain);
        memcpy(value->bytes + value->len, raw, n);
        value->len += n;
        raw += n;
        if (raw == end)
            break;
        if (*raw != '%')
            return refuse(walk, attr,
                          attr->query ? NOT_PLAIN(QUERY_MARKS)
                                      : NOT_PLAIN(PATH_MARKS));
        if (strspn(raw + 1, DIGITS "ABCDEFabcdef") < 2)
            return refuse(walk, attr,
                          "\"%\" without two hexadecimal digits; \"%\" itself "
                          "is %25");
        value->bytes[value->len++] =
            (char)(HEX_DIGIT(raw[1]) * 16 + HEX_DIGIT(raw[2]));
        raw += 3;
    }
    if (attr->max != 0 && value->len > attr->max)
        return p11_error_set(walk->err, P11_URI_INVALID,
                             "%s: longer than %zu bytes", attr->name,
                             attr->max);
    if (attr->check != NULL)
        why = attr->check(value);
    return why == NULL ? CKR_OK : refuse(walk, attr, why);
}

/* Either kind of PIN; RFC 7512, 2.4 calls a URI that has both invalid. */
static CK_RV read_pin(struct walk *walk, const struct attr *attr,
                      const char *raw, size_t len)
{
    struct p11_pin_source *pin = &walk->uri->pin;
    struct p11_uri_value value = { 0 };
    CK_RV rv;

    if (pin->kind != P11_PIN_NONE)
        return p11_error_set(walk->err, P11_URI_INVALID,
                             "pin-value and pin-source exclude each other");
    rv = read_value(walk, attr, raw, len, &value);
    if (rv == CKR_OK && attr->offset == PIN_VALUE)
        rv = p11_pin_source_set(P11_PIN_LITERAL, value.bytes, attr->name, pin,
                                walk->err);
    else if (rv == CKR_OK)
        rv = p11_pin_source_uri(value.bytes, pin, walk->err);
    value_clear(&value);
    return rv;
}

static const char *known_name(size_t i)
{
    return i < N_ATTRS ? attrs[i].name : NULL;
}

/* Refuse a name that no row has; equals: whether a "=" follows it. */
static CK_RV refuse_unknown(const struct walk *walk, const char *name,
                            size_t len, bool equals)
{
    const char *known;

    /* A bare word behind the "?" may be a PIN that lacks its "pin-value=". */
    if (len == 0 || len > NAME_SHOWN ||
        strspn(name, LETTERS DIGITS "-_") < len || (walk->query && !equals))
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
    size_t name_len = equals == NULL ? len : (size_t)(equals - text), i = 0;
    const struct attr *attr;

    while (i < N_ATTRS && (strlen(attrs[i].name) != name_len ||
                           memcmp(attrs[i].name, text, name_len) != 0))
        i++;
    attr = i < N_ATTRS ? &attrs[i] : NULL;
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
        return refuse(walk, attr,
                      attr->query ? "belongs behind the \"?\""
                                  : "belongs before the \"?\"");
    if (equals == NULL)
        return refuse(walk, attr, "has no \"=\"");
    if (walk->seen[i])
        return refuse(walk, attr, "given twice");
    walk->seen[i] = true;
    text = equals + 1;
    len -= name_len + 1;
    if (attr->offset == PIN_VALUE)
        walk->behind_pin = true;
    else if (memmem(text, len, pin_value, sizeof(pin_value) - 1) != NULL)
        return refuse(walk, attr,
                      "holds \"pin-value=\"; the PIN belongs behind the "
                      "\"?\", or behind a \"&\" there");
    if (value_of(attr, walk->uri) == NULL)
        return read_pin(walk, attr, text, len);
    return read_value(walk, attr, text, len, value_of(attr, walk->uri));
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
    return strncasecmp(text, SCHEME, SCHEME_LEN) == 0;
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
    if (rv == CKR_OK)
        *uri = walk.uri;
    else
        p11_uri_free(walk.uri);
    return rv;
}

void p11_uri_free(struct p11_uri *uri)
{
    if (uri == NULL)
        return;
    for (size_t i = 0; i < N_ATTRS; i++) {
        if (value_of(&attrs[i], uri) != NULL)
            value_clear(value_of(&attrs[i], uri));
    }
    p11_pin_source_clear(&uri->pin);
    free(uri);
}

/* A text being written into a buffer that may be too short for it. */
struct output {
    char *buf;
    size_t size, len; /* len: of the whole, as snprintf(3) counts */
};

__attribute__((format(printf, 2, 3))) static void put(struct output *out,
                                                      const char *format, ...)
{
    size_t used = out->len < out->size ? out->len : out->size - 1;
    va_list args;

    va_start(args, format);
    out->len +=
        (size_t)vsnprintf(out->buf + used, out->size - used, format, args);
    va_end(args);
}

void p11_uri_describe(const struct p11_uri *uri, char *buf, size_t size)
{
    struct output out = { .buf = buf, .size = size };
    size_t dots = size > 3 ? 3 : size - 1;
    const char *separator = "";

    if (size == 0)
        return;
    put(&out, SCHEME);
    for (const struct attr *attr = attrs; !attr->query; attr++) {
        const struct p11_uri_value *value = value_of(attr, uri);
        /* RFC 7512, 2.3 recommends to percent-encode the whole of id. */
        const char *plain = attr->check != NULL ? SHOWN_PLAIN : "";

        if (!value->present)
            continue;
        put(&out, "%s%s=", separator, attr->name);
        separator = ";";
        for (size_t i = 0; i < value->len; i++) {
            unsigned char c = (unsigned char)value->bytes[i];

            put(&out, c != '\0' && strchr(plain, c) != NULL ? "%c" : "%%%02X",
                c);
        }
    }
    if (out.len >= size)
        memset(buf + size - 1 - dots, '.', dots);
}
