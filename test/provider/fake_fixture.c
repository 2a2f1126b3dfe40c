/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_fixture.h"
#include <dlfcn.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Written before threads begin. */
static struct {
    const char *name;
    bool no_public;
    EVP_PKEY *twin;
} keys[] = { { "rsa2048", false, NULL },
             { "p256", false, NULL },
             { "p256-bare", true, NULL } };

static void free_twins(void)
{
    for (size_t i = 0; i < COUNT(keys); i++)
        EVP_PKEY_free(keys[i].twin);
}

/* DER of libcrypto's to r||s of PKCS #11's (v2.40, 2.3.1). */
static bool to_raw(unsigned char *sig, size_t *len)
{
    const unsigned char *p = sig;
    ECDSA_SIG *parsed = d2i_ECDSA_SIG(NULL, &p, (long)*len);
    bool ok = parsed != NULL &&
              BN_bn2binpad(ECDSA_SIG_get0_r(parsed), sig, 32) == 32 &&
              BN_bn2binpad(ECDSA_SIG_get0_s(parsed), sig + 32, 32) == 32;

    ECDSA_SIG_free(parsed);
    *len = 64;
    return ok;
}

/* As the mechanism wants it; PSS with SHA-256 alone, as it comes by default. */
static bool set_padding(EVP_PKEY_CTX *pctx, const CK_MECHANISM *mechanism)
{
    const CK_RSA_PKCS_PSS_PARAMS *pss = mechanism->pParameter;

    if (mechanism->mechanism == CKM_RSA_X_509)
        return EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_NO_PADDING) > 0;
    if (mechanism->mechanism != CKM_RSA_PKCS_PSS)
        return true;
    return pss->hashAlg == CKM_SHA256 && pss->mgf == CKG_MGF1_SHA256 &&
           EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) > 0 &&
           EVP_PKEY_CTX_ctrl_str(pctx, "digest", "SHA256") > 0 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, (int)pss->sLen) > 0;
}

static CK_RV sign(struct fake *fake, const struct fake_object *key,
                  const CK_MECHANISM *mechanism, const unsigned char *data,
                  size_t len, unsigned char *sig, size_t *siglen)
{
    const CK_ATTRIBUTE *label = fake_attribute(key, CKA_LABEL);
    EVP_PKEY_CTX *pctx = NULL;
    bool ok = false;

    (void)fake;
    for (size_t i = 0; i < COUNT(keys); i++) {
        if (strlen(keys[i].name) == label->ulValueLen &&
            memcmp(keys[i].name, label->pValue, label->ulValueLen) == 0)
            pctx = EVP_PKEY_CTX_new_from_pkey(fixture_software(), keys[i].twin,
                                              NULL);
    }
    *siglen = FAKE_MAX_SIGNATURE;
    ok = pctx != NULL && EVP_PKEY_sign_init(pctx) > 0 &&
         set_padding(pctx, mechanism) &&
         EVP_PKEY_sign(pctx, sig, siglen, data, len) > 0;
    EVP_PKEY_CTX_free(pctx);
    if (ok && mechanism->mechanism == CKM_ECDSA)
        ok = to_raw(sig, siglen);
    return ok ? CKR_OK : CKR_GENERAL_ERROR;
}

static void add_rsa(struct fake *fake, const char *name, EVP_PKEY *twin)
{
    BIGNUM *n = NULL, *e = NULL;
    unsigned char modulus[512], exponent[8];
    struct fake_key key = { .type = CKK_RSA,
                            .label = name,
                            .id = { "\x01", 1 } };

    assert_true(EVP_PKEY_get_bn_param(twin, OSSL_PKEY_PARAM_RSA_N, &n));
    assert_true(EVP_PKEY_get_bn_param(twin, OSSL_PKEY_PARAM_RSA_E, &e));
    key.modulus.data = modulus;
    key.modulus.len = (size_t)BN_bn2bin(n, modulus);
    key.exponent.data = exponent;
    key.exponent.len = (size_t)BN_bn2bin(e, exponent);
    BN_free(n);
    BN_free(e);
    fake_add_key(fake, 0, &key);
}

static void add_ec(struct fake *fake, const char *name, EVP_PKEY *twin,
                   bool no_public)
{
    unsigned char point[2 + 65] = { 0x04, 65 };
    size_t len = 0;
    struct fake_key key = {
        .type = CKK_EC,
        .label = name,
        .id = { name, strlen(name) },
        .ec_params = { "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 10 },
        .ec_point = { point, sizeof(point) },
        .no_public = no_public,
    };

    assert_true(EVP_PKEY_get_octet_string_param(twin, OSSL_PKEY_PARAM_PUB_KEY,
                                                point + 2, 65, &len));
    assert_int_equal(len, 65);
    fake_add_key(fake, 0, &key);
}

struct fake *fake_fixture(void)
{
    static struct fake *(*get)(void);
    struct fake *fake = NULL;

    if (get == NULL) {
        void *dl = dlopen(fixture_required("HSMSIGN_FAKE"), RTLD_NOW);
        void *symbol = dl != NULL ? dlsym(dl, "fake_get") : NULL;

        assert_non_null(symbol);
        memcpy(&get, &symbol, sizeof(get));
        (void)fixture_software();
        for (size_t i = 0; i < COUNT(keys); i++)
            keys[i].twin = fixture_twin(keys[i].name);
        assert_int_equal(atexit(free_twins), 0);
    }
    fake = get();
    fake_reset(fake);
    fake->sign = sign;
    for (size_t i = 0; i < COUNT(keys); i++) {
        if (EVP_PKEY_is_a(keys[i].twin, "RSA"))
            add_rsa(fake, keys[i].name, keys[i].twin);
        else
            add_ec(fake, keys[i].name, keys[i].twin, keys[i].no_public);
    }
    return fake;
}

OSSL_LIB_CTX *fake_context(const char *options)
{
    char all[1024];
    /* What the fake fails is failed for good, unless the test says else. */
    int len = snprintf(all, sizeof(all), FIXTURE_PIN "hsmsign-deadline = 0\n%s",
                       options);

    assert_in_range(len, 1, sizeof(all) - 1);
    return fixture_module(fixture_required("HSMSIGN_FAKE"), all);
}

EVP_PKEY *fake_key(OSSL_LIB_CTX *ctx, const char *name)
{
    char uri[256];
    EVP_PKEY *key = NULL;

    (void)snprintf(uri, sizeof(uri), FAKE_URI "%s", name);
    key = fixture_load(ctx, uri);
    if (key == NULL) {
        ERR_print_errors_fp(stderr);
        fail_msg("%s cannot be loaded", uri);
    }
    return key;
}
