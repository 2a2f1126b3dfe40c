/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What identifies the key never changes; its handle does, and is good for one
 * epoch of the slot only.
 *
 * Recovery is one idea: whatever the reason, the session whose operation
 * failed is replaced and the operation tried again; the second time, or when
 * the reason says so, we also log in and find the key again.  What that does
 * not mend is left to time (retry.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "calls.h"
#include "key.h"
#include "log.h"
#include "login.h"
#include "retry.h"
#include "session.h"

/* Expected sizes: RSA 8192, any named curve or its name, ML-DSA-87. */
static const struct p11_attr_spec private_specs[] = {
    { CKA_KEY_TYPE, sizeof(CK_KEY_TYPE) },
    { CKA_LABEL, 128 },
    { CKA_ID, 128 },
    { CKA_SIGN, sizeof(CK_BBOOL) },
    { CKA_ALWAYS_AUTHENTICATE, sizeof(CK_BBOOL) },
    { CKA_MODULUS, 1024 },
    { CKA_PUBLIC_EXPONENT, 16 },
    { CKA_EC_PARAMS, 64 },
    { CKA_EC_POINT, 160 },
    { CKA_PUBLIC_KEY_INFO, 2700 },
    { CKA_CHECK_VALUE, 16 },
    { CKA_PARAMETER_SET, sizeof(CK_ULONG) },
    /* Last: see P11_QUIRK_NO_ALLOWED_MECHANISMS. */
    { CKA_ALLOWED_MECHANISMS, 32 * sizeof(CK_MECHANISM_TYPE) },
};

/* If one of these differs, it is another key. */
static const CK_ATTRIBUTE_TYPE identity[] = {
    CKA_KEY_TYPE,  CKA_LABEL,    CKA_ID,          CKA_MODULUS,
    CKA_EC_PARAMS, CKA_EC_POINT, CKA_CHECK_VALUE, CKA_PARAMETER_SET,
};

#define NO_EPOCH     (~0UL) /* no slot lives that long */
#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static bool copy_value(struct p11_uri_value *to,
                       const struct p11_uri_value *from)
{
    *to = *from;
    if (!from->present)
        return true;
    to->bytes = calloc(from->len + 1, 1);
    if (to->bytes != NULL)
        memcpy(to->bytes, from->bytes, from->len);
    return to->bytes != NULL;
}

/* By what the key is found again, and called in messages. */
static bool set_name(struct p11_key *key, const struct p11_uri *uri)
{
    char asked[120];

    p11_uri_describe(uri, asked, sizeof(asked));
    snprintf(key->where, sizeof(key->where), "%s, key %s", key->slot->where,
             asked);
    return copy_value(&key->label, &uri->object) &&
           copy_value(&key->id, &uri->id);
}

static struct p11_key *key_new(struct p11_slot *slot, const struct p11_uri *uri)
{
    struct p11_key *key = calloc(1, sizeof(*key));

    if (key == NULL)
        return NULL;
    key->slot = slot;
    if (!set_name(key, uri)) {
        p11_key_free(key);
        return NULL;
    }
    return key;
}

void p11_key_free(struct p11_key *key)
{
    if (key == NULL)
        return;
    p11_attrs_clear(&key->attrs);
    free(key->label.bytes);
    free(key->id.bytes);
    free(key);
}

CK_KEY_TYPE p11_key_type(const struct p11_key *key)
{
    return p11_attrs_ulong(&key->attrs, CKA_KEY_TYPE,
                           CK_UNAVAILABLE_INFORMATION);
}

const struct p11_attrs *p11_key_attrs(const struct p11_key *key)
{
    return &key->attrs;
}

const char *p11_key_where(const struct p11_key *key)
{
    return key->where;
}

/* A field of CK_TOKEN_INFO: padded with blanks (PKCS #11 v2.40, 3.1). */
static struct p11_uri_value from_field(CK_UTF8CHAR *text, size_t size)
{
    struct p11_uri_value value = { .len = size, .bytes = (char *)text };

