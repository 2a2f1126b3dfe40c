/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding the public half of a private key.
 *
 * The order is that of trust, then of cost: the private object itself; the
 * configured file; objects on the token with the same CKA_ID, CKA_CHECK_VALUE
 * or label.  What does not come from the private object or by CKA_ID, which
 * PKCS #11 made to tie the halves together, is believed only after a trial
 * signature.  With none at all, the key has no public half until libcrypto
 * brings a certificate and asks whether it matches.
 */
#include <openssl/err.h>
#include <openssl/pem.h>
#include "key.h"
#include "pkcs11/log.h"

/* Beyond this many, a label or a file says nothing. */
#define CANDIDATES_MAX 64

struct candidates {
    struct prov_key *key;
    EVP_PKEY *pkeys[CANDIDATES_MAX]; /* owned */
    size_t count;
    bool all; /* the search goes on: the first may be a stranger */
};

/* Same type, and for EC the same curve; takes the reference. */
static bool add_candidate(struct candidates *list, EVP_PKEY *pkey)
{
    const struct prov_key *key = list->key;

    if (pkey == NULL)
        return false;
    if (list->count < CANDIDATES_MAX && EVP_PKEY_is_a(pkey, key->alg->name) &&
        (key->params == NULL || key->alg != &prov_alg_ec ||
         EVP_PKEY_parameters_eq(pkey, key->params) == 1)) {
        list->pkeys[list->count++] = pkey;
        return true;
    }
    EVP_PKEY_free(pkey);
    return false;
}

/*
 * After a search that ended with rv: the first of list that is proved becomes
 * the public half; empties list.  A key that cannot make a trial signature
 * (its mechanisms may be restricted) proves nothing; that is not a reason not
 * to load it.
 */
static CK_RV prove_candidates(struct candidates *list, CK_RV rv,
                              struct p11_error *err)
{
    bool proved = false, found = rv == CKR_OK;

    for (size_t i = 0; i < list->count; i++) {
        if (rv == CKR_OK && !proved) {
            rv = prov_key_prove(list->key, list->pkeys[i], &proved, err);
            if (proved && EVP_PKEY_up_ref(list->pkeys[i]))
                prov_key_set_public(list->key, list->pkeys[i]);
        }
        EVP_PKEY_free(list->pkeys[i]);
    }
    list->count = 0;
    if (found && rv != CKR_OK && p11_rv_info(rv)->class == P11_CLASS_FATAL) {
        p11_log(P11_LOG_WARNING, "no trial signature: %s", err->text);
        rv = CKR_OK;
    }
    return rv;
}

static EVP_PKEY *pem_public_key(struct prov_ctx *ctx, const char *name,
                                const unsigned char *der, long len)
{
    EVP_PKEY *pkey = NULL;

    ERR_set_mark();
    if (strcmp(name, PEM_STRING_X509) == 0 ||
        strcmp(name, PEM_STRING_X509_OLD) == 0 ||
        strcmp(name, PEM_STRING_X509_TRUSTED) == 0)
        pkey = prov_pubkey_certificate(ctx, der, (size_t)len);
    else if (strcmp(name, PEM_STRING_PUBLIC) == 0)
        pkey = prov_pubkey_info(ctx, der, (size_t)len);
    ERR_pop_to_mark();
    return pkey;
}

static CK_RV from_file(struct prov_key *key, struct candidates *list,
                       struct p11_error *err)
{
    const char *path = key->ctx->config.public_file;
    char *name, *header;
    unsigned char *der;
    BIO *file;
    long len;

    if (path == NULL)
        return CKR_OK;
    ERR_set_mark();
    file = BIO_new_file(path, "r");
    while (file != NULL && PEM_read_bio(file, &name, &header, &der, &len)) {
        add_candidate(list, pem_public_key(key->ctx, name, der, len));
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_free(der);
    }
    ERR_pop_to_mark();
    if (file == NULL)
        return p11_error_set(err, P11_CONFIG,
                             "hsmsign-public-file = %s cannot be read", path);
    BIO_free(file);
    return prove_candidates(list, CKR_OK, err);
}

static bool visit_object(void *arg, const struct p11_attrs *attrs)
{
    struct candidates *list = arg;
    struct prov_key *key = list->key;

    return add_candidate(list, prov_pubkey(key->ctx, key->alg, attrs,
                                           p11_key_attrs(key->token_key))) &&
           !list->all;
}

static CK_RV from_token(struct prov_key *key, struct candidates *list,
                        struct p11_error *err)
{
    static const enum p11_public_by hints[] = { P11_BY_CHECK_VALUE,
                                                P11_BY_LABEL };
    CK_RV rv =
        p11_key_find_public(key->token_key, P11_BY_ID, visit_object, list, err);

    if (list->count > 0) {
        prov_key_set_public(key, list->pkeys[0]);
        list->count = 0;
    }
    list->all = true;
    for (size_t i = 0; i < 2; i++) {
        if (rv != CKR_OK || prov_key_public(key) != NULL)
            break;
        rv = p11_key_find_public(key->token_key, hints[i], visit_object, list,
                                 err);
        rv = prove_candidates(list, rv, err);
    }
    return rv;
}

CK_RV prov_public_find(struct prov_key *key, struct p11_error *err)
{
    const struct p11_attrs *attrs = p11_key_attrs(key->token_key);
    struct candidates list = { .key = key };
    EVP_PKEY *pub = prov_pubkey(key->ctx, key->alg, attrs, NULL);
    CK_RV rv = CKR_OK;

    if (pub != NULL) {
        prov_key_set_public(key, pub);
        return CKR_OK;
    }
    key->params = prov_pubkey_params(key->ctx, key->alg, attrs);
    /* RSA: enough for sizes; and what nearly all keys have. */
    if (key->alg == &prov_alg_rsa && key->params != NULL &&
        EVP_PKEY_up_ref(key->params)) {
        add_candidate(&list, key->params);
        rv = prove_candidates(&list, CKR_OK, err);
    }
    if (rv == CKR_OK && prov_key_public(key) == NULL)
        rv = from_file(key, &list, err);
    if (rv == CKR_OK && prov_key_public(key) == NULL)
        rv = from_token(key, &list, err);
    return rv;
}
