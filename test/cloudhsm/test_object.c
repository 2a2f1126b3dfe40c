/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator's objects: attributes, templates, handles, rule by rule. */
#include <string.h>
#include "sim_test.h"

static CK_BBOOL yes = CK_TRUE;
static CK_BBOOL no = CK_FALSE;

/* One attribute alone: what the read answers, and its length. */
static CK_RV ask(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                 CK_ATTRIBUTE_TYPE type, CK_ULONG *len)
{
    CK_BYTE value[1024];
    CK_ATTRIBUTE templ = { type, value, sizeof(value) };
    CK_RV rv = p11->C_GetAttributeValue(session, object, &templ, 1);

    *len = templ.ulValueLen;
    return rv;
}

static CK_BBOOL flag(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                     CK_ATTRIBUTE_TYPE type)
{
    CK_BBOOL value = 2;
    CK_ATTRIBUTE templ = { type, &value, sizeof(value) };

    assert_int_equal(p11->C_GetAttributeValue(session, object, &templ, 1),
                     CKR_OK);
    return value;
}

static void test_unsupported_attribute_leaves_the_others_filled(void **state)
{
    CK_SESSION_HANDLE session = sim_test_begin("");
    CK_BYTE point[128];
    CK_BYTE exponent[3] = "";
    CK_KEY_TYPE type = CKK_RSA;
    CK_BYTE label[4];
    CK_ATTRIBUTE templ[] = { { CKA_EC_POINT, point, sizeof(point) },
                             { CKA_KEY_TYPE, &type, sizeof(type) },
                             { CKA_VALUE, point, sizeof(point) },
                             { CKA_PUBLIC_EXPONENT, exponent, 3 } };
    CK_ATTRIBUTE small = { CKA_LABEL, label, sizeof(label) };
    CK_RV rv = p11->C_GetAttributeValue(
        session, sim_test_find(session, "ec_private"), templ, 4);

    (void)state;
    assert_true(rv == CKR_ATTRIBUTE_TYPE_INVALID ||
                rv == CKR_ATTRIBUTE_SENSITIVE);
    assert_true(templ[0].ulValueLen == CK_UNAVAILABLE_INFORMATION);
    assert_int_equal(templ[1].ulValueLen, sizeof(type));
    assert_int_equal(type, CKK_EC);
    assert_true(templ[2].ulValueLen == CK_UNAVAILABLE_INFORMATION);
    assert_true(templ[3].ulValueLen == CK_UNAVAILABLE_INFORMATION);
    assert_int_equal(
        p11->C_GetAttributeValue(session, sim_test_find(session, "ec_private"),
                                 &small, 1),
        CKR_BUFFER_TOO_SMALL);
}

static void test_private_keys_lack_these_attributes(void **state)
{
    static const CK_ATTRIBUTE_TYPE types[] = {
        CKA_ALLOWED_MECHANISMS, CKA_ALWAYS_AUTHENTICATE,
        CKA_PUBLIC_KEY_INFO,    CKA_SUBJECT,
        CKA_START_DATE,         CKA_END_DATE,
        CKA_COPYABLE,           CKA_EC_POINT
    };
    static const char *const labels[] = { "rsa_private", "ec_private" };
    CK_SESSION_HANDLE session = sim_test_begin("");
    CK_ULONG len = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(labels); i++) {
        CK_OBJECT_HANDLE key = sim_test_find(session, labels[i]);

        for (size_t j = 0; j < COUNT(types); j++) {
            assert_int_equal(ask(session, key, types[j], &len),
                             CKR_ATTRIBUTE_TYPE_INVALID);
            assert_true(len == CK_UNAVAILABLE_INFORMATION);
        }
    }
    assert_int_equal(
        ask(session, sim_test_find(session, "ec_pub"), CKA_EC_POINT, &len),
        CKR_OK);
    assert_int_equal(
        ask(session, sim_test_find(session, "rsa_private"), CKA_MODULUS, &len),
        CKR_OK);
    assert_int_equal(len, 256);
}

