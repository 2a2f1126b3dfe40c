/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store loader: what a pkcs11: URI gives, and when it is one object and
 * when a list.
 *
 *     the caller expects       object= or id=      neither
 *     a private or public key  exactly one         exactly one
 *     a certificate            exactly one         all
 *     anything                 one of each class   all
 *
 * type= narrows that down to one class.  OSSL_STORE_find() by alias is
 * object=, and by subject or by issuer and serial number all certificates
 * that match, which may be none.
 *
 * Opening only parses and always succeeds: a failing open would leave other
 * loaders' errors beside ours.  What is wrong with the URI is raised by the
 * first load.  An error ends the listing: programs load until the end.
 */
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/store.h>
#include <string.h>
#include "objects.h"

struct store_ctx {
    struct prov_ctx *prov;
    struct p11_uri *uri;  /* owned; NULL when it is not valid */
    struct p11_error err; /* why */
    struct prov_objects objects;
    bool begun, done;
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

    prov_objects_clear(&ctx->objects);
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

/* What the first load finds out. */
static CK_RV begin(struct store_ctx *ctx)
{
    const struct p11_uri *uri = ctx->uri;
    bool named;

    if (uri == NULL)
        return ctx->err.rv;
    named = uri->object.present || uri->id.present ||
            ctx->expect == OSSL_STORE_INFO_PKEY ||
            ctx->expect == OSSL_STORE_INFO_PUBKEY;
    ctx->objects.listing = !named;
    return prov_objects_want(&ctx->objects, ctx->expect, &uri->type, &ctx->err);
}

static int hand_over(const struct prov_object *object, OSSL_CALLBACK *cb,
                     void *arg)
{
    static char pem_name[] = PEM_STRING_X509;
    int type = OSSL_OBJECT_CERT, ok;
    OSSL_PARAM params[4] = {
        OSSL_PARAM_int(OSSL_OBJECT_PARAM_TYPE, &type),
        OSSL_PARAM_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, pem_name,
                               sizeof(pem_name) - 1),
    };

    if (object->key != NULL) {
        ok = prov_key_hand_over(object->key, cb, arg);
        prov_key_free(object->key);
        return ok;
    }
    params[2] = OSSL_PARAM_construct_octet_string(
        OSSL_OBJECT_PARAM_DATA, object->certificate->pValue,
        object->certificate->ulValueLen);
    params[3] = OSSL_PARAM_construct_end();
    return cb(params, arg);
}

static int store_load(void *vctx, OSSL_CALLBACK *object_cb, void *object_arg,
                      OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_arg)
{
    struct store_ctx *ctx = vctx;
    struct prov_object object = { 0 };
    struct prov_load load;
    CK_RV rv = ctx->begun ? CKR_OK : begin(ctx);

    ctx->begun = true;
    if (rv == CKR_OK) {
        prov_load_init(&load, ctx->prov, ctx->uri, NULL, pw_cb, pw_arg);
        rv = prov_objects_next(&ctx->objects, &load, &object, &ctx->err);
    }
    ctx->done = rv != CKR_OK || prov_objects_end(&ctx->objects);
    if (rv != CKR_OK)
        return prov_raise(ctx->prov, &ctx->err);
    if (object.key == NULL && object.certificate == NULL)
        return 1;
    return hand_over(&object, object_cb, object_arg);
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
