/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signature algorithms by names that say the digest too, as OpenSSL 3.4 and
 * newer fetch them for EVP_PKEY_sign_message_init() and the like.  They take
 * messages, in one go or in pieces, or (EVP_PKEY_sign_init_ex2) a digest.
 */
#include "sign.h"

static const char **rsa_types(void)
{
    static const char *types[] = { "RSA", NULL };

    return types;
}

static const char **ec_types(void)
{
    static const char *types[] = { "EC", NULL };

    return types;
}

static const char **ed25519_types(void)
{
    static const char *types[] = { "ED25519", NULL };

    return types;
}

static const char **ed448_types(void)
{
    static const char *types[] = { "ED448", NULL };

    return types;
}

static const char **ml_dsa_44_types(void)
{
    static const char *types[] = { "ML-DSA-44", NULL };

    return types;
}

static const char **ml_dsa_65_types(void)
{
    static const char *types[] = { "ML-DSA-65", NULL };

    return types;
}

static const char **ml_dsa_87_types(void)
{
    static const char *types[] = { "ML-DSA-87", NULL };

    return types;
}

#define CONTEXT                                                                \
    PROV_FN(SIGNATURE_FREECTX, prov_sig_freectx),                              \
        PROV_FN(SIGNATURE_DUPCTX, prov_sig_dupctx),                            \
        PROV_FN(SIGNATURE_SET_CTX_PARAMS, prov_sigctx_set_params),             \
        PROV_FN(SIGNATURE_SETTABLE_CTX_PARAMS, prov_sigctx_settable_params),   \
        PROV_FN(SIGNATURE_GET_CTX_PARAMS, prov_sigctx_get_params),             \
        PROV_FN(SIGNATURE_GETTABLE_CTX_PARAMS, prov_sigctx_gettable_params),   \
        PROV_FN(SIGNATURE_SIGN, prov_sig_sign),                                \
        PROV_FN(SIGNATURE_SIGN_MESSAGE_INIT, prov_sig_sign_message_init),      \
        PROV_FN(SIGNATURE_VERIFY, prov_sig_verify),                            \
        PROV_FN(SIGNATURE_VERIFY_MESSAGE_INIT, prov_sig_verify_message_init)

/* What hashes can be told in pieces, or be told the digest. */
#define HASHING                                                                \
    PROV_FN(SIGNATURE_SIGN_INIT, prov_sig_sign_init),                          \
        PROV_FN(SIGNATURE_SIGN_MESSAGE_UPDATE, prov_sig_digest_update),        \
        PROV_FN(SIGNATURE_SIGN_MESSAGE_FINAL, prov_sig_digest_sign_final),     \
        PROV_FN(SIGNATURE_VERIFY_INIT, prov_sig_verify_init),                  \
        PROV_FN(SIGNATURE_VERIFY_MESSAGE_UPDATE, prov_sig_digest_update),      \
        PROV_FN(SIGNATURE_VERIFY_MESSAGE_FINAL, prov_sig_verify_message_final)

/* libcrypto does not tell "newctx" the name: the one function that each has. */
#define NEWCTX(id, digest)                                                     \
    static void *id##_newctx(void *provctx, const char *propq)                 \
    {                                                                          \
        return prov_sig_newctx(provctx, propq, digest);                        \
    }