static void test_sensitive_parts_are_not_told(void **state)
{
    static const struct {
        const char *label;
        CK_ATTRIBUTE_TYPE type;
    } rows[] = { { "ec_private", CKA_VALUE },
                 { "rsa_private", CKA_PRIVATE_EXPONENT },
                 { "rsa_private", CKA_PRIME_1 },
                 { "rsa_private", CKA_COEFFICIENT } };
    CK_SESSION_HANDLE session = sim_test_begin("");
    CK_ULONG len = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(ask(session, sim_test_find(session, rows[i].label),
                             rows[i].type, &len),
                         CKR_ATTRIBUTE_SENSITIVE);
        assert_true(len == CK_UNAVAILABLE_INFORMATION);
    }
}

static void test_halves_share_only_the_check_value(void **state)
{
    static const char *const labels[][2] = { { "ec_pub", "ec_private" },
                                             { "rsa_pub", "rsa_private" } };
    CK_SESSION_HANDLE session = sim_test_begin("");
    CK_BYTE check[2][2][3];
    CK_ULONG len = 0;

    (void)state;
    for (int i = 0; i < 4; i++) {
        CK_OBJECT_HANDLE key = sim_test_find(session, labels[i / 2][i % 2]);
        CK_ATTRIBUTE templ = { CKA_CHECK_VALUE, check[i / 2][i % 2], 3 };

        assert_int_equal(ask(session, key, CKA_ID, &len), CKR_OK);
        assert_int_equal(len, 0);
        assert_int_equal(p11->C_GetAttributeValue(session, key, &templ, 1),
                         CKR_OK);
        assert_int_equal(templ.ulValueLen, 3);
    }
    for (int i = 0; i < 2; i++) {
        CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
        CK_ATTRIBUTE templ[] = { { CKA_CHECK_VALUE, check[i][1], 3 },
                                 { CKA_CLASS, &class, sizeof(class) } };
        CK_OBJECT_HANDLE found = CK_INVALID_HANDLE;

        assert_memory_equal(check[i][0], check[i][1], 3);
        assert_int_equal(sim_test_count(session, templ, 1, NULL), 2);
        assert_int_equal(sim_test_count(session, templ, 2, &found), 1);
        assert_true(found == sim_test_find(session, labels[i][0]));
    }
    assert_memory_not_equal(check[0][0], check[1][0], 3);
}

/* As softhsm2-util imports them: the halves share CKA_ID. */
static void test_imported_halves_share_the_check_value_too(void **state)
{
    CK_OBJECT_HANDLE keys[2];
    CK_BYTE check[2][3];
    CK_ATTRIBUTE id = { CKA_ID, "\x17", 1 };
    CK_BYTE none = 0;
    CK_ATTRIBUTE subject = { CKA_SUBJECT, &none, 0 };
    CK_SESSION_HANDLE session = sim_test_begin("");

    (void)state;
    assert_int_equal(sim_test_make_ec(session, &id, 1, &id, 1, keys), CKR_OK);
    for (int i = 0; i < 2; i++) {
        CK_ATTRIBUTE templ = { CKA_CHECK_VALUE, check[i], 3 };
        CK_OBJECT_HANDLE behind = CK_INVALID_HANDLE;

        assert_true(sim_handle_behind(keys[i], &behind));
        assert_int_equal(
            sim_behind->C_SetAttributeValue(session, behind, &subject, 1),
            CKR_OK);
        assert_int_equal(p11->C_GetAttributeValue(session, keys[i], &templ, 1),
                         CKR_OK);
    }
    assert_memory_equal(check[0], check[1], 3);
}

static void test_new_keys_have_the_defaults(void **state)
{
    CK_SESSION_HANDLE session = sim_test_begin("");
    CK_OBJECT_HANDLE keys[2];
    CK_MECHANISM mechanism = { CKM_AES_KEY_GEN, NULL, 0 };
    CK_ULONG bytes = 32;
    CK_ATTRIBUTE aes = { CKA_VALUE_LEN, &bytes, sizeof(bytes) };
    CK_OBJECT_HANDLE secret = CK_INVALID_HANDLE;

    (void)state;
    assert_int_equal(sim_test_make_ec(session, NULL, 0, NULL, 0, keys), CKR_OK);
    assert_false(flag(session, keys[0], CKA_TOKEN));
    assert_false(flag(session, keys[0], CKA_VERIFY));
    assert_false(flag(session, keys[1], CKA_TOKEN));
    assert_false(flag(session, keys[1], CKA_SIGN));
    assert_true(flag(session, keys[1], CKA_SENSITIVE));
    assert_true(flag(session, keys[1], CKA_EXTRACTABLE));
    assert_int_equal(p11->C_GenerateKey(session, &mechanism, &aes, 1, &secret),
                     CKR_OK);
    assert_true(flag(session, secret, CKA_SENSITIVE));
    assert_true(flag(session, secret, CKA_EXTRACTABLE));
}

