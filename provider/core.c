/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include "core.h"
#include "pkcs11/log.h"

int prov_core_init(struct prov_ctx *ctx, const OSSL_DISPATCH *in)
{
    for (; in->function_id != 0; in++) {
        switch (in->function_id) {
        case OSSL_FUNC_CORE_GET_PARAMS:
            ctx->get_params = OSSL_FUNC_core_get_params(in);
            break;
        case OSSL_FUNC_CORE_NEW_ERROR:
            ctx->new_error = OSSL_FUNC_core_new_error(in);
            break;
        case OSSL_FUNC_CORE_SET_ERROR_DEBUG:
            ctx->set_error_debug = OSSL_FUNC_core_set_error_debug(in);
            break;
        case OSSL_FUNC_CORE_VSET_ERROR:
            ctx->vset_error = OSSL_FUNC_core_vset_error(in);
            break;
        case OSSL_FUNC_PROVIDER_UP_REF:
            ctx->up_ref = OSSL_FUNC_provider_up_ref(in);
            break;
        default:
            break;
        }
    }
    return ctx->get_params != NULL && ctx->new_error != NULL &&
           ctx->set_error_debug != NULL && ctx->vset_error != NULL;
}

/*
 * Two threads may both get here; p11_module_open() lets them in one by one,
 * and the second one only takes a reference, which it gives back.
 */
CK_RV prov_module(struct prov_ctx *ctx, struct p11_module **module,
                  struct p11_error *err)
{
    struct p11_module_config config;
    struct p11_module *expected = NULL;
    CK_RV rv;

    *module = atomic_load(&ctx->module);
    if (*module != NULL)
        return CKR_OK;
    rv = prov_config_check(&ctx->config, err);
    if (rv != CKR_OK)
        return rv;
    prov_config_module(&ctx->config, &config);
    rv = p11_module_open(&config, module, err);
    if (rv != CKR_OK)
        return rv;
    if (!atomic_compare_exchange_strong(&ctx->module, &expected, *module)) {
        p11_module_close(*module);
        *module = expected;
    }
    return CKR_OK;
}

/* A reason's number is its row in pkcs11/rv's table, from 1. */
const OSSL_ITEM *prov_reasons(void *provctx)
{
    struct prov_ctx *ctx = provctx;
    size_t n;
    const struct p11_rv_info *table = p11_rv_table(&n);

    for (size_t i = 0; i < n && i < PROV_REASONS; i++) {
        ctx->reasons[i].id = (unsigned int)i + 1;
        ctx->reasons[i].ptr = (void *)table[i].reason;
    }
    return ctx->reasons;
}

static void vset_error(const struct prov_ctx *ctx, unsigned int reason,
                       const char *format, ...)
{
    va_list args;

    va_start(args, format);
    ctx->vset_error(ctx->handle, reason, format, args);
    va_end(args);
}

int prov_raise_at(const struct prov_ctx *ctx, const char *file, int line,
                  const char *function, CK_RV rv, const char *format, ...)
{
    struct p11_error err;
    va_list args;
    size_t n;

    va_start(args, format);
    p11_error_vset(&err, rv, format, args);
    va_end(args);
    ctx->new_error(ctx->handle);
    ctx->set_error_debug(ctx->handle, file, line, function);
    vset_error(ctx, (unsigned int)(p11_rv_info(rv) - p11_rv_table(&n)) + 1,
               "%s", err.text);
    /* curl, haproxy and others never show what is in the error queue. */
    p11_log(P11_LOG_ERROR, "%s: %s", p11_rv_info(rv)->reason, err.text);
    return 0;
}

int prov_set_text(OSSL_PARAM params[], const char *name, const char *text)
{
    OSSL_PARAM *p = OSSL_PARAM_locate(params, name);

    return p == NULL || OSSL_PARAM_set_utf8_string(p, text);
}

/* Whether a property query's term is about the provider ("?provider=x"). */
static bool is_provider_term(const char *term)
{
    static const char name[] = "provider";

    term += strspn(term, " ?-");
    return strncasecmp(term, name, sizeof(name) - 1) == 0 &&
           strchr("=! ,", term[sizeof(name) - 1]) != NULL;
}

char *prov_other_properties(const char *propq)
{
    char *other, *to;

    if (propq == NULL)
        propq = "";
    other = to = OPENSSL_malloc(strlen(propq) + 1 + sizeof(PROV_NOT_OURS));
    if (other == NULL)
        return NULL;
    while (*propq != '\0') {
        size_t len = strcspn(propq, ",");

        if (!is_provider_term(propq)) {
            memcpy(to, propq, len);
            to += len;
            *to++ = ',';
        }
        propq += len;
        propq += *propq == ',';
    }
    memcpy(to, PROV_NOT_OURS, sizeof(PROV_NOT_OURS));
    return other;
}
