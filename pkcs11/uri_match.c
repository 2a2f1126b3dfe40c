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
    return matches(&uri->library_manufacturer, info->manufacturerID,
                   sizeof(info->manufacturerID)) &&
           matches(&uri->library_description, info->libraryDescription,
                   sizeof(info->libraryDescription));
}

bool p11_uri_matches_token(const struct p11_uri *uri, const CK_TOKEN_INFO *info)
{
    return matches(&uri->token, info->label, sizeof(info->label)) &&
           matches(&uri->manufacturer, info->manufacturerID,
                   sizeof(info->manufacturerID)) &&
           matches(&uri->model, info->model, sizeof(info->model)) &&
           matches(&uri->serial, info->serialNumber,
                   sizeof(info->serialNumber));
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
    return matches(&uri->slot_manufacturer, info->manufacturerID,
                   sizeof(info->manufacturerID)) &&
           matches(&uri->slot_description, info->slotDescription,
                   sizeof(info->slotDescription));
}

/* A text being written into a buffer that may be too short for it. */
struct output {
    char *at;
    size_t room;           /* with the NUL: 1 when it is full */
    const char *separator; /* before the next attribute */
    bool cut;              /* something had no room */
};

__attribute__((format(printf, 2, 3))) static void put(struct output *out,
                                                      const char *format, ...)
{
    va_list args;
    size_t len;

    va_start(args, format);
    len = (size_t)vsnprintf(out->at, out->room, format, args);
    va_end(args);
    if (len >= out->room) { /* and for -1, which is the largest size_t */
        out->cut = true;
        len = out->room - 1;
    }
    out->at += len;
    out->room -= len;
}

/* plain: the characters that need no percent-encoding. */
static void put_value(struct output *out, const struct p11_uri_value *value,
                      const char *plain)
{
    size_t i;

    for (i = 0; i < value->len; i++) {
        if (p11_uri_is_one_of(value->bytes[i], plain))
            put(out, "%c", value->bytes[i]);
        else
            put(out, "%%%02X", (unsigned)(unsigned char)value->bytes[i]);
    }
}

static void put_name(struct output *out, const struct p11_uri_attr *attr)
{
    put(out, "%s%s=", out->separator, attr->name);
    out->separator = ";";
}

static void put_attribute(struct output *out, const struct p11_uri_attr *attr,
                          const struct p11_uri *uri)
{
    const struct p11_uri_value *value;
    size_t i;

    switch (attr->kind) {
    case P11_URI_TEXT:
    case P11_URI_BYTES:
        value = (const void *)((const char *)uri + attr->offset);
        if (!value->present)
            return;
        put_name(out, attr);
        /* RFC 7512, 2.3 recommends to percent-encode the whole of id. */
        put_value(out, value, attr->kind == P11_URI_TEXT ? SHOWN_PLAIN : "");
        return;
    case P11_URI_TYPE:
        for (i = 0; uri->has_type && i < P11_URI_N_TYPES; i++) {
            if (p11_uri_types[i].class == uri->type) {
                put_name(out, attr);
                put(out, "%s", p11_uri_types[i].name);
            }
        }
        return;
    case P11_URI_VERSION:
        if (!uri->has_library_version)
            return;
        put_name(out, attr);
        put(out, "%u.%u", (unsigned)uri->library_version.major,
            (unsigned)uri->library_version.minor);
        return;
    case P11_URI_SLOT_ID:
        if (!uri->has_slot_id)
            return;
        put_name(out, attr);
        put(out, "%lu", uri->slot_id);
        return;
    case P11_URI_PATH:
    case P11_URI_PIN_VALUE:
    case P11_URI_PIN_SOURCE:
        return; /* in a query only */
    }
}

void p11_uri_describe(const struct p11_uri *uri, char *buf, size_t size)
{
    static const char dots[] = "...";
    struct output out = { .at = buf, .room = size, .separator = "" };
    size_t i, n;

    if (size == 0)
        return;
    put(&out, "%s", P11_URI_SCHEME);
    for (i = 0; i < P11_URI_N_ATTRS; i++) {
        if (!p11_uri_attrs[i].query)
            put_attribute(&out, &p11_uri_attrs[i], uri);
    }
    if (out.cut) {
        n = size > strlen(dots) ? strlen(dots) : size - 1;
        memcpy(buf + size - 1 - n, dots, n);
        buf[size - 1] = '\0';
    }
}