static void test_keys_are_private(void **state)
{
    const CK_ATTRIBUTE open = { CKA_PRIVATE, &no, sizeof(no) };
    const CK_ATTRIBUTE closed = { CKA_PRIVATE, &yes, sizeof(yes) };
    CK_OBJECT_HANDLE keys[2];
    CK_SESSION_HANDLE session = sim_test_begin("");

    (void)state;
    assert_int_equal(sim_test_make_ec(session, &open, 1, NULL, 0, keys),
                     CKR_ATTRIBUTE_VALUE_INVALID);
    assert_int_equal(sim_test_make_ec(session, NULL, 0, &open, 1, keys),
                     CKR_ATTRIBUTE_VALUE_INVALID);
    assert_int_equal(sim_test_make_ec(session, &closed, 1, &closed, 1, keys),
                     CKR_OK);
    assert_true(flag(session, keys[0], CKA_PRIVATE));
    assert_int_equal(sim_test_count(session, (CK_ATTRIBUTE *)&open, 1, NULL),
                     0);
    assert_int_equal(sim_test_count(session, (CK_ATTRIBUTE *)&closed, 1, NULL),
                     6);
    sim_test_stop(state);
    session = sim_test_begin("private-false=CKR_TEMPLATE_INCONSISTENT");
    assert_int_equal(sim_test_make_ec(session, &open, 1, NULL, 0, keys),
                     CKR_TEMPLATE_INCONSISTENT);
}

static void test_templates_are_checked(void **state)
{
    static const struct {
        CK_ATTRIBUTE_TYPE type;
        bool private;
        CK_RV rv;
    } rows[] = {
        { CKA_COPYABLE, true, CKR_TEMPLATE_INCONSISTENT },
        { CKA_ALWAYS_AUTHENTICATE, true, CKR_TEMPLATE_INCONSISTENT },
        { CKA_SIGN_RECOVER, true, CKR_TEMPLATE_INCONSISTENT },
        { CKA_VERIFY_RECOVER, false, CKR_TEMPLATE_INCONSISTENT },
        { CKA_VERIFY, true, CKR_TEMPLATE_INCONSISTENT },
        { CKA_EC_POINT, true, CKR_TEMPLATE_INCONSISTENT },
        { CKA_LOCAL, true, CKR_ATTRIBUTE_READ_ONLY },
        { CKA_NEVER_EXTRACTABLE, true, CKR_ATTRIBUTE_READ_ONLY },
        { CKA_CHECK_VALUE, false, CKR_ATTRIBUTE_READ_ONLY },
        { CKA_DERIVE, true, CKR_OK },
        { CKA_WRAP, false, CKR_OK },
    };
    CK_SESSION_HANDLE session = sim_test_begin("");
    CK_OBJECT_HANDLE keys[2];
    CK_ATTRIBUTE search = { CKA_COPYABLE, &no, sizeof(no) };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const CK_ATTRIBUTE templ = { rows[i].type, &no, sizeof(no) };

        assert_int_equal(sim_test_make_ec(session, &templ, !rows[i].private,
                                          &templ, rows[i].private, keys),
                         rows[i].rv);
    }
    assert_int_equal(p11->C_FindObjectsInit(session, &search, 1),
                     CKR_TEMPLATE_INCONSISTENT);
}

static void test_rsa_sizes_are_2048_to_4096_by_256(void **state)
{
    static const struct {
        CK_ULONG bits;
        CK_RV rv;
    } rows[] = { { 1024, CKR_KEY_SIZE_RANGE }, { 2047, CKR_KEY_SIZE_RANGE },
                 { 2176, CKR_KEY_SIZE_RANGE }, { 4352, CKR_KEY_SIZE_RANGE },
                 { 8192, CKR_KEY_SIZE_RANGE }, { 2304, CKR_OK } };
    CK_MECHANISM mechanism = { CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0 };
    CK_SESSION_HANDLE session = sim_test_begin("");
    CK_BYTE exponent[] = { 1, 0, 1 };
    CK_OBJECT_HANDLE keys[2];

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        CK_ULONG bits = rows[i].bits;
        CK_ATTRIBUTE public[] = { { CKA_MODULUS_BITS, &bits, sizeof(bits) },
                                  { CKA_PUBLIC_EXPONENT, exponent, 3 } };

        assert_int_equal(p11->C_GenerateKeyPair(session, &mechanism, public, 2,
                                                NULL, 0, &keys[0], &keys[1]),
                         rows[i].rv);
    }
}

