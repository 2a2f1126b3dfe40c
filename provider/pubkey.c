/* SPDX-License-Identifier: Apache-2.0 */
/* From a token's attributes to an EVP_PKEY of another provider. */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include "key.h"

EVP_PKEY *prov_pubkey_from_params(struct prov_ctx *ctx, const char *name,
                                  int selection, const OSSL_PARAM *params)
{
    EVP_PKEY_CTX *pctx;
    EVP_PKEY *pkey = NULL;

    pctx = EVP_PKEY_CTX_new_from_name(ctx->libctx, name, PROV_NOT_OURS);
    if (pctx != NULL && EVP_PKEY_fromdata_init(pctx) > 0 &&
        EVP_PKEY_fromdata(pctx, &pkey, selection, (OSSL_PARAM *)params) <= 0)
        pkey = NULL;
    EVP_PKEY_CTX_free(pctx);
    return pkey;
}

static EVP_PKEY *rsa_key(struct prov_ctx *ctx, const CK_ATTRIBUTE *modulus,
                         const unsigned char *exponent, size_t exponent_len)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    BIGNUM *n = BN_bin2bn(modulus->pValue, (int)modulus->ulValueLen, NULL);
    BIGNUM *e = BN_bin2bn(exponent, (int)exponent_len, NULL);
    OSSL_PARAM *params = NULL;
    EVP_PKEY *pkey = NULL;

    /* What libcrypto would take, and no signature could be verified with. */
    if (bld == NULL || n == NULL || e == NULL || !BN_is_odd(n) ||
        BN_num_bits(n) < 512 || !BN_is_odd(e) || BN_is_one(e) ||
        !OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) ||
        !OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e))
        goto out;
    params = OSSL_PARAM_BLD_to_param(bld);
    if (params != NULL)
        pkey = prov_pubkey_from_params(ctx, "RSA", EVP_PKEY_PUBLIC_KEY, params);
out:
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    BN_free(n);
    BN_free(e);
    return pkey;
}

static EVP_PKEY *rsa_pubkey(struct prov_ctx *ctx, const struct p11_attrs *attrs)
{
    const CK_ATTRIBUTE *n = p11_attrs_get(attrs, CKA_MODULUS);
    const CK_ATTRIBUTE *e = p11_attrs_get(attrs, CKA_PUBLIC_EXPONENT);

    if (n == NULL || e == NULL)
        return NULL;
    return rsa_key(ctx, n, e->pValue, e->ulValueLen);
}

EVP_PKEY *prov_pubkey_usual_exponent(struct prov_ctx *ctx,
                                     const struct p11_attrs *attrs)
{
    static const unsigned char f4[] = { 0x01, 0x00, 0x01 };
    const CK_ATTRIBUTE *n = p11_attrs_get(attrs, CKA_MODULUS);

    return n != NULL ? rsa_key(ctx, n, f4, sizeof(f4)) : NULL;
}

/*
 * PKCS #11 v2.40, 2.3.3: DER of X9.62's Parameters.  Only a named curve will
 * do: verifiers reject others.  v3.0 allows the curve's name as well.
 */
static const char *curve_name(const CK_ATTRIBUTE *params, char *buf,
                              size_t size)
{
    const unsigned char *der = params->pValue;
    size_t len = params->ulValueLen;
    ASN1_OBJECT *object;
    int nid;

    if (len > 2 && der[0] == 0x13 && der[1] == len - 2 && len - 2 < size) {
        memcpy(buf, der + 2, len - 2);
        buf[len - 2] = '\0';
        return buf;
    }
    object = d2i_ASN1_OBJECT(NULL, &der, (long)len);
    nid = OBJ_obj2nid(object);
    ASN1_OBJECT_free(object);
    return nid != NID_undef ? OBJ_nid2sn(nid) : NULL;
}

/* arg is the curve, CKA_EC_PARAMS; without pub, the curve alone. */
static EVP_PKEY *ec_key(struct prov_ctx *ctx, const void *arg,
                        const unsigned char *pub, size_t len)
{
    char buf[64];
    const char *name = curve_name(arg, buf, sizeof(buf));
    OSSL_PARAM params[3], *p = params;

    if (name == NULL)
        return NULL;
    *p++ = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                                            (char *)name, 0);
    if (pub != NULL)
        *p++ = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY,
                                                 (unsigned char *)pub, len);
    *p = OSSL_PARAM_construct_end();
    return prov_pubkey_from_params(
        ctx, "EC", pub != NULL ? EVP_PKEY_PUBLIC_KEY : EVP_PKEY_KEY_PARAMETERS,
        params);
}

