/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fake token behind the provider, for what SoftHSM cannot be made to do.
 * The provider loads it by path; the test finds that copy's fake, and gives it
 * keys whose signatures the software twins make.
 */
#ifndef HSMSIGN_TEST_PROVIDER_FAKE_FIXTURE_H
#define HSMSIGN_TEST_PROVIDER_FAKE_FIXTURE_H

#include "../fake_token.h"
#include "fixture.h"

/* The token's label is "fake". */
#define FAKE_URI "pkcs11:token=fake;object="

/*
 * The fake of HSMSIGN_FAKE, reset, with RSA key "rsa2048" and EC key "p256",
 * both with a public object, and "p256-bare" without one.  It stays loaded.
 */
struct fake *fake_fixture(void);
/* A context on it, with the PIN as an option and more options. */
OSSL_LIB_CTX *fake_context(const char *options);
/* The key called name on it, or the test fails. */
EVP_PKEY *fake_key(OSSL_LIB_CTX *ctx, const char *name);

#endif
