/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything but RFC 3986's unreserved characters is percent-encoded, so that
 * no shell, configuration file or other parser reads a URI differently.
 */
#include <stdbool.h>
#include <string.h>
#include "uri_format.h"

struct output {
    char *at, *end;
    bool full;
};

static void put(struct output *out, char c)
{
    if (out->at < out->end)
        *out->at++ = c;
    else
        out->full = true;
}

static void put_text(struct output *out, const char *text)
{
    while (*text != '\0')
        put(out, *text++);
}

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || (c != '\0' && strchr("-._~", c) != NULL);
}

/* ";name=value"; nothing for an empty value, which could not be matched. */
static void put_attribute(struct output *out, const char *name,
                          const unsigned char *value, size_t len, bool binary)
{
    static const char hex[] = "0123456789ABCDEF";

    if (len == 0)
        return;
    put_text(out, out->at[-1] == ':' ? "" : ";");
    put_text(out, name);
    put(out, '=');
    for (size_t i = 0; i < len; i++) {
        if (!binary && is_unreserved(value[i])) {
            put(out, (char)value[i]);
            continue;
        }
        put(out, '%');
        put(out, hex[value[i] >> 4]);
        put(out, hex[value[i] & 15]);
    }
}

/* PKCS #11 v2.40, 3.1: padded with blanks, without a NUL. */
static size_t unpadded(const CK_UTF8CHAR *text, size_t size)
{
    while (size > 0 && text[size - 1] == ' ')
        size--;
    return size;
}

static const char *type_of(CK_OBJECT_CLASS class)
{
    switch (class) {
    case CKO_PRIVATE_KEY:
        return "private";
    case CKO_PUBLIC_KEY:
        return "public";
    default:
        return "cert";
    }
}

size_t p11_uri_format(const CK_TOKEN_INFO *token, const struct p11_attrs *attrs,
                      CK_OBJECT_CLASS class, char *buf, size_t size)
{
    struct output out = { buf, buf + size, false };
    const CK_ATTRIBUTE *id = p11_attrs_get(attrs, CKA_ID);
    const CK_ATTRIBUTE *label = p11_attrs_get(attrs, CKA_LABEL);
    const char *type = type_of(class);

    if (size < sizeof("pkcs11:"))
        return 0;
    put_text(&out, "pkcs11:");
    put_attribute(&out, "token", token->label,
                  unpadded(token->label, sizeof(token->label)), false);
    put_attribute(&out, "serial", token->serialNumber,
                  unpadded(token->serialNumber, sizeof(token->serialNumber)),
                  false);
    if (id != NULL)
        put_attribute(&out, "id", id->pValue, id->ulValueLen, true);
    if (label != NULL)
        put_attribute(&out, "object", label->pValue, label->ulValueLen, false);
    put_attribute(&out, "type", (const unsigned char *)type, strlen(type),
                  false);
    put(&out, '\0');
    return out.full ? 0 : (size_t)(out.at - buf) - 1;
}
