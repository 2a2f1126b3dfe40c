/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store loader: a pkcs11: URI gives one private key, or one error.
 *
 * Opening only parses and always succeeds: a failing open would leave other
 * loaders' errors beside ours.  What is wrong with the URI is raised by the
 * first load.
 */
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/params.h>
#include <openssl/store.h>
#include "key.h"

struct store_ctx {
    struct prov_ctx *prov;
    struct p11_uri *uri;  /* owned; NULL when it is not valid */
    struct p11_error err; /* why */
    bool done;
    int expect; /* OSSL_STORE_INFO_*; 0: anything */
};

static void *store_open(void *provctx, const char *uri)
{
    struct store_ctx *ctx = OPENSSL_zalloc(sizeof(*ctx));

    if (ctx == NULL)
        return NULL;
    ctx->prov = provctx;
    if (p11_uri_parse(uri, &ctx->uri, &ctx->err) != CKR_OK)
        ctx->uri = NULL;
    return ctx;
}

static int store_close(void *vctx)
{
    struct store_ctx *ctx = vctx;

    p11_uri_free(ctx->uri);
    OPENSSL_free(ctx);
    return 1;
}

static int store_eof(void *vctx)
{
    const struct store_ctx *ctx = vctx;

    return ctx->done;
}

static const OSSL_PARAM *store_settable_ctx_params(void *provctx)
{
    static const OSSL_PARAM settable[] = {
        OSSL_PARAM_int(OSSL_STORE_PARAM_EXPECT, NULL),
        OSSL_PARAM_utf8_string(OSSL_STORE_PARAM_PROPERTIES, NULL, 0),
        OSSL_PARAM_END
    };

    (void)provctx;
    return settable;
}

static int store_set_ctx_params(void *vctx, const OSSL_PARAM params[])
{
    struct store_ctx *ctx = vctx;
    const OSSL_PARAM *p =
        OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_EXPECT);
    /* OSSL_STORE_find(): what it asks for must not be passed over. */
    static const char *const searches[] = {
        OSSL_STORE_PARAM_SUBJECT, OSSL_STORE_PARAM_ISSUER,
        OSSL_STORE_PARAM_SERIAL,  OSSL_STORE_PARAM_FINGERPRINT,
        OSSL_STORE_PARAM_ALIAS,
    };

    for (size_t i = 0; i < sizeof(searches) / sizeof(searches[0]); i++) {
        if (OSSL_PARAM_locate_const(params, searches[i]) != NULL)
            return prov_raise_rv(ctx->prov, P11_UNSUPPORTED,
                                 "a token is not searched by %s; name the key "
                                 "by its URI",
                                 searches[i]);
    }
    return p == NULL || OSSL_PARAM_get_int(p, &ctx->expect);
}

static int store_load(void *vctx, OSSL_CALLBACK *object_cb, void *object_arg,
                      OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_arg)
{
    struct store_ctx *ctx = vctx;
    struct prov_key *key;
    int ok;

    ctx->done = true;
    if (ctx->uri == NULL)
        return prov_raise(ctx->prov, &ctx->err);
    if (ctx->expect != 0 && ctx->expect != OSSL_STORE_INFO_PKEY)
        return prov_raise_rv(ctx->prov, P11_UNSUPPORTED,
                             "only private keys are loaded from a token; give "
                             "certificates and public keys as files");
    if (prov_key_load(ctx->prov, ctx->uri, pw_cb, pw_arg, &key, &ctx->err) !=
        CKR_OK)
        return prov_raise(ctx->prov, &ctx->err);
    ok = prov_key_hand_over(key, object_cb, object_arg);
    prov_key_free(key);
    return ok;
}

static const OSSL_DISPATCH functions[] = {
    PROV_FN(STORE_OPEN, store_open),
    PROV_FN(STORE_SETTABLE_CTX_PARAMS, store_settable_ctx_params),
    PROV_FN(STORE_SET_CTX_PARAMS, store_set_ctx_params),
    PROV_FN(STORE_LOAD, store_load),
    PROV_FN(STORE_EOF, store_eof),
    PROV_FN(STORE_CLOSE, store_close),
    { 0, NULL },
};

#define STORES(properties)                                                     \
    {                                                                          \
        { "pkcs11", properties, functions, "pkcs11: URIs (RFC 7512)" },        \
            { NULL, NULL, NULL, NULL },                                        \
    }
const struct prov_offer prov_stores = PROV_OFFER(STORE, STORES);
