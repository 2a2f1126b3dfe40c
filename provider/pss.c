/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens that sign with CKM_RSA_PKCS_PSS may refuse a digest, or an MGF1 with
 * another digest than the message's (SoftHSM: SHA-3 and both).  The padding
 * needs no secret, so that it can be made here.
 */
#include <string.h>
#include <openssl/rand.h>
#include "pss.h"

/* RFC 8017, B.2.1; the mask is applied to data in place. */
static int apply_mgf1(EVP_MD_CTX *ctx, const EVP_MD *mgf1,
                      const unsigned char *seed, size_t seed_len,
                      unsigned char *data, size_t len)
{
    unsigned char mask[EVP_MAX_MD_SIZE];
    size_t size = (size_t)EVP_MD_get_size(mgf1);

    for (uint32_t counter = 0; len > 0; counter++) {
        const unsigned char c[] = { (unsigned char)(counter >> 24),
                                    (unsigned char)(counter >> 16),
                                    (unsigned char)(counter >> 8),
                                    (unsigned char)counter };
        size_t n = len < size ? len : size;

        if (!EVP_DigestInit_ex2(ctx, mgf1, NULL) ||
            !EVP_DigestUpdate(ctx, seed, seed_len) ||
            !EVP_DigestUpdate(ctx, c, sizeof(c)) ||
            !EVP_DigestFinal_ex(ctx, mask, NULL))
            return 0;
        for (size_t i = 0; i < n; i++)
            data[i] ^= mask[i];
        data += n;
        len -= n;
    }
    return 1;
}

int prov_pss_pad(OSSL_LIB_CTX *libctx, const EVP_MD *md, const EVP_MD *mgf1,
                 const unsigned char *digest, size_t salt_len, size_t bits,
                 unsigned char *block)
{
    static const unsigned char zeros[8] = { 0 };
    size_t h_len = (size_t)EVP_MD_get_size(md);
    size_t em_bits = bits - 1, em_len = (em_bits + 7) / 8;
    /* One byte more than em_len when em_bits is a multiple of 8. */
    unsigned char *db = block + ((bits + 7) / 8 - em_len);
    size_t db_len = em_len - h_len - 1;
    unsigned char *h = db + db_len, *salt = h - salt_len;
    EVP_MD_CTX *ctx;
    int ok;

    if (em_len < h_len + 2 || salt_len > em_len - h_len - 2)
        return 0;
    ctx = EVP_MD_CTX_new();
    memset(block, 0, (size_t)(salt - block));
    salt[-1] = 0x01;
    ok = ctx != NULL && RAND_bytes_ex(libctx, salt, salt_len, 0) > 0 &&
         EVP_DigestInit_ex2(ctx, md, NULL) &&
         EVP_DigestUpdate(ctx, zeros, sizeof(zeros)) &&
         EVP_DigestUpdate(ctx, digest, h_len) &&
         EVP_DigestUpdate(ctx, salt, salt_len) &&
         EVP_DigestFinal_ex(ctx, h, NULL) &&
         apply_mgf1(ctx, mgf1, h, h_len, db, db_len);
    EVP_MD_CTX_free(ctx);
    db[0] &= (unsigned char)(0xff >> (8 * em_len - em_bits));
    h[h_len] = 0xbc;
    return ok;
}
