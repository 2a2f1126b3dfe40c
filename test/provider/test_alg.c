/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider/alg: which type of key a token's key is, in the spellings that
 * tokens have for a curve, and what Ed448 is asked for with.
 */
#include "fake_fixture.h"
#include <openssl/err.h>
#include <string.h>

#define BYTES(text) text, sizeof(text) - 1

/* Split strings: 'e' and 'b' are hexadecimal digits too. */
static const struct {
    CK_KEY_TYPE key_type;
    const char *params;
    size_t len;
    const char *type, *group; /* type NULL: not loaded */
} rows[] = {
    { CKK_EC_EDWARDS,
      BYTES("\x13\x0c"
            "edwards25519"),
      "ED25519", NULL },
    { CKK_EC_EDWARDS, BYTES("\x06\x03\x2b\x65\x70"), "ED25519", NULL },
    { CKK_EC_EDWARDS, BYTES("\x06\x09\x2b\x06\x01\x04\x01\xda\x47\x0f\x01"),
      "ED25519", NULL },
    { CKK_EC_EDWARDS,
      BYTES("\x13\x0a"
            "edwards448"),
      "ED448", NULL },
    { CKK_EC_EDWARDS, BYTES("\x06\x03\x2b\x65\x71"), "ED448", NULL },
    { CKK_EC_EDWARDS, BYTES("\x06\x03\x2b\x65\x6f"), NULL, NULL }, /* X448 */
    { CKK_EC_EDWARDS,
      BYTES("\x13\x0a"
            "edwards449"),
      NULL, NULL },
    { CKK_EC, BYTES("\x06\x05\x2b\x81\x04\x00\x21"), "EC", "secp224r1" },
    { CKK_EC, BYTES("\x06\x05\x2b\x81\x04\x00\x0a"), "EC", "secp256k1" },
    { CKK_EC,
      BYTES("\x13\x09"
            "secp256k1"),
      "EC", "secp256k1" },
    { CKK_EC,
      BYTES("\x13\x0f"
            "brainpoolP256r1"),
      "EC", "brainpoolP256r1" },
    { CKK_EC, BYTES("\x06\x09\x2b\x24\x03\x03\x02\x08\x01\x01\x0d"), "EC",
      "brainpoolP512r1" },
    { CKK_EC,
      BYTES("\x13\x09"
            "secp256k2"),
      NULL, NULL },
    { CKK_DSA, BYTES(""), NULL, NULL },
};

static void add(struct fake *fake, size_t row)
{
    struct fake_key key = {
        .type = rows[row].key_type,
        .label = "key",
        .id = { "\x09", 1 },
        .ec_params = { rows[row].params, rows[row].len },
        .no_public = true,
    };

    fake_add_key(fake, 0, &key);
}

static void test_every_spelling_of_a_curve_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fake *fake = fake_fixture();
        OSSL_LIB_CTX *ctx = fake_context("");
        EVP_PKEY *key = NULL;
        char group[64] = "";

        add(fake, i);
        key = fixture_load(ctx, FAKE_URI "key");
        if (rows[i].type == NULL) {
            assert_null(key);
            fixture_assert_error(0, "the key's type or curve is not handled",
                                 "key", NULL);
        } else {
            assert_non_null(key);
            assert_true(EVP_PKEY_is_a(key, rows[i].type));
            assert_int_equal(
                EVP_PKEY_get_group_name(key, group, sizeof(group), NULL),
                rows[i].group != NULL);
            assert_string_equal(group,
                                rows[i].group != NULL ? rows[i].group : "");
        }
        ERR_clear_error();
        EVP_PKEY_free(key);
        OSSL_LIB_CTX_free(ctx);
    }
}

/* CK_EDDSA_PARAMS of that: pure, no context; nothing for another length. */
static CK_RV sign_edwards(struct fake *fake, const struct fake_object *key,
                          const CK_MECHANISM *mechanism,
                          const unsigned char *data, size_t len,
                          unsigned char *sig, size_t *siglen)
{
    static const struct p11_eddsa_params pure;

    (void)key;
    (void)data;
    (void)len;
    *siglen = *(const size_t *)fake->sign_arg;
    memset(sig, 0x5a, *siglen);
    if (*siglen == 64)
        return mechanism->ulParameterLen == 0 ? CKR_OK : CKR_GENERAL_ERROR;
    return mechanism->ulParameterLen == sizeof(pure) &&
                   memcmp(mechanism->pParameter, &pure, sizeof(pure)) == 0
               ? CKR_OK
               : CKR_MECHANISM_PARAM_INVALID;
}

/* PKCS #11 v3.0, 2.3.14, table 22. */
static void test_ed448_has_a_parameter_and_ed25519_none(void **state)
{
    static const struct {
        size_t row, len;
    } keys[] = { { 0, 64 }, { 3, 114 } };

    (void)state;
    for (size_t i = 0; i < COUNT(keys); i++) {
        struct fake *fake = fake_fixture();
        OSSL_LIB_CTX *ctx = fake_context("");
        EVP_PKEY *key = NULL;
        unsigned char sig[FIXTURE_SIGNATURE_MAX];
        size_t len = keys[i].len;

        add(fake, keys[i].row);
        fake->sign = sign_edwards;
        fake->sign_arg = &len;
        key = fake_key(ctx, "key");
        assert_int_equal(fixture_sign(ctx, key, NULL, sig), keys[i].len);
        EVP_PKEY_free(key);
        OSSL_LIB_CTX_free(ctx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_spelling_of_a_curve_is_read),
        cmocka_unit_test(test_ed448_has_a_parameter_and_ed25519_none),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/alg", tests, NULL, NULL);
}
