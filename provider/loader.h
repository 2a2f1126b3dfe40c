/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a URI to the module, and to whoever has the PIN: what the store and
 * the PEM decoder share.
 */
#ifndef HSMSIGN_LOADER_H
#define HSMSIGN_LOADER_H

#include "key.h"
#include "pkcs11/pin.h"

/* One load: what it is of, and where a PIN may come from.  Owns nothing. */
struct prov_load {
    struct prov_ctx *ctx;
    const struct p11_uri *uri;
    struct p11_pin_request pin;
    OSSL_PASSPHRASE_CALLBACK *pw_cb;
    void *pw_arg;
};

/*
 * Fill load, which must not be moved afterwards.  The PIN comes from the URI,
 * else from given (NULL, or of kind P11_PIN_NONE: nothing was given), else
 * from the configuration, else it is asked for with pw_cb (may be NULL).
 */
void prov_load_init(struct prov_load *load, struct prov_ctx *ctx,
                    const struct p11_uri *uri,
                    const struct p11_pin_source *given,
                    OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_arg);

/*
 * The module, if the URI's module-path and module-name name no other one.
 * Returns CKR_OK, P11_UNSUPPORTED, or what prov_module() returns.
 */
CK_RV prov_load_module(const struct prov_load *load, struct p11_module **module,
                       struct p11_error *err);

/*
 * The private key: *key is to be freed.  Returns CKR_OK, or why not with err
 * filled; raises nothing.  Blocks.
 */
CK_RV prov_load_key(const struct prov_load *load, struct prov_key **key,
                    struct p11_error *err);

/*
 * A key of attributes that a token gave: a private key when token_key is
 * given, which the key then owns in any case and whose attributes they are,
 * with as much of its public half as prov_public_read() finds; else a public
 * key.  *key is to be freed.  Returns CKR_OK, CKR_HOST_MEMORY, P11_KEY_UNUSABLE
 * with where in its text, or what prov_public_read() returns.
 */
CK_RV prov_key_from_attrs(struct prov_ctx *ctx, const struct p11_attrs *attrs,
                          struct p11_key *token_key, const char *where,
                          struct prov_key **key, struct p11_error *err);

#endif
