/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that signs through OpenSSL: one EVP_PKEY for all threads, a new
 * context for each signature.  where is what OSSL_STORE opens: a pkcs11: URI
 * (OPENSSL_CONF says by which provider) or the file of a software key.
 */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include "bench.h"

static EVP_PKEY *key;
static const struct bench_alg *alg;

static bool evp_open(const struct bench_alg *a, const char *where)
{
    OSSL_STORE_CTX *store = OSSL_STORE_open(where, UI_null(), NULL, NULL, NULL);

    alg = a;
    while (store != NULL && key == NULL && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        if (info == NULL)
            break;
        key = OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    if (key == NULL)
        ERR_print_errors_fp(stderr);
    else
        ERR_clear_error();
    return key != NULL;
}

bool bench_sign_init(EVP_MD_CTX *ctx, const struct bench_alg *a,
                     OSSL_LIB_CTX *libctx, EVP_PKEY *pkey)
{
    int padding = RSA_PKCS1_PSS_PADDING, salt = RSA_PSS_SALTLEN_DIGEST;
    OSSL_PARAM pss[] = {
        OSSL_PARAM_construct_int(OSSL_SIGNATURE_PARAM_PAD_MODE, &padding),
        OSSL_PARAM_construct_int(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, &salt),
        OSSL_PARAM_construct_end()
    };

    return EVP_DigestSignInit_ex(ctx, NULL, "SHA256", libctx, NULL, pkey,
                                 a->pss ? pss : NULL) == 1;
}

static void *evp_begin(void)
{
    return key;
}

static bool evp_sign(void *thread, unsigned char *sig, size_t *len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool signed_it;

    (void)thread;
    *len = BENCH_SIGNATURE_MAX;
    signed_it =
        ctx != NULL && bench_sign_init(ctx, alg, NULL, key) &&
        EVP_DigestSign(ctx, sig, len, bench_message, BENCH_MESSAGE) == 1;
    EVP_MD_CTX_free(ctx);
    if (!signed_it)
        ERR_print_errors_fp(stderr);
    return signed_it;
}

static void evp_end(void *thread)
{
    (void)thread;
}

static EVP_MD_CTX *evp_document(void)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    if (ctx != NULL && bench_sign_init(ctx, alg, NULL, key))
        return ctx;
    EVP_MD_CTX_free(ctx);
    return NULL;
}

const struct contender bench_evp = { "evp",    false,   evp_open,    evp_begin,
                                     evp_sign, evp_end, evp_document };
