/* SPDX-License-Identifier: Apache-2.0 */
/* All that a store gives, in a word, for the tests of provider/objects. */
#ifndef HSMSIGN_TEST_PROVIDER_LETTERS_H
#define HSMSIGN_TEST_PROVIDER_LETTERS_H

#include "fixture.h"
#include <openssl/err.h>
#include <openssl/store.h>

#define PKEY   OSSL_STORE_INFO_PKEY
#define PUBKEY OSSL_STORE_INFO_PUBKEY
#define CERT   OSSL_STORE_INFO_CERT

/*
 * All that a URI gives, as letters: k(ey), p(ublic key), c(ertificate), and !
 * for an error.  In the manner of programs, which load until the end.
 */
static inline const char *everything(OSSL_LIB_CTX *lib, const char *uri,
                                     int expect, char letters[64])
{
    OSSL_STORE_CTX *store =
        OSSL_STORE_open_ex(uri, lib, NULL, NULL, NULL, NULL, NULL, NULL);
    size_t n = 0;

    assert_non_null(store);
    assert_int_equal(OSSL_STORE_expect(store, expect), 1);
    for (int loads = 0; !OSSL_STORE_eof(store); loads++) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);
        int type = info != NULL ? OSSL_STORE_INFO_get_type(info) : 0;

        assert_in_range(n, 0, 62);
        assert_in_range(loads, 0, 70);
        if (type == OSSL_STORE_INFO_PKEY)
            letters[n++] = 'k';
        else if (type == OSSL_STORE_INFO_PUBKEY)
            letters[n++] = 'p';
        else if (type == OSSL_STORE_INFO_CERT)
            letters[n++] = 'c';
        else if (OSSL_STORE_error(store))
            letters[n++] = '!';
        OSSL_STORE_INFO_free(info);
    }
    letters[n] = '\0';
    assert_int_equal(OSSL_STORE_close(store), 1);
    return letters;
}

/* The first of a URI. */
static inline OSSL_STORE_INFO *first(OSSL_LIB_CTX *lib, const char *uri,
                                     int expect)
{
    OSSL_STORE_CTX *store =
        OSSL_STORE_open_ex(uri, lib, NULL, NULL, NULL, NULL, NULL, NULL);
    OSSL_STORE_INFO *info = NULL;

    assert_non_null(store);
    assert_int_equal(OSSL_STORE_expect(store, expect), 1);
    info = OSSL_STORE_load(store);
    OSSL_STORE_close(store);
    if (info == NULL) {
        ERR_print_errors_fp(stderr);
        fail_msg("%s gives nothing", uri);
    }
    return info;
}

#endif
