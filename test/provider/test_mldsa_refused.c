/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said of ML-DSA keys that cannot be used, on every libcrypto: without
 * a provider that has ML-DSA (OpenSSL before 3.5, or here "base" alone), and
 * without a parameter set that we know.  And the vendor's number of EdDSA,
 * which wants no new libcrypto.
 */
#include "mldsa_fixture.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/store.h>
#include <stdio.h>
#include <string.h>

#define UNUSABLE "the key's type or curve is not handled"

static struct fake *fake;

/* A key whose public half's value does not matter. */
static void add(const char *label, CK_ULONG set)
{
    static const unsigned char value[2592] = { 1 };
    struct fake_key key = { .type = CKK_ML_DSA,
                            .label = label,
                            .id = { label, strlen(label) },
                            .parameter_set = set,
                            .value = { value, sizeof(value) } };

    fake_add_key(fake, 0, &key);
}

static int setup(void **state)
{
    (void)state;
    fake = fake_fixture();
    for (size_t i = 0; i < MLDSA_SETS; i++)
        add(mldsa_sets[i].name, mldsa_sets[i].set);
    return 0;
}

/* Whatever libcrypto it is: one in which nobody has ML-DSA. */
static OSSL_LIB_CTX *without_ml_dsa(void)
{
    char text[4096];
    int len = snprintf(
        text, sizeof(text),
        "openssl_conf = init\n[init]\nproviders = providers\n"
        "[providers]\n%s = other\nhsmsign = hsmsign\n[other]\nactivate = 1\n"
        "[hsmsign]\nmodule = %s\nactivate = 1\n"
        "pkcs11-module-path = %s\n" FIXTURE_PIN,
        fixture_is_openssl(3, 5) ? "base" : "default",
        fixture_required("HSMSIGN_PROVIDER"), fixture_required("HSMSIGN_FAKE"));

    assert_in_range(len, 1, sizeof(text) - 1);
    return fixture_configured(text);
}

static void test_without_ml_dsa_in_libcrypto_the_reason_is_told(void **state)
{
    OSSL_LIB_CTX *ctx = without_ml_dsa();
    const char *version = OpenSSL_version(OPENSSL_VERSION_STRING);

    (void)state;
    for (size_t i = 0; i < MLDSA_SETS; i++) {
        static const char *const types[] = { "", ";type=public" };

        for (size_t n = 0; n < COUNT(types); n++) {
            char uri[256];
            OSSL_STORE_CTX *store = NULL;

            (void)snprintf(uri, sizeof(uri), FAKE_URI "%s%s",
                           mldsa_sets[i].name, types[n]);
            store = OSSL_STORE_open_ex(uri, ctx, NULL, NULL, NULL, NULL, NULL,
                                       NULL);
            assert_non_null(store);
            assert_null(OSSL_STORE_load(store));
            fixture_assert_error(0, UNUSABLE, mldsa_sets[i].name,
                                 "OpenSSL 3.5 or newer", version, NULL);
            OSSL_STORE_close(store);
        }
    }
    OSSL_LIB_CTX_free(ctx);
}

/* Where PEM and its decoders are: "default" has them on all versions. */
static void test_pem_file_tells_it_too(void **state)
{
    static const char text[] =
        /* pkcs11:token=fake;object=ML-DSA-65 */
        "-----BEGIN PKCS#11 PROVIDER URI-----\n"
        "MD8aGVBLQ1MjMTEgUHJvdmlkZXIgVVJJIHYxLjAMInBrY3MxMTp0b2tlbj1mYWtl\n"
        "O29iamVjdD1NTC1EU0EtNjU=\n"
        "-----END PKCS#11 PROVIDER URI-----\n";
    OSSL_LIB_CTX *ctx = without_ml_dsa();
    BIO *bio = BIO_new_mem_buf(text, -1);

    (void)state;
    assert_null(PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, ctx, NULL));
    fixture_assert_error(9, UNUSABLE, "OpenSSL 3.5 or newer", NULL);
    BIO_free(bio);
    OSSL_LIB_CTX_free(ctx);
}

static void test_list_passes_over_them(void **state)
{
    OSSL_LIB_CTX *ctx = without_ml_dsa();
    OSSL_STORE_CTX *store = OSSL_STORE_open_ex("pkcs11:token=fake", ctx, NULL,
                                               NULL, NULL, NULL, NULL, NULL);
    size_t count = 0;

    (void)state;
    assert_non_null(store);
    while (!OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        if (info != NULL && OSSL_STORE_INFO_get0_PKEY(info) != NULL)
            count++;
        OSSL_STORE_INFO_free(info);
    }
    /* "base" has no other keys either. */
    assert_int_equal(count, fixture_is_openssl(3, 5) ? 0 : 3);
    fixture_assert_no_error();
    OSSL_STORE_close(store);
    OSSL_LIB_CTX_free(ctx);
}

