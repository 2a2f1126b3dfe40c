/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ECDSA signature tells its public key, up to the sign of a point and, for
 * few signatures, the size of a coordinate: SEC 1 v2.0, 4.1.6.  That serves a
 * token which has no public object, no certificate and no CKA_EC_POINT on its
 * private key.  All numbers here are public.
 */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/params.h>
#include <string.h>
#include "key.h"
#include "pkcs11/log.h"
#include "recover.h"

/* The numbers of one recovery, of which libcrypto's BN_CTX is the owner. */
struct recovery {
    BN_CTX *bn;
    EC_GROUP *group;
    const BIGNUM *order;
    BIGNUM *u1, *u2; /* Q = u1 G + u2 R */
    BIGNUM *x;
};

static EC_GROUP *group_of(OSSL_LIB_CTX *libctx, const char *propq,
                          const EVP_PKEY *curve)
{
    char name[64];
    int nid;

    if (EVP_PKEY_get_group_name(curve, name, sizeof(name), NULL) <= 0)
        return NULL;
    nid = OBJ_txt2nid(name);
    if (nid == NID_undef)
        nid = EC_curve_nist2nid(name);
    return EC_GROUP_new_by_curve_name_ex(libctx, propq, nid);
}

/* FIPS 186-5, 6.4.1: the leftmost bits of the digest, as many as n has. */
static int digest_number(const struct recovery *rec,
                         const unsigned char *digest, size_t len, BIGNUM *e)
{
    int surplus = (int)len * 8 - BN_num_bits(rec->order);

    return BN_bin2bn(digest, (int)len, e) != NULL &&
           (surplus <= 0 || BN_rshift(e, e, surplus));
}

/* u1 = -e / r, u2 = s / r, x = r */
static int set_numbers(struct recovery *rec, const unsigned char *digest,
                       size_t len, const ECDSA_SIG *sig)
{
    const BIGNUM *r = ECDSA_SIG_get0_r(sig), *s = ECDSA_SIG_get0_s(sig);
    BIGNUM *inverse = BN_CTX_get(rec->bn);

    return inverse != NULL && !BN_is_zero(r) && !BN_is_negative(r) &&
           BN_cmp(r, rec->order) < 0 &&
           digest_number(rec, digest, len, rec->u1) &&
           BN_mod_inverse(inverse, r, rec->order, rec->bn) != NULL &&
           BN_mod_mul(rec->u1, rec->u1, inverse, rec->order, rec->bn) &&
           BN_mod_sub(rec->u1, rec->order, rec->u1, rec->order, rec->bn) &&
           BN_mod_mul(rec->u2, s, inverse, rec->order, rec->bn) &&
           BN_copy(rec->x, r) != NULL;
}

static EVP_PKEY *pkey_of(OSSL_LIB_CTX *libctx, const char *propq,
                         const struct recovery *rec, const EC_POINT *q)
{
    const char *name = OBJ_nid2sn(EC_GROUP_get_curve_name(rec->group));
    unsigned char *point = NULL;
    size_t len = EC_POINT_point2buf(
        rec->group, q, POINT_CONVERSION_UNCOMPRESSED, &point, rec->bn);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                                         (char *)name, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, len),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_name(libctx, "EC", propq);
    EVP_PKEY *pkey = NULL;

    if (len == 0 || pctx == NULL || EVP_PKEY_fromdata_init(pctx) <= 0 ||
        EVP_PKEY_fromdata(pctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) <= 0)
        pkey = NULL;
    EVP_PKEY_CTX_free(pctx);
    OPENSSL_free(point);
    return pkey;
}

/* The key for the point R with the coordinate x, and y even or odd. */
static EVP_PKEY *recover_one(OSSL_LIB_CTX *libctx, const char *propq,
                             const struct recovery *rec, int odd)
{
    EC_POINT *r = EC_POINT_new(rec->group), *q = EC_POINT_new(rec->group);
    EVP_PKEY *pkey = NULL;

    if (r != NULL && q != NULL &&
        EC_POINT_set_compressed_coordinates(rec->group, r, rec->x, odd,
                                            rec->bn) &&
        EC_POINT_mul(rec->group, q, rec->u1, r, rec->u2, rec->bn))
        pkey = pkey_of(libctx, propq, rec, q);
    EC_POINT_free(r);
    EC_POINT_free(q);
    return pkey;
}

