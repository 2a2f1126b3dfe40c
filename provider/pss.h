/* SPDX-License-Identifier: Apache-2.0 */
/* RSA-PSS padding in software, for tokens that do not do it themselves. */
#ifndef HSMSIGN_PSS_H
#define HSMSIGN_PSS_H

#include <openssl/evp.h>

/*
 * EMSA-PSS-ENCODE (RFC 8017, 9.1.1), as long as the modulus.
 *
 * libctx    where the salt comes from
 * md, mgf1  the digest that digest was made with, and MGF1's
 * salt_len  bytes
 * bits      of the modulus
 * block     receives (bits + 7) / 8 bytes, ready for CKM_RSA_X_509
 *
 * Returns 1, or 0 if the modulus has no room or libcrypto failed; raises
 * nothing of its own.  Does not block.
 */
int prov_pss_pad(OSSL_LIB_CTX *libctx, const EVP_MD *md, const EVP_MD *mgf1,
                 const unsigned char *digest, size_t salt_len, size_t bits,
                 unsigned char *block);

#endif