/* It would be made, and nobody here could use it. */
static void test_none_is_made(void **state)
{
    OSSL_LIB_CTX *ctx = without_ml_dsa();

    (void)state;
    for (size_t i = 0; i < MLDSA_SETS; i++) {
        EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new_from_name(ctx, mldsa_sets[i].name,
                                                        "provider=hsmsign");
        EVP_PKEY *key = NULL;

        assert_non_null(pctx);
        assert_int_equal(EVP_PKEY_keygen_init(pctx), 1);
        assert_true(EVP_PKEY_CTX_ctrl_str(pctx, "pkcs11_uri", FAKE_URI "new") >
                    0);
        assert_true(EVP_PKEY_generate(pctx, &key) <= 0);
        assert_int_equal(fake_count(fake, "C_GenerateKeyPair"), 0);
        fixture_assert_error(9, UNUSABLE, mldsa_sets[i].name,
                             "OpenSSL 3.5 or newer", NULL);
        EVP_PKEY_CTX_free(pctx);
    }
    OSSL_LIB_CTX_free(ctx);
}

static void test_unknown_parameter_sets_are_told(void **state)
{
    static const CK_ULONG sets[] = { 0, 4, 0x80000001 };
    OSSL_LIB_CTX *ctx = fake_context("");

    (void)state;
    for (size_t i = 0; i < COUNT(sets); i++) {
        char label[16], hex[32], uri[64];

        (void)snprintf(label, sizeof(label), "unknown%zu", i);
        (void)snprintf(hex, sizeof(hex), "0x%lx",
                       sets[i] != 0 ? sets[i] : CK_UNAVAILABLE_INFORMATION);
        (void)snprintf(uri, sizeof(uri), FAKE_URI "%s", label);
        add(label, sets[i]);
        assert_null(fixture_load(ctx, uri));
        fixture_assert_error(0, UNUSABLE, label, hex, "ML-DSA-44", NULL);
    }
    OSSL_LIB_CTX_free(ctx);
}

/* ---- a vendor's EdDSA ---- */

static CK_RV sign_ed25519(struct fake *f, const struct fake_object *key,
                          const CK_MECHANISM *mechanism,
                          const unsigned char *data, size_t len,
                          unsigned char *sig, size_t *siglen)
{
    EVP_MD_CTX *mctx = EVP_MD_CTX_new();
    bool ok;

    (void)key;
    *siglen = 64;
    ok = mechanism->ulParameterLen == 0 &&
         EVP_DigestSignInit_ex(mctx, NULL, NULL, fixture_software(), NULL,
                               f->sign_arg, NULL) > 0 &&
         EVP_DigestSign(mctx, sig, siglen, data, len) > 0;
    EVP_MD_CTX_free(mctx);
    return ok ? CKR_OK : CKR_MECHANISM_PARAM_INVALID;
}

/* AWS CloudHSM: the standard's type of key, a mechanism of its own. */
static void test_vendors_eddsa_signs(void **state)
{
    OSSL_LIB_CTX *ctx = NULL;
    EVP_PKEY *twin = NULL, *key = NULL;
    unsigned char point[2 + 32] = { 0x04, 32 }, sig[FIXTURE_SIGNATURE_MAX];
    struct fake_key pair = { .type = CKK_EC_EDWARDS,
                             .label = "ed",
                             .id = { "ed", 2 },
                             .ec_params = { "\x06\x03\x2b\x65\x70", 5 },
                             .ec_point = { point, sizeof(point) } };
    struct fake_call call;
    size_t len = 32;

    (void)state;
    ctx = fake_context("hsmsign-vendor-numbers = CKM_EDDSA:0x80000501\n");
    twin = EVP_PKEY_Q_keygen(fixture_software(), NULL, "ED25519");
    assert_int_equal(EVP_PKEY_get_raw_public_key(twin, point + 2, &len), 1);
    fake_add_key(fake, 0, &pair);
    fake->sign = sign_ed25519;
    fake->sign_arg = twin;
    key = fake_key(ctx, "ed");
    /* The fake does not know it yet. */
    assert_int_equal(fixture_sign(ctx, key, NULL, sig), 0);
    ERR_clear_error();
    fake->mechanisms[fake->n_mechanisms++] = 0x80000501;
    fake_calls_reset(fake);
    len = fixture_sign(ctx, key, NULL, sig);
    assert_true(fixture_verify(twin, NULL, sig, len));
    assert_true(fake_call(fake, "C_SignInit", 0, &call));
    assert_int_equal(call.mechanism, 0x80000501);
    EVP_PKEY_free(key);
    EVP_PKEY_free(twin);
    OSSL_LIB_CTX_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(
            test_without_ml_dsa_in_libcrypto_the_reason_is_told, setup),
        cmocka_unit_test_setup(test_pem_file_tells_it_too, setup),
        cmocka_unit_test_setup(test_list_passes_over_them, setup),
        cmocka_unit_test_setup(test_none_is_made, setup),
        cmocka_unit_test_setup(test_unknown_parameter_sets_are_told, setup),
        cmocka_unit_test_setup(test_vendors_eddsa_signs, setup),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/mldsa_refused", tests, NULL,
                                       NULL);
}
