/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures: hash here, sign there.  Verification goes to another provider.
 */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <stdint.h>
#include "gen.h"
#include "guard.h"
#include "sign.h"

struct sig_ctx *prov_sig_newctx(struct prov_ctx *prov, const char *propq,
                                const char *digest)
{
    struct sig_ctx *ctx = OPENSSL_zalloc(sizeof(*ctx));

    if (ctx == NULL)
        return NULL;
    ctx->prov = prov;
    ctx->digest = digest;
    if (propq != NULL && (ctx->propq = OPENSSL_strdup(propq)) == NULL) {
        OPENSSL_free(ctx);
        return NULL;
    }
    return ctx;
}

static void *sig_newctx(void *provctx, const char *propq)
{
    return prov_sig_newctx(provctx, propq, NULL);
}

/* What an init leaves behind; a context can be initialised again. */
static void sig_reset(struct sig_ctx *ctx)
{
    EVP_MD_free(ctx->md);
    EVP_MD_CTX_free(ctx->mdctx);
    if (ctx->verify_md == NULL)
        EVP_PKEY_CTX_free(ctx->verify);
    EVP_MD_CTX_free(ctx->verify_md);
    ctx->md = NULL;
    ctx->mdctx = NULL;
    ctx->verify_md = NULL;
    ctx->verify = NULL;
    ctx->md_fixed = false;
    ctx->finished = false;
    ctx->message = false;
    OPENSSL_free(ctx->expected);
    ctx->expected = NULL;
}

void prov_sig_freectx(void *vctx)
{
    struct sig_ctx *ctx = vctx;

    if (ctx == NULL)
        return;
    sig_reset(ctx);
    prov_key_free(ctx->key);
    OPENSSL_free(ctx->propq);
    OPENSSL_free(ctx);
}

static int dup_digest(EVP_MD_CTX **to, const EVP_MD_CTX *from)
{
    if (from == NULL)
        return 1;
    *to = EVP_MD_CTX_new();
    return *to != NULL && EVP_MD_CTX_copy_ex(*to, from);
}

static int dup_running(struct sig_ctx *dup, const struct sig_ctx *ctx)
{
    if (!dup_digest(&dup->mdctx, ctx->mdctx) ||
        !dup_digest(&dup->verify_md, ctx->verify_md))
        return 0;
    if (ctx->verify_md != NULL)
        dup->verify = EVP_MD_CTX_get_pkey_ctx(dup->verify_md);
    else if (ctx->verify != NULL)
        dup->verify = EVP_PKEY_CTX_dup(ctx->verify);
    if (ctx->expected != NULL) {
        dup->expected = OPENSSL_memdup(ctx->expected, ctx->expected_len);
        dup->expected_len = ctx->expected_len;
    }
    return (ctx->verify == NULL) == (dup->verify == NULL) &&
           (ctx->expected == NULL) == (dup->expected == NULL);
}

void *prov_sig_dupctx(void *vctx)
{
    const struct sig_ctx *ctx = vctx;
    struct sig_ctx *dup = prov_sig_newctx(ctx->prov, ctx->propq, ctx->digest);

    if (dup == NULL)
        return NULL;
    dup->params = ctx->params;
    dup->md_fixed = ctx->md_fixed;
    dup->finished = ctx->finished;
    dup->salt_given = ctx->salt_given;
    dup->message = ctx->message;
    if (ctx->key != NULL) {
        prov_key_up_ref(ctx->key);
        dup->key = ctx->key;
    }
    if (ctx->md != NULL && EVP_MD_up_ref(ctx->md))
        dup->md = ctx->md;
    if (!dup_running(dup, ctx)) {
        prov_sig_freectx(dup);
        return NULL;
    }
    return dup;
}

/*
 * Begin anew, with key, or the one of before if it is NULL.  Parameters begin
 * anew as well, as they do in the default provider.
 */
