/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/store.h>
#include <string.h>
#include "objects.h"
#include "pkcs11/log.h"

enum { PRIVATE_KEY, PUBLIC_KEY, CERTIFICATE };

static const struct {
    CK_OBJECT_CLASS class;
    int expect;       /* libcrypto's word for it */
    const char *type; /* RFC 7512's */
    const char *name; /* for messages */
} kinds[PROV_KINDS] = {
    [PRIVATE_KEY] = { CKO_PRIVATE_KEY, OSSL_STORE_INFO_PKEY, "private",
                      "private key" },
    [PUBLIC_KEY] = { CKO_PUBLIC_KEY, OSSL_STORE_INFO_PUBKEY, "public",
                     "public key" },
    [CERTIFICATE] = { CKO_CERTIFICATE, OSSL_STORE_INFO_CERT, "cert",
                      "certificate" },
};

/* To the next class that is wanted. */
static void next_kind(struct prov_objects *objects, size_t kind)
{
    while (kind < PROV_KINDS && !objects->wanted[kind])
        kind++;
    objects->kind = kind;
    objects->token = objects->at = 0;
}

CK_RV prov_objects_want(struct prov_objects *objects, int expect,
                        const struct p11_uri_value *type, struct p11_error *err)
{
    const char *expected = NULL;
    bool any = false;

    for (size_t i = 0; i < PROV_KINDS; i++) {
        if (expect == kinds[i].expect)
            expected = kinds[i].name;
        objects->wanted[i] =
            (expect == 0 || expect == kinds[i].expect) &&
            (!type->present || strcmp(type->bytes, kinds[i].type) == 0);
        any = any || objects->wanted[i];
    }
    next_kind(objects, 0);
    if (any)
        return CKR_OK;
    if (expected != NULL)
        return p11_error_set(err, P11_UNSUPPORTED,
                             "a %s is wanted here, and type=%s names "
                             "something else; change type= or leave it out",
                             expected, type->bytes);
    return p11_error_set(err, P11_UNSUPPORTED,
                         "a token gives private keys, public keys and "
                         "certificates, and nothing else");
}

bool prov_objects_end(const struct prov_objects *objects)
{
    return objects->kind == PROV_KINDS;
}

static struct p11_query query_for(const struct prov_objects *objects,
                                  const struct prov_load *load, size_t kind)
{
    bool several = objects->listing && objects->token_count > 1;
    struct p11_query query = {
        .class = kinds[kind].class,
        .uri = load->uri,
        .max = objects->listing ? 0 : 2,
        .login = kind == PRIVATE_KEY
                     ? P11_LOGIN_ALWAYS
                     : (enum p11_login_when)load->ctx->config.login,
        .request = &load->pin,
    };

    /* One PIN must not cost each of several tokens a try. */
    if (several && load->uri->pin.kind == P11_PIN_NONE)
        query.login = P11_LOGIN_NEVER;
    if (kind == CERTIFICATE) {
        query.more = objects->search;
        query.more_count = objects->search_count;
    }
    return query;
}

/* The token that is meant may be in another slot than the last time. */
static CK_RV search(struct p11_slot **slot, const struct prov_load *load,
                    const struct p11_query *query, struct p11_objects *found,
                    struct p11_error *err)
{
    CK_RV rv = p11_objects_search(*slot, query, found, err);

    if (p11_slot_is_gone(*slot, rv) &&
        p11_slot_find((*slot)->module, load->uri, slot, NULL) == CKR_OK)
        rv = p11_objects_search(*slot, query, found, err);
    return rv;
}

/* ---- exactly one ---- */

/* Two would leave it to the token which is taken. */
static CK_RV check_count(const struct prov_objects *objects,
                         const struct prov_load *load, size_t kind,
                         struct p11_error *err)
{
    const struct p11_objects *found = &objects->one;
    char asked[160];

