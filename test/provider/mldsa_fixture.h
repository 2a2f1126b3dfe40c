/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ML-DSA keys on the fake token, and their software twins.  Wants OpenSSL 3.5
 * or newer, except for the table.
 */
#ifndef HSMSIGN_TEST_PROVIDER_MLDSA_FIXTURE_H
#define HSMSIGN_TEST_PROVIDER_MLDSA_FIXTURE_H

#include "fake_fixture.h"

#define MLDSA_SETS 3
extern const struct mldsa_set {
    const char *name; /* libcrypto's, and the label */
    CK_ULONG set;
    size_t signature; /* bytes: FIPS 204, table 2 */
} mldsa_sets[MLDSA_SETS];

/*
 * The software key behind the i-th key; not the caller's.  It lives on, and
 * must not meet a key on the token: it would keep that one's provider.
 */
EVP_PKEY *mldsa_twin(size_t i);

/* Where the token has the public half. */
enum mldsa_public {
    MLDSA_VALUE, /* CKA_VALUE of a public object with the same CKA_ID */
    MLDSA_INFO,  /* CKA_PUBLIC_KEY_INFO of the private object */
    MLDSA_LABEL, /* as MLDSA_VALUE, but the label is all that ties them */
    MLDSA_NOWHERE
};

/*
 * fake_fixture() with all keys, which their twins sign for, by CKM_ML_DSA or a
 * mechanism of the test's that it has added to the fake's.
 */
struct fake *mldsa_fixture(enum mldsa_public where);
/* The i-th key, by its label, or the test fails. */
EVP_PKEY *mldsa_key(OSSL_LIB_CTX *ctx, size_t i);
/* Numbers of the i-th pair's objects. */
struct fake_pair mldsa_pair(size_t i);

/* The parameter of the last C_SignInit: CK_SIGN_ADDITIONAL_CONTEXT. */
struct mldsa_parameter {
    bool present;
    CK_ULONG hedge;
    unsigned char context[256];
    size_t context_len;
};
extern struct mldsa_parameter mldsa_parameter;

/* Sign with twin or key, with a context string if context_len is not 0. */
size_t mldsa_sign(OSSL_LIB_CTX *ctx, EVP_PKEY *key, const void *context,
                  size_t context_len, int deterministic,
                  const unsigned char *message, size_t len, unsigned char *sig,
                  size_t size);

#endif