    while (value.len > 0 && text[value.len - 1] == ' ')
        value.len--;
    value.present = value.len > 0;
    return value;
}

static struct p11_uri_value from_attr(const CK_ATTRIBUTE *attr)
{
    struct p11_uri_value value = { .present = attr != NULL };

    if (attr != NULL) {
        value.len = attr->ulValueLen;
        value.bytes = attr->pValue;
    }
    return value;
}

void p11_key_uri(const struct p11_key *key, char *buf, size_t size)
{
    CK_TOKEN_INFO *token = &key->slot->token;
    char type[] = "private";
    const struct p11_uri uri = {
        .token = from_field(token->label, sizeof(token->label)),
        .serial = from_field(token->serialNumber, sizeof(token->serialNumber)),
        .object = from_attr(p11_attrs_get(&key->attrs, CKA_LABEL)),
        .id = from_attr(p11_attrs_get(&key->attrs, CKA_ID)),
        .type = { true, sizeof(type) - 1, type },
    };

    p11_uri_describe(&uri, buf, size);
}

/*
 * Find exactly one.  Two are asked for, so that a second one shows; which
 * key signs must never depend on the order in which a token answers.
 */
static CK_RV find_private(struct p11_key *key, struct p11_session *session,
                          CK_OBJECT_HANDLE *handle, struct p11_error *err)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_OBJECT_HANDLE found[2];
    CK_ATTRIBUTE tmpl[3] = { { CKA_CLASS, &class, sizeof(class) } };
    CK_ULONG n = 1, count;
    CK_RV rv;

    if (key->label.present)
        tmpl[n++] = (CK_ATTRIBUTE){ CKA_LABEL, key->label.bytes,
                                    (CK_ULONG)key->label.len };
    if (key->id.present)
        tmpl[n++] =
            (CK_ATTRIBUTE){ CKA_ID, key->id.bytes, (CK_ULONG)key->id.len };
    rv = p11_objects_find(key->slot->module->fl, session->handle, tmpl, n,
                          found, 2, &count, key->where, err);
    if (rv != CKR_OK)
        return rv;
    if (count == 0)
        return p11_error_set(err, P11_NO_KEY,
                             "no private key matches (%s); compare object= "
                             "and id= with what the token holds",
                             key->where);
    if (count > 1)
        return p11_error_set(err, P11_MANY_KEYS,
                             "more than one private key matches (%s); name "
                             "one with object= and id=",
                             key->where);
    *handle = found[0];
    return CKR_OK;
}

/* Where the token has the key, and what it tells of it. */
struct found {
    CK_OBJECT_HANDLE handle;
    unsigned long epoch; /* for which the handle is good */
    struct p11_attrs attrs;
};

static CK_RV read_private(struct p11_key *key, struct p11_session *session,
                          struct found *found, struct p11_error *err)
{
    const struct p11_module *module = key->slot->module;
    bool allowed = (module->quirks & P11_QUIRK_NO_ALLOWED_MECHANISMS) == 0;
    CK_RV rv =
        p11_attrs_read(module, session->handle, found->handle, private_specs,
                       COUNT(private_specs) - (allowed ? 0 : 1), &found->attrs);

    if (rv != CKR_OK)
        p11_error_call(err, rv, "C_GetAttributeValue", key->where);
    return rv;
}

/*
 * How often a call is made again.  A loss that comes while another is mended
 * is a new one; a token that is gone or busy will be so the next time, too.
 */
int p11_key_mends_max(CK_RV rv)
{
    enum p11_class class = p11_rv_info(rv)->class;

    return class == P11_CLASS_BUSY || class == P11_CLASS_DEVICE ? 2 : 5;
}

