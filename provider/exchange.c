/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key agreement of programs that prefer this provider for everything
 * ("?provider=hsmsign" as default_properties).  libssl then takes the EC keys
 * of a handshake from here: they are made and used in another provider, stay in
 * memory, sign nothing and are not written, so that nobody gets a software key
 * who forgot to name a token.
 */
#include "exchange.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <string.h>
#include <strings.h>
#include "key.h"

struct prov_key *prov_exchange_key(struct prov_ctx *prov, EVP_PKEY *curve)
{
    struct prov_key *key = prov_key_new(prov, &prov_alg_ec);
    EVP_PKEY_CTX *pctx =
        EVP_PKEY_CTX_new_from_pkey(prov->libctx, curve, PROV_NOT_OURS);
    EVP_PKEY *pair = NULL;

    if (key != NULL && pctx != NULL && EVP_PKEY_keygen_init(pctx) > 0 &&
        EVP_PKEY_generate(pctx, &pair) > 0) {
        key->agrees = true;
        prov_key_set_public(key, pair);
    } else {
        prov_key_free(key);
        key = NULL;
    }
    EVP_PKEY_CTX_free(pctx);
    return key;
}

struct exchange {
    struct prov_ctx *prov;
    EVP_PKEY_CTX *other; /* owned; another provider's */
};

static void *newctx(void *provctx)
{
    struct exchange *ctx = OPENSSL_zalloc(sizeof(*ctx));

    if (ctx != NULL)
        ctx->prov = provctx;
    return ctx;
}

static void freectx(void *vctx)
{
    struct exchange *ctx = vctx;

    EVP_PKEY_CTX_free(ctx->other);
    OPENSSL_free(ctx);
}

static int init(void *vctx, void *keydata, const OSSL_PARAM params[])
{
    struct exchange *ctx = vctx;
    struct prov_key *key = keydata;

    if (!key->agrees)
        return prov_raise_rv(ctx->prov, P11_UNSUPPORTED,
                             "keys on a token sign, and agree on nothing");
    EVP_PKEY_CTX_free(ctx->other);
    ctx->other = EVP_PKEY_CTX_new_from_pkey(
        ctx->prov->libctx, prov_key_public(key), PROV_NOT_OURS);
    return ctx->other != NULL &&
           EVP_PKEY_derive_init_ex(ctx->other, params) > 0;
}

static int set_peer(void *vctx, void *keydata)
{
    struct exchange *ctx = vctx;
    EVP_PKEY *peer = prov_key_public(keydata);

    return peer != NULL && EVP_PKEY_derive_set_peer(ctx->other, peer) > 0;
}

static int derive(void *vctx, unsigned char *secret, size_t *len, size_t size)
{
    struct exchange *ctx = vctx;

    *len = size;
    return EVP_PKEY_derive(ctx->other, secret, len) > 0;
}

static const OSSL_DISPATCH functions[] = {
    PROV_FN(KEYEXCH_NEWCTX, newctx), PROV_FN(KEYEXCH_FREECTX, freectx),
    PROV_FN(KEYEXCH_INIT, init),     PROV_FN(KEYEXCH_SET_PEER, set_peer),
    PROV_FN(KEYEXCH_DERIVE, derive), { 0, NULL },
};

/* A name of our own, as signatures have: "ECDH" is for software keys. */
#define EXCHANGES(properties)                                                  \
    {                                                                          \
        { PROV_EXCHANGE, properties, functions, "of a handshake" },            \
            { NULL, NULL, NULL, NULL },                                        \
    }
const struct prov_offer prov_exchanges = PROV_OFFER(KEYEXCH, EXCHANGES);

/*
 * libssl knows no group of whose algorithm, "EC", another provider's key
 * management is preferred to that of the one that tells the group.  RFC 8422,
 * 5.1.1, and RFC 8446, 4.2.7.
 */
int prov_exchange_groups(void *provctx, const char *capability,
                         OSSL_CALLBACK *cb, void *arg)
{
    static const struct {
        const char *name, *internal;
        unsigned id, bits; /* of security */
    } groups[] = { { "secp256r1", "prime256v1", 23, 128 },
                   { "P-256", "prime256v1", 23, 128 },
                   { "secp384r1", "secp384r1", 24, 192 },
                   { "P-384", "secp384r1", 24, 192 },
                   { "secp521r1", "secp521r1", 25, 256 },
                   { "P-521", "secp521r1", 25, 256 } };
    int tls = 0x0301, dtls = 0xfeff, any = 0;

    (void)provctx;
    if (strcasecmp(capability, "TLS-GROUP") != 0)
        return 1;
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        unsigned id = groups[i].id, bits = groups[i].bits;
        const OSSL_PARAM params[] = {
            OSSL_PARAM_utf8_string(OSSL_CAPABILITY_TLS_GROUP_NAME,
                                   (char *)groups[i].name,
                                   strlen(groups[i].name)),
            OSSL_PARAM_utf8_string(OSSL_CAPABILITY_TLS_GROUP_NAME_INTERNAL,
                                   (char *)groups[i].internal,
                                   strlen(groups[i].internal)),
            OSSL_PARAM_utf8_string(OSSL_CAPABILITY_TLS_GROUP_ALG, "EC", 2),
            OSSL_PARAM_uint(OSSL_CAPABILITY_TLS_GROUP_ID, &id),
            OSSL_PARAM_uint(OSSL_CAPABILITY_TLS_GROUP_SECURITY_BITS, &bits),
            OSSL_PARAM_int(OSSL_CAPABILITY_TLS_GROUP_MIN_TLS, &tls),
            OSSL_PARAM_int(OSSL_CAPABILITY_TLS_GROUP_MAX_TLS, &any),
            OSSL_PARAM_int(OSSL_CAPABILITY_TLS_GROUP_MIN_DTLS, &dtls),
            OSSL_PARAM_int(OSSL_CAPABILITY_TLS_GROUP_MAX_DTLS, &any),
            OSSL_PARAM_END
        };

        if (!cb(params, arg))
            return 0;
    }
    return 1;
}