size_t prov_ecdsa_recover(OSSL_LIB_CTX *libctx, const char *propq,
                          const EVP_PKEY *curve, const unsigned char *digest,
                          size_t len, const unsigned char *sig, size_t siglen,
                          EVP_PKEY *pkeys[PROV_RECOVER_MAX])
{
    ECDSA_SIG *rs = d2i_ECDSA_SIG(NULL, &sig, (long)siglen);
    struct recovery rec = { .bn = BN_CTX_new_ex(libctx),
                            .group = group_of(libctx, propq, curve) };
    size_t count = 0;

    if (rs == NULL || rec.bn == NULL || rec.group == NULL ||
        !BN_is_one(EC_GROUP_get0_cofactor(rec.group)))
        goto out;
    BN_CTX_start(rec.bn);
    rec.order = EC_GROUP_get0_order(rec.group);
    rec.u1 = BN_CTX_get(rec.bn);
    rec.u2 = BN_CTX_get(rec.bn);
    rec.x = BN_CTX_get(rec.bn);
    if (rec.x != NULL && set_numbers(&rec, digest, len, rs)) {
        for (int i = 0; i < PROV_RECOVER_MAX; i++) {
            if (i == 2 && !BN_add(rec.x, rec.x, rec.order))
                break;
            /* libcrypto would take it modulo the field's prime. */
            if (BN_cmp(rec.x, EC_GROUP_get0_field(rec.group)) >= 0)
                break;
            pkeys[count] = recover_one(libctx, propq, &rec, i & 1);
            if (pkeys[count] != NULL)
                count++;
        }
    }
    BN_CTX_end(rec.bn);
out:
    ECDSA_SIG_free(rs);
    EC_GROUP_free(rec.group);
    BN_CTX_free(rec.bn);
    return count;
}

/* Of the keys that one signature tells, the one that a second verifies with. */
static EVP_PKEY *tell(const struct prov_key *key,
                      const struct prov_trial trials[2])
{
    OSSL_LIB_CTX *libctx = key->ctx->libctx;
    EVP_PKEY *pkeys[PROV_RECOVER_MAX], *told = NULL;
    unsigned char digest[EVP_MAX_MD_SIZE];
    size_t len, count = 0;

    ERR_set_mark();
    if (EVP_Q_digest(libctx, key->alg->default_digest, PROV_NOT_OURS,
                     trials[0].text, strlen(trials[0].text), digest, &len))
        count = prov_ecdsa_recover(libctx, PROV_NOT_OURS, key->params, digest,
                                   len, trials[0].sig, trials[0].len, pkeys);
    for (size_t i = 0; i < count; i++) {
        if (told == NULL && prov_trial_verifies(key, pkeys[i], &trials[1]))
            told = pkeys[i];
        else
            EVP_PKEY_free(pkeys[i]);
    }
    ERR_pop_to_mark();
    return told;
}

static CK_RV recover(struct prov_key *key, struct p11_error *err)
{
    static const char *const texts[2] = {
        "hsmsign: first signature, to tell the public key",
        "hsmsign: second signature, to tell the public key"
    };
    struct prov_trial trials[2];
    CK_RV rv = CKR_OK;
    EVP_PKEY *pub;

    if (key->alg != &prov_alg_ec || key->token_key == NULL ||
        key->params == NULL || !p11_key_may_sign(key->token_key))
        return CKR_OK;
    for (int i = 0; i < 2 && rv == CKR_OK; i++)
        rv = prov_trial_make(key, texts[i], &trials[i], err);
    if (rv != CKR_OK)
        return rv;
    pub = tell(key, trials);
    if (pub != NULL) {
        p11_log(P11_LOG_INFO, "%s: its public key was told by two signatures",
                p11_key_where(key->token_key));
        prov_key_set_public(key, pub);
    }
    return CKR_OK;
}

CK_RV prov_key_learn_public(struct prov_key *key, struct p11_error *err)
{
    CK_RV rv;

    if (prov_key_public(key) != NULL)
        return CKR_OK;
    ERR_set_mark();
    rv = recover(key, err);
    ERR_pop_to_mark();
    if (rv == CKR_OK && prov_key_public(key) == NULL)
        rv =
            p11_error_set(err, P11_NO_PUBLIC,
                          "%s: put its public key or certificate on the "
                          "token, or name a file that has it in "
                          "hsmsign-public-file",
                          key->token_key != NULL ? p11_key_where(key->token_key)
                                                 : "an empty key");
    return rv;
}

EVP_PKEY *prov_key_need_public(struct prov_key *key)
{
    struct p11_error err;

    if (prov_key_learn_public(key, &err) != CKR_OK)
        prov_raise(key->ctx, &err);
    return prov_key_public(key);
}