CK_RV p11_key_mend(struct p11_key *key, struct p11_session *session, CK_RV rv,
                   unsigned long seen, struct p11_error *err)
{
    enum p11_class class = p11_rv_info(rv)->class;
    CK_RV mended;

    if (class < P11_CLASS_BUSY)
        return rv;
    p11_log(P11_LOG_INFO, "%s: %s; trying again", key->where,
            p11_rv_info(rv)->name);
    /* What killed a session of before may have been mended already. */
    if ((class == P11_CLASS_SESSION || class == P11_CLASS_DEVICE) &&
        session->epoch < seen)
        seen = session->epoch;
    mended = p11_session_replace(key->slot, session, err);
    if (mended == CKR_OK && class != P11_CLASS_BUSY)
        mended = p11_slot_login(key->slot, session, NULL, seen, err);
    session->epoch = p11_slot_epoch(key->slot);
    return mended;
}

/* Log in and find the key; request and seen are p11_slot_login()'s. */
static CK_RV find_and_read(struct p11_key *key, struct p11_session *session,
                           const struct p11_pin_request *request,
                           unsigned long seen, struct found *found,
                           struct p11_error *err)
{
    CK_RV rv = p11_slot_login(key->slot, session, request, seen, err);
    unsigned long lost;
    bool in;

    if (p11_rv_info(rv)->class == P11_CLASS_SESSION &&
        p11_session_replace(key->slot, session, NULL) == CKR_OK) {
        rv = p11_slot_login(key->slot, session, request, seen, err);
        session->epoch = p11_slot_epoch(key->slot);
    }
    for (int tries = 0; rv == CKR_OK; tries++) {
        found->epoch = p11_slot_epoch(key->slot);
        in = p11_slot_is_logged_in(key->slot);
        rv = find_private(key, session, &found->handle, err);
        if (rv == CKR_OK)
            rv = read_private(key, session, found, err);
        if (rv == CKR_OK || tries >= p11_key_mends_max(rv))
            break;
        lost = found->epoch;
        /* Private objects are not there for who was not logged in. */
        if (rv == P11_NO_KEY &&
            (!in || !p11_slot_was_logged_in(key->slot, session, lost))) {
            rv = CKR_USER_NOT_LOGGED_IN;
            /* Nothing was lost since: no new epoch, if others log in. */
            lost = in ? lost : NO_EPOCH;
        }
        rv = p11_key_mend(key, session, rv, lost, err);
    }
    return rv;
}

static void take_found(struct p11_key *key, const struct found *found)
{
    key->attrs = found->attrs;
    key->always_authenticate =
        p11_attrs_bool(&key->attrs, CKA_ALWAYS_AUTHENTICATE, false);
    key->may_sign = p11_attrs_bool(&key->attrs, CKA_SIGN, true);
    key->handle = found->handle;
    key->epoch = found->epoch;
}

CK_RV p11_key_open(struct p11_slot *slot, CK_OBJECT_HANDLE handle,
                   unsigned long epoch, struct p11_key **key,
                   struct p11_error *err)
{
    struct found found = { .handle = handle, .epoch = epoch };
    struct p11_key *k = key_new(slot, &(struct p11_uri){ 0 });
    struct p11_retry retry = p11_retry_begin(slot->module);
    struct p11_session *session;
    struct p11_uri name = { 0 };
    CK_RV rv;

    if (k == NULL)
        return p11_error_set(err, CKR_HOST_MEMORY, "no memory for a key");
    do {
        rv = p11_session_borrow(slot, &session, err);
        if (rv != CKR_OK)
            continue;
        /* As in p11_objects_read(). */
        if (p11_slot_epoch(slot) != epoch)
            rv = p11_error_call(err, P11_STALE, "C_GetAttributeValue",
                                slot->where);
        else
            rv = read_private(k, session, &found, err);
        if (p11_session_renewed(slot, session, rv))
            rv = read_private(k, session, &found, err);
        p11_session_give_back(slot, session, rv);
    } while (p11_retry(&retry, slot->module, rv, err));
    if (rv == CKR_OK) {
        take_found(k, &found);
        name.object = from_attr(p11_attrs_get(&k->attrs, CKA_LABEL));
        name.id = from_attr(p11_attrs_get(&k->attrs, CKA_ID));
        if (!set_name(k, &name))
            rv = p11_error_set(err, CKR_HOST_MEMORY, "no memory for a key");
    }
    if (rv == CKR_OK)
        *key = k;
    else
        p11_key_free(k);
    return rv;
}

