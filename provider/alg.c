/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>
#include <strings.h>
#include "core.h"
#include "pkcs11/attr.h"

const struct prov_alg prov_alg_rsa = { .key_type = CKK_RSA,
                                       .name = "RSA",
                                       .default_digest = "SHA256",
                                       .pad = RSA_PKCS1_PADDING };

/* RFC 4055, 1.2: the certificate allows no other use. */
const struct prov_alg prov_alg_rsa_pss = { .key_type = CKK_RSA,
                                           .name = "RSA-PSS",
                                           .default_digest = "SHA256",
                                           .pad = RSA_PKCS1_PSS_PADDING };

const struct prov_alg prov_alg_ec = { .key_type = CKK_EC,
                                      .name = "EC",
                                      .default_digest = "SHA256" };

const struct prov_alg prov_alg_ed25519 = {
    .key_type = CKK_EC_EDWARDS,
    .name = "ED25519",
    .bits = 256,
    .security_bits = 128,
    .max_size = 64,
    /* RFC 8410, 3: parameters are absent. */
    .algorithm_id = "\x30\x05\x06\x03\x2b\x65\x70",
    .algorithm_id_len = 7,
};

const struct prov_alg prov_alg_ed448 = {
    .key_type = CKK_EC_EDWARDS,
    .name = "ED448",
    .bits = 456,
    .security_bits = 224,
    .max_size = 114,
    .algorithm_id = "\x30\x05\x06\x03\x2b\x65\x71",
    .algorithm_id_len = 7,
};

/*
 * FIPS 204, tables 1 and 2; libcrypto's bits are those of the public key.
 * RFC 9881, 2: parameters are absent; set as in id-ml-dsa-44 and so on.
 */
#define ML_DSA(set, public_key, strength, signature, oid)                      \
    const struct prov_alg prov_alg_ml_dsa_##set = {                            \
        .key_type = CKK_ML_DSA,                                                \
        .name = "ML-DSA-" #set,                                                \
        .bits = 8 * (public_key),                                              \
        .security_bits = (strength),                                           \
        .max_size = (signature),                                               \
        .algorithm_id =                                                        \
            "\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03" oid,            \
        .algorithm_id_len = 13,                                                \
        .parameter_set = CKP_ML_DSA_##set,                                     \
    }
ML_DSA(44, 1312, 128, 2420, "\x11");
ML_DSA(65, 1952, 192, 3309, "\x12");
ML_DSA(87, 2592, 256, 4627, "\x13");

static const struct token_key {
    const struct prov_alg *alg;
    /* CKA_EC_PARAMS: PKCS #11 v3.0, 2.3.5; NULL: any. */
    const char *params;
    size_t params_len;
} token_keys[] = {
    { &prov_alg_rsa, NULL, 0 },
    { &prov_alg_ec, NULL, 0 },
    /* A PrintableString (in octal, as 'e' is a hexadecimal digit too). */
    { &prov_alg_ed25519, "\023\014edwards25519", 14 },
    /* An OBJECT IDENTIFIER, and that which some tokens took from GnuPG. */
    { &prov_alg_ed25519, "\x06\x03\x2b\x65\x70", 5 },
    { &prov_alg_ed25519, "\x06\x09\x2b\x06\x01\x04\x01\xda\x47\x0f\x01", 11 },
    { &prov_alg_ed448, "\023\012edwards448", 12 },
    { &prov_alg_ed448, "\x06\x03\x2b\x65\x71", 5 },
    { &prov_alg_ml_dsa_44, NULL, 0 },
    { &prov_alg_ml_dsa_65, NULL, 0 },
    { &prov_alg_ml_dsa_87, NULL, 0 },
};

const struct prov_alg *prov_alg_find(const struct p11_attrs *attrs)
{
    CK_KEY_TYPE key_type =
        p11_attrs_ulong(attrs, CKA_KEY_TYPE, CK_UNAVAILABLE_INFORMATION);
    CK_ULONG set = p11_attrs_ulong(attrs, CKA_PARAMETER_SET, 0);
    const CK_ATTRIBUTE *params = p11_attrs_get(attrs, CKA_EC_PARAMS);

    for (size_t i = 0; i < sizeof(token_keys) / sizeof(token_keys[0]); i++) {
        const struct token_key *row = &token_keys[i];

        if (row->alg->key_type == key_type &&
            (row->alg->parameter_set == 0 || row->alg->parameter_set == set) &&
            (row->params == NULL ||
             (params != NULL && params->ulValueLen == row->params_len &&
              memcmp(params->pValue, row->params, row->params_len) == 0)))
            return row->alg;
    }
    return NULL;
}

CK_RV prov_alg_check(struct prov_ctx *ctx, const struct prov_alg *alg,
                     const char *where, struct p11_error *err)
{
    EVP_KEYMGMT *other = NULL;

    /* The others are in every libcrypto that we run with. */
    if (alg->parameter_set == 0)
        return CKR_OK;
    ERR_set_mark();
    other = EVP_KEYMGMT_fetch(ctx->libctx, alg->name, PROV_NOT_OURS);
    ERR_pop_to_mark();
    EVP_KEYMGMT_free(other);
    if (other != NULL)
        return CKR_OK;
    return p11_error_set(err, P11_KEY_UNUSABLE,
                         "%s: no active provider has %s, which wants OpenSSL "
                         "3.5 or newer (this is %s) and \"default\" activated",
                         where, alg->name,
                         OpenSSL_version(OPENSSL_VERSION_STRING));
}

