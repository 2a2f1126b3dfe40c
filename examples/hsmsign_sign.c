/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small signer on OpenSSL's public API: load a key by URI, and sign what
 * comes from one BIO into another, raw, as CMS or as CAdES.
 *
 * Nothing here knows of PKCS #11: the URI finds the provider, the provider the
 * token, and the key is an EVP_PKEY like any other.  Documents are streamed;
 * Ed25519, Ed448 and ML-DSA alone need the whole message in memory.
 */
#include <openssl/asn1t.h>
#include <openssl/cms.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/store.h>
#include "hsmsign_tool.h"

/* RFC 5652, 5.4: what is signed is the SET OF, not the [0] that is stored. */
ASN1_ITEM_TEMPLATE(SIGNED_ATTRIBUTES) =
    ASN1_EX_TEMPLATE_TYPE(ASN1_TFLG_SET_OF, 0, SIGNED_ATTRIBUTES,
                          X509_ATTRIBUTE)
        static_ASN1_ITEM_TEMPLATE_END(SIGNED_ATTRIBUTES)

            EVP_PKEY
    * signer_load_key(const char *uri, const UI_METHOD *ui)
{
    OSSL_STORE_CTX *store = OSSL_STORE_open(uri, ui, NULL, NULL, NULL);
    OSSL_STORE_INFO *info = NULL;
    EVP_PKEY *key = NULL;

    if (store == NULL || !OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY))
        goto out;
    /* NULL is not the end: a file may hold what is no key. */
    while (key == NULL && !OSSL_STORE_eof(store)) {
        info = OSSL_STORE_load(store);
        if (info != NULL)
            key = OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    if (key == NULL && ERR_peek_error() == 0)
        ERR_raise(ERR_LIB_OSSL_STORE, OSSL_STORE_R_NOT_A_PRIVATE_KEY);
out:
    OSSL_STORE_close(store);
    return key;
}

int signer_check_cert(EVP_PKEY *key, X509 *cert, const char *name)
{
    char reason[1024];
    bool is_known;

    if (X509_check_private_key(cert, key))
        return CLI_OK;
    /* OpenSSL says that they differ; a provider, why it cannot tell. */
    is_known = ERR_GET_LIB(cli_reason(reason, sizeof(reason))) < ERR_LIB_USER;
    return cli_fail_for(reason,
                        is_known
                            ? "certificate %s is not of this key"
                            : "certificate %s cannot be compared with the key",
                        name);
}

bool signer_hashes_itself(EVP_PKEY *key)
{
    char name[80];

    return EVP_PKEY_get_default_digest_name(key, name, sizeof(name)) == 2 &&
           OPENSSL_strcasecmp(name, "UNDEF") == 0;
}

int signer_set_pss(EVP_PKEY_CTX *pctx)
{
    return EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) > 0 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) > 0;
}

int signer_copy(BIO *in, BIO *out, uint64_t max)
{
    unsigned char buf[16384];
    uint64_t total = 0;
    int n;

    while ((n = BIO_read(in, buf, (int)sizeof(buf))) > 0) {
        total += (uint64_t)n;
        if (max != 0 && total > max) {
            ERR_raise_data(ERR_LIB_EVP, EVP_R_INVALID_LENGTH,
                           "this key takes a document of at most %u MiB",
                           (unsigned int)(max >> 20));
            return 0;
        }
        if (BIO_write(out, buf, n) != n)
            return 0;
    }
    return n == 0 || BIO_eof(in) == 1; /* a failed read is not the end */
}

static int sign_init(EVP_MD_CTX *ctx, EVP_PKEY_CTX **pctx,
                     const struct signer *s)
{
    const char *md = EVP_MD_get0_name(s->md);

    if (signer_hashes_itself(s->key))
        md = NULL;
    return EVP_DigestSignInit_ex(ctx, pctx, md, NULL, NULL, s->key, NULL) > 0 &&
           (!s->pss || signer_set_pss(*pctx));
}