static CK_RV load_from(struct p11_slot *slot, const struct p11_uri *uri,
                       const struct p11_pin_request *request,
                       struct p11_key **key, struct p11_error *err)
{
    struct found found = { 0 };
    struct p11_session *session;
    struct p11_key *k = key_new(slot, uri);
    CK_RV rv;

    if (k == NULL)
        return p11_error_set(err, CKR_HOST_MEMORY, "no memory for a key");
    rv = p11_session_borrow(slot, &session, err);
    if (rv == CKR_OK) {
        rv = find_and_read(k, session, request, 0, &found, err);
        p11_session_give_back(slot, session, rv);
    }
    if (rv != CKR_OK) {
        p11_key_free(k);
        return rv;
    }
    take_found(k, &found);
    *key = k;
    return CKR_OK;
}

static CK_RV load(struct p11_module *module, const struct p11_uri *uri,
                  const struct p11_pin_request *request, struct p11_key **key,
                  struct p11_error *err)
{
    struct p11_slot *slot;
    CK_RV rv = p11_slot_find(module, uri, &slot, err);

    if (rv != CKR_OK)
        return rv;
    rv = load_from(slot, uri, request, key, err);
    if (!p11_slot_is_gone(slot, rv))
        return rv;
    if (p11_slot_find(module, uri, &slot, NULL) != CKR_OK)
        return rv;
    return load_from(slot, uri, request, key, err);
}

CK_RV p11_key_load(struct p11_module *module, const struct p11_uri *uri,
                   const struct p11_pin_request *request, struct p11_key **key,
                   struct p11_error *err)
{
    struct p11_retry retry = p11_retry_begin(module);
    CK_RV rv;

    if (uri->type.present && strcmp(uri->type.bytes, "private") != 0)
        return p11_error_set(err, P11_UNSUPPORTED,
                             "type=%s names no private key, and one is "
                             "wanted; leave type= out or say type=private",
                             uri->type.bytes);
    do {
        rv = load(module, uri, request, key, err);
    } while (p11_retry(&retry, module, rv, err));
    return rv;
}

/* Log in if needed, find the key, and see that it is still the same one. */
CK_RV p11_key_find_again(struct p11_key *key, struct p11_session *session,
                         unsigned long seen, struct p11_error *err)
{
    struct found found = { 0 };
    CK_RV rv = find_and_read(key, session, NULL, seen, &found, err);

    for (size_t i = 0; rv == CKR_OK && i < COUNT(identity); i++) {
        if (!p11_attrs_same(&key->attrs, &found.attrs, identity[i]))
            rv = p11_error_set(err, P11_KEY_CHANGED,
                               "%s: after the token came back, another key "
                               "answers to this name; load it anew if that "
                               "is intended",
                               key->where);
    }
    p11_attrs_clear(&found.attrs);
    if (rv == CKR_OK) {
        /* Before the handle can be used. */
        atomic_fetch_add(&key->times_found, 1);
        pthread_mutex_lock(&key->slot->lock);
        key->epoch = NO_EPOCH;
        key->handle = found.handle;
        key->epoch = found.epoch;
        pthread_mutex_unlock(&key->slot->lock);
    }
    return rv;
}

/*
 * Without the lock, which each signature would take once more.  A handle that
 * is just being replaced has NO_EPOCH before it, or another epoch behind it.
 */
bool p11_key_handle(struct p11_key *key, CK_OBJECT_HANDLE *handle,
                    unsigned long *epoch)
{
    bool current;

    *epoch = key->epoch;
    *handle = key->handle;
    if (*epoch == key->epoch && *epoch == key->slot->epoch)
        return true;
    pthread_mutex_lock(&key->slot->lock);
    *handle = key->handle;
    *epoch = key->epoch;
    current = key->epoch == key->slot->epoch;
    pthread_mutex_unlock(&key->slot->lock);
    return current;
}