static EVP_PKEY *edwards_key(struct prov_ctx *ctx, const void *arg,
                             const unsigned char *pub, size_t len)
{
    const struct prov_alg *alg = arg;

    return EVP_PKEY_new_raw_public_key_ex(ctx->libctx, alg->name, PROV_NOT_OURS,
                                          pub, len);
}

/*
 * CKA_EC_POINT is a DER OCTET STRING; some tokens give what is inside.  Few
 * bare points look like an OCTET STRING, so that both are tried: the inside
 * first, then the value as it is.
 */
static EVP_PKEY *
with_point(struct prov_ctx *ctx, const CK_ATTRIBUTE *point,
           EVP_PKEY *(*make)(struct prov_ctx *ctx, const void *arg,
                             const unsigned char *pub, size_t len),
           const void *arg)
{
    const unsigned char *der = point->pValue;
    ASN1_OCTET_STRING *octets =
        d2i_ASN1_OCTET_STRING(NULL, &der, (long)point->ulValueLen);
    EVP_PKEY *pkey = NULL;

    if (octets != NULL &&
        der == (unsigned char *)point->pValue + point->ulValueLen)
        pkey = make(ctx, arg, ASN1_STRING_get0_data(octets),
                    (size_t)ASN1_STRING_length(octets));
    ASN1_OCTET_STRING_free(octets);
    if (pkey == NULL)
        pkey = make(ctx, arg, point->pValue, point->ulValueLen);
    return pkey;
}

static EVP_PKEY *info_key(struct prov_ctx *ctx, const CK_ATTRIBUTE *info)
{
    const unsigned char *der = info->pValue;

    return d2i_PUBKEY_ex(NULL, &der, (long)info->ulValueLen, ctx->libctx,
                         PROV_NOT_OURS);
}

static EVP_PKEY *pubkey(struct prov_ctx *ctx, const struct prov_alg *alg,
                        const struct p11_attrs *attrs,
                        const struct p11_attrs *params)
{
    const CK_ATTRIBUTE *point = p11_attrs_get(attrs, CKA_EC_POINT);
    const CK_ATTRIBUTE *curve = p11_attrs_get(attrs, CKA_EC_PARAMS);
    const CK_ATTRIBUTE *info = p11_attrs_get(attrs, CKA_PUBLIC_KEY_INFO);
    EVP_PKEY *pkey = NULL;

    if (curve == NULL && params != NULL)
        curve = p11_attrs_get(params, CKA_EC_PARAMS);
    if (alg == &prov_alg_rsa)
        pkey = rsa_pubkey(ctx, attrs);
    else if (point != NULL && alg == &prov_alg_ec && curve != NULL)
        pkey = with_point(ctx, point, ec_key, curve);
    else if (point != NULL && alg == &prov_alg_ed25519)
        pkey = with_point(ctx, point, edwards_key, alg);
    if (pkey == NULL && info != NULL)
        pkey = info_key(ctx, info);
    if (pkey != NULL && !EVP_PKEY_is_a(pkey, alg->name)) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    return pkey;
}

/* What is malformed is not there: its errors are of no use to anybody. */
EVP_PKEY *prov_pubkey(struct prov_ctx *ctx, const struct prov_alg *alg,
                      const struct p11_attrs *attrs,
                      const struct p11_attrs *params)
{
    EVP_PKEY *pkey;

    ERR_set_mark();
    pkey = pubkey(ctx, alg, attrs, params);
    ERR_pop_to_mark();
    return pkey;
}

EVP_PKEY *prov_pubkey_params(struct prov_ctx *ctx,
                             const struct p11_attrs *attrs)
{
    const CK_ATTRIBUTE *curve = p11_attrs_get(attrs, CKA_EC_PARAMS);
    EVP_PKEY *pkey = NULL;

    ERR_set_mark();
    if (curve != NULL)
        pkey = ec_key(ctx, curve, NULL, 0);
    ERR_pop_to_mark();
    return pkey;
}

EVP_PKEY *prov_pubkey_certificate(struct prov_ctx *ctx,
                                  const unsigned char *der, size_t len)
{
    X509 *cert = X509_new_ex(ctx->libctx, PROV_NOT_OURS);
    EVP_PKEY *pkey = NULL;

    ERR_set_mark();
    if (cert != NULL && d2i_X509(&cert, &der, (long)len) != NULL)
        pkey = X509_get_pubkey(cert);
    ERR_pop_to_mark();
    X509_free(cert);
    return pkey;
}
