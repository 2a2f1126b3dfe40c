/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsign, an OpenSSL 3 provider that signs with keys in a PKCS #11 token,
 * linked into a program instead of loaded from a file.
 *
 * The order of calls, for the default library context or one of your own
 * (ctx; NULL is the default one):
 *
 *     OSSL_PROVIDER_add_builtin(ctx, "hsmsign", hsmsign_provider_init);
 *     OSSL_PROVIDER_load(ctx, "default");
 *     OSSL_PROVIDER_load(ctx, "hsmsign");
 *     ... OSSL_STORE_open_ex("pkcs11:...", ctx, ...) ...
 *
 * - OSSL_PROVIDER_add_builtin() comes before anything that makes libcrypto
 *   read openssl.cnf.  Later, options from that file do not reach the
 *   provider.
 * - "default" is loaded too: it hashes and verifies.  Loading any provider by
 *   hand turns off the automatic loading of "default".
 * - Options come from the section of openssl.cnf that activates "hsmsign", if
 *   there is one, and where that is silent from the environment: HSM_MODULE,
 *   HSM_PIN or HSM_PIN_FILE, HSMSIGN_LOG.  To give options without a file,
 *   write the section to an in-memory BIO, read it with NCONF_load_bio() and
 *   hand it to CONF_modules_load(); examples/embed.c does so.
 * - Free every EVP_PKEY before its OSSL_LIB_CTX.
 *
 * See hsmsign-provider(7) for the options.
 */
#ifndef HSMSIGN_H
#define HSMSIGN_H

#include <openssl/core.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The provider's init function (provider-base(7)).
 *
 * handle   the provider object in libcrypto, which outlives the provider
 * in       libcrypto's functions for us
 * out      receives our functions, static
 * provctx  receives our context, freed by our teardown function
 *
 * Returns 1, or 0 when memory is short or libcrypto lacks a function that we
 * need.  Does not touch the token, unless pkcs11-module-load-behavior =
 * early; a bad option does not fail it, but the first use of a pkcs11: URI.
 */
OSSL_provider_init_fn hsmsign_provider_init;

#ifdef __cplusplus
}
#endif

#endif
