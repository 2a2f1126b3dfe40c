/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a library, slot or token is the one that a URI means (RFC 7512, 2.5).
 */
#include "uri.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static size_t without_blanks(const void *text, size_t len)
{
    while (len > 0 && ((const char *)text)[len - 1] == ' ')
        len--;
    return len;
}

/* An absent value matches all, an empty one a field of blanks (RFC 7512). */
static bool matches(const struct p11_uri_value *value, const void *field,
                    size_t size)
{
    size_t len = without_blanks(field, size);

    return !value->present ||
           (len == without_blanks(value->bytes, value->len) &&
            memcmp(field, value->bytes, len) == 0);
}

#define MATCHES(value, field) matches(&(value), field, sizeof(field))

bool p11_uri_wants_library_info(const struct p11_uri *uri)
{
    return uri->library_manufacturer.present ||
           uri->library_description.present || uri->library_version.present;
}

bool p11_uri_matches_library(const struct p11_uri *uri, const CK_INFO *info)
{
    char version[16];
    int len = snprintf(version, sizeof(version), "%u.%u",
                       info->libraryVersion.major, info->libraryVersion.minor);

    return matches(&uri->library_version, version, (size_t)len) &&
           MATCHES(uri->library_manufacturer, info->manufacturerID) &&
           MATCHES(uri->library_description, info->libraryDescription);
}

bool p11_uri_matches_token(const struct p11_uri *uri, CK_SLOT_ID slot,
                           const CK_TOKEN_INFO *info)
{
    char id[32];
    int len = snprintf(id, sizeof(id), "%lu", slot);

    return MATCHES(uri->token, info->label) &&
           MATCHES(uri->manufacturer, info->manufacturerID) &&
           MATCHES(uri->model, info->model) &&
           MATCHES(uri->serial, info->serialNumber) &&
           matches(&uri->slot_id, id, (size_t)len);
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

#define SPKI_LEN 64

bool p11_spki_valid(const char *text)
{
    while (strspn(text, "0123456789ABCDEFabcdef") == SPKI_LEN) {
        text += SPKI_LEN;
        if (*text == '\0')
            return true;
        if (*text++ != ',')
            return false;
    }
    return false;
}

bool p11_spki_has(const char *text, const char sha256[64])
{
    while (strncasecmp(text, sha256, SPKI_LEN) != 0) {
        text += SPKI_LEN;
        if (*text++ == '\0')
            return false;
    }
    return true;
}
