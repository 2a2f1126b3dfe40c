/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key management: the private half is a reference to the token, the public
 * half an EVP_PKEY of another provider, to which everything is delegated that
 * a public key can do.
 */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include "exchange.h"
#include "gen.h"
#include "key.h"

static void keymgmt_free(void *keydata)
{
    prov_key_free(keydata);
}

/* The reference is a pointer to a struct prov_key *, whose owner we become. */
static void *keymgmt_load(const void *reference, size_t size)
{
    struct prov_key *key;

    if (size != sizeof(void *))
        return NULL;
    key = *(struct prov_key **)reference;
    *(struct prov_key **)reference = NULL;
    return key;
}

static int keymgmt_has(const void *keydata, int selection)
{
    const struct prov_key *key = keydata;

    if (key == NULL ||
        ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 &&
         key->token_key == NULL && !key->agrees) ||
        ((selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) != 0 &&
         prov_key_public(key) == NULL))
        return 0;
    return (selection & OSSL_KEYMGMT_SELECT_DOMAIN_PARAMETERS) == 0 ||
           key->alg != &prov_alg_ec || prov_key_params(key) != NULL;
}

/*
 * Whether other has the public half of key, whose own is not known: asks the
 * token for a trial signature, and remembers the answer.
 */
static int match_by_trial(struct prov_key *key, struct prov_key *other)
{
    EVP_PKEY *candidate = prov_key_public(other);
    struct p11_error err;
    bool proved;
    CK_RV rv;

    if (key->token_key == NULL || candidate == NULL)
        return 0;
    ERR_set_mark();
    rv = prov_key_prove(key, candidate, &proved, &err);
    ERR_pop_to_mark();
    if (rv != CKR_OK)
        return prov_raise(key->ctx, &err);
    if (proved && EVP_PKEY_up_ref(candidate))
        prov_key_set_public(key, candidate);
    return proved;
}

static int keymgmt_match(const void *keydata1, const void *keydata2,
                         int selection)
{
    /* Not const: what a trial proves is kept. */
    struct prov_key *key1 = (struct prov_key *)keydata1;
    struct prov_key *key2 = (struct prov_key *)keydata2;
    EVP_PKEY *pub1 = prov_key_public(key1), *pub2 = prov_key_public(key2);

    if (key1 == key2)
        return 1;
    if (key1->alg != key2->alg)
        return 0;
    if ((selection & OSSL_KEYMGMT_SELECT_KEYPAIR) == 0) {
        pub1 = prov_key_params(key1);
        pub2 = prov_key_params(key2);
        return key1->alg != &prov_alg_ec ||
               (pub1 != NULL && pub2 != NULL &&
                EVP_PKEY_parameters_eq(pub1, pub2) == 1);
    }
    if (pub1 != NULL && pub2 != NULL)
        return EVP_PKEY_eq(pub1, pub2) == 1;
    return pub1 == NULL ? match_by_trial(key1, key2)
                        : match_by_trial(key2, key1);
}

/* Public parts come with the selection of a key pair too: accept that. */
static int keymgmt_import(void *keydata, int selection,
                          const OSSL_PARAM params[])
{
    struct prov_key *key = keydata;
    EVP_PKEY *pkey;
    int parts = (selection & OSSL_KEYMGMT_SELECT_KEYPAIR) != 0
                    ? EVP_PKEY_PUBLIC_KEY
                    : EVP_PKEY_KEY_PARAMETERS;

    /* A software private key is none of ours, and is not let in. */
    if (OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_PRIV_KEY) != NULL ||
        OSSL_PARAM_locate_const(params, "seed") != NULL || /* ML-DSA's */
        OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_D) != NULL)
        return prov_raise_rv(key->ctx, P11_UNSUPPORTED,
                             "private keys stay where they are: only keys "
                             "that a pkcs11: URI names sign here");
    pkey = prov_pubkey_from_params(key->ctx, key->alg->name, parts, params);
    if (pkey == NULL)
        return 0;
    if (parts == EVP_PKEY_PUBLIC_KEY) {
        prov_key_set_public(key, pkey);
    } else {
        EVP_PKEY_free(key->params);
        key->params = pkey;
    }
    return 1;
}

/*
 * EVP_DigestSignInit first tries to export the key to the default provider:
 * a private half is refused, or signing fails with "missing private key".
 */
