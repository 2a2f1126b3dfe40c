/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsign-verify: a signature that the public key does not verify is not given
 * out.  A fault in an RSA-CRT signature tells the private key to whoever sees
 * it (Boneh, DeMillo and Lipton, 1997); a handle may be another key's.
 *
 * The public half is asked in software, so that it costs the token nothing.
 * What is due and cannot be verified is not released either: whoever asks for
 * verified signatures must not get others because a file is missing.
 */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <time.h>
#include "audit.h"
#include "guard.h"

/* RSA: as it was padded; ML-DSA: its context.  Others have no parameters. */
static void set_params(const struct prov_key *key,
                       const struct sig_params *params, long *salt,
                       OSSL_PARAM *to)
{
    const struct prov_digest *md = params->md;
    const struct prov_digest *mgf1 = params->mgf1 != NULL ? params->mgf1 : md;

    if (key->alg->pad != 0)
        *to++ = OSSL_PARAM_construct_int(OSSL_SIGNATURE_PARAM_PAD_MODE,
                                         (int *)&params->pad);
    if (key->alg->pad != 0 && md != NULL) {
        *to++ = OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST,
                                                 (char *)md->name, 0);
        if (params->pad == RSA_PKCS1_PSS_PADDING) {
            *salt = prov_pss_salt(key, params);
            *to++ = OSSL_PARAM_construct_utf8_string(
                OSSL_SIGNATURE_PARAM_MGF1_DIGEST, (char *)mgf1->name, 0);
            *to++ = OSSL_PARAM_construct_long(OSSL_SIGNATURE_PARAM_PSS_SALTLEN,
                                              salt);
        }
    }
    if (params->context_len > 0)
        *to++ = OSSL_PARAM_construct_octet_string(
            "context-string", (void *)params->context, params->context_len);
    *to = OSSL_PARAM_construct_end();
}

/* EdDSA and ML-DSA sign the message itself, the others what was made of it. */
int prov_signed_verifies(const struct prov_key *key, EVP_PKEY *pub,
                         const struct prov_signed *made)
{
    bool at_once = key->alg->default_digest == NULL;
    OSSL_LIB_CTX *libctx = key->ctx->libctx;
    EVP_MD_CTX *md = at_once ? EVP_MD_CTX_new() : NULL;
    EVP_PKEY_CTX *ctx =
        at_once ? NULL : EVP_PKEY_CTX_new_from_pkey(libctx, pub, PROV_NOT_OURS);
    OSSL_PARAM params[5];
    int result = -1;
    long salt;

    set_params(key, made->params, &salt, params);
    if (md != NULL && EVP_DigestVerifyInit_ex(md, NULL, NULL, libctx,
                                              PROV_NOT_OURS, pub, params) > 0)
        result = EVP_DigestVerify(md, made->sig, made->sig_len, made->in,
                                  made->len) == 1;
    else if (ctx != NULL && EVP_PKEY_verify_init_ex(ctx, params) > 0)
        result = EVP_PKEY_verify(ctx, made->sig, made->sig_len, made->in,
                                 made->len) == 1;
    EVP_MD_CTX_free(md);
    EVP_PKEY_CTX_free(ctx);
    return result;
}

/*
 * Until one signature of a handle has been verified, all are: the first of
 * several threads may be the last.
 */
static CK_RV verify(struct prov_key *key, const struct prov_signed *made,
                    struct p11_error *err)
{
    const char *where = p11_key_where(key->token_key);
    CK_RV rv;
    int ok;

    if (key->ctx->config.verify == PROV_VERIFY_SAMPLE_ONLY &&
        atomic_load(&key->verified) ==
            p11_key_times_found(key->token_key) + 1 &&
        atomic_fetch_add(&key->since_verified, 1) % PROV_VERIFY_SAMPLE !=
            PROV_VERIFY_SAMPLE - 1)
        return CKR_OK;
    rv = prov_key_learn_public(key, err);
    if (rv != CKR_OK)
        return p11_error_set(err, rv, "hsmsign-verify: %s", err->text);
    ok = prov_signed_verifies(key, prov_key_public(key), made);
    atomic_store(&key->verified, ok == 1 ? made->found + 1 : 0);
    if (ok == 0)
        return p11_error_call(err, P11_BAD_SIGNATURE, "C_Sign", where);
    if (ok < 0)
        return p11_error_set(err, P11_UNSUPPORTED,
                             "%s: no active provider verifies such a "
                             "signature, which hsmsign-verify wants; activate "
                             "\"default\"",
                             where);
    return CKR_OK;
}

/* As hsmsign-verify and hsmsign-audit say; rv: of the signature so far. */
static CK_RV watch(struct prov_key *key, const struct prov_signed *made,
                   const struct timespec *began, CK_RV rv,
                   struct p11_error *err)
{
    unsigned retries = err->retries; /* not those of a trial */
    struct timespec ended;

    (void)clock_gettime(CLOCK_MONOTONIC, &ended);
    if (rv == CKR_OK && key->ctx->config.verify != PROV_VERIFY_OFF)
        rv = verify(key, made, err);
    if (key->ctx->config.audit.on)
        rv = prov_audit(key, made,
                        (ended.tv_sec - began->tv_sec) * 1000000 +
                            (ended.tv_nsec - began->tv_nsec) / 1000,
                        retries, rv, err);
    return rv;
}

CK_RV prov_sign_guarded(struct prov_key *key, struct prov_signed *made,
                        struct p11_error *err)
{
    bool guarded = key->ctx->config.guarded;
    struct timespec began;
    CK_RV rv;

    err->retries = 0;
    if (guarded)
        (void)clock_gettime(CLOCK_MONOTONIC, &began);
    made->found = p11_key_times_found(key->token_key);
    rv = prov_sign(key, made->params, made->in, made->len, made->sig,
                   made->size, &made->sig_len, err);
    if (rv == CKR_OK)
        rv = prov_key_check_same(key, made, err);
    if (guarded)
        rv = watch(key, made, &began, rv, err);
    if (rv != CKR_OK)
        OPENSSL_cleanse(made->sig, made->size);
    return rv;
}
