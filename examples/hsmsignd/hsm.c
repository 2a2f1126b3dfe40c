/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <jansson.h>
#include <openssl/err.h>
#include "../hsmsign_token.h"
#include "../hsmsign_tool.h"
#include "hsm.h"
#include "log.h"
#include "pkcs11/calls.h"
#include "pkcs11/login.h"

#define TEXT_MAX 1024

const struct p11_rv_info *hsm_error(unsigned long code)
{
    const char *lib = ERR_lib_error_string(code);
    size_t n, reason = (size_t)ERR_GET_REASON(code);
    const struct p11_rv_info *table = p11_rv_table(&n);

    if (lib == NULL || strcmp(lib, "hsmsign") != 0 || reason == 0 || reason > n)
        return NULL;
    return &table[reason - 1]; /* so the provider numbers them */
}

bool hsm_is_away(unsigned long code)
{
    const struct p11_rv_info *info = hsm_error(code);

    return info != NULL &&
           (info->class > P11_CLASS_LIBRARY || info->rv == P11_NO_TOKEN ||
            info->rv == P11_SESSION_WAIT || info->rv == P11_LOGIN);
}

/* More than one key matches: those that may have been meant. */
static void log_candidates(struct token *t, struct p11_slot *slot)
{
    struct objects found = { 0 };

    if (token_enter(t, slot, TOKEN_PIN_ANY) == CLI_OK &&
        objects_find(t, CKO_PRIVATE_KEY, &t->uri->object, &t->uri->id,
                     &found) == CLI_OK) {
        for (size_t i = 0; i < found.count; i++)
            log_event(LOG_ERROR, "candidate", "{s:s?, s:s}", "key",
                      found.list[i].uri, "kind", found.list[i].kind);
    }
    objects_free(&found);
    token_leave(t);
}

/* Who is logged in: CloudHSM's PIN names the user. */
static void read_user(const struct token *t, const struct p11_pin *pin,
                      char *user, size_t size)
{
    size_t len = 0;
    const unsigned char *bytes = pin != NULL ? p11_pin_bytes(pin, &len) : NULL;
    const unsigned char *colon =
        bytes != NULL && (t->module->quirks & P11_QUIRK_PIN_USER) != 0
            ? memchr(bytes, ':', len)
            : NULL;

    if (colon != NULL)
        (void)snprintf(user, size, "%.*s", (int)(colon - bytes),
                       (const char *)bytes);
    else
        (void)snprintf(user, size, "CKU_USER");
    log_printable(user);
}

void hsm_describe(const char *uri, const struct p11_pin *pin, bool many)
{
    char key[TEXT_MAX], library[64], version[16], user[64];
    struct p11_slot *slot = NULL;
    struct token t;
    CK_INFO info = { 0 };

    (void)snprintf(key, sizeof(key), "%s", uri);
    cli_clean(key);
    if (token_open(&t, uri) == CLI_OK && token_find(&t, &slot) == CLI_OK &&
        P11_CALL(t.module->fl, C_GetInfo, &info) == CKR_OK) {
        /* Padded with blanks, which cli_clean() takes away. */
        (void)snprintf(library, sizeof(library), "%.*s",
                       (int)sizeof(info.libraryDescription),
                       (const char *)info.libraryDescription);
        cli_clean(library);
        (void)snprintf(version, sizeof(version), "%u.%u",
                       info.libraryVersion.major, info.libraryVersion.minor);
        read_user(&t, pin, user, sizeof(user));
        log_event(LOG_INFO, "token", "{s:s, s:s, s:s, s:I, s:s, s:s, s:s}",
                  "module", t.module->path, "library", library, "version",
                  version, "slot", (json_int_t)slot->id, "token", slot->label,
                  "user", user, "key", key);
        if (many)
            log_candidates(&t, slot);
    }
    token_close(&t);
    ERR_clear_error();
}

void hsm_cert_uri(const char *key, char *uri, size_t size)
{
    static const char *const keep[] = { "token=", "serial=", "manufacturer=",
                                        "model=", "slot-" };
    const char *query = strchr(key, '?'), *part = strchr(key, ':');
    size_t n = 0;

    n += (size_t)snprintf(uri, size, "pkcs11:type=cert");
    while (part != NULL && (query == NULL || part < query) && n < size) {
        size_t len = strcspn(++part, ";?");

        for (size_t i = 0; i < sizeof(keep) / sizeof(keep[0]); i++) {
            if (strncmp(part, keep[i], strlen(keep[i])) == 0 && n < size)
                n += (size_t)snprintf(uri + n, size - n, ";%.*s", (int)len,
                                      part);
        }
        part = part[len] == ';' ? part + len : NULL;
    }
    if (query != NULL && n < size)
        (void)snprintf(uri + n, size - n, "%s", query);
}

/* Of what is none the reason is said when the key is loaded. */
static bool is_uri(const char *uri)
{
    struct p11_uri *parsed = NULL;
    bool good =
        p11_uri_has_scheme(uri) && p11_uri_parse(uri, &parsed, NULL) == CKR_OK;

    p11_uri_free(parsed);
    return good;
}

struct p11_pin *hsm_pin(const char *uri,
                        void (*found)(void *arg, const char *file), void *arg)
{
    const struct p11_pin_source *source = NULL;
    struct p11_pin_request request = { 0 };
    struct p11_pin *pin = NULL;
    struct token t = { 0 };

    if (is_uri(uri) && token_read(&t, uri) == CLI_OK) {
        request.uri = &t.uri->pin;
        request.config = &t.config.pin;
        source = p11_pin_request_source(&request);
    }
    if (source != NULL && source->kind == P11_PIN_FILE)
        found(arg, source->name);
    if (source != NULL && p11_pin_get(&request, "", &pin, NULL) != CKR_OK)
        pin = NULL;
    token_close(&t);
    return pin;
}

bool hsm_change_pin(const char *uri, const struct p11_pin *pin)
{
    struct p11_slot *slot = NULL;
    struct token t;
    bool changed = token_open(&t, uri) == CLI_OK &&
                   token_find(&t, &slot) == CLI_OK &&
                   token_enter(&t, slot, TOKEN_PIN_NONE) == CLI_OK;

    if (changed) {
        const struct p11_pin_request request = { .uri = &t.uri->pin,
                                                 .config = &t.config.pin };

        changed =
            p11_slot_change_pin(slot, t.session, pin, &request, NULL) == CKR_OK;
    }
    token_close(&t);
    return changed;
}

void hsm_refuse_pin(const char *uri, const struct p11_pin *pin)
{
    struct p11_slot *slot = NULL;
    struct token t;

    if (token_open(&t, uri) == CLI_OK && token_find(&t, &slot) == CLI_OK)
        p11_slot_refuse_pin(slot, pin);
    token_close(&t);
}
