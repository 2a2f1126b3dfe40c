/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of programs that know nothing of hsmsign: a private one by its URI,
 * through OpenSSL's store, and a public one from a file.  NULL: not there.
 */
#ifndef HSMSIGN_TEST_INTEGRATION_URI_KEY_H
#define HSMSIGN_TEST_INTEGRATION_URI_KEY_H

#include <stdio.h>
#include <openssl/pem.h>
#include <openssl/store.h>

static inline EVP_PKEY *load_private(const char *uri)
{
    OSSL_STORE_CTX *store = OSSL_STORE_open(uri, NULL, NULL, NULL, NULL);
    OSSL_STORE_INFO *info = NULL;
    EVP_PKEY *found = NULL;

    if (store != NULL && OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY))
        info = OSSL_STORE_load(store);
    if (info != NULL)
        found = OSSL_STORE_INFO_get1_PKEY(info);
    OSSL_STORE_INFO_free(info);
    OSSL_STORE_close(store);
    return found;
}

static inline EVP_PKEY *load_public(const char *file)
{
    FILE *in = fopen(file, "re");
    EVP_PKEY *found = NULL;

    if (in == NULL)
        return NULL;
    found = PEM_read_PUBKEY(in, NULL, NULL, NULL);
    (void)fclose(in);
    return found;
}

#endif
