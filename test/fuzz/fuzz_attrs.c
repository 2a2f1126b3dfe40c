/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what a token answers about a key: pkcs11/attr reads it, provider/alg
 * finds its type, provider/pubkey makes a public key of it.
 *
 * The input is the token's side of one C_GetAttributeValue:
 *
 *     key type   1 byte, a row of key_types
 *     answer     1 byte, a row of answers: the CK_RV
 *     any number of attributes:
 *         what   1 byte: a row of specs (modulo), and in its two highest bits
 *                whether the token tells the truth (enum lie)
 *         length 2 bytes, the highest first
 *         value  that many bytes, or what is left
 *
 * Whatever comes, memory stays sound, prov_pubkey() leaves no error, and a
 * public key that is made is of the type that was asked for, can be written,
 * and is the same when it is read again.
 */
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/x509.h>
#include <string.h>
#include "fuzz.h"
#include "pkcs11/attr.h"
#include "provider/key.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const CK_KEY_TYPE key_types[] = { CKK_RSA, CKK_EC, CKK_EC_EDWARDS,
                                         CKK_DSA, CKK_ML_DSA };

static const CK_RV answers[] = {
    CKR_OK,           CKR_ATTRIBUTE_TYPE_INVALID, CKR_ATTRIBUTE_SENSITIVE,
    CKR_DEVICE_ERROR, CKR_BUFFER_TOO_SMALL,
};

/* Sizes as pkcs11/key and pkcs11/public ask for them. */
static const struct p11_attr_spec specs[] = {
    { CKA_MODULUS, 1024 },
    { CKA_PUBLIC_EXPONENT, 16 },
    { CKA_EC_PARAMS, 64 },
    { CKA_EC_POINT, 160 },
    { CKA_PUBLIC_KEY_INFO, 2700 },
    { CKA_VALUE, 8192 },
    { CKA_PARAMETER_SET, sizeof(CK_ULONG) },
};

enum lie {
    TRUE_LENGTH,
    UNAVAILABLE, /* CK_UNAVAILABLE_INFORMATION */
    TOO_LONG,    /* a length beyond the buffer, which is left alone */
    UNTOUCHED,   /* neither length nor value are written */
};

/* What the token has of one attribute; in the order of specs. */
struct answer {
    enum lie lie;
    const uint8_t *value; /* in the input; NULL: it has none */
    size_t len;
};

bool fuzz_accepted;

static OSSL_LIB_CTX *libctx;
static OSSL_PROVIDER *provider;
static struct answer token[COUNT(specs)];
static CK_RV token_rv;

static void clean_up(void)
{
    (void)OSSL_PROVIDER_unload(provider);
    OSSL_LIB_CTX_free(libctx);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    libctx = OSSL_LIB_CTX_new();
    provider = OSSL_PROVIDER_load(libctx, "default");
    fuzz_check(libctx != NULL && provider != NULL && atexit(clean_up) == 0,
               "no library context");
    return 0;
}

/* Give one attribute; CKR_OK, or what the token says of it (v2.40, 5.7). */
static CK_RV give(CK_ATTRIBUTE *attr, const struct answer *answer)
{
    CK_ULONG room = attr->ulValueLen;

    if (answer->lie == UNTOUCHED)
        return CKR_OK;
    attr->ulValueLen = CK_UNAVAILABLE_INFORMATION;
    if (answer->lie == UNAVAILABLE || answer->value == NULL)
        return CKR_ATTRIBUTE_TYPE_INVALID;
    if (answer->lie == TOO_LONG) {
        attr->ulValueLen = room + 1 + answer->len;
        return CKR_OK;
    }
    if (answer->len > room)
        return CKR_BUFFER_TOO_SMALL;
    if (answer->len > 0)
        memcpy(attr->pValue, answer->value, answer->len);
    attr->ulValueLen = answer->len;
    return CKR_OK;
}

static CK_RV get_attribute_value(CK_SESSION_HANDLE session,
                                 CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attrs,
                                 CK_ULONG count)
{
    CK_RV rv = token_rv, one;

    (void)session;
    (void)object;
    for (CK_ULONG i = 0; i < count; i++) {
        for (size_t n = 0; n < COUNT(specs); n++) {
            if (specs[n].type != attrs[i].type)
                continue;
            one = give(&attrs[i], &token[n]);
            if (rv == CKR_OK)
                rv = one;
        }
    }
    return rv;
}

/* The input, from its third byte, as what the token has. */
static void read_answers(const uint8_t *data, size_t size)
{
    memset(token, 0, sizeof(token));
    while (size >= 3) {
        struct answer *answer = &token[(data[0] & 0x3f) % COUNT(specs)];
        size_t len = (size_t)data[1] << 8 | data[2];

        answer->lie = (enum lie)(data[0] >> 6);
        data += 3;
        size -= 3;
        if (len > size)
            len = size;
        answer->value = data;
        answer->len = len;
        data += len;
        size -= len;
    }
}

