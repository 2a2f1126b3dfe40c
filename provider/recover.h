/* SPDX-License-Identifier: Apache-2.0 */
/* From an ECDSA signature to the public keys that it verifies under. */
#ifndef HSMSIGN_RECOVER_H
#define HSMSIGN_RECOVER_H

#include <openssl/evp.h>

/* Two points for each of the coordinates r and r + n. */
#define PROV_RECOVER_MAX 4

/*
 * The public keys under which a signature verifies (SEC 1 v2.0, 4.1.6).
 *
 * libctx       where the EVP_PKEYs are made, by providers that propq allows
 * curve        an EC key or its parameters: a named curve with cofactor 1
 * digest, len  what was signed, and its length in bytes
 * sig, siglen  DER of r and s
 * pkeys        receives the keys, to be freed by the caller
 *
 * Returns their number; 0 if the curve or the signature is none to recover
 * from.  Raises nothing of its own.  Does not block.
 */
size_t prov_ecdsa_recover(OSSL_LIB_CTX *libctx, const char *propq,
                          const EVP_PKEY *curve, const unsigned char *digest,
                          size_t len, const unsigned char *sig, size_t siglen,
                          EVP_PKEY *pkeys[PROV_RECOVER_MAX]);

#endif
