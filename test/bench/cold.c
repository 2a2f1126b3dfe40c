/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   cold MODULE OBJECT ALGORITHM KEY CERTIFICATE DOCUMENT OUT
 *
 * The bare counterpart of a cold `openssl cms -sign`: the fewest PKCS #11
 * calls that find a key and sign, and beside them the same CMS by libcrypto,
 * with the software twin of the key.  So both have the same to do but for what
 * the provider adds.
 */
#include <openssl/cms.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include "bench.h"

unsigned char bench_info[51];

static bool make_cms(const char *key_file, const char *cert_file,
                     const char *document, const char *out_file)
{
    BIO *key_bio = BIO_new_file(key_file, "r");
    BIO *cert_bio = BIO_new_file(cert_file, "r");
    BIO *in = BIO_new_file(document, "rb"), *out = BIO_new_file(out_file, "wb");
    EVP_PKEY *key = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL);
    X509 *cert = PEM_read_bio_X509(cert_bio, NULL, NULL, NULL);
    const unsigned flags = CMS_BINARY | CMS_DETACHED;
    CMS_ContentInfo *cms = CMS_sign(NULL, NULL, NULL, in, flags | CMS_PARTIAL);
    bool made = key != NULL && cert != NULL && cms != NULL &&
                CMS_add1_signer(cms, cert, key, EVP_sha256(), flags) != NULL &&
                CMS_final(cms, in, NULL, flags) == 1 &&
                i2d_CMS_bio(out, cms) == 1;

    CMS_ContentInfo_free(cms);
    X509_free(cert);
    EVP_PKEY_free(key);
    BIO_free(out);
    BIO_free(in);
    BIO_free(cert_bio);
    BIO_free(key_bio);
    return made;
}

int main(int argc, char **argv)
{
    static const struct bench_alg rsa = { "rsa", CKM_RSA_PKCS, false, false },
                                  ec = { "ec", CKM_ECDSA, false, true };
    unsigned char sig[BENCH_SIGNATURE_MAX];
    size_t len;

    if (argc != 8)
        return 2;
    return bench_raw_open(argv[1], argv[2]) &&
                   bench_raw_sign(strcmp(argv[3], "rsa") == 0 ? &rsa : &ec, sig,
                                  &len) &&
                   make_cms(argv[4], argv[5], argv[6], argv[7])
               ? 0
               : 1;
}
