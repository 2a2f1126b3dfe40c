/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "calls.h"
#include "log.h"
#include "login.h"
#include "object.h"
#include "retry.h"
#include "session.h"

/* Handles for one C_FindObjects, and for all of one search. */
#define BATCH       256
#define OBJECTS_MAX 20000

/* Expected sizes: RSA 8192, any named curve, a certificate with ML-DSA-87. */
static const struct p11_attr_spec public_specs[] = {
    { CKA_KEY_TYPE, sizeof(CK_KEY_TYPE) },
    { CKA_LABEL, 128 },
    { CKA_ID, 128 },
    { CKA_MODULUS, 1024 },
    { CKA_PUBLIC_EXPONENT, 16 },
    { CKA_EC_PARAMS, 64 },
    { CKA_EC_POINT, 160 },
};

/* Of public keys that have no other value. */
static const struct p11_attr_spec ml_dsa_specs[] = {
    { CKA_KEY_TYPE, sizeof(CK_KEY_TYPE) },
    { CKA_LABEL, 128 },
    { CKA_ID, 128 },
    { CKA_PARAMETER_SET, sizeof(CK_ULONG) },
    { CKA_VALUE, 2592 },
};

static const struct p11_attr_spec certificate_specs[] = {
    { CKA_ID, 128 },
    { CKA_VALUE, 8192 },
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* Class, label, id, and what else a query has. */
#define TEMPLATE_MAX 5

static CK_ULONG make_template(const struct p11_query *query, CK_ATTRIBUTE *tmpl)
{
    const struct p11_uri_value *label = &query->uri->object;
    const struct p11_uri_value *id = &query->uri->id;
    CK_ULONG n = 0;

    tmpl[n++] = (CK_ATTRIBUTE){ CKA_CLASS, (void *)&query->class,
                                sizeof(query->class) };
    if (label->present)
        tmpl[n++] =
            (CK_ATTRIBUTE){ CKA_LABEL, label->bytes, (CK_ULONG)label->len };
    if (id->present)
        tmpl[n++] = (CK_ATTRIBUTE){ CKA_ID, id->bytes, (CK_ULONG)id->len };
    for (size_t i = 0; i < query->more_count && n < TEMPLATE_MAX; i++)
        tmpl[n++] = query->more[i];
    return n;
}

static bool append(struct p11_objects *objects, const CK_OBJECT_HANDLE *handles,
                   CK_ULONG n)
{
    size_t room = 2 * objects->count + n;
    struct p11_object *grown;

    if (objects->count + n > objects->room) {
        grown = realloc(objects->object, room * sizeof(*grown));
        if (grown == NULL)
            return false;
        objects->object = grown;
        objects->room = room;
    }
    for (CK_ULONG i = 0; i < n; i++)
        objects->object[objects->count++] =
            (struct p11_object){ .handle = handles[i] };
    return true;
}

/* A token that has more fills the buffer: fewer are the last. */
static CK_RV find(const struct p11_session *session,
                  const struct p11_query *query, struct p11_objects *objects,
                  struct p11_error *err)
{
    CK_FUNCTION_LIST *fl = objects->slot->module->fl;
    const char *where = objects->slot->where;
    CK_ATTRIBUTE tmpl[TEMPLATE_MAX];
    CK_OBJECT_HANDLE batch[BATCH] = { 0 }; /* as in p11_objects_find() */
    size_t max = query->max != 0 ? query->max : OBJECTS_MAX + 1;
    CK_ULONG want = BATCH, got = BATCH;
    CK_RV rv;

    rv = P11_CALL(fl, C_FindObjectsInit, session->handle, tmpl,
                  make_template(query, tmpl));
    if (rv != CKR_OK)
        return p11_error_call(err, rv, "C_FindObjectsInit", where);
    while (got == want && objects->count < max) {
        if (max - objects->count < BATCH)
            want = max - objects->count;
        rv = P11_CALL(fl, C_FindObjects, session->handle, batch, want, &got);
        if (rv != CKR_OK)
            return p11_error_call(err, rv, "C_FindObjects", where);
        if (got > want)
            got = want;
        if (got > 0 && !append(objects, batch, got))
            return p11_error_set(err, CKR_HOST_MEMORY,
                                 "%s: no memory for a list of its objects",
                                 where);
    }
    rv = P11_CALL(fl, C_FindObjectsFinal, session->handle);
    if (rv != CKR_OK)
        return p11_error_call(err, rv, "C_FindObjectsFinal", where);
    if (objects->count > OBJECTS_MAX)
        return p11_error_set(err, P11_MANY_OBJECTS,
                             "%s lists more than %d; say which with object= "
                             "or id=",
                             where, OBJECTS_MAX);
    return CKR_OK;
}

/* As p11_key_mend(), but who was not logged in stays so. */
static CK_RV mend(struct p11_slot *slot, struct p11_session *session, CK_RV rv,
                  unsigned long seen, struct p11_error *err)
{
    enum p11_class class = p11_rv_info(rv)->class;
    bool in = p11_slot_is_logged_in(slot);

    if (class < P11_CLASS_BUSY || (class == P11_CLASS_LOGIN && !in))
        return rv;
    p11_log(P11_LOG_INFO, "%s: %s; trying again", slot->where,
            p11_rv_info(rv)->name);
    /* What killed a session of before may have been mended already. */
    if ((class == P11_CLASS_SESSION || class == P11_CLASS_DEVICE) &&
        session->epoch < seen)
        seen = session->epoch;
    rv = p11_session_replace(slot, session, err);
    if (rv == CKR_OK && class != P11_CLASS_BUSY && in)
        rv = p11_slot_login(slot, session, NULL, seen, err);
    session->epoch = p11_slot_epoch(slot);
    return rv;
}

/* Log in if asked to, and find; a loss is mended, twice at most. */
static CK_RV try_search(struct p11_session *session,
                        const struct p11_query *query, bool login,
                        struct p11_objects *objects, struct p11_error *err)
{
    struct p11_slot *slot = objects->slot;
    CK_RV rv;

    for (int tries = 0;; tries++) {
        rv = login ? p11_slot_login(slot, session, query->request, 0, err)
                   : CKR_OK;
        objects->epoch = p11_slot_epoch(slot);
        objects->count = 0;
        if (rv == CKR_OK)
            rv = find(session, query, objects, err);
        if (rv == CKR_OK || tries == 2)
            return rv;
        rv = mend(slot, session, rv, objects->epoch, err);
        if (rv != CKR_OK)
            return rv;
    }
}

/*
 * Without a login, then with one if that is needed and allowed.  Some tokens
 * refuse to search for who is not logged in: they show nothing.
 */
static CK_RV search(struct p11_session *session, const struct p11_query *query,
                    struct p11_objects *objects, struct p11_error *err)
{
    bool always = query->login == P11_LOGIN_ALWAYS, refused;
    CK_RV rv = try_search(session, query, always, objects, err);

    objects->without_login = !p11_slot_is_logged_in(objects->slot);
    refused = rv == CKR_USER_NOT_LOGGED_IN;
    if (always || !objects->without_login || (rv != CKR_OK && !refused) ||
        objects->count > 0)
        return rv;
    if (query->login == P11_LOGIN_NEVER)
        return CKR_OK;
    rv = try_search(session, query, true, objects, err);
    if (rv == CKR_OK)
        objects->without_login = false;
    return rv == P11_NO_PIN && !refused ? CKR_OK : rv;
}

CK_RV p11_objects_search(struct p11_slot *slot, const struct p11_query *query,
                         struct p11_objects *objects, struct p11_error *err)
{
    struct p11_retry retry = p11_retry_begin(slot->module);
    struct p11_session *session;
    CK_RV rv;

    objects->slot = slot;
    objects->class = query->class;
    do {
        rv = p11_session_borrow(slot, &session, err);
        if (rv != CKR_OK)
            continue;
        rv = search(session, query, objects, err);
        p11_session_give_back(slot, session, rv);
    } while (!p11_slot_is_gone(slot, rv) &&
             p11_retry(&retry, slot->module, rv, err));
    if (rv != CKR_OK)
        p11_objects_clear(objects);
    return rv;
}

static CK_RV read_once(struct p11_objects *objects, struct p11_object *object,
                       const struct p11_session *session, struct p11_error *err)
{
    bool cert = objects->class == CKO_CERTIFICATE;
    struct p11_slot *slot = objects->slot;
    CK_RV rv;

    /* Its handles may be those of other objects now. */
    if (p11_slot_epoch(slot) != objects->epoch)
        return p11_error_call(err, P11_STALE, "C_GetAttributeValue",
                              slot->where);
    rv = p11_attrs_read(slot->module, session->handle, object->handle,
                        cert ? certificate_specs : public_specs,
                        cert ? COUNT(certificate_specs) : COUNT(public_specs),
                        &object->attrs);
    if (p11_attrs_ulong(&object->attrs, CKA_KEY_TYPE, CKK_RSA) == CKK_ML_DSA) {
        p11_attrs_clear(&object->attrs);
        rv = p11_attrs_read(slot->module, session->handle, object->handle,
                            ml_dsa_specs, COUNT(ml_dsa_specs), &object->attrs);
    }
    if (rv != CKR_OK)
        p11_error_call(err, rv, "C_GetAttributeValue", slot->where);
    return rv;
}

CK_RV p11_objects_read(struct p11_objects *objects, size_t i,
                       struct p11_error *err)
{
    struct p11_object *object = &objects->object[i];
    struct p11_retry retry = p11_retry_begin(objects->slot->module);
    struct p11_session *session;
    CK_RV rv;

    if (object->attrs.count > 0)
        return CKR_OK;
    if (object->handle == CK_INVALID_HANDLE)
        return p11_error_call(err, CKR_OBJECT_HANDLE_INVALID,
                              "C_GetAttributeValue", objects->slot->where);
    do {
        rv = p11_session_borrow(objects->slot, &session, err);
        if (rv != CKR_OK)
            continue;
        rv = read_once(objects, object, session, err);
        if (p11_session_renewed(objects->slot, session, rv))
            rv = read_once(objects, object, session, err);
        p11_session_give_back(objects->slot, session, rv);
    } while (p11_retry(&retry, objects->slot->module, rv, err));
    /* Whoever looks for something in the list comes by for each of its keys. */
    if (rv == CKR_OBJECT_HANDLE_INVALID)
        object->handle = CK_INVALID_HANDLE;
    return rv;
}

void p11_objects_clear(struct p11_objects *objects)
{
    for (size_t i = 0; i < objects->count; i++)
        p11_attrs_clear(&objects->object[i].attrs);
    free(objects->object);
    memset(objects, 0, sizeof(*objects));
}
