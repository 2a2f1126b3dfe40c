/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "calls.h"
#include "log.h"
#include "session.h"
#include "slot.h"

/* Of one module, with those whose tokens are gone. */
#define SLOTS_MAX 1024

/* PKCS #11 v2.40, 3.2: padded with blanks, not NUL-terminated. */
static void printable(char *out, const CK_UTF8CHAR *field, size_t len)
{
    while (len > 0 && (field[len - 1] == ' ' || field[len - 1] == '\0'))
        len--;
    memcpy(out, field, len);
    for (size_t i = 0; i < len; i++) {
        if (field[i] < ' ' || field[i] == 0x7f)
            out[i] = '?';
    }
    out[len] = '\0';
}

static struct p11_slot *slot_new(struct p11_module *module, CK_SLOT_ID id,
                                 const CK_TOKEN_INFO *token)
{
    struct p11_slot *slot = calloc(1, sizeof(*slot));

    if (slot == NULL)
        return NULL;
    slot->module = module;
    slot->id = id;
    slot->token = *token;
    slot->present = true;
    printable(slot->label, token->label, sizeof(token->label));
    snprintf(slot->where, sizeof(slot->where), "token \"%s\"", slot->label);
    pthread_mutex_init(&slot->lock, NULL);
    pthread_cond_init(&slot->login_done, NULL);
    p11_session_pool_init(slot);
    return slot;
}

void p11_slot_forget_refused(struct p11_slot *slot)
{
    while (slot->refused != NULL) {
        struct p11_refused *refused = slot->refused;

        slot->refused = refused->next;
        p11_pin_free(refused->pin);
        free(refused);
    }
}

void p11_slot_free(struct p11_slot *slot, bool close_sessions)
{
    p11_session_pool_deinit(slot, close_sessions);
    pthread_cond_destroy(&slot->login_done);
    p11_pin_free(slot->pin);
    p11_pin_source_clear(&slot->source);
    p11_slot_forget_refused(slot);
    free(slot);
}

void p11_slot_restarted(struct p11_slot *slot)
{
    pthread_mutex_lock(&slot->lock);
    p11_session_pool_forget(slot);
    slot->login = P11_LOGGED_OUT;
    slot->epoch++;
    pthread_mutex_unlock(&slot->lock);
}

void p11_slot_forget(struct p11_slot *slot)
{
    p11_session_pool_init(slot);
    pthread_cond_init(&slot->login_done, NULL);
    slot->login = P11_LOGGED_OUT;
    slot->epoch++;
}

/* The slots with a token; *ids, NULL if none, is the caller's to free. */
static CK_RV list_slots(const struct p11_module *module, CK_SLOT_ID **ids,
                        CK_ULONG *count, struct p11_error *err)
{
    CK_FUNCTION_LIST *fl = module->fl;
    CK_RV rv = CKR_BUFFER_TOO_SMALL;
    CK_ULONG room = 0;

    *ids = NULL;
    /* A token may be plugged in between the two calls. */
    for (int i = 0; i < 3 && rv == CKR_BUFFER_TOO_SMALL; i++) {
        free(*ids);
        *ids = NULL;
        rv = P11_CALL(fl, C_GetSlotList, CK_TRUE, NULL, count);
        if (rv != CKR_OK || *count == 0)
            break;
        if (*count > SLOTS_MAX)
            return p11_error_set(err, P11_MANY_TOKENS,
                                 "C_GetSlotList of %s counts %lu slots with a "
                                 "token; at most %d are looked at",
                                 module->path, *count, SLOTS_MAX);
        *ids = calloc(*count, sizeof(**ids));
        if (*ids == NULL)
            return p11_error_set(err, CKR_HOST_MEMORY,
                                 "no memory for a list of slots");
        room = *count;
        rv = P11_CALL(fl, C_GetSlotList, CK_TRUE, *ids, count);
    }
    if (*count > room)
        *count = room;
    if (rv != CKR_OK)
        p11_error_call(err, rv, "C_GetSlotList", module->path);
    return rv;
}

bool p11_token_is_same(const CK_TOKEN_INFO *a, const CK_TOKEN_INFO *b)
{
    return memcmp(a->label, b->label, sizeof(a->label)) == 0 &&
           memcmp(a->serialNumber, b->serialNumber, sizeof(a->serialNumber)) ==
               0;
}

