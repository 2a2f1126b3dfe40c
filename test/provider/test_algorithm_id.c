/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The AlgorithmIdentifier goes into certificates, CRLs, CMS and time stamps:
 * for every algorithm, digest and parameter it is byte for byte what the
 * default provider says of the software twin, and where that has none there is
 * none.
 */
#include "fixture.h"
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

static OSSL_LIB_CTX *ctx;

static const char *const digests[] = {
    "SHA1",       "SHA224",   "SHA256",   "SHA384",   "SHA512",   "SHA512-224",
    "SHA512-256", "SHA3-224", "SHA3-256", "SHA3-384", "SHA3-512",
};

static int setup(void **state)
{
    (void)state;
    ctx = fixture_softhsm(FIXTURE_PIN);
    (void)fixture_software();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    OSSL_LIB_CTX_free(ctx);
    return 0;
}

/* NULL: not given. */
struct way {
    const char *md, *pad, *salt, *mgf1;
};

/* How parameters are given: as libcrypto's macros, ctrl strings or at init. */
enum form { INTEGERS, STRINGS, AT_INIT, FORMS };

static int salt_number(const char *salt)
{
    if (strcmp(salt, "digest") == 0)
        return RSA_PSS_SALTLEN_DIGEST;
    if (strcmp(salt, "max") == 0)
        return RSA_PSS_SALTLEN_MAX;
    if (strcmp(salt, "auto") == 0)
        return RSA_PSS_SALTLEN_AUTO;
    return (int)strtol(salt, NULL, 10);
}

static bool set_integers(EVP_PKEY_CTX *pctx, const struct way *way)
{
    int pad = way->pad != NULL && strcmp(way->pad, "pss") == 0
                  ? RSA_PKCS1_PSS_PADDING
                  : RSA_PKCS1_PADDING;

    return (way->pad == NULL || EVP_PKEY_CTX_set_rsa_padding(pctx, pad) > 0) &&
           (way->salt == NULL || EVP_PKEY_CTX_set_rsa_pss_saltlen(
                                     pctx, salt_number(way->salt)) > 0) &&
           (way->mgf1 == NULL ||
            EVP_PKEY_CTX_set_rsa_mgf1_md_name(pctx, way->mgf1, NULL) > 0);
}

static bool set_strings(EVP_PKEY_CTX *pctx, const struct way *way)
{
    const struct {
        const char *name, *value;
    } texts[] = { { "rsa_padding_mode", way->pad },
                  { "rsa_pss_saltlen", way->salt },
                  { "rsa_mgf1_md", way->mgf1 } };

    for (size_t i = 0; i < COUNT(texts); i++) {
        if (texts[i].value != NULL &&
            EVP_PKEY_CTX_ctrl_str(pctx, texts[i].name, texts[i].value) <= 0)
            return false;
    }
    return true;
}

/* The length, 0 when there is none. */
static size_t algorithm_id(OSSL_LIB_CTX *libctx, EVP_PKEY *pkey,
                           const struct way *way, enum form form,
                           unsigned char der[128])
{
    EVP_MD_CTX *mctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    OSSL_PARAM init[4], *p = init;
    OSSL_PARAM params[] = { OSSL_PARAM_construct_octet_string(
                                OSSL_SIGNATURE_PARAM_ALGORITHM_ID, der, 128),
                            OSSL_PARAM_construct_end() };

    if (way->pad != NULL)
        *p++ = OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE,
                                                (char *)way->pad, 0);
    if (way->salt != NULL)
        *p++ = OSSL_PARAM_construct_utf8_string(
            OSSL_SIGNATURE_PARAM_PSS_SALTLEN, (char *)way->salt, 0);
    if (way->mgf1 != NULL)
        *p++ = OSSL_PARAM_construct_utf8_string(
            OSSL_SIGNATURE_PARAM_MGF1_DIGEST, (char *)way->mgf1, 0);
    *p = OSSL_PARAM_construct_end();
    params[0].return_size = 0;
    if (EVP_DigestSignInit_ex(mctx, &pctx, way->md, libctx, NULL, pkey,
                              form == AT_INIT ? init : NULL) <= 0 ||
        (form == INTEGERS && !set_integers(pctx, way)) ||
        (form == STRINGS && !set_strings(pctx, way)) ||
        EVP_PKEY_CTX_get_params(pctx, params) <= 0)
        params[0].return_size = 0;
    EVP_MD_CTX_free(mctx);
    ERR_clear_error();
    return params[0].return_size;
}

