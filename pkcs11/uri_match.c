/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a parsed URI says: whether a library, slot or token is the one that it
 * means (RFC 7512, 2.5), and the URI itself again, for messages.
 */
#include "uri_attr.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/*
 * What p11_uri_describe leaves unescaped: what RFC 7512 allows in a path but
 * for "!", "$" and "'", so that the text can be pasted into a shell between
 * quotes of either kind.
 */
#define SHOWN_PLAIN P11_URI_LETTERS P11_URI_DIGITS "-._~:[]@()*+,=&"

static size_t without_blanks(const char *text, size_t len)
{
    while (len > 0 && text[len - 1] == ' ')
        len--;
    return len;
}

/* An absent value matches all, an empty one a field of blanks (RFC 7512). */
static bool matches(const struct p11_uri_value *value, const CK_UTF8CHAR *field,
                    size_t size)
{
    const char *text = (const char *)field;
    size_t len;

    if (!value->present)
        return true;
    len = without_blanks(text, size);
    return len == without_blanks(value->bytes, value->len) &&
           memcmp(text, value->bytes, len) == 0;
}

#define MATCHES(value, field) matches(&(value), field, sizeof(field))

bool p11_uri_wants_library_info(const struct p11_uri *uri)
{
    return uri->library_manufacturer.present ||
           uri->library_description.present || uri->has_library_version;
}

bool p11_uri_matches_library(const struct p11_uri *uri, const CK_INFO *info)
{
    if (uri->has_library_version &&
        (uri->library_version.major != info->libraryVersion.major ||
         uri->library_version.minor != info->libraryVersion.minor))
        return false;
    return MATCHES(uri->library_manufacturer, info->manufacturerID) &&
           MATCHES(uri->library_description, info->libraryDescription);
}

bool p11_uri_matches_token(const struct p11_uri *uri, const CK_TOKEN_INFO *info)
{
    return MATCHES(uri->token, info->label) &&
           MATCHES(uri->manufacturer, info->manufacturerID) &&
           MATCHES(uri->model, info->model) &&
           MATCHES(uri->serial, info->serialNumber);
}

bool p11_uri_matches_slot_id(const struct p11_uri *uri, CK_SLOT_ID id)
{
    return !uri->has_slot_id || uri->slot_id == id;
}

bool p11_uri_wants_slot_info(const struct p11_uri *uri)
{
    return uri->slot_manufacturer.present || uri->slot_description.present;
}

bool p11_uri_matches_slot(const struct p11_uri *uri, const CK_SLOT_INFO *info)
{
    return MATCHES(uri->slot_manufacturer, info->manufacturerID) &&
           MATCHES(uri->slot_description, info->slotDescription);
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

static void put_value(struct output *out, const struct p11_uri_value *value,
                      const char *plain)
{
    for (size_t i = 0; i < value->len; i++) {
        unsigned char c = (unsigned char)value->bytes[i];

        put(out, c != '\0' && strchr(plain, c) != NULL ? "%c" : "%%%02X", c);
    }
}

static void put_attribute(struct output *out, const struct p11_uri_attr *attr,
                          const struct p11_uri *uri)
{
    const struct p11_uri_value *value = p11_uri_value_of(attr, uri);
    const char *begin = out->len < sizeof(P11_URI_SCHEME) ? "" : ";";

    if (value != NULL && value->present) {
        put(out, "%s%s=", begin, attr->name);
        /* RFC 7512, 2.3 recommends to percent-encode the whole of id. */
        put_value(out, value, attr->kind == P11_URI_TEXT ? SHOWN_PLAIN : "");
    } else if (attr->kind == P11_URI_VERSION && uri->has_library_version) {
        put(out, "%s%s=%u.%u", begin, attr->name, uri->library_version.major,
            uri->library_version.minor);
    } else if (attr->kind == P11_URI_SLOT_ID && uri->has_slot_id) {
        put(out, "%s%s=%lu", begin, attr->name, uri->slot_id);
    } else if (attr->kind == P11_URI_TYPE && uri->has_type) {
        for (size_t i = 0; i < P11_URI_N_TYPES; i++) {
            if (p11_uri_types[i].class == uri->type)
                put(out, "%s%s=%s", begin, attr->name, p11_uri_types[i].name);
        }
    }
}

void p11_uri_describe(const struct p11_uri *uri, char *buf, size_t size)
{
    struct output out = { .buf = buf, .size = size };
    size_t dots = size > 3 ? 3 : size - 1;

    if (size == 0)
        return;
    put(&out, "%s", P11_URI_SCHEME);
    for (size_t i = 0; i < P11_URI_N_ATTRS; i++) {
        if (!p11_uri_attrs[i].query)
            put_attribute(&out, &p11_uri_attrs[i], uri);
    }
    if (out.len >= size)
        memset(buf + size - 1 - dots, '.', dots);
}