static void test_stale_handles_are_invalid(void **state)
{
    CK_MECHANISM mechanism = { CKM_ECDSA, NULL, 0 };
    CK_SESSION_HANDLE session = sim_test_begin("");
    CK_OBJECT_HANDLE old = sim_test_find(session, "ec_private");
    CK_ULONG len = 0;

    (void)state;
    sim_test_stop(state);
    session = sim_test_begin("");
    assert_int_equal(p11->C_SignInit(session, &mechanism, old),
                     CKR_KEY_HANDLE_INVALID);
    assert_int_equal(ask(session, old, CKA_CLASS, &len),
                     CKR_OBJECT_HANDLE_INVALID);
    assert_int_equal(p11->C_DestroyObject(session, old),
                     CKR_OBJECT_HANDLE_INVALID);
    assert_true(old != sim_test_find(session, "ec_private"));
    sim_test_stop(state);
    session = sim_test_begin("random-handles=off");
    assert_true(sim_test_find(session, "ec_private") < 100);
}

/* Handles of every function that takes or gives them. */
static void test_secret_keys_encrypt_wrap_and_unwrap(void **state)
{
    CK_SESSION_HANDLE session = sim_test_begin("");
    CK_MECHANISM make = { CKM_AES_KEY_GEN, NULL, 0 };
    CK_BYTE iv[16] = "";
    CK_MECHANISM cipher = { CKM_AES_CBC_PAD, iv, sizeof(iv) };
    CK_MECHANISM unlisted = { CKM_AES_KEY_WRAP, NULL, 0 };
    CK_ULONG bytes = 32;
    CK_ATTRIBUTE templ[] = { { CKA_VALUE_LEN, &bytes, sizeof(bytes) },
                             { CKA_ENCRYPT, &yes, sizeof(yes) },
                             { CKA_DECRYPT, &yes, sizeof(yes) },
                             { CKA_WRAP, &yes, sizeof(yes) } };
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    CK_BYTE secret[64];
    CK_BYTE plain[64];
    CK_ULONG n = sizeof(secret);
    CK_ULONG m = sizeof(plain);

    (void)state;
    assert_int_equal(p11->C_GenerateKey(session, &make, templ, 4, &key),
                     CKR_OK);
    assert_int_equal(p11->C_EncryptInit(session, &cipher, key), CKR_OK);
    assert_int_equal(p11->C_Encrypt(session, (CK_BYTE *)"text", 4, secret, &n),
                     CKR_OK);
    assert_int_equal(p11->C_DecryptInit(session, &cipher, key), CKR_OK);
    assert_int_equal(p11->C_Decrypt(session, secret, n, plain, &m), CKR_OK);
    assert_int_equal(m, 4);
    assert_memory_equal(plain, "text", 4);
    n = sizeof(secret);
    assert_int_equal(p11->C_WrapKey(session, &unlisted, key, key, secret, &n),
                     CKR_MECHANISM_INVALID);
    assert_int_equal(p11->C_DestroyObject(session, key), CKR_OK);
    assert_int_equal(p11->C_EncryptInit(session, &cipher, key),
                     CKR_KEY_HANDLE_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SIM_TEST(test_unsupported_attribute_leaves_the_others_filled),
        SIM_TEST(test_private_keys_lack_these_attributes),
        SIM_TEST(test_sensitive_parts_are_not_told),
        SIM_TEST(test_halves_share_only_the_check_value),
        SIM_TEST(test_imported_halves_share_the_check_value_too),
        SIM_TEST(test_new_keys_have_the_defaults),
        SIM_TEST(test_keys_are_private),
        SIM_TEST(test_templates_are_checked),
        SIM_TEST(test_rsa_sizes_are_2048_to_4096_by_256),
        SIM_TEST(test_stale_handles_are_invalid),
        SIM_TEST(test_secret_keys_encrypt_wrap_and_unwrap),
    };

    SIM_MAIN("cloudhsm_object", tests);
}
