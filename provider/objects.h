/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a pkcs11: URI names, one object after the other: private keys first,
 * then public keys, then certificates.
 *
 * Either exactly one of each class is wanted, and two are an error; or all
 * that match are listed, of several tokens too.  A class is searched for when
 * its first object is asked for, so that who stops at the private key has paid
 * for that alone.
 */
#ifndef HSMSIGN_OBJECTS_H
#define HSMSIGN_OBJECTS_H

#include "loader.h"
#include "pkcs11/object.h"

/* As many as are private keys, public keys and certificates. */
#define PROV_KINDS 3

/* Beyond this many tokens a URI has to say which. */
#define PROV_TOKENS_MAX 64

/* What may be listed of one token. */
struct prov_token {
    struct p11_objects objects[PROV_KINDS];
    bool searched[PROV_KINDS];
};

/* All zero but for what the comment says; prov_objects_clear() frees. */
struct prov_objects {
    bool listing;               /* set by the user: all, not exactly one */
    const CK_ATTRIBUTE *search; /* set by the user: of certificates */
    size_t search_count;

    bool wanted[PROV_KINDS]; /* prov_objects_want() */
    size_t kind, token, at;  /* where the listing is; kind PROV_KINDS: end */
    size_t given;
    size_t token_count; /* 0: not looked for yet */
    struct p11_slot *slots[PROV_TOKENS_MAX];
    struct prov_token *tokens; /* owned; token_count of them */
    struct p11_objects one;    /* the last one of a class */
};

/*
 * Say what is wanted: the class that the caller expects (OSSL_STORE_INFO_*, 0
 * for any) and that type= names, if it does.  Returns CKR_OK, or
 * P11_UNSUPPORTED when there is none of both.
 */
CK_RV prov_objects_want(struct prov_objects *objects, int expect,
                        const struct p11_uri_value *type,
                        struct p11_error *err);

/* One object: a key, to be freed, or a certificate in DER. */
struct prov_object {
    struct prov_key *key;
    const CK_ATTRIBUTE *certificate; /* good until the next call */
    const char *where;               /* its token: for messages */
};

/*
 * The next one; neither key nor certificate at the end.  Returns CKR_OK,
 * P11_NO_KEY, P11_MANY_KEYS, P11_NO_OBJECT, P11_MANY_OBJECTS,
 * P11_KEY_UNUSABLE, or what p11_slots_find() and p11_objects_search() return;
 * then the end is reached.  Keys that are not handled are left out of a
 * listing.  Raises nothing.  Blocks.
 */
CK_RV prov_objects_next(struct prov_objects *objects,
                        const struct prov_load *load,
                        struct prov_object *object, struct p11_error *err);
/* Give libcrypto the object, and its key back.  Returns what cb returns. */
int prov_object_hand_over(const struct prov_object *object, OSSL_CALLBACK *cb,
                          void *arg);
bool prov_objects_end(const struct prov_objects *objects);
void prov_objects_clear(struct prov_objects *objects);

#endif