    p11_uri_describe(load->uri, asked, sizeof(asked));
    if (found->count > 1)
        return p11_error_set(err, P11_MANY_OBJECTS,
                             "more than one %s matches (%s, %s); name one "
                             "with object= and id=",
                             kinds[kind].name, found->slot->where, asked);
    if (found->count == 0)
        return p11_error_set(err, P11_NO_OBJECT,
                             "no %s matches (%s, %s)%s; compare object= and "
                             "id= with what the token holds",
                             kinds[kind].name, found->slot->where, asked,
                             found->without_login
                                 ? ", as far as the token shows them without "
                                   "a login"
                                 : "");
    return CKR_OK;
}

static CK_RV one_public(struct prov_objects *objects,
                        const struct prov_load *load, size_t kind,
                        struct prov_object *object, struct p11_error *err)
{
    struct p11_query query = query_for(objects, load, kind);
    struct p11_objects *found = &objects->one;
    struct p11_module *module;
    struct p11_slot *slot;
    struct p11_attrs *attrs;
    CK_RV rv = prov_load_module(load, &module, err);

    if (rv == CKR_OK)
        rv = p11_slot_find(module, load->uri, &slot, err);
    for (int tries = 0; rv == CKR_OK; tries++) {
        rv = search(&slot, load, &query, found, err);
        if (rv == CKR_OK)
            rv = check_count(objects, load, kind, err);
        if (rv == CKR_OK)
            rv = p11_objects_read(found, 0, err);
        if (rv == CKR_OK || tries == 1 ||
            p11_rv_info(rv)->class < P11_CLASS_BUSY)
            break;
        /* The token was restarted since the search: what it is now counts. */
        p11_objects_clear(found);
        rv = CKR_OK;
    }
    if (rv != CKR_OK)
        return rv;
    attrs = &found->object[0].attrs;
    if (kind == PUBLIC_KEY)
        return prov_key_from_attrs(load->ctx, attrs, NULL, found->slot->where,
                                   &object->key, err);
    object->where = found->slot->where;
    object->certificate = p11_attrs_get(attrs, CKA_VALUE);
    if (object->certificate != NULL)
        return CKR_OK;
    return p11_error_set(err, P11_NO_OBJECT,
                         "%s: the certificate has no value; write it to the "
                         "token again",
                         object->where);
}

/* Nothing of one class is an error only if nothing else is wanted. */
static CK_RV next_one(struct prov_objects *objects,
                      const struct prov_load *load, struct prov_object *object,
                      struct p11_error *err)
{
    size_t kind = objects->kind;
    bool alone;
    CK_RV rv;

    next_kind(objects, kind + 1);
    alone = objects->given == 0 && prov_objects_end(objects);
    for (size_t i = 0; i < kind; i++)
        alone = alone && !objects->wanted[i];
    p11_objects_clear(&objects->one);
    if (kind == PRIVATE_KEY)
        rv = prov_load_key(load, &object->key, err);
    else
        rv = one_public(objects, load, kind, object, err);
    if ((rv == P11_NO_KEY || rv == P11_NO_OBJECT) && !alone)
        return CKR_OK;
    return rv;
}

static CK_RV nothing(const struct prov_load *load, struct p11_error *err)
{
    char asked[160];

    p11_uri_describe(load->uri, asked, sizeof(asked));
    return p11_error_set(err, P11_NO_OBJECT,
                         "no private key, public key or certificate matches "
                         "(%s); compare object= and id= with what the token "
                         "holds",
                         asked);
}

/* ---- all ---- */

static CK_RV find_tokens(struct prov_objects *objects,
                         const struct prov_load *load, struct p11_error *err)
{
    struct p11_module *module;
    size_t count = 0;
    CK_RV rv = prov_load_module(load, &module, err);

    if (rv == CKR_OK)
        rv = p11_slots_find(module, load->uri, objects->slots, PROV_TOKENS_MAX,
                            &count, err);
    if (rv != CKR_OK)
        return rv;
    objects->tokens = OPENSSL_zalloc(count * sizeof(*objects->tokens));
    if (objects->tokens == NULL)
        return p11_error_set(err, CKR_HOST_MEMORY, "no memory for a listing");
    objects->token_count = count;
    if (count > 1 && load->uri->pin.kind == P11_PIN_NONE)
        p11_log(P11_LOG_WARNING,
                "%zu tokens are listed, each as far as it shows its objects "
                "without a login; name one with token= to log in to it",
                count);
    return CKR_OK;
}