/* Every byte that an attribute claims is there, and no more than asked for. */
static void check_attrs(const struct p11_attrs *attrs)
{
    for (size_t i = 0; i < COUNT(specs); i++) {
        const CK_ATTRIBUTE *attr = p11_attrs_get(attrs, specs[i].type);
        unsigned char *copy = NULL;

        if (attr == NULL)
            continue;
        fuzz_check(attr->ulValueLen <= 8 * specs[i].size + sizeof(CK_ULONG),
                   "an attribute longer than its buffer");
        copy = malloc(attr->ulValueLen);
        fuzz_check(copy != NULL, "no memory");
        memcpy(copy, attr->pValue, attr->ulValueLen);
        free(copy);
    }
}

static void check_key(EVP_PKEY *key, const char *name)
{
    static const unsigned char message[] = "message", signature[64] = { 1 };
    unsigned char *der = NULL;
    const unsigned char *p = NULL;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY *again = NULL;
    int len;

    fuzz_accepted = true;
    fuzz_check(name == NULL || EVP_PKEY_is_a(key, name), "another type of key");
    len = i2d_PUBKEY(key, &der);
    p = der;
    /* A certificate may have a key that only some provider can write. */
    if (len > 0) {
        again = d2i_PUBKEY_ex(NULL, &p, len, libctx, NULL);
        fuzz_check(again != NULL && EVP_PKEY_eq(key, again) == 1,
                   "another key when it is read again");
    } else {
        fuzz_check(name == NULL, "a key that cannot be written");
    }
    fuzz_check(md != NULL, "no memory");
    if (EVP_DigestVerifyInit_ex(md, NULL, NULL, libctx, NULL, key, NULL) > 0)
        fuzz_check(EVP_DigestVerify(md, signature, sizeof(signature), message,
                                    sizeof(message)) != 1,
                   "a key that takes any signature");
    EVP_MD_CTX_free(md);
    EVP_PKEY_free(again);
    OPENSSL_free(der);
    ERR_clear_error();
}

static void make_key(struct prov_ctx *ctx, const struct prov_alg *alg,
                     const struct p11_attrs *attrs)
{
    EVP_PKEY *key = prov_pubkey(ctx, alg, attrs, NULL);

    fuzz_check(ERR_peek_error() == 0, "an error of prov_pubkey()");
    if (key != NULL)
        check_key(key, alg->name);
    EVP_PKEY_free(key);
}

/* As of a key, which has a type, and as of a certificate, which has none. */
static void make_keys(struct prov_ctx *ctx, const struct p11_attrs *attrs,
                      CK_KEY_TYPE key_type)
{
    const CK_ATTRIBUTE *der = p11_attrs_get(attrs, CKA_VALUE);
    const struct prov_alg *alg = NULL;
    const struct p11_attrs none = { 0 };
    struct p11_attrs typed = *attrs;
    EVP_PKEY *key = NULL;

    typed.attr[typed.count++] =
        (CK_ATTRIBUTE){ CKA_KEY_TYPE, &key_type, sizeof(key_type) };
    alg = prov_alg_find(&typed);
    fuzz_check(alg == NULL || alg->key_type == key_type, "another key type");
    if (alg != NULL) {
        make_key(ctx, alg, &typed);
        make_key(ctx, alg, attrs);
        fuzz_check(prov_pubkey(ctx, alg, &none, attrs) == NULL,
                   "a key out of nothing");
    }
    if (der == NULL)
        return;
    key = prov_pubkey_certificate(ctx, der->pValue, der->ulValueLen);
    ERR_clear_error(); /* who calls it sees to that */
    if (key != NULL)
        check_key(key, NULL);
    EVP_PKEY_free(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static CK_FUNCTION_LIST functions = { .C_GetAttributeValue =
                                              get_attribute_value };
    struct prov_ctx ctx = { .libctx = libctx };
    struct p11_module module = { .fl = &functions };
    struct p11_attrs attrs = { 0 };
    CK_RV rv;

    fuzz_accepted = false;
    if (size < 2)
        return 0;
    token_rv = answers[data[1] % COUNT(answers)];
    read_answers(data + 2, size - 2);
    rv = p11_attrs_read(&module, 1, 1, specs, COUNT(specs), &attrs);
    fuzz_check(rv == CKR_OK || attrs.count == 0, "attributes of a failed call");
    fuzz_check(rv != CKR_ATTRIBUTE_TYPE_INVALID &&
                   rv != CKR_ATTRIBUTE_SENSITIVE,
               "an absent attribute is an error");
    check_attrs(&attrs);
    make_keys(&ctx, &attrs, key_types[data[0] % COUNT(key_types)]);
    p11_attrs_clear(&attrs);
    return 0;
}