static int sig_begin(struct sig_ctx *ctx, struct prov_key *key)
{
    if (ctx->key != NULL)
        sig_reset(ctx);
    else if (key == NULL)
        return prov_raise_rv(ctx->prov, P11_PARAMETER, "no key was given");
    if (key != NULL) {
        prov_key_up_ref(key);
        prov_key_free(ctx->key);
        ctx->key = key;
    }
    /* Each field but the context's bytes, which are many and not looked at. */
    ctx->params.pad = ctx->key->alg->pad;
    ctx->params.md = ctx->params.mgf1 = NULL;
    ctx->params.salt_len = 0;
    ctx->params.deterministic = false;
    ctx->params.context_len = 0;
    ctx->salt_given = false;
    return 1;
}

static int check_may_sign(const struct sig_ctx *ctx)
{
    const struct prov_key *key = ctx->key;

    if (key->agrees)
        return prov_raise_rv(ctx->prov, P11_UNSUPPORTED, "%s", PROV_GEN_HINT);
    if (key->token_key == NULL)
        return prov_raise_rv(ctx->prov, P11_PARAMETER,
                             "the key is a public key");
    if (!p11_key_may_sign(key->token_key))
        return prov_raise_rv(ctx->prov, P11_KEY_NO_SIGN,
                             "%s: CKA_SIGN is false; use a key that was made "
                             "for signing",
                             p11_key_where(key->token_key));
    return 1;
}

/*
 * libcrypto goes on with a context whose init failed if a digest was named
 * (EVP_DigestSignInit_ex): without a key, nothing is done with it.
 */
static int sig_fail(struct sig_ctx *ctx)
{
    sig_reset(ctx);
    prov_key_free(ctx->key);
    ctx->key = NULL;
    return 0;
}

static int sign_begin(struct sig_ctx *ctx, struct prov_key *key)
{
    if (!sig_begin(ctx, key) || !check_may_sign(ctx) ||
        !prov_sigctx_set_limits(ctx))
        return 0;
    /* The digest that the algorithm's name has. */
    ctx->md_fixed = ctx->digest != NULL;
    return !ctx->md_fixed || prov_sigctx_set_digest(ctx, ctx->digest, NULL);
}

int prov_sig_sign_init(void *vctx, void *keydata, const OSSL_PARAM params[])
{
    struct sig_ctx *ctx = vctx;

    return (sign_begin(ctx, keydata) && prov_sigctx_set_params(ctx, params)) ||
           sig_fail(ctx);
}

int prov_sig_sign_message_init(void *vctx, void *keydata,
                               const OSSL_PARAM params[])
{
    struct sig_ctx *ctx = vctx;

    ctx->message = prov_sig_sign_init(ctx, keydata, params);
    return ctx->message;
}

static int sig_digest_sign_init(void *vctx, const char *mdname, void *keydata,
                                const OSSL_PARAM params[])
{
    struct sig_ctx *ctx = vctx;

    if (!sign_begin(ctx, keydata))
        return sig_fail(ctx);
    if ((mdname == NULL || *mdname == '\0') && ctx->md == NULL)
        mdname = ctx->key->alg->default_digest;
    if (!prov_sigctx_set_digest(ctx, mdname, NULL))
        return sig_fail(ctx);
    ctx->md_fixed = true;
    return prov_sigctx_set_params(ctx, params) || sig_fail(ctx);
}

/* A size query: 1; what cannot be signed: 0, raised; else -1, go on. */
static int answer_size(const struct sig_ctx *ctx, const unsigned char *sig,
                       size_t *siglen, size_t sigsize)
{
    size_t needed;

    if (ctx->key == NULL)
        return prov_raise_rv(ctx->prov, P11_PARAMETER,
                             "no key: initialise again");
    needed = prov_sign_size(ctx->key);
    if (needed == 0)
        return prov_raise_rv(ctx->prov, P11_NO_PUBLIC,
                             "the size of the key is not known");
    if (sig == NULL) {
        *siglen = needed;
        return 1;
    }
    if (sigsize < needed)
        return prov_raise_rv(ctx->prov, P11_PARAMETER,
                             "a buffer of %zu bytes; the signature takes up "
                             "to %zu",
                             sigsize, needed);
    return -1;
}