/* The objects of one class on one token, searched for once. */
static CK_RV list(struct prov_objects *objects, const struct prov_load *load,
                  size_t token, size_t kind, struct p11_objects **found,
                  struct p11_error *err)
{
    struct prov_token *t = &objects->tokens[token];
    struct p11_query query = query_for(objects, load, kind);
    CK_RV rv;

    *found = &t->objects[kind];
    if (t->searched[kind])
        return CKR_OK;
    rv = search(&objects->slots[token], load, &query, *found, err);
    t->searched[kind] = rv == CKR_OK;
    return rv;
}

/* The first of a class that has the key's CKA_ID and is a key of its type. */
static CK_RV public_from(struct prov_objects *objects,
                         const struct prov_load *load, size_t kind,
                         struct prov_key *key, struct p11_error *err)
{
    const struct p11_attrs *own = p11_key_attrs(key->token_key);
    struct p11_objects *found;
    CK_RV rv = list(objects, load, objects->token, kind, &found, err);

    for (size_t i = 0; rv == CKR_OK && i < found->count; i++) {
        const struct p11_attrs *attrs = &found->object[i].attrs;
        EVP_PKEY *pub;

        rv = p11_objects_read(found, i, err);
        if (rv == CKR_OBJECT_HANDLE_INVALID)
            rv = CKR_OK;
        else if (rv == CKR_OK && p11_attrs_same(own, attrs, CKA_ID)) {
            pub = prov_pubkey(load->ctx, key->alg, attrs, own);
            if (pub != NULL && prov_key_fits(key, pub)) {
                prov_key_set_public(key, pub);
                break;
            }
            EVP_PKEY_free(pub);
        }
    }
    return rv;
}

static CK_RV listed_private(struct prov_objects *objects,
                            const struct prov_load *load,
                            const struct p11_objects *found,
                            struct prov_object *object, struct p11_error *err)
{
    struct p11_key *token_key;
    struct prov_key *key;
    CK_RV rv = p11_key_open(found->slot, found->object[objects->at].handle,
                            found->epoch, &token_key, err);

    if (rv == CKR_OK)
        rv = prov_key_from_attrs(load->ctx, p11_key_attrs(token_key), token_key,
                                 p11_key_where(token_key), &key, err);
    if (rv != CKR_OK)
        return rv;
    /* An empty CKA_ID ties nothing together. */
    for (size_t kind = PUBLIC_KEY; kind <= CERTIFICATE; kind++) {
        if (rv == CKR_OK && prov_key_public(key) == NULL &&
            p11_attrs_get(p11_key_attrs(key->token_key), CKA_ID) != NULL)
            rv = public_from(objects, load, kind, key, err);
    }
    if (rv == CKR_OK)
        object->key = key;
    else
        prov_key_free(key);
    return rv;
}

static CK_RV listed_object(struct prov_objects *objects,
                           const struct prov_load *load,
                           struct p11_objects *found,
                           struct prov_object *object, struct p11_error *err)
{
    const struct p11_attrs *attrs = &found->object[objects->at].attrs;
    CK_RV rv;

    if (objects->kind == PRIVATE_KEY)
        return listed_private(objects, load, found, object, err);
    rv = p11_objects_read(found, objects->at, err);
    if (rv != CKR_OK)
        return rv;
    if (objects->kind == PUBLIC_KEY)
        return prov_key_from_attrs(load->ctx, attrs, NULL, found->slot->where,
                                   &object->key, err);
    object->where = found->slot->where;
    object->certificate = p11_attrs_get(attrs, CKA_VALUE);
    return CKR_OK;
}

static CK_RV next_listed(struct prov_objects *objects,
                         const struct prov_load *load,
                         struct prov_object *object, struct p11_error *err)
{
    struct p11_objects *found;
    CK_RV rv = CKR_OK;