int signer_raw(const struct signer *s, BIO *in, BIO *out)
{
    bool whole = signer_hashes_itself(s->key);
    BIO *hash = BIO_push(BIO_new(BIO_f_md()), BIO_new(BIO_s_null()));
    BIO *mem = BIO_new(BIO_s_mem());
    size_t len = (size_t)EVP_PKEY_get_size(s->key), n;
    unsigned char *data = NULL, *sig = OPENSSL_malloc(len);
    EVP_MD_CTX *ctx = NULL; /* is hash's, which feeds it */
    EVP_PKEY_CTX *pctx = NULL;
    int ok = 0;

    if (hash == NULL || mem == NULL || sig == NULL ||
        BIO_get_md_ctx(hash, &ctx) <= 0 || !sign_init(ctx, &pctx, s) ||
        !signer_copy(in, whole ? mem : hash, whole ? SIGNER_WHOLE_MAX : 0))
        goto out;
    n = (size_t)BIO_get_mem_data(mem, &data);
    ok = (whole ? EVP_DigestSign(ctx, sig, &len, data, n)
                : EVP_DigestSignFinal(ctx, sig, &len)) > 0 &&
         BIO_write_ex(out, sig, len, &n);
out:
    OPENSSL_free(sig);
    BIO_free(mem);
    BIO_free_all(hash);
    return ok;
}

/* CMS_add1_signer cannot know PSS, nor on 3.0 Ed25519; the provider does. */
static int set_algorithm(CMS_SignerInfo *si, EVP_PKEY_CTX *pctx)
{
    unsigned char der[128];
    const unsigned char *p = der;
    OSSL_PARAM params[2] = { OSSL_PARAM_END, OSSL_PARAM_END };
    X509_ALGOR *alg = NULL, *given = NULL;
    int ok;

    params[0] = OSSL_PARAM_construct_octet_string(
        OSSL_SIGNATURE_PARAM_ALGORITHM_ID, der, sizeof(der));
    if (EVP_PKEY_CTX_get_params(pctx, params) <= 0)
        return 0;
    CMS_SignerInfo_get0_algs(si, NULL, NULL, NULL, &alg);
    given = d2i_X509_ALGOR(NULL, &p, (long)params[0].return_size);
    ok = given != NULL && X509_ALGOR_copy(alg, given);
    X509_ALGOR_free(given);
    return ok;
}

/* CMS_SignerInfo_sign would add a signing time, which PAdES forbids. */
static int sign_attributes(CMS_SignerInfo *si, const struct signer *s)
{
    STACK_OF(X509_ATTRIBUTE) *attrs = sk_X509_ATTRIBUTE_new_null();
    EVP_MD_CTX *ctx = CMS_SignerInfo_get0_md_ctx(si);
    EVP_PKEY_CTX *pctx = NULL;
    size_t len = (size_t)EVP_PKEY_get_size(s->key);
    unsigned char *der = NULL, *sig = OPENSSL_malloc(len);
    bool named = !s->pss && !signer_hashes_itself(s->key);
    int i, n, ok = 0;

    for (i = 0; i < CMS_signed_get_attr_count(si); i++) {
        if (!sk_X509_ATTRIBUTE_push(attrs, CMS_signed_get_attr(si, i)))
            goto out;
    }
    n = ASN1_item_i2d((ASN1_VALUE *)attrs, &der,
                      ASN1_ITEM_rptr(SIGNED_ATTRIBUTES));
    ok = n > 0 && sig != NULL && sign_init(ctx, &pctx, s) &&
         (named || set_algorithm(si, pctx)) &&
         EVP_DigestSign(ctx, sig, &len, der, (size_t)n) > 0 &&
         ASN1_STRING_set(CMS_SignerInfo_get0_signature(si), sig, (int)len);
out:
    OPENSSL_free(sig);
    OPENSSL_free(der);
    sk_X509_ATTRIBUTE_free(attrs);
    return ok;
}

