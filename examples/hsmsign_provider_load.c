/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the provider comes from.  If openssl.cnf activates one that serves
 * pkcs11: URIs, ours or another, that one signs.  Otherwise the provider that
 * is linked into this program does, so that HSM_MODULE and HSM_PIN suffice.
 */
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include "hsmsign_tool.h"
#include "../provider/hsmsign.h"

/* Loaded by hand, the last first. */
static OSSL_PROVIDER *loaded[2];

static int load_builtin(void)
{
    if (!OSSL_PROVIDER_add_builtin(NULL, "hsmsign", hsmsign_provider_init))
        return 0;
    /* A provider that is loaded by hand leaves "default" to us as well. */
    loaded[1] = OSSL_PROVIDER_load(NULL, "default");
    loaded[0] = OSSL_PROVIDER_load(NULL, "hsmsign");
    return loaded[0] != NULL && loaded[1] != NULL;
}

bool provider_is_served(void)
{
    OSSL_STORE_LOADER *loader;

    /* That it finds none is no error. */
    (void)ERR_set_mark();
    loader = OSSL_STORE_LOADER_fetch(NULL, "pkcs11", NULL);
    (void)ERR_pop_to_mark();
    OSSL_STORE_LOADER_free(loader);
    return loader != NULL;
}

int provider_load(bool *builtin)
{
    bool served = provider_is_served();

    if (builtin != NULL)
        *builtin = !served;
    return served || load_builtin();
}

void provider_unload(void)
{
    size_t i;

    for (i = 0; i < sizeof(loaded) / sizeof(loaded[0]); i++) {
        if (loaded[i] != NULL)
            (void)OSSL_PROVIDER_unload(loaded[i]);
        loaded[i] = NULL;
    }
}
