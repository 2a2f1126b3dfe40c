/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11: URIs (RFC 7512), parsed strictly: the URI decides which key signs,
 * so that what is not understood is refused and never ignored.
 *
 * Refused, each with the attribute's name: unknown attributes (RFC 7512 lets
 * vendors add any: spki-sha256 behind the "?" is ours), empty ones, repeated
 * ones, those on the wrong side of the "?" or without "="; characters that RFC
 * 7512 does not allow unescaped, broken percent escapes, %00 and what is not
 * UTF-8 anywhere but in id, values longer than the PKCS #11 field they are
 * compared with; and what is no type, decimal slot-id, library-version or
 * absolute module-path. The scheme's case does not matter, attribute names'
 * does.
 *
 * A "pin-value=" inside another attribute's value, which the grammar allows,
 * is refused too: there it is a PIN behind a mistyped separator, about to be
 * shown as part of a token's label.
 */
#ifndef HSMSIGN_URI_H
#define HSMSIGN_URI_H

#include <stdbool.h>
#include <stddef.h>
#include "pin.h"
#include "rv.h"

/* Longest URI accepted, in bytes. */
#define P11_URI_MAX 8192

/* A decoded value: NUL-terminated for convenience, len without the NUL. */
struct p11_uri_value {
    bool present; /* an empty value is present with len 0 */
    size_t len;
    char *bytes; /* owned by the URI; NULL when not present */
};

struct p11_uri {
    /* path */
    struct p11_uri_value token, manufacturer, serial, model;
    struct p11_uri_value library_manufacturer, library_description;
    struct p11_uri_value library_version; /* "M" is "M.0" (RFC 7512, 2.3) */
    struct p11_uri_value slot_manufacturer, slot_description;
    struct p11_uri_value slot_id; /* without leading zeros */
    struct p11_uri_value object, id, type;
    /* query */
    struct p11_pin_source pin; /* pin-value (literal) or pin-source */
    struct p11_uri_value module_name, module_path;
    struct p11_uri_value spki_sha256; /* ours: p11_spki_valid() */
};

/*
 * Which keys are meant, by their public halves: SHA-256 of the DER of the
 * SubjectPublicKeyInfo, 64 hexadecimal digits, or several with a comma between
 * two.  Whether text is that, and whether such a text has this one.
 */
bool p11_spki_valid(const char *text);
bool p11_spki_has(const char *text, const char sha256[64]);

/* Whether text begins with "pkcs11:", in any case. */
bool p11_uri_has_scheme(const char *text);

/*
 * Parse text.  *uri is the caller's to free, NULL unless CKR_OK.  Returns
 * CKR_OK, CKR_HOST_MEMORY, P11_PIN_SOURCE (pin-source is no file), or
 * P11_URI_INVALID whose text names the attribute and the reason, and for an
 * unknown name the nearest known one.  The text quotes no value at all, and no
 * name that may be the rest of a PIN.  pin-value together with pin-source is
 * refused.  Buffers that held pin-value are cleansed.  Does not block.
 */
CK_RV p11_uri_parse(const char *text, struct p11_uri **uri,
                    struct p11_error *err);

/* Free, cleansing the PIN; NULL is allowed. */
void p11_uri_free(struct p11_uri *uri);

/*
 * Whether the attributes that the URI has match.  PKCS #11 pads its fields
 * with blanks (v2.40, 3.2), which do not count at the end.
 */
bool p11_uri_matches_library(const struct p11_uri *uri, const CK_INFO *info);
bool p11_uri_matches_token(const struct p11_uri *uri, CK_SLOT_ID slot,
                           const CK_TOKEN_INFO *info);
bool p11_uri_matches_slot(const struct p11_uri *uri, const CK_SLOT_INFO *info);
/* Whether C_GetSlotInfo or C_GetInfo need be called for that. */
bool p11_uri_wants_slot_info(const struct p11_uri *uri);
bool p11_uri_wants_library_info(const struct p11_uri *uri);

/*
 * The URI in canonical form without its query, for messages: no PIN.  Writes
 * at most size bytes, cut with "..." when longer, always NUL-terminated.
 */
void p11_uri_describe(const struct p11_uri *uri, char *buf, size_t size);

#endif
