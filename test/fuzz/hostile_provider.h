/* SPDX-License-Identifier: Apache-2.0 */
/* What fuzz_token.c does with the hostile token through provider/. */
#ifndef HSMSIGN_TEST_HOSTILE_PROVIDER_H
#define HSMSIGN_TEST_HOSTILE_PROVIDER_H

#include "pkcs11/module.h"
#include "pkcs11/pin.h"
#include "pkcs11/uri.h"

/* Once; the path of the module. */
void hostile_provider_init(const char *path);

/*
 * Load the key that uri names and sign with it, as "with" says: its lowest bit
 * is hsmsign-verify, the others the padding.  What is released then is what
 * its public key verifies; what is not is cleansed.
 */
CK_RV hostile_provider_sign(struct p11_module *module,
                            const struct p11_uri *uri,
                            const struct p11_pin_source *pin, unsigned with,
                            struct p11_error *err);

/* List what uri names, as a store does; not more than a few. */
CK_RV hostile_provider_list(struct p11_module *module,
                            const struct p11_uri *uri,
                            const struct p11_pin_source *pin, unsigned with,
                            struct p11_error *err);

#endif