static int keymgmt_export(void *keydata, int selection, OSSL_CALLBACK *cb,
                          void *arg)
{
    struct prov_key *key = keydata;
    EVP_PKEY *pkey;

    /* Tried for every signature, so that nothing is raised. */
    if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 &&
        (key->token_key != NULL || key->agrees))
        return 0;
    pkey = (selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) != 0
               ? prov_key_need_public(key)
               : prov_key_params(key);
    if (pkey == NULL)
        return 0;
    return EVP_PKEY_export(pkey, selection & ~OSSL_KEYMGMT_SELECT_PRIVATE_KEY,
                           cb, arg);
}

/* The public parts of any of our keys; none of them has all. */
static const OSSL_PARAM *keymgmt_eximport_types(int selection)
{
    static const OSSL_PARAM types[] = {
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_RSA_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_RSA_MGF1_DIGEST, NULL, 0),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_RSA_PSS_SALTLEN, NULL),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
        OSSL_PARAM_END
    };

    (void)selection;
    return types;
}

static int set_int(OSSL_PARAM params[], const char *name, int value)
{
    OSSL_PARAM *p = OSSL_PARAM_locate(params, name);

    return p == NULL || OSSL_PARAM_set_int(p, value);
}

/*
 * For a key whose public half is not known: an Edwards or ML-DSA key's sizes
 * are a table's row; of an RSA key's params the modulus is known, and the
 * exponent a guess that must not be told as a fact.
 */
static int get_sizes(const struct prov_key *key, OSSL_PARAM params[])
{
    const struct prov_alg *alg = key->alg;
    EVP_PKEY *pkey = key->params;
    bool fixed = alg->max_size != 0;
    const char *md = alg->default_digest;

    if (!fixed && pkey == NULL)
        return 0;
    return set_int(params, OSSL_PKEY_PARAM_BITS,
                   fixed ? alg->bits : EVP_PKEY_get_bits(pkey)) &&
           set_int(params, OSSL_PKEY_PARAM_SECURITY_BITS,
                   fixed ? alg->security_bits
                         : EVP_PKEY_get_security_bits(pkey)) &&
           set_int(params, OSSL_PKEY_PARAM_MAX_SIZE,
                   fixed ? alg->max_size : EVP_PKEY_get_size(pkey)) &&
           prov_set_text(params,
                         md != NULL ? OSSL_PKEY_PARAM_DEFAULT_DIGEST
                                    : OSSL_PKEY_PARAM_MANDATORY_DIGEST,
                         md != NULL ? md : "");
}

static int keymgmt_get_params(void *keydata, OSSL_PARAM params[])
{
    struct prov_key *key = keydata;
    bool is_wanted =
        OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_PUB_KEY) != NULL ||
        OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY) != NULL;
    EVP_PKEY *pkey =
        is_wanted ? prov_key_need_public(key) : prov_key_public(key);

    if (key->alg == &prov_alg_ec)
        pkey = prov_key_params(key);
    return pkey != NULL ? EVP_PKEY_get_params(pkey, params)
                        : get_sizes(key, params);
}

static const OSSL_PARAM *keymgmt_gettable_params(void *provctx)
{
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
        OSSL_PARAM_END
    };

    (void)provctx;
    return params;
}

/*
 * The peer's public half in a handshake, given to a key that has a curve: what
 * the curve's own provider makes of both.
 */
static int keymgmt_set_params(void *keydata, const OSSL_PARAM params[])
{
    struct prov_key *key = keydata;
    const OSSL_PARAM *p =
        OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY);
    char group[80];
    OSSL_PARAM all[] = {
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
        OSSL_PARAM_END
    };
    EVP_PKEY *pkey;

    if (p == NULL)
        return 1;
    if (key->token_key != NULL || prov_key_public(key) != NULL ||
        key->params == NULL ||
        !EVP_PKEY_get_group_name(key->params, group, sizeof(group),
                                 &all[0].data_size))
        return 0;
    all[1].data = p->data;
    all[1].data_size = p->data_size;
    pkey = prov_pubkey_from_params(key->ctx, key->alg->name,
                                   EVP_PKEY_PUBLIC_KEY, all);
    if (pkey == NULL)
        return 0;
    prov_key_set_public(key, pkey);
    return 1;
}

static const OSSL_PARAM *keymgmt_settable_params(void *provctx)
{
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
        OSSL_PARAM_END
    };

    (void)provctx;
    return params;
}

