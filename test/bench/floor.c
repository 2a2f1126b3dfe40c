/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor: a built-in provider that hashes and answers at once, by an
 * operation name of its own as hsmsign has.  What EVP_DigestSign costs with it
 * is libcrypto's share, below which no provider gets.  where is the file of a
 * software key, which makes the one signature that is answered.
 */
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <string.h>
#include "bench.h"

#define OPERATION "FLOOR"
#define FN(id, function)                                                       \
    {                                                                          \
        OSSL_FUNC_##id, (void (*)(void))(function)                             \
    }

static OSSL_LIB_CTX *libctx;
static EVP_PKEY *key;
static EVP_MD *md;
static const struct bench_alg *alg;
static unsigned char answer[BENCH_SIGNATURE_MAX];
static size_t answer_len;

/* Key management: of a key that knows nothing. */
static char the_key;

static void *key_new(void *provctx)
{
    (void)provctx;
    return &the_key;
}

static void key_free(void *keydata)
{
    (void)keydata;
}

static int key_has(const void *keydata, int selection)
{
    (void)keydata;
    (void)selection;
    return 1;
}

static int key_import(void *keydata, int selection, const OSSL_PARAM params[])
{
    (void)keydata;
    (void)selection;
    (void)params;
    return 1;
}

static const OSSL_PARAM *key_import_types(int selection)
{
    static const OSSL_PARAM none[] = { OSSL_PARAM_END };

    (void)selection;
    return none;
}

static int key_get_params(void *keydata, OSSL_PARAM params[])
{
    OSSL_PARAM *p = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_MAX_SIZE);

    (void)keydata;
    return p == NULL || OSSL_PARAM_set_int(p, BENCH_SIGNATURE_MAX);
}

static const OSSL_PARAM *key_gettable(void *provctx)
{
    static const OSSL_PARAM list[] = {
        OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL), OSSL_PARAM_END
    };

    (void)provctx;
    return list;
}

static const char *key_operation(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? OPERATION : NULL;
}

/* Signatures. */
static void *sig_new(void *provctx, const char *propq)
{
    (void)provctx;
    (void)propq;
    return EVP_MD_CTX_new();
}

static void sig_free(void *ctx)
{
    EVP_MD_CTX_free(ctx);
}

static int sig_init(void *ctx, const char *mdname, void *keydata,
                    const OSSL_PARAM params[])
{
    (void)mdname;
    (void)keydata;
    (void)params;
    return EVP_DigestInit_ex2(ctx, md, NULL);
}

static int sig_sign(void *ctx, unsigned char *sig, size_t *len, size_t size,
                    const unsigned char *data, size_t data_len)
{
    unsigned char digest[EVP_MAX_MD_SIZE];

    if (size < answer_len || !EVP_DigestUpdate(ctx, data, data_len) ||
        !EVP_DigestFinal_ex(ctx, digest, NULL))
        return 0;
    memcpy(sig, answer, answer_len);
    *len = answer_len;
    return 1;
}

static const OSSL_DISPATCH key_functions[] = {
    FN(KEYMGMT_NEW, key_new),
    FN(KEYMGMT_FREE, key_free),
    FN(KEYMGMT_HAS, key_has),
    FN(KEYMGMT_IMPORT, key_import),
    FN(KEYMGMT_IMPORT_TYPES, key_import_types),
    FN(KEYMGMT_GET_PARAMS, key_get_params),
    FN(KEYMGMT_GETTABLE_PARAMS, key_gettable),
    FN(KEYMGMT_QUERY_OPERATION_NAME, key_operation),
    { 0, NULL },
};

static const OSSL_DISPATCH sig_functions[] = {
    FN(SIGNATURE_NEWCTX, sig_new),
    FN(SIGNATURE_FREECTX, sig_free),
    FN(SIGNATURE_DIGEST_SIGN_INIT, sig_init),
    FN(SIGNATURE_DIGEST_SIGN, sig_sign),
    { 0, NULL },
};

static const OSSL_ALGORITHM keys[] = {
    { "RSA", "provider=floor", key_functions, NULL },
    { "EC", "provider=floor", key_functions, NULL },
    { NULL, NULL, NULL, NULL },
};

static const OSSL_ALGORITHM signatures[] = {
    { OPERATION, "provider=floor", sig_functions, NULL },
    { NULL, NULL, NULL, NULL },
};

static const OSSL_ALGORITHM *query(void *provctx, int operation, int *no_cache)
{
    (void)provctx;
    *no_cache = 0;
    return operation == OSSL_OP_KEYMGMT     ? keys
           : operation == OSSL_OP_SIGNATURE ? signatures
                                            : NULL;
}

static int provider_init(const OSSL_CORE_HANDLE *handle,
                         const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                         void **provctx)
{
    static const OSSL_DISPATCH functions[] = {
        FN(PROVIDER_QUERY_OPERATION, query),
        { 0, NULL },
    };

    (void)in;
    *out = functions;
    *provctx = (void *)handle;
    return 1;
}

static EVP_PKEY *floor_key(const char *type)
{
    EVP_PKEY_CTX *ctx =
        EVP_PKEY_CTX_new_from_name(libctx, type, "provider=floor");
    OSSL_PARAM none[] = { OSSL_PARAM_END };
    EVP_PKEY *made = NULL;

    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &made, EVP_PKEY_KEYPAIR, none) != 1)
        made = NULL;
    EVP_PKEY_CTX_free(ctx);
    return made;
}

/* The software key's signature of the message. */
static bool make_answer(const char *file)
{
    BIO *bio = BIO_new_file(file, "r");
    EVP_PKEY *software =
        bio == NULL
            ? NULL
            : PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, libctx, NULL);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool made;

    answer_len = sizeof(answer);
    made = software != NULL && bench_sign_init(ctx, alg, libctx, software) &&
           EVP_DigestSign(ctx, answer, &answer_len, bench_message,
                          BENCH_MESSAGE) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(software);
    BIO_free(bio);
    return made;
}

static bool floor_open(const struct bench_alg *a, const char *where)
{
    alg = a;
    libctx = OSSL_LIB_CTX_new();
    if (libctx == NULL || OSSL_PROVIDER_load(libctx, "default") == NULL ||
        !make_answer(where) ||
        !OSSL_PROVIDER_add_builtin(libctx, "floor", provider_init) ||
        OSSL_PROVIDER_load(libctx, "floor") == NULL)
        return false;
    md = EVP_MD_fetch(libctx, "SHA256", NULL);
    key = floor_key(alg->ecdsa ? "EC" : "RSA");
    return md != NULL && key != NULL;
}

static void *floor_begin(void)
{
    return key;
}

static bool floor_sign(void *thread, unsigned char *sig, size_t *len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool signed_it;

    (void)thread;
    *len = BENCH_SIGNATURE_MAX;
    signed_it =
        ctx != NULL && bench_sign_init(ctx, alg, libctx, key) &&
        EVP_DigestSign(ctx, sig, len, bench_message, BENCH_MESSAGE) == 1;
    EVP_MD_CTX_free(ctx);
    return signed_it;
}

static void floor_end(void *thread)
{
    (void)thread;
}

const struct contender bench_floor = { "floor",     false,      floor_open,
                                       floor_begin, floor_sign, floor_end,
                                       NULL };
