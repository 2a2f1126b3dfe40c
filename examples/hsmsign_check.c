/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a signature is one of a document: in software, with a public key.
 */
#include <openssl/cms.h>
#include <openssl/x509v3.h>
#include "hsmsign_tool.h"

/* A raw signature is no longer than its key; 64 KiB are 524,288 bits. */
#define RAW_MAX 65536

/* hash feeds ctx; a key that hashes by itself takes all of it at the end. */
static int raw_check(const struct check *c, BIO *in, BIO *hash, EVP_MD_CTX *ctx,
                     BIO *sig)
{
    bool whole = signer_hashes_itself(c->key);
    const char *md = whole ? NULL : "sha256";
    EVP_PKEY_CTX *pctx = NULL;
    BIO *mem = BIO_new(BIO_s_mem());
    unsigned char *s = NULL, *data = NULL;
    size_t len = (size_t)BIO_get_mem_data(sig, &s), n;
    int ok = 0;

    if (c->md != NULL)
        md = c->md;
    if (mem == NULL ||
        EVP_DigestVerifyInit_ex(ctx, &pctx, md, NULL, NULL, c->key, NULL) <=
            0 ||
        (c->pss && !signer_set_pss(pctx)) ||
        !signer_copy(in, whole ? mem : hash, whole ? SIGNER_WHOLE_MAX : 0))
        goto out;
    n = (size_t)BIO_get_mem_data(mem, &data);
    ok = (whole ? EVP_DigestVerify(ctx, s, len, data, n)
                : EVP_DigestVerifyFinal(ctx, s, len)) == 1;
out:
    BIO_free(mem);
    return ok;
}

static int check_raw(const struct check *c, BIO *in, BIO *sig)
{
    BIO *hash = BIO_push(BIO_new(BIO_f_md()), BIO_new(BIO_s_null()));
    BIO *mem = BIO_new(BIO_s_mem());
    EVP_MD_CTX *ctx = NULL;
    int ok = hash != NULL && mem != NULL && c->key != NULL &&
             BIO_get_md_ctx(hash, &ctx) > 0 && signer_copy(sig, mem, RAW_MAX) &&
             raw_check(c, in, hash, ctx, mem);

    BIO_free(mem);
    BIO_free_all(hash);
    return ok;
}

X509_STORE *check_trust(STACK_OF(X509) * certs, bool signer, bool any_time)
{
    unsigned long flags = (signer ? X509_V_FLAG_PARTIAL_CHAIN : 0) |
                          (any_time ? X509_V_FLAG_NO_CHECK_TIME : 0);
    X509_STORE *store = X509_STORE_new();
    int i, n = signer ? 1 : sk_X509_num(certs), ok = store != NULL;

    for (i = 0; ok && i < n; i++)
        ok = X509_STORE_add_cert(store, sk_X509_value(certs, i));
    /* Who signs documents has no S/MIME certificate. */
    ok = ok &&
         X509_VERIFY_PARAM_set_purpose(X509_STORE_get0_param(store),
                                       X509_PURPOSE_ANY) &&
         X509_STORE_set_flags(store, flags);
    if (!ok) {
        X509_STORE_free(store);
        store = NULL;
    }
    return store;
}

static int check_cms(const struct check *c, BIO *in, BIO *sig)
{
    CMS_ContentInfo *cms = d2i_CMS_bio(sig, NULL);
    unsigned int flags = CMS_BINARY | CMS_DETACHED;
    int ok;

    flags |= c->cades ? CMS_CADES : 0;
    /* Nobody else may have signed, not even with its blessing. */
    flags |= c->signers != NULL ? CMS_NOINTERN : 0;
    ok = cms != NULL && c->store != NULL &&
         CMS_verify(cms, c->signers, c->store, in, NULL, flags) == 1;
    CMS_ContentInfo_free(cms);
    return ok;
}

int check_detached(const struct check *c, BIO *in, BIO *sig)
{
    return c->raw ? check_raw(c, in, sig) : check_cms(c, in, sig);
}
