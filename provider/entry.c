/* SPDX-License-Identifier: Apache-2.0 */
/* The one symbol that the loadable module exports (provider(7)). */
#include "hsmsign.h"

__attribute__((visibility("default"))) OSSL_provider_init_fn OSSL_provider_init;

int OSSL_provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                       const OSSL_DISPATCH **out, void **provctx)
{
    return hsmsign_provider_init(handle, in, out, provctx);
}
