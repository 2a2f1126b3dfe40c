/* SPDX-License-Identifier: Apache-2.0 */
/* From a token's attributes to an EVP_PKEY of another provider. */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
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

/* Where the token does not tell the exponent and guess is set: 65537. */
static EVP_PKEY *rsa_key(struct prov_ctx *ctx, const struct prov_alg *alg,
                         const struct p11_attrs *attrs, bool guess)
{
    const CK_ATTRIBUTE *modulus = p11_attrs_get(attrs, CKA_MODULUS);
    const CK_ATTRIBUTE *exponent = p11_attrs_get(attrs, CKA_PUBLIC_EXPONENT);
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    BIGNUM *n = NULL, *e = BN_new();
    EVP_PKEY *pkey = NULL;

    if (bld == NULL || e == NULL || modulus == NULL ||
        (exponent == NULL && !guess))
        goto out;
    n = BN_bin2bn(modulus->pValue, (int)modulus->ulValueLen, NULL);
    if (exponent != NULL)
        BN_bin2bn(exponent->pValue, (int)exponent->ulValueLen, e);
    else
        BN_set_word(e, RSA_F4);
    /* What libcrypto would take, and no signature could be verified with. */
    if (n == NULL || !BN_is_odd(n) || BN_num_bits(n) < 512 ||
        BN_num_bits(n) > 8 * PROV_MODULUS_MAX || !BN_is_odd(e) ||
        BN_is_one(e) ||
        !OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) ||
        !OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e))
        goto out;
    params = OSSL_PARAM_BLD_to_param(bld);
    if (params != NULL)
        pkey = prov_pubkey_from_params(ctx, alg->name, EVP_PKEY_PUBLIC_KEY,
                                       params);
out:
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    BN_free(n);
    BN_free(e);
    return pkey;
}

bool prov_pubkey_same_modulus(const EVP_PKEY *a, const EVP_PKEY *b)
{
    BIGNUM *n = NULL, *m = NULL;
    bool same = EVP_PKEY_get_bn_param(a, OSSL_PKEY_PARAM_RSA_N, &n) &&
                EVP_PKEY_get_bn_param(b, OSSL_PKEY_PARAM_RSA_N, &m) &&
                BN_cmp(n, m) == 0;

    BN_free(n);
    BN_free(m);
    return same;
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

/* Without a point, the curve alone. */
static EVP_PKEY *ec_key(struct prov_ctx *ctx, const CK_ATTRIBUTE *curve,
                        const unsigned char *point, size_t len)
{
    char buf[64];
    const char *name =
        curve != NULL ? curve_name(curve, buf, sizeof(buf)) : NULL;
    OSSL_PARAM params[3], *p = params;

    if (name == NULL)
        return NULL;
    *p++ = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                                            (char *)name, 0);
    if (point != NULL)
        *p++ = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY,
                                                 (unsigned char *)point, len);
    *p = OSSL_PARAM_construct_end();
    return prov_pubkey_from_params(
        ctx, "EC",
        point != NULL ? EVP_PKEY_PUBLIC_KEY : EVP_PKEY_KEY_PARAMETERS, params);
}

static EVP_PKEY *raw_key(struct prov_ctx *ctx, const struct prov_alg *alg,
                         const unsigned char *raw, size_t len)
{
    return EVP_PKEY_new_raw_public_key_ex(ctx->libctx, alg->name, PROV_NOT_OURS,
                                          raw, len);
}

static EVP_PKEY *point_key(struct prov_ctx *ctx, const struct prov_alg *alg,
                           const CK_ATTRIBUTE *curve,
                           const unsigned char *point, size_t len)
{
    /* One byte is the point at infinity, which libcrypto would take. */
    if (alg == &prov_alg_ec)
        return len > 1 ? ec_key(ctx, curve, point, len) : NULL;
    return raw_key(ctx, alg, point, len);
}

/*
 * CKA_EC_POINT is a DER OCTET STRING; some tokens give what is inside.  Few
 * bare points look like an OCTET STRING, so that both are tried: the inside
 * first, then the value as it is.
 */
