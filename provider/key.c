/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>
#include "key.h"
#include "sign.h"

struct prov_key *prov_key_new(struct prov_ctx *ctx, const struct prov_alg *alg)
{
    struct prov_key *key = OPENSSL_zalloc(sizeof(*key));

    if (key == NULL)
        return NULL;
    key->lock = CRYPTO_THREAD_lock_new();
    if (key->lock == NULL) {
        OPENSSL_free(key);
        return NULL;
    }
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
    CRYPTO_THREAD_lock_free(key->lock);
    OPENSSL_free(key->trial);
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

void prov_key_set_public(struct prov_key *key, EVP_PKEY *pub)
{
    EVP_PKEY *none = NULL;

    if (!atomic_compare_exchange_strong(&key->pub, &none, pub))
        EVP_PKEY_free(pub);
}

/* The lock is not held over the token's work: a second trial does no harm. */
static CK_RV make_trial(struct prov_key *key, unsigned char *sig, size_t size,
                        size_t *len, struct p11_error *err)
{
    struct sig_params params = { .pad = RSA_PKCS1_PADDING };
    const unsigned char *in = (const unsigned char *)PROV_TRIAL_TEXT;
    size_t in_len = strlen(PROV_TRIAL_TEXT), digest_len;
    unsigned char digest[32];

    if (key->alg != &prov_alg_ed25519) {
        if (!EVP_Q_digest(key->ctx->libctx, "SHA256", PROV_NOT_OURS, in, in_len,
                          digest, &digest_len))
            return p11_error_set(err, P11_DIGEST,
                                 "no provider offers SHA256; activate "
                                 "\"default\"");
        params.md = &prov_digests[0];
        in = digest;
        in_len = digest_len;
    }
    return prov_sign_once(key, &params, in, in_len, sig, size, len, err);
}

static CK_RV get_trial(struct prov_key *key, unsigned char *sig, size_t size,
                       size_t *len, struct p11_error *err)
{
    CK_RV rv;

    if (!CRYPTO_THREAD_read_lock(key->lock))
        return p11_error_set(err, CKR_CANT_LOCK, "no lock");
    *len = key->trial_len;
    if (key->trial != NULL)
        memcpy(sig, key->trial, *len);
    CRYPTO_THREAD_unlock(key->lock);
    if (*len > 0)
        return CKR_OK;
    rv = make_trial(key, sig, size, len, err);
    if (rv != CKR_OK)
        return rv;
    if (!CRYPTO_THREAD_write_lock(key->lock))
        return p11_error_set(err, CKR_CANT_LOCK, "no lock");
    if (key->trial == NULL) {
        key->trial = OPENSSL_memdup(sig, *len);
        key->trial_len = key->trial != NULL ? *len : 0;
    }
    CRYPTO_THREAD_unlock(key->lock);
    return CKR_OK;
}

static bool trial_verifies(struct prov_key *key, EVP_PKEY *pub,
                           const unsigned char *sig, size_t len)
{
    const char *md = key->alg != &prov_alg_ed25519 ? "SHA256" : NULL;
    EVP_MD_CTX *ctx;
    bool verifies;

    /* A signature that does not verify is an answer, not an error. */
    ERR_set_mark();
    ctx = EVP_MD_CTX_new();
    verifies =
        ctx != NULL &&
        EVP_DigestVerifyInit_ex(ctx, NULL, md, key->ctx->libctx, PROV_NOT_OURS,
                                pub, NULL) > 0 &&
        EVP_DigestVerify(ctx, sig, len, (const unsigned char *)PROV_TRIAL_TEXT,
                         strlen(PROV_TRIAL_TEXT)) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_pop_to_mark();
    return verifies;
}

CK_RV prov_key_prove(struct prov_key *key, EVP_PKEY *candidate, bool *proved,
                     struct p11_error *err)
{
    unsigned char sig[PROV_SIGNATURE_MAX];
    size_t len = 0;
    CK_RV rv;

    *proved = false;
    if (!EVP_PKEY_is_a(candidate, key->alg->name))
        return CKR_OK;
    rv = get_trial(key, sig, sizeof(sig), &len, err);
    if (rv == CKR_OK)
        *proved = trial_verifies(key, candidate, sig, len);
    return rv;
}

CK_RV prov_key_check_same(struct prov_key *key, struct p11_error *err)
{
    unsigned long found = p11_key_times_found(key->token_key);
    EVP_PKEY *pub = prov_key_public(key);
    unsigned char sig[PROV_SIGNATURE_MAX];
    size_t len = 0;
    CK_RV rv;

    if (found == atomic_load_explicit(&key->checked, memory_order_relaxed))
        return CKR_OK;
    /* An RSA key's modulus was compared when it was found. */
    if (pub != NULL && key->alg != &prov_alg_rsa) {
        rv = make_trial(key, sig, sizeof(sig), &len, err);
        if (rv != CKR_OK)
            return rv;
        if (!trial_verifies(key, pub, sig, len))
            return p11_error_call(err, P11_KEY_CHANGED, "C_Sign",
                                  p11_key_where(key->token_key));
    }
    atomic_store_explicit(&key->checked, found, memory_order_relaxed);
    return CKR_OK;
}