static bool is_pss(CK_MECHANISM_TYPE mechanism)
{
    switch (mechanism) {
    case CKM_RSA_PKCS_PSS:
    case CKM_SHA1_RSA_PKCS_PSS:
    case CKM_SHA224_RSA_PKCS_PSS:
    case CKM_SHA256_RSA_PKCS_PSS:
    case CKM_SHA384_RSA_PKCS_PSS:
    case CKM_SHA512_RSA_PKCS_PSS:
    case CKM_SHA3_224_RSA_PKCS_PSS:
    case CKM_SHA3_256_RSA_PKCS_PSS:
    case CKM_SHA3_384_RSA_PKCS_PSS:
    case CKM_SHA3_512_RSA_PKCS_PSS:
        return true;
    default:
        return false;
    }
}

bool prov_alg_pss_alone(const CK_ATTRIBUTE *allowed)
{
    const CK_MECHANISM_TYPE *types = allowed != NULL ? allowed->pValue : NULL;
    size_t n = allowed != NULL ? allowed->ulValueLen / sizeof(*types) : 0;

    for (size_t i = 0; i < n; i++) {
        if (!is_pss(types[i]))
            return false;
    }
    return n > 0;
}

/*
 * A DigestInfo's SEQUENCE, the AlgorithmIdentifier with a NULL parameter, and
 * the head of the OCTET STRING.  The NIST digests differ in one byte of their
 * OID (2.16.840.1.101.3.4.2.x) and in their length.
 */
#define NIST(oid, size)                                                        \
    {                                                                          \
        0x30, 0x11 + (size), 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,   \
            0x65, 0x03, 0x04, 0x02, (oid), 0x05, 0x00, 0x04, (size)            \
    }

const struct prov_digest prov_digests[PROV_DIGESTS] = {
    { "SHA2-256", "SHA256", 32, CKM_SHA256, CKG_MGF1_SHA256, NIST(1, 32) },
    { "SHA2-384", "SHA384", 48, CKM_SHA384, CKG_MGF1_SHA384, NIST(2, 48) },
    { "SHA2-512", "SHA512", 64, CKM_SHA512, CKG_MGF1_SHA512, NIST(3, 64) },
    { "SHA2-224", "SHA224", 28, CKM_SHA224, CKG_MGF1_SHA224, NIST(4, 28) },
    { "SHA1",
      "SHA-1",
      20,
      CKM_SHA_1,
      CKG_MGF1_SHA1,
      { 0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05,
        0x00, 0x04, 0x14 } },
    { "SHA2-512/224", "SHA512-224", 28, CKM_SHA512_224, 0, NIST(5, 28) },
    { "SHA2-512/256", "SHA512-256", 32, CKM_SHA512_256, 0, NIST(6, 32) },
    { "SHA3-224", "SHA3-224", 28, CKM_SHA3_224, CKG_MGF1_SHA3_224,
      NIST(7, 28) },
    { "SHA3-256", "SHA3-256", 32, CKM_SHA3_256, CKG_MGF1_SHA3_256,
      NIST(8, 32) },
    { "SHA3-384", "SHA3-384", 48, CKM_SHA3_384, CKG_MGF1_SHA3_384,
      NIST(9, 48) },
    { "SHA3-512", "SHA3-512", 64, CKM_SHA3_512, CKG_MGF1_SHA3_512,
      NIST(10, 64) },
};

const struct prov_digest *prov_digest_find(const char *name)
{
    for (size_t i = 0; i < PROV_DIGESTS; i++) {
        if (strcasecmp(prov_digests[i].alias, name) == 0 ||
            strcasecmp(prov_digests[i].name, name) == 0)
            return &prov_digests[i];
    }
    return NULL;
}

/* One that was fetched before, under a name that programs usually say. */
static EVP_MD *fetched(struct prov_ctx *ctx, const char *name,
                       const struct prov_digest **row)
{
    EVP_MD *md;

    *row = prov_digest_find(name);
    if (*row == NULL)
        return NULL;
    md = atomic_load(&ctx->digests[*row - prov_digests]);
    return md != NULL && EVP_MD_up_ref(md) ? md : NULL;
}

EVP_MD *prov_digest_fetch(struct prov_ctx *ctx, const char *name,
                          const char *propq, const struct prov_digest **row)
{
    bool plain = propq == NULL || *propq == '\0';
    EVP_MD *md = plain ? fetched(ctx, name, row) : NULL, *none = NULL;
    char *other;

    if (md != NULL)
        return md;
    *row = NULL;
    other = prov_other_properties(propq);
    if (other == NULL)
        return NULL;
    md = EVP_MD_fetch(ctx->libctx, name, other);
    OPENSSL_free(other);
    for (size_t i = 0; md != NULL && i < PROV_DIGESTS; i++) {
        if (!EVP_MD_is_a(md, prov_digests[i].name))
            continue;
        *row = &prov_digests[i];
        /* The context keeps one reference, until it is freed. */
        if (plain && EVP_MD_up_ref(md) &&
            !atomic_compare_exchange_strong(&ctx->digests[i], &none, md))
            EVP_MD_free(md);
    }
    return md;
}
