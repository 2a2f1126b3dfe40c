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
 * The parameter "pin", a UTF-8 string, given to OSSL_STORE_open_ex(), is the
 * PIN if the URI has none.
 *
 * Opening only parses and always succeeds: a failing open would leave other
 * loaders' errors beside ours.  What is wrong with the URI is raised by the
 * first load.  An error ends the listing: programs load until the end.
 */
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/store.h>
#include <string.h>
#include "objects.h"

/* Ours alone: libcrypto has no name for it. */
#define PARAM_PIN "pin"

struct store_ctx {
    struct prov_ctx *prov;
    struct p11_uri *uri;       /* owned; NULL when it is not valid */
    struct p11_error err;      /* what the first load raises, if anything */
    struct p11_pin_source pin; /* from the parameter "pin", if that is given */
    struct prov_objects objects;
    /* OSSL_STORE_find(): of certificates, DER, owned; or of objects' labels. */
    CK_ATTRIBUTE search[2];
    size_t search_count;
    char *alias; /* owned; NULL for none */
    bool begun, failed, done;
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

static void forget_search(struct store_ctx *ctx)
{
    for (size_t i = 0; i < ctx->search_count; i++)
        OPENSSL_free(ctx->search[i].pValue);
    ctx->search_count = 0;
    OPENSSL_free(ctx->alias);
    ctx->alias = NULL;
}

static int store_close(void *vctx)
{
    struct store_ctx *ctx = vctx;

    prov_objects_clear(&ctx->objects);
    forget_search(ctx);
    p11_pin_source_clear(&ctx->pin);
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
        OSSL_PARAM_octet_string(OSSL_STORE_PARAM_SUBJECT, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_STORE_PARAM_ISSUER, NULL, 0),
        OSSL_PARAM_BN(OSSL_STORE_PARAM_SERIAL, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_STORE_PARAM_ALIAS, NULL, 0),
        OSSL_PARAM_utf8_string(PARAM_PIN, NULL, 0),
        OSSL_PARAM_END
    };

    (void)provctx;
    return settable;
}

/* The DER of a name, as PKCS #11 has it too (v2.40, 4.6.3). */
static int search_by_name(struct store_ctx *ctx, CK_ATTRIBUTE_TYPE type,
                          const OSSL_PARAM *name)
{
    CK_ATTRIBUTE *attr = &ctx->search[ctx->search_count];
    size_t len;

    attr->pValue = NULL;
    if (!OSSL_PARAM_get_octet_string(name, &attr->pValue, 0, &len))
        return 0;
    attr->type = type;
    attr->ulValueLen = len;
    ctx->search_count++;
    return 1;
}

/* A number here, the DER of an INTEGER there. */
static int search_by_serial(struct store_ctx *ctx, const OSSL_PARAM *serial)
{
    CK_ATTRIBUTE *attr = &ctx->search[ctx->search_count];
    ASN1_INTEGER *integer = NULL;
    BIGNUM *number = NULL;
    unsigned char *der = NULL;
    int len = 0;

    if (OSSL_PARAM_get_BN(serial, &number))
        integer = BN_to_ASN1_INTEGER(number, NULL);
    if (integer != NULL)
        len = i2d_ASN1_INTEGER(integer, &der);
    ASN1_INTEGER_free(integer);
    BN_free(number);
    if (len <= 0)
        return 0;
    *attr = (CK_ATTRIBUTE){ CKA_SERIAL_NUMBER, der, (CK_ULONG)len };
    ctx->search_count++;
    return 1;
}

/* OSSL_STORE_find(); the last one counts. */
static int set_search(struct store_ctx *ctx, const OSSL_PARAM params[])
{
    const OSSL_PARAM *subject, *issuer, *serial, *alias;

    /* What a search asks for must not be passed over. */
    if (OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_FINGERPRINT) != NULL)
        return prov_raise_rv(ctx->prov, P11_UNSUPPORTED,
                             "a token cannot be searched by fingerprint; "
                             "search by subject, issuer and serial number, or "
                             "alias");
    subject = OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_SUBJECT);
    issuer = OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_ISSUER);
    serial = OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_SERIAL);
    alias = OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_ALIAS);
    if (subject == NULL && issuer == NULL && serial == NULL && alias == NULL)
        return 1;
    forget_search(ctx);
    if (subject != NULL)
        return search_by_name(ctx, CKA_SUBJECT, subject);
    if (alias != NULL)
        return OSSL_PARAM_get_utf8_string(alias, &ctx->alias, 0);
    return (issuer == NULL || search_by_name(ctx, CKA_ISSUER, issuer)) &&
           (serial == NULL || search_by_serial(ctx, serial));
}