static int sign_bytes(struct sig_ctx *ctx, unsigned char *sig, size_t *siglen,
                      size_t sigsize, const unsigned char *in, size_t len)
{
    struct prov_signed made = { &ctx->params, in, len, sig, sigsize, 0, 0 };
    uintptr_t from = (uintptr_t)in, to = (uintptr_t)sig;
    unsigned char *copy = NULL;
    struct p11_error err;
    CK_RV rv;

    /* Signed in place: it is needed later, to sign, verify or log it again. */
    if (from < to + sigsize && to < from + len && len > 0) {
        made.in = copy = OPENSSL_memdup(in, len);
        if (copy == NULL)
            return 0;
    }
    if (ctx->params.pad == RSA_PKCS1_PSS_PADDING)
        prov_sigctx_settle_salt(ctx);
    /* Tokens that use libcrypto leave their errors in our caller's queue. */
    ERR_set_mark();
    rv = prov_sign_guarded(ctx->key, &made, &err);
    ERR_pop_to_mark();
    OPENSSL_clear_free(copy, len);
    if (rv != CKR_OK)
        return prov_raise(ctx->prov, &err);
    *siglen = made.sig_len;
    return 1;
}

int prov_sig_digest_update(void *vctx, const unsigned char *data, size_t len)
{
    struct sig_ctx *ctx = vctx;

    if (ctx->verify_md != NULL)
        return EVP_DigestVerifyUpdate(ctx->verify_md, data, len);
    if (ctx->md == NULL || ctx->finished)
        return prov_raise_rv(ctx->prov, P11_PARAMETER, "%s",
                             ctx->finished
                                 ? "the signature is made: initialise again"
                                 : "there is no digest to update; EdDSA and "
                                   "ML-DSA sign in one go, by EVP_DigestSign");
    if (ctx->mdctx == NULL) {
        ctx->mdctx = EVP_MD_CTX_new();
        if (ctx->mdctx == NULL ||
            !EVP_DigestInit_ex2(ctx->mdctx, ctx->md, NULL))
            return 0;
    }
    return EVP_DigestUpdate(ctx->mdctx, data, len);
}

/* What was updated before, if anything was, and tbs. */
static int sign_digest(struct sig_ctx *ctx, unsigned char *sig, size_t *siglen,
                       size_t sigsize, const unsigned char *tbs, size_t tbslen)
{
    bool at_once = ctx->mdctx == NULL && ctx->md != NULL && !ctx->finished;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int len;

    if (!at_once && !prov_sig_digest_update(ctx, tbs, tbslen))
        return 0;
    ctx->finished = true;
    return (at_once ? EVP_Digest(tbs, tbslen, digest, &len, ctx->md, NULL)
                    : EVP_DigestFinal_ex(ctx->mdctx, digest, &len)) &&
           sign_bytes(ctx, sig, siglen, sigsize, digest, len);
}

int prov_sig_digest_sign_final(void *vctx, unsigned char *sig, size_t *siglen,
                               size_t sigsize)
{
    struct sig_ctx *ctx = vctx;
    int answered = answer_size(ctx, sig, siglen, sigsize);

    return answered >= 0 ? answered
                         : sign_digest(ctx, sig, siglen, sigsize, NULL, 0);
}

/* In one go; what was given by earlier updates is part of the message. */
static int sig_digest_sign(void *vctx, unsigned char *sig, size_t *siglen,
                           size_t sigsize, const unsigned char *tbs,
                           size_t tbslen)
{
    struct sig_ctx *ctx = vctx;
    int answered = answer_size(ctx, sig, siglen, sigsize);

    if (answered >= 0)
        return answered;
    return ctx->md == NULL
               ? sign_bytes(ctx, sig, siglen, sigsize, tbs, tbslen)
               : sign_digest(ctx, sig, siglen, sigsize, tbs, tbslen);
}

