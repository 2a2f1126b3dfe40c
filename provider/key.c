/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>
#include "guard.h"
#include "key.h"
#include "sign.h"

struct prov_key *prov_key_new(struct prov_ctx *ctx, const struct prov_alg *alg)
{
    struct prov_key *key = OPENSSL_zalloc(sizeof(*key));

    if (key == NULL)
        return NULL;
    atomic_init(&key->refs, 1);
    key->ctx = ctx;
    key->alg = alg;
    return key;
}

void prov_key_up_ref(struct prov_key *key)
{
    atomic_fetch_add_explicit(&key->refs, 1, memory_order_relaxed);
}

void prov_key_free(struct prov_key *key)
{
    if (key == NULL ||
        atomic_fetch_sub_explicit(&key->refs, 1, memory_order_acq_rel) > 1)
        return;
    p11_key_free(key->token_key);
    EVP_PKEY_free(key->params);
    EVP_PKEY_free(atomic_load(&key->pub));
    OPENSSL_free(atomic_load(&key->trial));
    OPENSSL_free(key);
}

EVP_PKEY *prov_key_public(const struct prov_key *key)
{
    return atomic_load_explicit(&key->pub, memory_order_acquire);
}

EVP_PKEY *prov_key_params(const struct prov_key *key)
{
    EVP_PKEY *pub = prov_key_public(key);

    return pub != NULL ? pub : key->params;
}

bool prov_key_fits(const struct prov_key *key, const EVP_PKEY *pub)
{
    const EVP_PKEY *params = prov_key_params(key);

    if (key->alg->key_type == CKK_RSA)
        return params != NULL && prov_pubkey_same_modulus(pub, params);
    return EVP_PKEY_is_a(pub, key->alg->name) &&
           (params == NULL || key->alg != &prov_alg_ec ||
            EVP_PKEY_parameters_eq(pub, params) == 1);
}

int prov_key_bits(const struct prov_key *key)
{
    const EVP_PKEY *params = prov_key_params(key);

    return params != NULL ? EVP_PKEY_get_bits(params) : key->alg->bits;
}

void prov_key_set_public(struct prov_key *key, EVP_PKEY *pub)
{
    EVP_PKEY *none = NULL;

    if (!atomic_compare_exchange_strong(&key->pub, &none, pub))
        EVP_PKEY_free(pub);
}

/* What is signed to prove that a public half belongs to a private key. */
static const char trial_text[] =
    "hsmsign: trial signature, to prove the public key";

/* RFC 4055, 3.1: an RSA-PSS key may allow but one. */
static const char *trial_digest(const struct prov_key *key)
{
    return key->limits.md != NULL ? key->limits.md->name
                                  : key->alg->default_digest;
}

CK_RV prov_trial_make(struct prov_key *key, const char *text,
                      struct prov_trial *trial, struct p11_error *err)
{
    struct sig_params params = { .pad = key->alg->pad,
                                 .salt_len = RSA_PSS_SALTLEN_DIGEST };
    const unsigned char *in = (const unsigned char *)text;
    size_t len = strlen(text);
    unsigned char digest[EVP_MAX_MD_SIZE];

    trial->text = text;
    trial->len = 0;
    if (trial_digest(key) != NULL) {
        if (!EVP_Q_digest(key->ctx->libctx, trial_digest(key), PROV_NOT_OURS,
                          in, len, digest, &len))
            return p11_error_set(err, P11_DIGEST,
                                 "no provider offers %s; activate "
                                 "\"default\"",
                                 trial_digest(key));
        params.md = prov_digest_find(trial_digest(key));
        /* What verifies takes that for granted of such a key. */
        params.mgf1 = key->limits.mgf1;
        if (key->limits.md != NULL)
            params.salt_len = (int)key->limits.min_salt;
        in = digest;
    }
    return prov_sign(key, &params, in, len, trial->sig, sizeof(trial->sig),
                     &trial->len, err);
}

/* A signature that does not verify is an answer, not an error. */
bool prov_trial_verifies(const struct prov_key *key, EVP_PKEY *pub,
                         const struct prov_trial *trial)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool verifies;

    ERR_set_mark();
    verifies =
        ctx != NULL &&
        EVP_DigestVerifyInit_ex(ctx, NULL, trial_digest(key), key->ctx->libctx,
                                PROV_NOT_OURS, pub, NULL) > 0 &&
        EVP_DigestVerify(ctx, trial->sig, trial->len,
                         (const unsigned char *)trial->text,
                         strlen(trial->text)) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_pop_to_mark();
    return verifies;
}

CK_RV prov_key_prove(struct prov_key *key, EVP_PKEY *candidate, bool *proved,
                     struct p11_error *err)
{
    struct prov_trial *trial = atomic_load(&key->trial), *none = NULL;
    CK_RV rv;

    *proved = false;
    if (!EVP_PKEY_is_a(candidate, key->alg->name))
        return CKR_OK;
    if (trial == NULL) {
        trial = OPENSSL_zalloc(sizeof(*trial));
        rv = trial != NULL
                 ? prov_trial_make(key, trial_text, trial, err)
                 : p11_error_set(err, CKR_HOST_MEMORY, "no memory to sign");
        if (rv != CKR_OK) {
            OPENSSL_free(trial);
            return rv;
        }
        /* Two threads may get here: a second trial does no harm. */
        if (!atomic_compare_exchange_strong(&key->trial, &none, trial)) {
            OPENSSL_free(trial);
            trial = none;
        }
    }
    *proved = prov_trial_verifies(key, candidate, trial);
    return CKR_OK;
}

CK_RV prov_key_check_again(struct prov_key *key, const struct prov_signed *made,
                           struct p11_error *err)
{
    const char *where = p11_key_where(key->token_key);
    EVP_PKEY *pub = prov_key_public(key);
    /* A modulus was compared when it was found. */
    bool needed = pub != NULL && (p11_attrs_get(p11_key_attrs(key->token_key),
                                                CKA_MODULUS) == NULL ||
                                  key->pinned);
    int ok = needed ? prov_signed_verifies(key, pub, made) : 1;

    if (ok == 0)
        return p11_error_call(err, P11_KEY_CHANGED, "C_Sign", where);
    if (ok < 0)
        return p11_error_set(err, P11_UNSUPPORTED,
                             "%s: it was found again, and no active provider "
                             "can tell whether it is the same; activate "
                             "\"default\"",
                             where);
    /* Not a later one: then it may have been another handle that signed. */
    atomic_store_explicit(&key->checked, made->found, memory_order_relaxed);
    return CKR_OK;
}