/* A key does not change: a duplicate with its private half is a reference. */
static void *keymgmt_dup(const void *keydata, int selection)
{
    struct prov_key *key = (struct prov_key *)keydata;
    EVP_PKEY *pub = prov_key_public(key), *params = prov_key_params(key);
    struct prov_key *copy;

    if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0) {
        prov_key_up_ref(key);
        return key;
    }
    copy = prov_key_new(key->ctx, key->alg);
    if (copy == NULL)
        return NULL;
    if ((selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) != 0 && pub != NULL &&
        EVP_PKEY_up_ref(pub))
        prov_key_set_public(copy, pub);
    else if (params != NULL && EVP_PKEY_up_ref(params))
        copy->params = params;
    return copy;
}

static const char *keymgmt_operation_name(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? PROV_SIGNATURE
           : operation == OSSL_OP_KEYEXCH ? PROV_EXCHANGE
                                          : NULL;
}

/* libcrypto does not tell "new" the type: functions that each type has. */
#define KEYMGMT(type)                                                          \
    static void *type##_new(void *provctx)                                     \
    {                                                                          \
        return prov_key_new(provctx, &prov_alg_##type);                        \
    }                                                                          \
    static void *type##_gen_init(void *provctx, int selection,                 \
                                 const OSSL_PARAM params[])                    \
    {                                                                          \
        return prov_gen_init(provctx, &prov_alg_##type, selection, params);    \
    }                                                                          \
    static const OSSL_DISPATCH type##_functions[] = {                          \
        PROV_FN(KEYMGMT_NEW, type##_new),                                      \
        PROV_GEN(type##_gen_init),                                             \
        PROV_FN(KEYMGMT_FREE, keymgmt_free),                                   \
        PROV_FN(KEYMGMT_LOAD, keymgmt_load),                                   \
        PROV_FN(KEYMGMT_HAS, keymgmt_has),                                     \
        PROV_FN(KEYMGMT_MATCH, keymgmt_match),                                 \
        PROV_FN(KEYMGMT_IMPORT, keymgmt_import),                               \
        PROV_FN(KEYMGMT_IMPORT_TYPES, keymgmt_eximport_types),                 \
        PROV_FN(KEYMGMT_EXPORT, keymgmt_export),                               \
        PROV_FN(KEYMGMT_EXPORT_TYPES, keymgmt_eximport_types),                 \
        PROV_FN(KEYMGMT_GET_PARAMS, keymgmt_get_params),                       \
        PROV_FN(KEYMGMT_GETTABLE_PARAMS, keymgmt_gettable_params),             \
        PROV_FN(KEYMGMT_SET_PARAMS, keymgmt_set_params),                       \
        PROV_FN(KEYMGMT_SETTABLE_PARAMS, keymgmt_settable_params),             \
        PROV_FN(KEYMGMT_DUP, keymgmt_dup),                                     \
        PROV_FN(KEYMGMT_QUERY_OPERATION_NAME, keymgmt_operation_name),         \
        { 0, NULL },                                                           \
    };
KEYMGMT(rsa)
KEYMGMT(rsa_pss)
KEYMGMT(ec)
KEYMGMT(ed25519)
KEYMGMT(ed448)
KEYMGMT(ml_dsa_44)
KEYMGMT(ml_dsa_65)
KEYMGMT(ml_dsa_87)

#define ML_DSA(set, oid, properties)                                           \
    {                                                                          \
        "ML-DSA-" #set ":MLDSA" #set ":2.16.840.1.101.3.4.3." oid              \
        ":id-ml-dsa-" #set,                                                    \
            properties, ml_dsa_##set##_functions,                              \
            "ML-DSA keys on a PKCS #11 token"                                  \
    }
#define KEYMGMTS(properties)                                                   \
    {                                                                          \
        { "RSA:rsaEncryption:1.2.840.113549.1.1.1", properties, rsa_functions, \
          "RSA keys on a PKCS #11 token" },                                    \
            { "RSA-PSS:RSASSA-PSS:1.2.840.113549.1.1.10", properties,          \
              rsa_pss_functions, "RSA-PSS keys on a PKCS #11 token" },         \
            { "EC:id-ecPublicKey:1.2.840.10045.2.1", properties, ec_functions, \
              "EC keys on a PKCS #11 token" },                                 \
            { "ED25519:1.3.101.112", properties, ed25519_functions,            \
              "Ed25519 keys on a PKCS #11 token" },                            \
            { "ED448:1.3.101.113", properties, ed448_functions,                \
              "Ed448 keys on a PKCS #11 token" },                              \
            ML_DSA(44, "17", properties), ML_DSA(65, "18", properties),        \
            ML_DSA(87, "19", properties), { NULL, NULL, NULL, NULL },          \
    }
const struct prov_offer prov_keymgmts = PROV_OFFER(KEYMGMT, KEYMGMTS);