    if (objects->token_count == 0)
        rv = find_tokens(objects, load, err);
    if (rv == CKR_OK)
        rv = list(objects, load, objects->token, objects->kind, &found, err);
    if (rv != CKR_OK)
        return rv;
    /* Nobody needs the certificate that was given last any more. */
    if (objects->kind == CERTIFICATE && objects->at > 0)
        p11_attrs_clear(&found->object[objects->at - 1].attrs);
    if (objects->at == found->count) {
        objects->at = 0;
        if (++objects->token == objects->token_count)
            next_kind(objects, objects->kind + 1);
        return CKR_OK;
    }
    rv = listed_object(objects, load, found, object, err);
    objects->at++;
    if (rv == P11_KEY_UNUSABLE || rv == CKR_OBJECT_HANDLE_INVALID) {
        p11_log(P11_LOG_INFO, "left out of the list: %s", err->text);
        return CKR_OK;
    }
    return rv;
}

/* What is not pinned, or cannot be asked: an error, or left out of a list. */
static CK_RV check_pinned(const struct prov_objects *objects,
                          const struct prov_load *load,
                          struct prov_object *object, struct p11_error *err)
{
    const struct p11_uri *uri = load->uri;
    struct prov_key *key = object->key;
    EVP_PKEY *pub = NULL;
    CK_RV rv = CKR_OK;

    if (key != NULL && key->token_key != NULL)
        rv = prov_key_check_pinned(key, uri, err);
    else if (key != NULL)
        rv = prov_spki_check(load->ctx, uri, prov_key_public(key),
                             "the public key", err);
    else if (object->certificate != NULL && uri->spki_sha256.present) {
        pub = prov_pubkey_certificate(load->ctx, object->certificate->pValue,
                                      object->certificate->ulValueLen);
        rv = prov_spki_check(load->ctx, uri, pub, object->where, err);
        EVP_PKEY_free(pub);
    }
    if (rv == CKR_OK)
        return rv;
    prov_key_free(key);
    *object = (struct prov_object){ 0 };
    if (!objects->listing || !P11_RV_IS_OURS(rv))
        return rv;
    p11_log(P11_LOG_INFO, "left out of the list: %s", err->text);
    return CKR_OK;
}

CK_RV prov_objects_next(struct prov_objects *objects,
                        const struct prov_load *load,
                        struct prov_object *object, struct p11_error *err)
{
    int saved = errno;
    CK_RV rv = CKR_OK;

    *object = (struct prov_object){ 0 };
    /* See prov_load_key(). */
    ERR_set_mark();
    while (rv == CKR_OK && !prov_objects_end(objects) && object->key == NULL &&
           object->certificate == NULL) {
        rv = objects->listing ? next_listed(objects, load, object, err)
                              : next_one(objects, load, object, err);
        if (rv == CKR_OK)
            rv = check_pinned(objects, load, object, err);
    }
    ERR_pop_to_mark();
    errno = saved;
    if (object->key != NULL || object->certificate != NULL)
        objects->given++;
    else if (rv == CKR_OK && !objects->listing && objects->given == 0)
        rv = nothing(load, err);
    if (rv != CKR_OK)
        objects->kind = PROV_KINDS;
    return rv;
}

int prov_object_hand_over(const struct prov_object *object, OSSL_CALLBACK *cb,
                          void *arg)
{
    static char pem_name[] = PEM_STRING_X509;
    int type = OSSL_OBJECT_CERT, ok;
    OSSL_PARAM params[4] = {
        OSSL_PARAM_int(OSSL_OBJECT_PARAM_TYPE, &type),
        OSSL_PARAM_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, pem_name,
                               sizeof(pem_name) - 1),
    };

    if (object->key != NULL) {
        ok = prov_key_hand_over(object->key, cb, arg);
        prov_key_free(object->key);
        return ok;
    }
    params[2] = OSSL_PARAM_construct_octet_string(
        OSSL_OBJECT_PARAM_DATA, object->certificate->pValue,
        object->certificate->ulValueLen);
    params[3] = OSSL_PARAM_construct_end();
    return cb(params, arg);
}

void prov_objects_clear(struct prov_objects *objects)
{
    for (size_t i = 0; i < objects->token_count; i++) {
        for (size_t kind = 0; kind < PROV_KINDS; kind++)
            p11_objects_clear(&objects->tokens[i].objects[kind]);
    }
    OPENSSL_free(objects->tokens);
    p11_objects_clear(&objects->one);
}
