/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The objects of one class on a token: which there are, and what each says.
 *
 * A search costs three calls, and one C_FindObjects more for every 256
 * objects; what an object says costs one, made when it is asked for.  Always
 * by class: CKA_VALUE is a certificate of a certificate and the secret of a
 * key, so that it is asked for only where the class is known.
 */
#ifndef HSMSIGN_OBJECT_H
#define HSMSIGN_OBJECT_H

#include "attr.h"
#include "pin.h"
#include "rv.h"
#include "slot.h"
#include "uri.h"

/* Whether to log in for a search. */
enum p11_login_when {
    P11_LOGIN_IF_NEEDED, /* when nothing is visible without */
    P11_LOGIN_ALWAYS,
    P11_LOGIN_NEVER
};

/* What to look for; nothing is owned. */
struct p11_query {
    CK_OBJECT_CLASS class;
    const struct p11_uri *uri; /* its object= and id= */
    const CK_ATTRIBUTE *more;  /* to match as well, at most two */
    size_t more_count;
    size_t max; /* how many to find; 0: all */
    enum p11_login_when login;
    const struct p11_pin_request *request; /* for the login */
};

struct p11_object {
    CK_OBJECT_HANDLE handle;
    struct p11_attrs attrs; /* empty until read */
};

/* What was found.  All zero is valid and empty. */
struct p11_objects {
    struct p11_slot *slot;
    CK_OBJECT_CLASS class;
    unsigned long epoch; /* of the slot, for which the handles are good */
    size_t count, room;
    struct p11_object *object; /* owned; count of them, with room for more */
    bool without_login;        /* more may be there for who logs in */
};

/*
 * Find the objects that query asks for.  *objects must be all zero and is to
 * be cleared.  None is no error, nor is it one that P11_LOGIN_IF_NEEDED finds
 * no PIN for a token that shows nothing.  Returns CKR_OK, CKR_HOST_MEMORY,
 * P11_MANY_OBJECTS for a token whose list has no end in sight, what
 * p11_slot_login() returns, or what a call answered.  A session that was lost,
 * or a login, is made anew.  Blocks.
 */
CK_RV p11_objects_search(struct p11_slot *slot, const struct p11_query *query,
                         struct p11_objects *objects, struct p11_error *err);

/*
 * Read the attributes of the i-th, unless they were: of a public key
 * CKA_KEY_TYPE, CKA_LABEL, CKA_ID, CKA_MODULUS, CKA_PUBLIC_EXPONENT,
 * CKA_EC_PARAMS, CKA_EC_POINT, or if it is ML-DSA, with one call more,
 * CKA_PARAMETER_SET and CKA_VALUE; of a certificate CKA_ID and CKA_VALUE (DER).
 * Not for private keys: p11_key_open().  Returns CKR_OK, CKR_HOST_MEMORY,
 * CKR_OBJECT_HANDLE_INVALID for one that is gone, CKR_DEVICE_ERROR if the
 * token was restarted since the search, or what a call answered.  Blocks.
 */
CK_RV p11_objects_read(struct p11_objects *objects, size_t i,
                       struct p11_error *err);

void p11_objects_clear(struct p11_objects *objects);

#endif