/* Take what is the same as known out of the list. */
static bool take(struct p11_slot **list, const struct p11_slot *known)
{
    struct p11_slot **at = list, *same;

    while (*at != NULL && ((*at)->id != known->id ||
                           !p11_token_is_same(&(*at)->token, &known->token)))
        at = &(*at)->next;
    same = *at;
    if (same == NULL)
        return false;
    *at = same->next;
    p11_slot_free(same, false);
    return true;
}

/*
 * Enter what a look found; a token that is not among it is gone, but keys may
 * still point to it.  Returns whether there was room for all.
 */
static bool merge(struct p11_module *module, struct p11_slot *found)
{
    size_t known = 0;

    pthread_mutex_lock(&module->lock);
    for (struct p11_slot *s = module->slots; s != NULL; s = s->next) {
        s->present = take(&found, s);
        known++;
    }
    while (found != NULL) {
        struct p11_slot *slot = found;

        found = slot->next;
        if (++known > SLOTS_MAX) {
            p11_slot_free(slot, false);
            continue;
        }
        slot->next = module->slots;
        module->slots = slot;
    }
    pthread_mutex_unlock(&module->lock);
    return known <= SLOTS_MAX;
}

/* A slot that is empty or not ours to use is no fault of the token's. */
static bool is_no_token(CK_RV rv)
{
    return rv == CKR_TOKEN_NOT_PRESENT || rv == CKR_TOKEN_NOT_RECOGNIZED ||
           rv == CKR_SLOT_ID_INVALID;
}

/* A call that failed: the reason, if nothing that could be seen matches. */
struct fault {
    CK_RV rv;
    const char *function;
};

/* Returns whether the call went well. */
static bool note(struct fault *fault, const char *function, CK_RV rv)
{
    if (rv != CKR_OK && !is_no_token(rv))
        *fault = (struct fault){ rv, function };
    return rv == CKR_OK;
}

static CK_RV look(struct p11_module *module, struct fault *fault,
                  struct p11_error *err)
{
    struct p11_slot *found = NULL;
    CK_SLOT_ID *ids;
    CK_ULONG count = 0;
    CK_RV rv = list_slots(module, &ids, &count, err);

    if (rv != CKR_OK) {
        free(ids);
        return rv;
    }
    for (CK_ULONG i = 0; rv == CKR_OK && ids != NULL && i < count; i++) {
        CK_TOKEN_INFO token = { 0 };
        struct p11_slot *slot;

        if (!note(fault, "C_GetTokenInfo",
                  P11_CALL(module->fl, C_GetTokenInfo, ids[i], &token)) ||
            (token.flags & CKF_TOKEN_INITIALIZED) == 0)
            continue;
        slot = slot_new(module, ids[i], &token);
        if (slot == NULL) {
            rv = p11_error_set(err, CKR_HOST_MEMORY, "no memory for a token");
        } else {
            slot->next = found;
            found = slot;
        }
    }
    if (!merge(module, found) && rv == CKR_OK)
        rv = p11_error_set(err, P11_MANY_TOKENS,
                           "%s has shown more than %d different tokens by now; "
                           "restart this program",
                           module->path, SLOTS_MAX);
    free(ids);
    return rv;
}

/* slot-description and slot-manufacturer cost C_GetSlotInfo: asked last. */
static bool slot_matches(const struct p11_slot *slot, const struct p11_uri *uri,
                         struct fault *fault)
{
    CK_SLOT_INFO info = { 0 };

    if (!p11_uri_matches_token(uri, slot->id, &slot->token))
        return false;
    if (!p11_uri_wants_slot_info(uri))
        return true;
    return note(fault, "C_GetSlotInfo",
                P11_CALL(slot->module->fl, C_GetSlotInfo, slot->id, &info)) &&
           p11_uri_matches_slot(uri, &info);
}

static bool library_matches(struct p11_module *module,
                            const struct p11_uri *uri, struct fault *fault)
{
    CK_INFO info = { 0 };

    return !p11_uri_wants_library_info(uri) ||
           (note(fault, "C_GetInfo", P11_CALL(module->fl, C_GetInfo, &info)) &&
            p11_uri_matches_library(uri, &info));
}