/* A program that has the PIN gives it so.  Never refused here: see above. */
static int set_pin(struct store_ctx *ctx, const OSSL_PARAM *p)
{
    char *pin = NULL;
    CK_RV rv;

    if (p == NULL)
        return 1;
    if (!OSSL_PARAM_get_utf8_string(p, &pin, 0))
        return 0;
    p11_pin_source_clear(&ctx->pin);
    rv = p11_pin_source_set(P11_PIN_LITERAL, pin, "the parameter \"pin\"",
                            &ctx->pin, &ctx->err);
    OPENSSL_clear_free(pin, strlen(pin));
    return rv != CKR_HOST_MEMORY;
}

static int store_set_ctx_params(void *vctx, const OSSL_PARAM params[])
{
    struct store_ctx *ctx = vctx;
    const OSSL_PARAM *p =
        OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_EXPECT);

    return (p == NULL || OSSL_PARAM_get_int(p, &ctx->expect)) &&
           set_pin(ctx, OSSL_PARAM_locate_const(params, PARAM_PIN)) &&
           set_search(ctx, params);
}

/* An alias is a label, and so is object=. */
static CK_RV set_alias(struct store_ctx *ctx)
{
    struct p11_uri_value *object = &ctx->uri->object;
    size_t len = strlen(ctx->alias);

    if (object->present)
        return object->len == len && memcmp(object->bytes, ctx->alias, len) == 0
                   ? CKR_OK
                   : p11_error_set(&ctx->err, P11_PARAMETER,
                                   "object= and the alias that is searched for "
                                   "differ; leave one of them out");
    object->bytes = strdup(ctx->alias);
    if (object->bytes == NULL)
        return p11_error_set(&ctx->err, CKR_HOST_MEMORY, "no memory");
    object->len = len;
    object->present = true;
    return CKR_OK;
}

/* What the first load finds out. */
static CK_RV begin(struct store_ctx *ctx)
{
    int expect = ctx->expect;
    CK_RV rv = CKR_OK;

    if (ctx->err.rv != CKR_OK)
        return ctx->err.rv;
    if (ctx->alias != NULL)
        rv = set_alias(ctx);
    if (rv != CKR_OK)
        return rv;
    if (ctx->search_count > 0) {
        if (expect != 0 && expect != OSSL_STORE_INFO_CERT)
            return p11_error_set(&ctx->err, P11_UNSUPPORTED,
                                 "only certificates are searched for by "
                                 "subject, or by issuer and serial number; "
                                 "name a key with object= or id=");
        /* X509_LOOKUP_store() expects nothing, and takes nothing else. */
        expect = OSSL_STORE_INFO_CERT;
        ctx->objects.search = ctx->search;
        ctx->objects.search_count = ctx->search_count;
    }
    ctx->objects.listing =
        ctx->search_count > 0 ||
        !(ctx->uri->object.present || ctx->uri->id.present ||
          expect == OSSL_STORE_INFO_PKEY || expect == OSSL_STORE_INFO_PUBKEY);
    return prov_objects_want(&ctx->objects, expect, &ctx->uri->type, &ctx->err);
}

static int store_load(void *vctx, OSSL_CALLBACK *object_cb, void *object_arg,
                      OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_arg)
{
    struct store_ctx *ctx = vctx;
    struct prov_object object = { 0 };
    struct prov_load load;
    CK_RV rv;
    int ok;

    /* The end comes one load later, or programs take an error for the end. */
    ctx->done = ctx->failed;
    if (ctx->failed)
        return 1;
    rv = ctx->begun ? CKR_OK : begin(ctx);
    ctx->begun = true;
    if (rv == CKR_OK) {
        prov_load_init(&load, ctx->prov, ctx->uri, &ctx->pin, pw_cb, pw_arg);
        rv = prov_objects_next(&ctx->objects, &load, &object, &ctx->err);
    }
    ctx->failed = rv != CKR_OK;
    ctx->done = rv == CKR_OK && prov_objects_end(&ctx->objects);
    if (rv != CKR_OK)
        return prov_raise(ctx->prov, &ctx->err);
    if (object.key == NULL && object.certificate == NULL)
        return 1;
    ok = prov_object_hand_over(&object, object_cb, object_arg);
    /* The list goes on behind it. */
    if (!ok && object.certificate != NULL)
        return prov_raise_rv(ctx->prov, P11_UNSUPPORTED,
                             "%s: a certificate object holds no X.509 "
                             "certificate; delete it, or name another one "
                             "with object= or id=",
                             object.where);
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
