/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers for whoever watches a program: OSSL_PROVIDER_get_params() gives each
 * as a uint64_t.
 */
#include <openssl/params.h>
#include "core.h"
#include "pkcs11/slot.h"
#include "pkcs11/stats.h"

/* Which classes of CK_RV a number adds up, as bits. */
#define CLASS(name) (1U << P11_CLASS_##name)

static const struct {
    const char *name;
    unsigned classes;
} failures[] = {
    { "hsmsign-errors-session",
      CLASS(SESSION) | CLASS(LOGIN) | CLASS(HANDLE) | CLASS(LIMIT) },
    { "hsmsign-errors-busy", CLASS(BUSY) },
    { "hsmsign-errors-device", CLASS(DEVICE) | CLASS(LIBRARY) },
    { "hsmsign-errors-pin", CLASS(PIN) },
    { "hsmsign-errors-other", CLASS(FATAL) },
};

static int set(OSSL_PARAM params[], const char *name, uint64_t value)
{
    OSSL_PARAM *p = OSSL_PARAM_locate(params, name);

    return p == NULL || OSSL_PARAM_set_uint64(p, value);
}

int prov_stats(const struct prov_ctx *ctx, OSSL_PARAM params[])
{
    struct p11_module *module = atomic_load(&ctx->module);
    unsigned long open = 0, lent = 0;

    if (module != NULL)
        p11_module_sessions(module, &open, &lent);
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        uint64_t n = 0;

        for (unsigned c = 0; c <= P11_CLASS_DEVICE; c++) {
            if ((failures[i].classes & (1U << c)) != 0)
                n += atomic_load(&p11_stats.failed[c]);
        }
        if (!set(params, failures[i].name, n))
            return 0;
    }
    return set(params, "hsmsign-sessions", open) &&
           set(params, "hsmsign-sessions-lent", lent) &&
           set(params, "hsmsign-retries", atomic_load(&p11_stats.retries));
}