int prov_sig_sign(void *vctx, unsigned char *sig, size_t *siglen,
                  size_t sigsize, const unsigned char *tbs, size_t tbslen)
{
    struct sig_ctx *ctx = vctx;
    int answered;

    if (ctx->message)
        return sig_digest_sign(ctx, sig, siglen, sigsize, tbs, tbslen);
    answered = answer_size(ctx, sig, siglen, sigsize);
    if (answered >= 0)
        return answered;
    return sign_bytes(ctx, sig, siglen, sigsize, tbs, tbslen);
}

typedef int verify_init_fn(EVP_PKEY_CTX *, const OSSL_PARAM[]);

/*
 * The public half verifies, and takes all parameters, in another provider;
 * init NULL: EVP_DigestVerify's way, else EVP_PKEY_verify's and its like.
 */
static int verify_begin(struct sig_ctx *ctx, verify_init_fn *init,
                        const char *mdname, void *keydata,
                        const OSSL_PARAM params[])
{
    OSSL_LIB_CTX *libctx = ctx->prov->libctx;
    OSSL_PARAM digest[] = { OSSL_PARAM_construct_utf8_string(
                                OSSL_SIGNATURE_PARAM_DIGEST, (char *)mdname, 0),
                            OSSL_PARAM_construct_end() };
    EVP_PKEY *pub;
    char *propq;
    int ok = 0;

    if (!sig_begin(ctx, keydata))
        return 0;
    pub = prov_key_need_public(ctx->key);
    if (pub == NULL)
        return sig_fail(ctx);
    propq = prov_other_properties(ctx->propq);
    if (propq == NULL)
        return 0;
    if (init == NULL) {
        ctx->verify_md = EVP_MD_CTX_new();
        ok = ctx->verify_md != NULL &&
             EVP_DigestVerifyInit_ex(ctx->verify_md, &ctx->verify, mdname,
                                     libctx, propq, pub, params) > 0;
    } else {
        ctx->verify = EVP_PKEY_CTX_new_from_pkey(libctx, pub, propq);
        ok = ctx->verify != NULL && init(ctx->verify, params) > 0 &&
             (mdname == NULL ||
              EVP_PKEY_CTX_set_params(ctx->verify, digest) > 0);
    }
    OPENSSL_free(propq);
    return ok || sig_fail(ctx);
}

int prov_sig_verify_init(void *vctx, void *keydata, const OSSL_PARAM params[])
{
    struct sig_ctx *ctx = vctx;

    return verify_begin(ctx, EVP_PKEY_verify_init_ex, ctx->digest, keydata,
                        params);
}

int prov_sig_verify(void *vctx, const unsigned char *sig, size_t siglen,
                    const unsigned char *tbs, size_t tbslen)
{
    struct sig_ctx *ctx = vctx;

    if (ctx->verify_md != NULL)
        return EVP_DigestVerify(ctx->verify_md, sig, siglen, tbs, tbslen) == 1;
    return EVP_PKEY_verify(ctx->verify, sig, siglen, tbs, tbslen) == 1;
}

int prov_sig_verify_message_init(void *vctx, void *keydata,
                                 const OSSL_PARAM params[])
{
    struct sig_ctx *ctx = vctx;

    /* They may bring the signature, which has to wait for the context. */
    return verify_begin(ctx, NULL, ctx->digest, keydata, NULL) &&
           (prov_sigctx_set_params(ctx, params) || sig_fail(ctx));
}

int prov_sig_verify_message_final(void *vctx)
{
    const struct sig_ctx *ctx = vctx;

    return ctx->expected != NULL &&
           EVP_DigestVerifyFinal(ctx->verify_md, ctx->expected,
                                 ctx->expected_len) == 1;
}

int prov_sig_verify_recover_init(void *vctx, void *keydata,
                                 const OSSL_PARAM params[])
{
    struct sig_ctx *ctx = vctx;

    return verify_begin(ctx, EVP_PKEY_verify_recover_init_ex, ctx->digest,
                        keydata, params);
}