/* Returns whether there is one. */
static bool compare(EVP_PKEY *ours, EVP_PKEY *twin, const struct way *way)
{
    unsigned char der[128], expected[128];
    size_t expected_len =
        algorithm_id(fixture_software(), twin, way, STRINGS, expected);

    for (enum form form = INTEGERS; form < FORMS; form++) {
        size_t len = algorithm_id(ctx, ours, way, form, der);

        if (len != expected_len || memcmp(der, expected, len) != 0)
            fail_msg("digest %s, pad %s, salt %s, mgf1 %s, form %d: %zu bytes, "
                     "expected %zu",
                     way->md, way->pad, way->salt, way->mgf1, (int)form, len,
                     expected_len);
    }
    return expected_len > 0;
}

static void test_rsa_and_ecdsa_with_every_digest(void **state)
{
    static const struct {
        const char *name, *pad;
    } rows[] = {
        { "rsa2048", NULL },   { "rsa3072", "pkcs1" },
        { "p256", NULL },      { "p384", NULL },
        { "p521", NULL },      { "p224", NULL },
        { "secp256k1", NULL }, { "brainpool256", NULL },
        { "p256-bare", NULL }, /* of which the curve alone is known */
    };
    size_t found = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        EVP_PKEY *ours = fixture_key(ctx, rows[i].name);
        EVP_PKEY *twin = fixture_twin(rows[i].name);

        for (size_t j = 0; j < COUNT(digests); j++) {
            struct way way = { digests[j], rows[i].pad, NULL, NULL };

            found += compare(ours, twin, &way);
        }
        EVP_PKEY_free(ours);
        EVP_PKEY_free(twin);
    }
    /* At least SHA-1, SHA-2 and SHA-3 with ECDSA, the former two with RSA. */
    assert_in_range(found, 2 * 5 + 7 * 9, COUNT(rows) * COUNT(digests));
}

static void test_pss_with_every_parameter(void **state)
{
    static const char *const salts[] = { NULL,     "0",   "20",   "32",
                                         "127",    "128", "190",  "222",
                                         "digest", "max", "auto", "300" };
    EVP_PKEY *ours = fixture_key(ctx, "rsa2048");
    EVP_PKEY *twin = fixture_twin("rsa2048");
    size_t found = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(digests); i++) {
        for (size_t j = 0; j <= COUNT(digests); j++) {
            for (size_t k = 0; k < COUNT(salts); k++) {
                struct way way = { digests[i], "pss", salts[k],
                                   j < COUNT(digests) ? digests[j] : NULL };

                found += compare(ours, twin, &way);
            }
        }
    }
    /* SHA-1 and SHA-2 with each other, and all salts that always fit. */
    assert_in_range(found, 5 * 5 * 9, 11 * 12 * COUNT(salts));
    EVP_PKEY_free(ours);
    EVP_PKEY_free(twin);
}

static void test_long_salts_of_a_long_key(void **state)
{
    static const char *const salts[] = { "128", "255", "256", "478", "max" };
    EVP_PKEY *ours = fixture_key(ctx, "rsa4096");
    EVP_PKEY *twin = fixture_twin("rsa4096");

    (void)state;
    for (size_t i = 0; i < COUNT(salts); i++) {
        struct way way = { "SHA256", "pss", salts[i], NULL };

        assert_true(compare(ours, twin, &way));
    }
    EVP_PKEY_free(ours);
    EVP_PKEY_free(twin);
}

static void test_edwards_keys(void **state)
{
    static const char *const names[] = { "ed25519", "ed448" };

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        EVP_PKEY *ours = fixture_key(ctx, names[i]);
        EVP_PKEY *twin = fixture_twin(names[i]);
        struct way way = { NULL, NULL, NULL, NULL };

        assert_true(compare(ours, twin, &way));
        EVP_PKEY_free(ours);
        EVP_PKEY_free(twin);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rsa_and_ecdsa_with_every_digest),
        cmocka_unit_test(test_pss_with_every_parameter),
        cmocka_unit_test(test_long_salts_of_a_long_key),
        cmocka_unit_test(test_edwards_keys),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/algorithm_id", tests, setup,
                                       teardown);
}
