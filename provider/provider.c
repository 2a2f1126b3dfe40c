/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The provider object: init, what it offers, teardown, and process exit.
 *
 * At exit libcrypto unloads its providers while other threads may still be
 * signing, and after our own teardown could safely talk to a token.  A
 * handler that runs before libcrypto's pins every provider that is alive:
 * they then leave with the process, quietly.
 */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdlib.h>
#include "core.h"
#include "exchange.h"
#include "hsmsign.h"
#include "pkcs11/log.h"

static pthread_mutex_t live_lock = PTHREAD_MUTEX_INITIALIZER;
static struct prov_ctx *live;

static const OSSL_ALGORITHM *query(void *provctx, int operation, int *no_cache)
{
    static const struct prov_offer *const offers[] = {
        &prov_keymgmts, &prov_signatures, &prov_stores,
        &prov_decoders, &prov_encoders,   &prov_exchanges
    };
    const struct prov_ctx *ctx = provctx;
    unsigned major = OPENSSL_version_major();

    *no_cache = 0;
    for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
        const struct prov_offer *offer = offers[i];

        if (offer->operation != operation)
            continue;
        /* Older ones take the names for digests' names. */
        if (operation == OSSL_OP_SIGNATURE &&
            (major > 3 || (major == 3 && OPENSSL_version_minor() >= 4)))
            offer = &prov_named_signatures;
        return ctx->config.assume_fips ? offer->fips : offer->plain;
    }
    return NULL;
}

static const OSSL_PARAM *gettable_params(void *provctx)
{
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_NAME, NULL, 0),
        OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_VERSION, NULL, 0),
        OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_BUILDINFO, NULL, 0),
        OSSL_PARAM_int(OSSL_PROV_PARAM_STATUS, NULL),
        /* stats.c */
        OSSL_PARAM_uint64("hsmsign-sessions", NULL),
        OSSL_PARAM_uint64("hsmsign-sessions-lent", NULL),
        OSSL_PARAM_uint64("hsmsign-retries", NULL),
        OSSL_PARAM_uint64("hsmsign-errors-session", NULL),
        OSSL_PARAM_uint64("hsmsign-errors-busy", NULL),
        OSSL_PARAM_uint64("hsmsign-errors-device", NULL),
        OSSL_PARAM_uint64("hsmsign-errors-pin", NULL),
        OSSL_PARAM_uint64("hsmsign-errors-other", NULL), OSSL_PARAM_END
    };

    (void)provctx;
    return params;
}

static int get_params(void *provctx, OSSL_PARAM params[])
{
    static const struct {
        const char *name, *value;
    } texts[] = {
        { OSSL_PROV_PARAM_NAME, "hsmsign: keys on PKCS #11 tokens" },
        { OSSL_PROV_PARAM_VERSION, HSMSIGN_VERSION },
        { OSSL_PROV_PARAM_BUILDINFO, HSMSIGN_VERSION },
    };
    OSSL_PARAM *p;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        p = OSSL_PARAM_locate(params, texts[i].name);
        if (p != NULL && !OSSL_PARAM_set_utf8_ptr(p, texts[i].value))
            return 0;
    }
    p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_STATUS);
    return (p == NULL || OSSL_PARAM_set_int(p, 1)) &&
           prov_stats(provctx, params);
}

static void ctx_free(struct prov_ctx *ctx)
{
    /* A token that uses libcrypto may leave errors. */
    ERR_set_mark();
    p11_module_close(atomic_load(&ctx->module));
    ERR_pop_to_mark();
    for (size_t i = 0; i < PROV_DIGESTS; i++)
        EVP_MD_free(atomic_load(&ctx->digests[i]));
    OSSL_LIB_CTX_free(ctx->libctx);
    prov_config_free(&ctx->config);
    OPENSSL_free(ctx);
}

static void teardown(void *provctx)
{
    struct prov_ctx *ctx = provctx, **at;
    bool last;

    if (p11_module_exiting()) {
        /* at_exit() may yet come, and must not pin what is gone then. */
        ctx->up_ref = NULL;
        return;
    }
    pthread_mutex_lock(&live_lock);
    for (at = &live; *at != NULL && *at != ctx; at = &(*at)->next)
        ;
    if (*at != NULL)
        *at = (*at)->next;
    last = live == NULL;
    pthread_mutex_unlock(&live_lock);
    ctx_free(ctx);
    if (last)
        p11_log_close();
}

/* Runs before OPENSSL_cleanup(), which was registered before. */
static void at_exit(void)
{
    p11_module_set_exiting();
    /* Held for good in a child that was forked while a thread was inside. */
    if (pthread_mutex_trylock(&live_lock) != 0)
        return;
    for (struct prov_ctx *ctx = live; ctx != NULL; ctx = ctx->next) {
        if (ctx->up_ref != NULL)
            ctx->up_ref(ctx->handle, 0);
    }
    pthread_mutex_unlock(&live_lock);
}

static void register_at_exit(void)
{
    /* If it cannot be registered, exit is as it was without us. */
    (void)atexit(at_exit);
}

static void enlist(struct prov_ctx *ctx)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, register_at_exit);
    pthread_mutex_lock(&live_lock);
    ctx->next = live;
    live = ctx;
    pthread_mutex_unlock(&live_lock);
}

static const OSSL_DISPATCH functions[] = {
    PROV_FN(PROVIDER_TEARDOWN, teardown),
    PROV_FN(PROVIDER_GETTABLE_PARAMS, gettable_params),
    PROV_FN(PROVIDER_GET_PARAMS, get_params),
    PROV_FN(PROVIDER_QUERY_OPERATION, query),
    PROV_FN(PROVIDER_GET_CAPABILITIES, prov_exchange_groups),
    PROV_FN(PROVIDER_GET_REASON_STRINGS, prov_reasons),
    { 0, NULL },
};

int hsmsign_provider_init(const OSSL_CORE_HANDLE *handle,
                          const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                          void **provctx)
{
    struct prov_ctx *ctx = OPENSSL_zalloc(sizeof(*ctx));
    struct p11_module *module;
    struct p11_error err;

    if (ctx == NULL)
        return 0;
    ctx->handle = handle;
    if (!prov_core_init(ctx, in))
        goto fail;
    ctx->libctx = OSSL_LIB_CTX_new_child(handle, in);
    if (ctx->libctx == NULL ||
        !prov_config_load(&ctx->config, handle, ctx->get_params))
        goto fail;
    /* What goes wrong here comes back, with its reason, at the first URI. */
    if (ctx->config.load_early) {
        ERR_set_mark();
        (void)prov_module(ctx, &module, &err);
        ERR_pop_to_mark();
    }
    enlist(ctx);
    *out = functions;
    *provctx = ctx;
    return 1;
fail:
    ctx_free(ctx);
    return 0;
}