int prov_sig_verify_recover(void *vctx, unsigned char *rout, size_t *routlen,
                            size_t routsize, const unsigned char *sig,
                            size_t siglen)
{
    struct sig_ctx *ctx = vctx;

    *routlen = routsize;
    return EVP_PKEY_verify_recover(ctx->verify, rout, routlen, sig, siglen) ==
           1;
}

static int sig_digest_verify_init(void *vctx, const char *mdname, void *keydata,
                                  const OSSL_PARAM params[])
{
    return verify_begin(vctx, NULL, mdname, keydata, params);
}

static int sig_digest_verify_final(void *vctx, const unsigned char *sig,
                                   size_t siglen)
{
    struct sig_ctx *ctx = vctx;

    return ctx->verify_md != NULL &&
           EVP_DigestVerifyFinal(ctx->verify_md, sig, siglen) == 1;
}

static int sig_digest_verify(void *vctx, const unsigned char *sig,
                             size_t siglen, const unsigned char *tbs,
                             size_t tbslen)
{
    struct sig_ctx *ctx = vctx;

    return ctx->verify_md != NULL &&
           EVP_DigestVerify(ctx->verify_md, sig, siglen, tbs, tbslen) == 1;
}

/* One table: what differs between the algorithms is data, in sign.c. */
const OSSL_DISPATCH prov_signature_functions[] = {
    PROV_FN(SIGNATURE_NEWCTX, sig_newctx),
    PROV_FN(SIGNATURE_FREECTX, prov_sig_freectx),
    PROV_FN(SIGNATURE_DUPCTX, prov_sig_dupctx),
    PROV_FN(SIGNATURE_SIGN_INIT, prov_sig_sign_init),
    PROV_FN(SIGNATURE_SIGN, prov_sig_sign),
    PROV_FN(SIGNATURE_VERIFY_INIT, prov_sig_verify_init),
    PROV_FN(SIGNATURE_VERIFY, prov_sig_verify),
    PROV_FN(SIGNATURE_VERIFY_RECOVER_INIT, prov_sig_verify_recover_init),
    PROV_FN(SIGNATURE_VERIFY_RECOVER, prov_sig_verify_recover),
    PROV_FN(SIGNATURE_DIGEST_SIGN_INIT, sig_digest_sign_init),
    PROV_FN(SIGNATURE_DIGEST_SIGN_UPDATE, prov_sig_digest_update),
    PROV_FN(SIGNATURE_DIGEST_SIGN_FINAL, prov_sig_digest_sign_final),
    PROV_FN(SIGNATURE_DIGEST_SIGN, sig_digest_sign),
    PROV_FN(SIGNATURE_DIGEST_VERIFY_INIT, sig_digest_verify_init),
    PROV_FN(SIGNATURE_DIGEST_VERIFY_UPDATE, prov_sig_digest_update),
    PROV_FN(SIGNATURE_DIGEST_VERIFY_FINAL, sig_digest_verify_final),
    PROV_FN(SIGNATURE_DIGEST_VERIFY, sig_digest_verify),
    PROV_FN(SIGNATURE_SET_CTX_PARAMS, prov_sigctx_set_params),
    PROV_FN(SIGNATURE_SETTABLE_CTX_PARAMS, prov_sigctx_settable_params),
    PROV_FN(SIGNATURE_GET_CTX_PARAMS, prov_sigctx_get_params),
    PROV_FN(SIGNATURE_GETTABLE_CTX_PARAMS, prov_sigctx_gettable_params),
    { 0, NULL },
};

/* A name of our own, never "RSA" or "ECDSA": libcrypto then asks us first. */
#define SIGNATURES(properties)                                                 \
    {                                                                          \
        { PROV_SIGNATURE, properties, prov_signature_functions,                \
          "on a PKCS #11 token" },                                             \
            { NULL, NULL, NULL, NULL },                                        \
    }
const struct prov_offer prov_signatures = PROV_OFFER(SIGNATURE, SIGNATURES);