int signer_digest(const struct signer *s, const unsigned char *digest,
                  size_t len, BIO *out)
{
    size_t n, siglen = (size_t)EVP_PKEY_get_size(s->key);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, s->key, NULL);
    unsigned char *sig = OPENSSL_malloc(siglen);
    int ok = ctx != NULL && sig != NULL && EVP_PKEY_sign_init(ctx) > 0 &&
             EVP_PKEY_CTX_set_signature_md(ctx, s->md) > 0 &&
             (!s->pss || signer_set_pss(ctx)) &&
             EVP_PKEY_sign(ctx, sig, &siglen, digest, len) > 0 &&
             BIO_write_ex(out, sig, siglen, &n);

    OPENSSL_free(sig);
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static int add_time(CMS_SignerInfo *si)
{
    ASN1_TIME *now = X509_gmtime_adj(NULL, 0);
    int ok = now != NULL && CMS_signed_add1_attr_by_NID(
                                si, NID_pkcs9_signingTime, now->type, now, -1);

    ASN1_TIME_free(now);
    return ok;
}

int signer_cms_digest(const struct signer *s, const unsigned char *digest,
                      size_t len, bool time, BIO *out)
{
    /* CMS_CADES adds the attribute signing-certificate-v2. */
    unsigned int flags =
        CMS_PARTIAL | CMS_DETACHED | CMS_BINARY | CMS_CADES | CMS_NOSMIMECAP;
    CMS_ContentInfo *cms = CMS_sign(NULL, NULL, s->chain, NULL, flags);
    CMS_SignerInfo *si = NULL;
    int ok =
        cms != NULL &&
        (si = CMS_add1_signer(cms, s->cert, s->key, s->md, flags)) != NULL &&
        CMS_signed_add1_attr_by_NID(si, NID_pkcs9_contentType, V_ASN1_OBJECT,
                                    CMS_get0_eContentType(cms), -1) &&
        CMS_signed_add1_attr_by_NID(si, NID_pkcs9_messageDigest,
                                    V_ASN1_OCTET_STRING, digest, (int)len) &&
        (!time || add_time(si)) && sign_attributes(si, s) &&
        i2d_CMS_bio(out, cms);

    CMS_ContentInfo_free(cms);
    return ok;
}

static int sign_cades(const struct signer *s, BIO *in, BIO *out)
{
    BIO *hash = BIO_push(BIO_new(BIO_f_md()), BIO_new(BIO_s_null()));
    unsigned char digest[EVP_MAX_MD_SIZE];
    int n, ok = hash != NULL && BIO_set_md(hash, s->md) > 0 &&
                signer_copy(in, hash, 0) &&
                (n = BIO_gets(hash, (char *)digest, (int)sizeof(digest))) > 0 &&
                signer_cms_digest(s, digest, (size_t)n, false, out);

    BIO_free_all(hash);
    return ok;
}

int signer_cms(const struct signer *s, bool cades, BIO *in, BIO *out)
{
    unsigned int flags = CMS_PARTIAL | CMS_DETACHED | CMS_BINARY;
    CMS_ContentInfo *cms = NULL;
    CMS_SignerInfo *si = NULL;
    BIO *hash = NULL;
    int ok;

    if (cades)
        return sign_cades(s, in, out);
    flags |= s->pss ? CMS_KEY_PARAM : 0;
    ok = (cms = CMS_sign(NULL, NULL, s->chain, NULL, flags)) != NULL &&
         (si = CMS_add1_signer(cms, s->cert, s->key, s->md, flags)) != NULL &&
         (hash = CMS_dataInit(cms, NULL)) != NULL &&
         (!s->pss || signer_set_pss(CMS_SignerInfo_get0_pkey_ctx(si))) &&
         signer_copy(in, hash, 0) && CMS_dataFinal(cms, hash) &&
         i2d_CMS_bio(out, cms);
    BIO_free_all(hash);
    CMS_ContentInfo_free(cms);
    return ok;
}
