/* SPDX-License-Identifier: Apache-2.0 */
/* pkcs11/vendor: which numbers are taken, and what they are of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "../../pkcs11/vendor.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
    const char *text;
    enum p11_number of;
    CK_ULONG standard, number;
} rows[] = {
    { "CKK_EC_EDWARDS:0x80000001", P11_CKK, CKK_EC_EDWARDS, 0x80000001 },
    { "CKM_EDDSA:0x80000002", P11_CKM, CKM_EDDSA, 0x80000002 },
    { "CKM_EC_EDWARDS_KEY_PAIR_GEN:0x80000003", P11_CKM,
      CKM_EC_EDWARDS_KEY_PAIR_GEN, 0x80000003 },
    { "CKK_ML_DSA:0x8000000a", P11_CKK, CKK_ML_DSA, 0x8000000a },
    { "CKM_ML_DSA:0x8000000B", P11_CKM, CKM_ML_DSA, 0x8000000b },
    { "CKM_ML_DSA_KEY_PAIR_GEN:0x8000000c", P11_CKM, CKM_ML_DSA_KEY_PAIR_GEN,
      0x8000000c },
    { "CKA_PARAMETER_SET:0xffffffff80000001", P11_CKA, CKA_PARAMETER_SET,
      0xffffffff80000001 },
    { "CKP_ML_DSA_44:0x2c", P11_CKP, CKP_ML_DSA_44, 0x2c },
    { "CKP_ML_DSA_65:0x41", P11_CKP, CKP_ML_DSA_65, 0x41 },
    /* The standard's number of another one. */
    { "CKP_ML_DSA_87:0x1", P11_CKP, CKP_ML_DSA_87, 1 },
};

static bool set(struct p11_vendor *vendor, const char *text)
{
    return p11_vendor_set(vendor, text, strlen(text));
}

static void test_numbers_are_translated_both_ways(void **state)
{
    struct p11_vendor vendor = { 0 };

    (void)state;
    assert_int_equal(COUNT(rows), P11_VENDOR_NUMBERS);
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_true(set(&vendor, rows[i].text));
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(
            p11_vendor_number(&vendor, rows[i].of, rows[i].standard),
            rows[i].number);
        assert_int_equal(
            p11_standard_number(&vendor, rows[i].of, rows[i].number),
            rows[i].standard);
    }
}

static void test_other_numbers_stay_as_they_are(void **state)
{
    static const CK_ULONG numbers[] = { 0, 1, CKK_ML_DSA, 0x80000001,
                                        CK_UNAVAILABLE_INFORMATION };
    struct p11_vendor vendor = { 0 };

    (void)state;
    for (int configured = 0; configured < 2; configured++) {
        for (size_t i = 0; i < COUNT(numbers); i++) {
            /* CKK_RSA is 0, as is a number that is not configured. */
            assert_int_equal(p11_vendor_number(&vendor, P11_CKM, numbers[i]),
                             numbers[i]);
            assert_int_equal(p11_standard_number(&vendor, P11_CKK, numbers[i]),
                             numbers[i]);
        }
        if (!configured)
            assert_true(set(&vendor, "CKM_EDDSA:0x80000001"));
    }
}

static void test_what_is_no_name_and_number_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        ":",
        ":0x1",
        "CKM_EDDSA",
        "CKM_EDDSA:",
        "CKM_EDDSA:0x",
        "CKM_EDDSA:0x0",
        "CKM_EDDSA:1",
        "CKM_EDDSA:80000001",
        "CKM_EDDSA: 0x1",
        "CKM_EDDSA:0x 1",
        "CKM_EDDSA:0x-1",
        "CKM_EDDSA:0x+1",
        "CKM_EDDSA:0x0x1",
        "CKM_EDDSA:0X1",
        "CKM_EDDSA:0x1g",
        "CKM_EDDSA:0x1:0x2",
        "CKM_EDDSA=0x1",
        "CKM_EDDSA:0x10000000000000000",
        "ckm_eddsa:0x1",
        "CKM_EDDS:0x1",
        "CKM_EDDSAX:0x1",
        "CKM_ECDSA:0x1",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct p11_vendor vendor = { 0 };

        assert_false(set(&vendor, texts[i]));
    }
}

static void test_neither_name_nor_number_is_taken_twice(void **state)
{
    struct p11_vendor vendor = { 0 };

    (void)state;
    assert_true(set(&vendor, "CKM_EDDSA:0x80000001"));
    assert_false(set(&vendor, "CKM_EDDSA:0x80000002"));
    assert_false(set(&vendor, "CKM_EDDSA:0x80000001"));
    assert_false(set(&vendor, "CKM_ML_DSA:0x80000001"));
    /* A key type is another thing. */
    assert_true(set(&vendor, "CKK_ML_DSA:0x80000001"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_are_translated_both_ways),
        cmocka_unit_test(test_other_numbers_stay_as_they_are),
        cmocka_unit_test(test_what_is_no_name_and_number_is_refused),
        cmocka_unit_test(test_neither_name_nor_number_is_taken_twice),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("pkcs11/vendor", tests, NULL, NULL);
}