static EVP_PKEY *wrapped_point_key(struct prov_ctx *ctx,
                                   const struct prov_alg *alg,
                                   const CK_ATTRIBUTE *curve,
                                   const CK_ATTRIBUTE *point)
{
    const unsigned char *start = point->pValue, *der = start;
    ASN1_OCTET_STRING *octets =
        d2i_ASN1_OCTET_STRING(NULL, &der, (long)point->ulValueLen);
    EVP_PKEY *pkey = NULL;

    if (octets != NULL && der == start + point->ulValueLen)
        pkey = point_key(ctx, alg, curve, ASN1_STRING_get0_data(octets),
                         (size_t)ASN1_STRING_length(octets));
    ASN1_OCTET_STRING_free(octets);
    if (pkey == NULL)
        pkey = point_key(ctx, alg, curve, start, point->ulValueLen);
    return pkey;
}

EVP_PKEY *prov_pubkey_info(struct prov_ctx *ctx, const unsigned char *der,
                           size_t len)
{
    return d2i_PUBKEY_ex(NULL, &der, (long)len, ctx->libctx, PROV_NOT_OURS);
}

EVP_PKEY *prov_pubkey_certificate(struct prov_ctx *ctx,
                                  const unsigned char *der, size_t len)
{
    X509 *cert = X509_new_ex(ctx->libctx, PROV_NOT_OURS);
    EVP_PKEY *pkey = NULL;

    if (cert != NULL && d2i_X509(&cert, &der, (long)len) != NULL)
        pkey = X509_get_pubkey(cert);
    X509_free(cert);
    return pkey;
}

/* That an RSA key is for PSS alone may be known by this one only. */
static bool is_for(const EVP_PKEY *pkey, const struct prov_alg *alg)
{
    int bits = EVP_PKEY_get_bits(pkey);

    if (!EVP_PKEY_is_a(pkey, alg->name) &&
        (alg != &prov_alg_rsa || !EVP_PKEY_is_a(pkey, prov_alg_rsa_pss.name)))
        return false;
    return alg->key_type != CKK_RSA ||
           (bits >= 512 && bits <= 8 * PROV_MODULUS_MAX);
}

EVP_PKEY *prov_pubkey(struct prov_ctx *ctx, const struct prov_alg *alg,
                      const struct p11_attrs *attrs,
                      const struct p11_attrs *params)
{
    const CK_ATTRIBUTE *value = p11_attrs_get(attrs, CKA_VALUE);
    const CK_ATTRIBUTE *point = p11_attrs_get(attrs, CKA_EC_POINT);
    const CK_ATTRIBUTE *curve = p11_attrs_get(attrs, CKA_EC_PARAMS);
    const CK_ATTRIBUTE *info = p11_attrs_get(attrs, CKA_PUBLIC_KEY_INFO);
    EVP_PKEY *pkey = NULL;

    /* What is malformed is not there: its errors are of no use to anybody. */
    ERR_set_mark();
    if (curve == NULL && params != NULL)
        curve = p11_attrs_get(params, CKA_EC_PARAMS);
    if (value != NULL && p11_attrs_get(attrs, CKA_KEY_TYPE) == NULL)
        pkey = prov_pubkey_certificate(ctx, value->pValue, value->ulValueLen);
    else if (value != NULL && alg->parameter_set != 0)
        pkey = raw_key(ctx, alg, value->pValue, value->ulValueLen);
    else if (alg->key_type == CKK_RSA)
        pkey = rsa_key(ctx, alg, attrs, false);
    else if (point != NULL)
        pkey = wrapped_point_key(ctx, alg, curve, point);
    if (pkey == NULL && info != NULL)
        pkey = prov_pubkey_info(ctx, info->pValue, info->ulValueLen);
    if (pkey != NULL && !is_for(pkey, alg)) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    ERR_pop_to_mark();
    return pkey;
}

EVP_PKEY *prov_pubkey_params(struct prov_ctx *ctx, const struct prov_alg *alg,
                             const struct p11_attrs *attrs)
{
    EVP_PKEY *pkey = NULL;

    ERR_set_mark();
    if (alg->key_type == CKK_RSA)
        pkey = rsa_key(ctx, alg, attrs, true);
    else if (alg == &prov_alg_ec)
        pkey = ec_key(ctx, p11_attrs_get(attrs, CKA_EC_PARAMS), NULL, 0);
    ERR_pop_to_mark();
    return pkey;
}