#define RSA(id, digest)                                                        \
    NEWCTX(rsa_##id, digest)                                                   \
    static const OSSL_DISPATCH rsa_##id##_functions[] = {                      \
        PROV_FN(SIGNATURE_NEWCTX, rsa_##id##_newctx),                          \
        PROV_FN(SIGNATURE_QUERY_KEY_TYPES, rsa_types),                         \
        PROV_FN(SIGNATURE_VERIFY_RECOVER_INIT, prov_sig_verify_recover_init),  \
        PROV_FN(SIGNATURE_VERIFY_RECOVER, prov_sig_verify_recover),            \
        CONTEXT,                                                               \
        HASHING,                                                               \
        { 0, NULL },                                                           \
    };

#define ECDSA(id, digest)                                                      \
    NEWCTX(ecdsa_##id, digest)                                                 \
    static const OSSL_DISPATCH ecdsa_##id##_functions[] = {                    \
        PROV_FN(SIGNATURE_NEWCTX, ecdsa_##id##_newctx),                        \
        PROV_FN(SIGNATURE_QUERY_KEY_TYPES, ec_types),                          \
        CONTEXT,                                                               \
        HASHING,                                                               \
        { 0, NULL },                                                           \
    };

#define PURE(id)                                                               \
    NEWCTX(id, NULL)                                                           \
    static const OSSL_DISPATCH id##_functions[] = {                            \
        PROV_FN(SIGNATURE_NEWCTX, id##_newctx),                                \
        PROV_FN(SIGNATURE_QUERY_KEY_TYPES, id##_types),                        \
        CONTEXT,                                                               \
        { 0, NULL },                                                           \
    };

RSA(sha1, "SHA1")
RSA(sha224, "SHA2-224")
RSA(sha256, "SHA2-256")
RSA(sha384, "SHA2-384")
RSA(sha512, "SHA2-512")
RSA(sha512_224, "SHA2-512/224")
RSA(sha512_256, "SHA2-512/256")
RSA(sha3_224, "SHA3-224")
RSA(sha3_256, "SHA3-256")
RSA(sha3_384, "SHA3-384")
RSA(sha3_512, "SHA3-512")
ECDSA(sha1, "SHA1")
ECDSA(sha224, "SHA2-224")
ECDSA(sha256, "SHA2-256")
ECDSA(sha384, "SHA2-384")
ECDSA(sha512, "SHA2-512")
ECDSA(sha3_224, "SHA3-224")
ECDSA(sha3_256, "SHA3-256")
ECDSA(sha3_384, "SHA3-384")
ECDSA(sha3_512, "SHA3-512")
PURE(ed25519)
PURE(ed448)
PURE(ml_dsa_44)
PURE(ml_dsa_65)
PURE(ml_dsa_87)

/* The names and OIDs that the default provider has for them. */
/* clang-format off */
#define ROW(names, properties, id)                                             \
    { names, properties, id##_functions, "on a PKCS #11 token" }
#define SHA2_RSA "WithRSAEncryption:1.2.840.113549.1.1."
#define SHA3_RSA "id-rsassa-pkcs1-v1_5-with-sha3-"
#define SHA2_ECDSA "ecdsa-with-SHA"
#define SHA3_ECDSA(size) "ecdsa_with_SHA3-" size ":id-ecdsa-with-sha3-" size
#define SIGNATURES(p)                                                          \
    {                                                                          \
    { PROV_SIGNATURE, p, prov_signature_functions, "on a PKCS #11 token" },    \
    ROW("RSA-SHA1:RSA-SHA-1:sha1" SHA2_RSA "5", p, rsa_sha1),                  \
    ROW("RSA-SHA2-224:RSA-SHA224:sha224" SHA2_RSA "14", p, rsa_sha224),        \
    ROW("RSA-SHA2-256:RSA-SHA256:sha256" SHA2_RSA "11", p, rsa_sha256),        \
    ROW("RSA-SHA2-384:RSA-SHA384:sha384" SHA2_RSA "12", p, rsa_sha384),        \
    ROW("RSA-SHA2-512:RSA-SHA512:sha512" SHA2_RSA "13", p, rsa_sha512),        \
    ROW("RSA-SHA2-512/224:RSA-SHA512-224:sha512-224" SHA2_RSA "15", p,         \
        rsa_sha512_224),                                                       \
    ROW("RSA-SHA2-512/256:RSA-SHA512-256:sha512-256" SHA2_RSA "16", p,         \
        rsa_sha512_256),                                                       \
    ROW("RSA-SHA3-224:" SHA3_RSA "224:2.16.840.1.101.3.4.3.13", p,             \
        rsa_sha3_224),                                                         \
    ROW("RSA-SHA3-256:" SHA3_RSA "256:2.16.840.1.101.3.4.3.14", p,             \
        rsa_sha3_256),                                                         \
    ROW("RSA-SHA3-384:" SHA3_RSA "384:2.16.840.1.101.3.4.3.15", p,             \
        rsa_sha3_384),                                                         \
    ROW("RSA-SHA3-512:" SHA3_RSA "512:2.16.840.1.101.3.4.3.16", p,             \
        rsa_sha3_512),                                                         \
    ROW("ECDSA-SHA1:ECDSA-SHA-1:" SHA2_ECDSA "1:1.2.840.10045.4.1", p,         \
        ecdsa_sha1),                                                           \
    ROW("ECDSA-SHA2-224:ECDSA-SHA224:" SHA2_ECDSA "224:1.2.840.10045.4.3.1",   \
        p, ecdsa_sha224),                                                      \
    ROW("ECDSA-SHA2-256:ECDSA-SHA256:" SHA2_ECDSA "256:1.2.840.10045.4.3.2",   \
        p, ecdsa_sha256),                                                      \
    ROW("ECDSA-SHA2-384:ECDSA-SHA384:" SHA2_ECDSA "384:1.2.840.10045.4.3.3",   \
        p, ecdsa_sha384),                                                      \
    ROW("ECDSA-SHA2-512:ECDSA-SHA512:" SHA2_ECDSA "512:1.2.840.10045.4.3.4",   \
        p, ecdsa_sha512),                                                      \
    ROW("ECDSA-SHA3-224:" SHA3_ECDSA("224") ":2.16.840.1.101.3.4.3.9", p,      \
        ecdsa_sha3_224),                                                       \
    ROW("ECDSA-SHA3-256:" SHA3_ECDSA("256") ":2.16.840.1.101.3.4.3.10", p,     \
        ecdsa_sha3_256),                                                       \
    ROW("ECDSA-SHA3-384:" SHA3_ECDSA("384") ":2.16.840.1.101.3.4.3.11", p,     \
        ecdsa_sha3_384),                                                       \
    ROW("ECDSA-SHA3-512:" SHA3_ECDSA("512") ":2.16.840.1.101.3.4.3.12", p,     \
        ecdsa_sha3_512),                                                       \
    ROW("ED25519:1.3.101.112", p, ed25519),                                    \
    ROW("ED448:1.3.101.113", p, ed448),                                        \
    ROW("ML-DSA-44:MLDSA44:2.16.840.1.101.3.4.3.17:id-ml-dsa-44", p,           \
        ml_dsa_44),                                                            \
    ROW("ML-DSA-65:MLDSA65:2.16.840.1.101.3.4.3.18:id-ml-dsa-65", p,           \
        ml_dsa_65),                                                            \
    ROW("ML-DSA-87:MLDSA87:2.16.840.1.101.3.4.3.19:id-ml-dsa-87", p,           \
        ml_dsa_87),                                                            \
    { NULL, NULL, NULL, NULL },                                                \
    }
/* clang-format on */
const struct prov_offer prov_named_signatures =
    PROV_OFFER(SIGNATURE, SIGNATURES);
