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
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
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

/* For hsmsign doctor, which reads it. */
static void log_origin(const struct prov_key *key, const char *from)
{
    if (prov_key_public(key) != NULL)
        p11_log(P11_LOG_DEBUG, "%s: public half from %s",
                p11_key_where(key->token_key), from);
}

/* Takes the reference. */
static bool add_candidate(struct candidates *list, EVP_PKEY *pkey)
{
    if (pkey == NULL)
        return false;
    if (list->count < CANDIDATES_MAX && prov_key_fits(list->key, pkey)) {
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

/* What the configured file has of the key's type. */
static CK_RV read_file(const struct prov_key *key, struct candidates *list,
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
    return CKR_OK;
}

static CK_RV from_file(struct prov_key *key, struct candidates *list,
                       struct p11_error *err)
{
    CK_RV rv = read_file(key, list, err);

    rv = prove_candidates(list, rv, err);
    log_origin(key, "hsmsign-public-file");
    return rv;
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
    static const struct {
        enum p11_public_by by;
        const char *from;
    } hints[] = {
        { P11_BY_CHECK_VALUE, "an object of the same CKA_CHECK_VALUE" },
        { P11_BY_LABEL, "an object of the same CKA_LABEL" },
    };
    CK_RV rv =
        p11_key_find_public(key->token_key, P11_BY_ID, visit_object, list, err);

    if (list->count > 0) {
        prov_key_set_public(key, list->pkeys[0]);
        list->count = 0;
        log_origin(key, "an object of the same CKA_ID");
    }
    list->all = true;
    for (size_t i = 0; i < 2; i++) {
        if (rv != CKR_OK || prov_key_public(key) != NULL)
            break;
        rv = p11_key_find_public(key->token_key, hints[i].by, visit_object,
                                 list, err);
        rv = prove_candidates(list, rv, err);
        log_origin(key, hints[i].from);
    }
    return rv;
}

/* RFC 4055, 3.1: without a name it is SHA-1; without a salt, no limits. */
static CK_RV read_limits(struct prov_key *key, const EVP_PKEY *pub,
                         struct p11_error *err)
{
    char md[32] = "SHA1", mgf1[32] = "SHA1";
    int salt = 0;
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_RSA_DIGEST, md, sizeof(md)),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_RSA_MGF1_DIGEST, mgf1,
                               sizeof(mgf1)),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_RSA_PSS_SALTLEN, &salt), OSSL_PARAM_END
    };

    if (!EVP_PKEY_is_a(pub, prov_alg_rsa_pss.name) ||
        !EVP_PKEY_get_params(pub, params) || !OSSL_PARAM_modified(&params[2]))
        return CKR_OK;
    key->limits.md = prov_digest_find(md);
    key->limits.mgf1 = prov_digest_find(mgf1);
    key->limits.min_salt = salt;
    if (key->limits.md == NULL || key->limits.mgf1 == NULL)
        return p11_error_set(err, P11_KEY_UNUSABLE,
                             "%s: its public key is for PSS with %s and MGF1 "
                             "with %s; SHA-1, SHA-2 and SHA-3 sign here",
                             p11_key_where(key->token_key), md, mgf1);
    return CKR_OK;
}

/*
 * RSA or RSA-PSS: as the configured file has the modulus, which is proof
 * enough; else as the private object says.  Nobody else has the key yet.
 */
static CK_RV find_rsa_type(struct prov_key *key, struct candidates *list,
                           const CK_ATTRIBUTE *info, struct p11_error *err)
{
    CK_RV rv = read_file(key, list, err);
    const char *from =
        list->count > 0 ? "hsmsign-public-file" : "its private object";
    EVP_PKEY *pub;

    if (rv == CKR_OK && list->count == 0 && info != NULL) {
        ERR_set_mark();
        add_candidate(
            list, prov_pubkey_info(key->ctx, info->pValue, info->ulValueLen));
        ERR_pop_to_mark();
        if (list->count > 0 && EVP_PKEY_is_a(list->pkeys[0], "RSA"))
            EVP_PKEY_free(list->pkeys[--list->count]);
    }
    if (rv == CKR_OK && list->count > 0) {
        pub = list->pkeys[0];
        key->alg = EVP_PKEY_is_a(pub, prov_alg_rsa.name) ? &prov_alg_rsa
                                                         : &prov_alg_rsa_pss;
        rv = read_limits(key, pub, err);
        list->pkeys[0] = atomic_exchange(&key->pub, pub);
        log_origin(key, from);
    }
    while (list->count > 0)
        EVP_PKEY_free(list->pkeys[--list->count]);
    return rv;
}

CK_RV prov_public_read(struct prov_key *key, struct p11_error *err)
{
    const struct p11_attrs *attrs = p11_key_attrs(key->token_key);
    struct candidates list = { .key = key };
    EVP_PKEY *pub;

    if (key->alg == &prov_alg_rsa &&
        prov_alg_pss_alone(p11_attrs_get(attrs, CKA_ALLOWED_MECHANISMS)))
        key->alg = &prov_alg_rsa_pss;
    pub = prov_pubkey(key->ctx, key->alg, attrs, NULL);
    if (pub != NULL) {
        prov_key_set_public(key, pub);
        log_origin(key, "its private object");
    } else {
        key->params = prov_pubkey_params(key->ctx, key->alg, attrs);
    }
    if (key->alg->key_type != CKK_RSA)
        return CKR_OK;
    return find_rsa_type(key, &list, p11_attrs_get(attrs, CKA_PUBLIC_KEY_INFO),
                         err);
}

CK_RV prov_public_find(struct prov_key *key, struct p11_error *err)
{
    struct candidates list = { .key = key };
    CK_RV rv = prov_public_read(key, err);

    if (rv != CKR_OK || prov_key_public(key) != NULL)
        return rv;
    /* What nearly all keys have. */
    if (key->alg->key_type == CKK_RSA && key->params != NULL &&
        EVP_PKEY_up_ref(key->params)) {
        add_candidate(&list, key->params);
        rv = prove_candidates(&list, CKR_OK, err);
        log_origin(key, "its private object and the usual exponent");
    }
    if (rv == CKR_OK && prov_key_public(key) == NULL &&
        key->alg->key_type != CKK_RSA)
        rv = from_file(key, &list, err);
    if (rv == CKR_OK && prov_key_public(key) == NULL)
        rv = from_token(key, &list, err);
    return rv;
}