/*
 * How many match; slots receives them, max at most, labels those that are
 * there.
 * Slots are only added while the module is open, at the head of the list:
 * what follows a given head needs no lock.
 */
static size_t match_slots(struct p11_module *module, const struct p11_uri *uri,
                          struct p11_slot **slots, size_t max, char *labels,
                          size_t size, struct fault *fault)
{
    bool library = library_matches(module, uri, fault);
    size_t matches = 0;
    struct p11_slot *s;

    labels[0] = '\0';
    pthread_mutex_lock(&module->lock);
    s = module->slots;
    pthread_mutex_unlock(&module->lock);
    for (; s != NULL; s = s->next) {
        size_t used = strlen(labels);

        if (!s->present)
            continue;
        snprintf(labels + used, size - used, "%s\"%s\"", used > 0 ? ", " : "",
                 s->label);
        if (!library || !slot_matches(s, uri, fault))
            continue;
        if (matches < max)
            slots[matches] = s;
        matches++;
    }
    return matches;
}

static CK_RV slots_find(struct p11_module *module, const struct p11_uri *uri,
                        struct p11_slot **slots, size_t max, size_t *count,
                        struct p11_error *err)
{
    char labels[256], asked[200];
    struct fault fault = { 0 };
    bool looked = false;
    size_t matches;
    CK_RV rv;

    matches =
        match_slots(module, uri, slots, max, labels, sizeof(labels), &fault);
    if (matches == 0) {
        fault.rv = CKR_OK;
        rv = look(module, &fault, err);
        if (rv != CKR_OK)
            return rv;
        matches = match_slots(module, uri, slots, max, labels, sizeof(labels),
                              &fault);
        looked = true;
    }
    for (size_t i = 0; i < matches && i < max; i++)
        slots[i]->fresh = looked;
    p11_uri_describe(uri, asked, sizeof(asked));
    if (matches == 0 && fault.rv != CKR_OK)
        return p11_error_call(err, fault.rv, fault.function, asked);
    if (matches == 0)
        return p11_error_set(err, P11_NO_TOKEN,
                             "no token matches %s; %s has %s", asked,
                             module->path, labels[0] != '\0' ? labels : "none");
    *count = matches;
    if (matches > max)
        return p11_error_set(err, P11_MANY_TOKENS,
                             "%zu tokens match %s (%s has %s); name one with "
                             "token= or serial=",
                             matches, asked, module->path, labels);
    return CKR_OK;
}

CK_RV p11_slots_find(struct p11_module *module, const struct p11_uri *uri,
                     struct p11_slot **slots, size_t max, size_t *count,
                     struct p11_error *err)
{
    CK_RV rv = p11_module_enter(module, err);

    if (rv != CKR_OK)
        return rv;
    rv = slots_find(module, uri, slots, max, count, err);
    p11_module_leave(module);
    return rv;
}

CK_RV p11_slot_find(struct p11_module *module, const struct p11_uri *uri,
                    struct p11_slot **slot, struct p11_error *err)
{
    size_t count;

    return p11_slots_find(module, uri, slot, 1, &count, err);
}

void p11_module_sessions(struct p11_module *module, unsigned long *open,
                         unsigned long *lent)
{
    struct p11_slot *slots;

    pthread_mutex_lock(&module->lock);
    slots = module->slots; /* new ones come before it, and none goes */
    pthread_mutex_unlock(&module->lock);
    *open = *lent = 0;
    for (struct p11_slot *s = slots; s != NULL; s = s->next) {
        pthread_mutex_lock(&s->lock);
        *open += s->open_count;
        *lent += s->lent_count;
        pthread_mutex_unlock(&s->lock);
    }
}

bool p11_slot_is_gone(struct p11_slot *slot, CK_RV rv)
{
    bool gone = rv == CKR_TOKEN_NOT_PRESENT || rv == CKR_SLOT_ID_INVALID ||
                rv == CKR_DEVICE_REMOVED || rv == P11_NO_TOKEN;

    if (gone)
        slot->present = false;
    return gone;
}
